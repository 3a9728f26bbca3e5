package poptest

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/net/dns/dnsmessage"
)

// DNS is a DNS server on the loopback interface. It answers questions about SRV records and hosts.
type DNS struct {
	addr    string
	records map[string][]string
	hosts   map[string]bool
	asked   atomic.Int32
}

// NewDNS starts a DNS server. The SRV records are lists of "host:port", the first one with the best
// priority, by names such as "_pop3s._tcp.example.org". A host "." says that there is no such service.
// The hosts of records, and those in hosts, have the address 127.0.0.1. Others do not exist.
func NewDNS(t TB, records map[string][]string, hosts ...string) *DNS {
	t.Helper()
	conn, err := new(net.ListenConfig).ListenPacket(context.Background(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("starting a DNS server: %v", err)
	}
	d := &DNS{addr: conn.LocalAddr().String(), records: records, hosts: map[string]bool{}}
	for _, host := range hosts {
		d.hosts[host] = true
	}
	for _, list := range records {
		for _, server := range list {
			host, _, _ := strings.Cut(server, ":")
			d.hosts[host] = true
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.serve(conn)
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return d
}

// Addr returns host and port.
func (d *DNS) Addr() string { return d.addr }

// Asked returns how many questions the server got.
func (d *DNS) Asked() int { return int(d.asked.Load()) }

// Resolver returns a resolver that asks the server.
func (d *DNS) Resolver() *net.Resolver { return ResolverAt(d.addr) }

// ResolverAt returns a resolver that asks the server at an address.
func ResolverAt(addr string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", addr)
	}}
}

func (d *DNS) serve(conn net.PacketConn) {
	for buffer := make([]byte, 4096); ; {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		d.asked.Add(1)
		if answer := d.answer(buffer[:n]); answer != nil {
			_, _ = conn.WriteTo(answer, from)
		}
	}
}

// answer returns the answer to a question, or nil.
func (d *DNS) answer(question []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(question) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	a := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RCode: dnsmessage.RCodeNameError}, Questions: m.Questions}
	head := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: dnsmessage.ClassINET}
	servers, found := d.records[name]
	if found || d.hosts[name] {
		a.RCode = dnsmessage.RCodeSuccess
	}
	if q.Type == dnsmessage.TypeSRV {
		for i, server := range servers {
			host, port, _ := strings.Cut(server, ":")
			number, _ := strconv.ParseUint(port, 10, 16)
			target := dnsmessage.MustNewName(strings.TrimSuffix(host, ".") + ".")
			a.Answers = append(a.Answers, dnsmessage.Resource{Header: head,
				Body: &dnsmessage.SRVResource{Priority: uint16(i), Port: uint16(number), Target: target}})
		}
	}
	if q.Type == dnsmessage.TypeA && d.hosts[name] {
		a.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}}}
	}
	answer, err := a.Pack()
	if err != nil {
		return nil
	}
	return answer
}
