package tunnel

import (
	"io"
	"strings"
	"testing"
)

// The octets are those of RFC 1928 and RFC 1929. An address stays an address.
func TestProxy_askSOCKS_octets(t *testing.T) {
	sent, _, err := answered(Proxy{Scheme: SOCKS5, User: "al", Password: "pw"}, "\x05\x02\x01\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x09")
	if want := "\x05\x02\x00\x02" + "\x01\x02al\x02pw" + "\x05\x01\x00\x03\x0bpop.invalid\x03\xe3"; err != nil || sent != want {
		t.Errorf("ask() = %v and sent %q, want %q", err, sent, want)
	}
	for addr, want := range map[string]string{
		"pop.invalid:995":      "\x05\x01\x00\x03\x0bpop.invalid\x03\xe3",
		"192.0.2.7:110":        "\x05\x01\x00\x01\xc0\x00\x02\x07\x00\x6e",
		"[2001:db8::7]:65535":  "\x05\x01\x00\x04\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x07\xff\xff",
		"[::ffff:192.0.2.7]:1": "\x05\x01\x00\x04" + strings.Repeat("\x00", 10) + "\xff\xff\xc0\x00\x02\x07\x00\x01",
	} {
		if got, err := socksRequest(addr); err != nil || string(got) != want {
			t.Errorf("socksRequest(%s) = %q, %v, want %q", addr, got, err, want)
		}
	}
	for _, addr := range []string{"h", "h:x", "h:65536", strings.Repeat("h", 256) + ":110"} {
		if got, err := socksRequest(addr); err == nil {
			t.Errorf("socksRequest(%s) = %q, want an error", addr, got)
		}
	}
}

func TestProxy_askSOCKS(t *testing.T) {
	const address = "\x01\x7f\x00\x00\x01\x00\x09"
	common := []answer{
		{"IPv4", "\x05\x00" + "\x05\x00\x00" + address + greeting, nil, ""},
		{"IPv6", "\x05\x00" + "\x05\x00\x00\x04" + strings.Repeat("a", 18) + greeting, nil, ""},
		{"name", "\x05\x00" + "\x05\x00\x00\x03\x04FQDN\x00\x01" + greeting, nil, ""},
		{"empty name", "\x05\x00" + "\x05\x00\x00\x03\x00\x00\x01" + greeting, nil, ""},
		{"half a refusal", "\x05\x00\x05\x01\x00", io.ErrUnexpectedEOF, "breaks off"},
		{"reply 1", "\x05\x00\x05\x01\x00\x01", ErrUnreached, "general failure"},
		{"reply 2", "\x05\x00\x05\x02\x00" + address, ErrRefused, "rules"},
		{"reply 3", "\x05\x00\x05\x03\x00" + address, ErrUnreached, "network unreachable"},
		{"reply 4", "\x05\x00\x05\x04\x00" + address, ErrUnreached, "host unreachable"},
		{"reply 5", "\x05\x00\x05\x05\x00" + address, ErrUnreached, "connection refused"},
		{"reply 6", "\x05\x00\x05\x06\x00" + address, ErrUnreached, "time to live"},
		{"reply 7", "\x05\x00\x05\x07\x00" + address, ErrUnreached, "CONNECT"},
		{"reply 8", "\x05\x00\x05\x08\x00" + address, ErrUnreached, "type of address"},
		{"reply 240", "\x05\x00\x05\xf0\x00" + address, ErrUnreached, "reply 240"},
		{"version 4", "\x00\x5a" + address, ErrBroken, "version 0"},
		{"version of the reply", "\x05\x00\x04\x00\x00" + address, ErrBroken, "version 4"},
		{"HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n", ErrBroken, "write http://"},
		{"another type", "\x05\x00\x05\x00\x00\x02abc", ErrBroken, "type 2"},
		{"nothing", "", io.ErrUnexpectedEOF, "breaks off"},
		{"half a choice", "\x05", io.ErrUnexpectedEOF, "breaks off"},
		{"half a reply", "\x05\x00\x05\x00", io.ErrUnexpectedEOF, "breaks off"},
		{"half an address", "\x05\x00\x05\x00\x00\x01\x7f", io.ErrUnexpectedEOF, "breaks off"},
		{"half a name", "\x05\x00\x05\x00\x00\x03", io.ErrUnexpectedEOF, "breaks off"},
		{"a password that was not offered", "\x05\x02\x01\x00\x05\x00\x00" + address, ErrBroken, "method 2"},
		{"refused", "\x05\xff", ErrRefused, "USER:PASSWORD@h:1080"},
	}
	checkAnswers(t, Proxy{Scheme: SOCKS5, Addr: "h:1080"}, common)
	checkAnswers(t, Proxy{Scheme: SOCKS5, Addr: "h:1080", User: "alice", Password: "hunter2"}, []answer{
		{"password", "\x05\x02\x01\x00" + "\x05\x00\x00" + address + greeting, nil, ""},
		{"another version", "\x05\x02\x05\x00" + "\x05\x00\x00" + address + greeting, nil, ""},
		{"no password", "\x05\x00" + "\x05\x00\x00" + address + greeting, nil, ""},
		{"wrong password", "\x05\x02\x01\x01", ErrRefused, "user or password is wrong"},
		{"half a status", "\x05\x02\x01", io.ErrUnexpectedEOF, "breaks off"},
		{"GSSAPI", "\x05\x01", ErrBroken, "method 1"},
		{"none of them", "\x05\xff", ErrRefused, "neither"},
	})
}

// Whatever a proxy answers, the connection is made only after a whole positive reply. What is behind it
// is left to the server.
func FuzzSOCKSReply(f *testing.F) {
	f.Add("\x05\x02\x01\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x09+OK\r\n")
	f.Add("\x05\x00\x05\x00\x00\x03\x04FQDN\x00\x01")
	f.Add("\x05\x02\x01\x01")
	f.Add("HTTP/1.1 400\r\n\r\n")
	p := Proxy{Scheme: SOCKS5, Addr: "h:1080", User: "alice", Password: "hunter2"}
	f.Fuzz(func(t *testing.T, octets string) {
		_, left, err := answered(p, octets)
		if err != nil {
			checkNoPassword(t, p, err)
			return
		}
		reply, _ := strings.CutSuffix(octets, left)
		if reply[1] == methodPassword {
			reply = reply[:2] + reply[4:]
		}
		length := map[byte]int{typeIPv4: 4, typeIPv6: 16}[reply[5]]
		if reply[5] == typeName {
			length = 1 + int(reply[6])
		}
		if !strings.HasPrefix(reply, "\x05") || reply[2:4] != "\x05\x00" || length == 0 || len(reply) != 6+length+2 {
			t.Errorf("%q counts as a positive reply", octets)
		}
	})
}
