package hosts

import (
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestSpellings(t *testing.T) {
	for _, test := range []struct{ server, reached, want string }{
		{"pop.example.org:1110", "192.0.2.1:1110", "pop.example.org:1110 pop.example.org:995 pop.example.org:110 " +
			"192.0.2.1:1110 192.0.2.1:995 192.0.2.1:110"},
		{"pop.example.org:995", "[2001:db8::1]:995", "pop.example.org:995 pop.example.org:995 pop.example.org:110 " +
			"[2001:db8::1]:995 [2001:db8::1]:995 [2001:db8::1]:110"},
		{"tunnel:110", "127.0.0.2:110", "tunnel:110 tunnel:995 tunnel:110 127.0.0.2:110 127.0.0.2:995 127.0.0.2:110 " +
			"localhost:110 localhost:995 localhost:110 127.0.0.1:110 127.0.0.1:995 127.0.0.1:110 [::1]:110 [::1]:995 [::1]:110"},
		{"no port", "192.0.2.1:1110", ""},
	} {
		reached := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(test.reached))
		if got := strings.Join(Spellings(test.server, reached), " "); got != test.want {
			t.Errorf("Spellings(%s, %s) = %s, want %s", test.server, test.reached, got, test.want)
		}
	}
	if got := Spellings("h:1", new(net.UnixAddr)); len(got) != 3 {
		t.Errorf("Spellings() over no network = %v, want those of the name", got)
	}
}
