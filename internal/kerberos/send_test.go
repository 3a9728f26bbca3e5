package kerberos

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/popfetch/popfetch/internal/poptest"
)

// says returns an answer with an error of Kerberos.
func says(t *testing.T, code int32) []byte {
	t.Helper()
	e := messages.NewKRBError(types.NewPrincipalName(3, "pop/localhost"), poptest.Realm, code, "")
	octets, err := e.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return octets
}

// startKDC starts a KDC and returns its address. It answers each request by TCP with byTCP, and each
// second one by UDP with byUDP. Without an answer it is silent.
func startKDC(t *testing.T, byTCP, byUDP []byte) string {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if byTCP != nil {
				_, _ = c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(byTCP))), byTCP...))
			}
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}
	}()
	serveUDP(t, l.Addr().String(), func(n int, _ []byte) []byte {
		if n%2 == 1 {
			return nil
		}
		return byUDP
	})
	return l.Addr().String()
}

// serveUDP answers the nth packet at addr by what answer returns, and returns the address.
func serveUDP(t *testing.T, addr string, answer func(n int, packet []byte) []byte) string {
	t.Helper()
	c, err := net.ListenPacket("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		packet := make([]byte, maxPacket)
		for n := 1; ; n++ {
			size, from, err := c.ReadFrom(packet)
			if err != nil {
				return
			}
			if reply := answer(n, packet[:size]); reply != nil {
				_, _ = c.WriteTo(reply, from)
			}
		}
	}()
	return c.LocalAddr().String()
}

// hurry shortens the limits for a test that is not parallel.
func hurry(t *testing.T, try, exchange time.Duration) {
	t.Helper()
	oldTry, oldExchange, oldRepeat := longestTry, longestExchange, repeatAfter
	t.Cleanup(func() { longestTry, longestExchange, repeatAfter = oldTry, oldExchange, oldRepeat })
	longestTry, longestExchange, repeatAfter = try, exchange, try/10
}

// settingsOf returns settings with these KDCs.
func settingsOf(kdcs ...string) *settings {
	return &settings{profile: profile{strings.Join([]string{"realms", poptest.Realm, "kdc"}, pathSeparator): kdcs}}
}

// A KDC that is silent, not available or not there does not keep the others from answering. A lost
// packet is sent again.
func TestSettings_send(t *testing.T) {
	hurry(t, 500*time.Millisecond, time.Hour)
	good, busy, big := says(t, 7), says(t, 29), says(t, 52)
	silent := func() string { return startKDC(t, nil, nil) }
	for _, test := range []struct {
		name string
		kdcs []string
		says string // "": the good answer
	}{
		{"silent, then good", []string{silent(), startKDC(t, good, nil)}, ""},
		{"lost packet", []string{"udp/" + startKDC(t, busy, good)}, ""},
		{"UDP of the first", []string{startKDC(t, nil, good), silent(), silent(), silent(), silent()}, ""},
		{"not available, then good", []string{startKDC(t, busy, busy), startKDC(t, good, nil)}, ""},
		{"not available", []string{startKDC(t, busy, nil)}, "no KDC of POPTEST.EXAMPLE is reached: 127.0.0.1:"},
		{"too big for UDP", []string{startKDC(t, nil, big)}, "over tcp: read"},
		{"silent", []string{silent()}, "over tcp: read"},
		{"only a proxy", []string{"https://kdc.example/KdcProxy", "/run/kdc.sock"}, "popfetch has no KDC proxy"},
		{"a proxy, and good", []string{"https://kdc.example/KdcProxy", "tcp/" + startKDC(t, good, nil) + " # text"}, ""},
	} {
		reply, err := settingsOf(test.kdcs...).send(t.Context(), poptest.Realm, []byte("request"))
		var failed *Error
		switch {
		case test.says == "":
			if err != nil || !bytes.Equal(reply, good) {
				t.Errorf("%s: send() = %x, %v, want the good answer", test.name, reply, err)
			}
		case !errors.As(err, &failed) || failed.Temporary == strings.Contains(test.says, "proxy") || !strings.Contains(err.Error(), test.says):
			t.Errorf("%s: send() = %v, want %q", test.name, err, test.says)
		}
	}
}

// All silent KDCs together do not make the mail server wait longer than it will.
func TestPlaces_longestExchange(t *testing.T) {
	hurry(t, time.Minute, 100*time.Millisecond)
	dir := t.TempDir()
	cache, config := filepath.Join(dir, "cache"), filepath.Join(dir, "krb5.conf")
	poptest.NewService(t, 18).WriteCache(t, cache, poptest.Cached{Server: "krbtgt/" + poptest.Realm, End: time.Now().Add(time.Hour)})
	text := fmt.Sprintf("[realms]\n%s = {\nkdc = %s\nkdc = %s\n}\n", poptest.Realm, startKDC(t, nil, nil), startKDC(t, nil, nil))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_, err := Places{Cache: cache, Config: config}.Ticket(t.Context(), "pop", "localhost")
	var failed *Error
	if took := time.Since(began); !errors.As(err, &failed) || !failed.Temporary || took > 10*time.Second {
		t.Errorf("Ticket() = %v after %v, want a temporary *Error at once", err, took)
	}
}

func TestParseKDC(t *testing.T) {
	t.Parallel()
	both := func(addr string) []try { return []try{{"tcp", addr}, {"udp", addr}} }
	for text, want := range map[string][]try{
		"kdc.example": both("kdc.example:88"), "kdc.example:750": both("kdc.example:750"), "kdc.example:": both("kdc.example:88"),
		"192.0.2.1": both("192.0.2.1:88"), "[2001:db8::1]": both("[2001:db8::1]:88"), "[2001:db8::1]:750": both("[2001:db8::1]:750"),
		"2001:db8::1": both("[2001:db8::1]:88"), "tcp/kdc.example": {{"tcp", "kdc.example:88"}}, "udp/[::1]": {{"udp", "[::1]:88"}},
		"https://kdc.example/KdcProxy": nil, "http/kdc.example": nil, "/run/kdc": nil, "": nil,
	} {
		if got := parseKDC(text); !slices.Equal(got, want) {
			t.Errorf("parseKDC(%q) = %v, want %v", text, got, want)
		}
	}
}

// DNS tells the KDCs of a realm if krb5.conf does not. That there are none may change.
func TestSettings_lookUp(t *testing.T) {
	hurry(t, time.Second, time.Hour)
	good := says(t, 7)
	_, port, err := net.SplitHostPort(startKDC(t, good, nil))
	if err != nil {
		t.Fatal(err)
	}
	var number uint16
	if _, err := fmt.Sscan(port, &number); err != nil {
		t.Fatal(err)
	}
	server := serveUDP(t, "127.0.0.1:0", func(_ int, packet []byte) []byte { return answerDNS(packet, number) })
	resolver := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = resolver })
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server)
	}}
	s := &settings{dns: true}
	if reply, err := s.send(t.Context(), poptest.Realm, []byte("request")); err != nil || !bytes.Equal(reply, good) {
		t.Errorf("send() = %x, %v, want the good answer", reply, err)
	}
	_, err = s.send(t.Context(), "NONE.EXAMPLE", []byte("request"))
	var failed *Error
	if !errors.As(err, &failed) || failed.Temporary || !strings.Contains(err.Error(), "krb5.conf names none, and DNS neither") {
		t.Errorf("send() = %v, want an *Error about DNS that a person must mend", err)
	}
}

// answerDNS answers with SRV records for the KDC of one realm by TCP, and with addresses of this machine.
func answerDNS(packet []byte, port uint16) []byte {
	var m dnsmessage.Message
	if m.Unpack(packet) != nil || len(m.Questions) == 0 {
		return nil
	}
	q := m.Questions[0]
	answer := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true}, Questions: m.Questions}
	head := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: dnsmessage.ClassINET}
	switch name := q.Name.String(); {
	case q.Type == dnsmessage.TypeSRV && name == "_kerberos._tcp."+poptest.Realm+".":
		for i, target := range []string{"kdc.example.", "."} {
			answer.Answers = append(answer.Answers, dnsmessage.Resource{Header: head,
				Body: &dnsmessage.SRVResource{Priority: uint16(i), Port: port, Target: dnsmessage.MustNewName(target)}})
		}
	case q.Type == dnsmessage.TypeA:
		answer.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}}}
	default:
		answer.RCode = dnsmessage.RCodeNameError
	}
	octets, _ := answer.Pack()
	return octets
}
