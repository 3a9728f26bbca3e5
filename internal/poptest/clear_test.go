package poptest

import (
	"fmt"
	"strings"
	"testing"
)

func TestOutsideTLS(t *testing.T) {
	t.Parallel()
	const hello, data = "\x16\x03\x01\x00\x03abc", "\x17\x03\x03\x00\x02xy"
	for octets, want := range map[string]string{
		"":                                     "",
		"CAPA\r\nQUIT\r\n":                     "",
		"CAPA\r\nSTLS\r\n" + hello + data + "": "",
		hello + data:                           "",
		hello + data[:3]:                       "",
		"CAP":                                  "",
		"CAPA\r\nUSER m\r\nPASS x\r\n":         "USER m\r\n",
		"CAPA\r\nAUTH PLAIN AG0A":              "AUTH PLAIN AG0A",
		"CAPA x\r\n":                           "CAPA x\r\n",
		"capa\r\n":                             "capa\r\n",
		"CAPA\n":                               "CAPA\n",
		"CAPA\r\nSTLS\r\n" + hello + "PASS x\r\n":   "PASS x\r\n",
		hello + data + "P":                          "P",
		hello + data + "CAPA\r\n":                   "CAPA\r\n",
		"CAPA\r\nSTLS\r\nPASS x\r\n" + hello + data: "PASS x\r\n",
	} {
		if got := string(outsideTLS([]byte(octets))); got != want {
			t.Errorf("outsideTLS(%q) = %q, want %q", octets, got, want)
		}
	}
}

// Each kind of server fails the test of a client that logs in by USER in clear untold.
func TestInClear(t *testing.T) {
	t.Parallel()
	drop := Maildrop{User: "u", Password: "p"}
	for name, start := range map[string]func(TB) string{
		"server":   func(t TB) string { return NewServer(t, drop).Addr() },
		"delay":    func(t TB) string { return Delay(t, NewServer(t, drop).Addr(), 0) },
		"dialogue": func(t TB) string { return Dialogue(t, "S: +OK\nC: USER u\nS: +OK").Addr() },
		"Dovecot":  func(t TB) string { return StartDovecot(t, nil).Addr() },
	} {
		for _, so := range []bool{false, true} {
			t.Run(fmt.Sprint(name, so), func(t *testing.T) {
				t.Parallel()
				tr := newTrial(t)
				c := dialUntold(t, InClear(start(tr), so))
				c.line()
				c.want("+OK", "USER u")
				_ = c.c.Close()
				got := strings.Join(tr.finish(), "\n")
				if shown := strings.Contains(got, `"USER u\r\n" was sent outside TLS`); shown == so {
					t.Errorf("InClear(%v): the test fails with %q", so, got)
				}
			})
		}
	}
}

// InClear counts for the connections that begin later.
func TestInClear_again(t *testing.T) {
	t.Parallel()
	tr := newTrial(t)
	s := NewServer(tr, Maildrop{User: "u", Password: "p"})
	for i, so := range []bool{true, false, true} {
		c := dialUntold(t, InClear(s.Addr(), so))
		c.line()
		c.want("+OK", "USER u%d", i)
		_ = c.c.Close()
	}
	if got := strings.Join(tr.finish(), "\n"); !strings.Contains(got, `connection 2: "USER u1\r\n"`) || strings.Contains(got, "u0") {
		t.Errorf("the test fails with %q, want the second connection alone", got)
	}
}
