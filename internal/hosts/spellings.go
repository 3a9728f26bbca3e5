package hosts

import (
	"net"
	"net/netip"
)

// Spellings returns ways to write a server: by its name, by the address that it was reached at,
// and for this machine by the names that it always has; each with its port and the usual ones.
func Spellings(server string, reached net.Addr) []string {
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		return nil
	}
	hosts := []string{host}
	if at, err := netip.ParseAddrPort(reached.String()); err == nil {
		hosts = append(hosts, at.Addr().Unmap().String())
		if at.Addr().Unmap().IsLoopback() {
			hosts = append(hosts, "localhost", "127.0.0.1", "::1")
		}
	}
	var servers []string
	for _, host := range hosts {
		for _, port := range []string{port, "995", "110"} {
			servers = append(servers, net.JoinHostPort(host, port))
		}
	}
	return servers
}
