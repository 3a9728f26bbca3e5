package tunnel

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
)

// The octets of SOCKS 5 (RFC 1928) and of its log-in (RFC 1929).
const (
	socksVersion = 5

	methodNone     = 0
	methodPassword = 2
	methodRefused  = 0xff

	passwordVersion = 1

	commandConnect = 1

	typeIPv4 = 1
	typeName = 3
	typeIPv6 = 4
)

// socksReplies are the refusals of RFC 1928 section 6.
var socksReplies = map[byte]string{
	1: "general failure",
	2: "its rules do not allow this server or port",
	3: "network unreachable",
	4: "host unreachable, or its name is unknown",
	5: "connection refused",
	6: "the time to live of a packet has ended",
	7: "it does not know the command CONNECT",
	8: "it does not know this type of address",
}

const replyForbidden = 2

// askSOCKS is ask for SOCKS 5.
func (p Proxy) askSOCKS(proxy io.ReadWriter, addr string) error {
	request, err := socksRequest(addr)
	if err != nil {
		return err
	}
	if err := p.agree(proxy); err != nil {
		return err
	}
	if _, err := proxy.Write(request); err != nil {
		return err
	}
	var reply [4]byte // version, reply, reserved, type of the address
	if err := readVersion(proxy, reply[:]); err != nil {
		return err
	}
	switch code := reply[1]; {
	case code == replyForbidden:
		return fmt.Errorf("%w: %s", ErrRefused, socksReplies[code])
	case socksReplies[code] != "":
		return fmt.Errorf("%w: %s", ErrUnreached, socksReplies[code])
	case code != 0:
		return fmt.Errorf("%w: reply %d of SOCKS", ErrUnreached, code)
	}
	return skipAddress(proxy, reply[3])
}

// agree logs in if the proxy wants that.
func (p Proxy) agree(proxy io.ReadWriter) error {
	offer := []byte{socksVersion, 1, methodNone}
	if p.User != "" {
		offer = []byte{socksVersion, 2, methodNone, methodPassword}
	}
	if _, err := proxy.Write(offer); err != nil {
		return err
	}
	var choice [2]byte
	if err := readVersion(proxy, choice[:]); err != nil {
		return err
	}
	switch method := choice[1]; {
	case method == methodNone:
		return nil
	case method == methodPassword && p.User != "":
		return p.logIn(proxy)
	case method == methodRefused && p.User == "":
		return fmt.Errorf("%w: it wants a log-in; write %s://USER:PASSWORD@%s", ErrRefused, p.Scheme, p.Addr)
	case method == methodRefused:
		return fmt.Errorf("%w: it takes neither user and password nor no log-in", ErrRefused)
	default:
		return fmt.Errorf("%w: it chose log-in method %d, which was not offered", ErrBroken, method)
	}
}

// logIn sends user and password. Some proxies send another version in the answer, so that is not
// looked at.
func (p Proxy) logIn(proxy io.ReadWriter) error {
	message := []byte{passwordVersion, byte(len(p.User))}
	message = append(message, p.User...)
	message = append(message, byte(len(p.Password)))
	message = append(message, p.Password...)
	if _, err := proxy.Write(message); err != nil {
		return err
	}
	var status [2]byte
	if err := read(proxy, status[:]); err != nil {
		return err
	}
	if status[1] != 0 {
		return fmt.Errorf("%w: user or password is wrong", ErrRefused)
	}
	return nil
}

// readVersion fills answer, whose first octet is the version.
func readVersion(proxy io.Reader, answer []byte) error {
	if err := read(proxy, answer[:1]); err != nil {
		return err
	}
	switch version := answer[0]; {
	case version == 'H': // of HTTP/1.1 400
		return fmt.Errorf("%w: it answers like an HTTP proxy; write http:// instead of socks5://", ErrBroken)
	case version != socksVersion:
		return fmt.Errorf("%w: it answers in version %d of SOCKS, not 5", ErrBroken, version)
	}
	return read(proxy, answer[1:])
}

// skipAddress reads the address that the proxy connects from.
func skipAddress(proxy io.Reader, kind byte) error {
	var length [1]byte
	switch kind {
	case typeIPv4:
		length[0] = net.IPv4len
	case typeIPv6:
		length[0] = net.IPv6len
	case typeName:
		if err := read(proxy, length[:]); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%w: it sent an address of type %d", ErrBroken, kind)
	}
	return read(proxy, make([]byte, int(length[0])+2)) // and the port
}

// socksRequest returns the request to connect to addr. A name stays a name.
func socksRequest(addr string) ([]byte, error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("the port of %q: %w", addr, err)
	}
	request := []byte{socksVersion, commandConnect, 0}
	switch ip, err := netip.ParseAddr(host); {
	case err != nil && len(host) > 255:
		return nil, fmt.Errorf("the name of the server has %d octets; SOCKS takes 255", len(host))
	case err != nil:
		request = append(request, typeName, byte(len(host)))
		request = append(request, host...)
	case ip.Is4():
		request = append(append(request, typeIPv4), ip.AsSlice()...)
	default:
		request = append(append(request, typeIPv6), ip.AsSlice()...)
	}
	return append(request, byte(port>>8), byte(port)), nil
}
