package poptest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestStartDovecot(t *testing.T) {
	d := StartDovecot(t, nil)
	message := func(i int) []byte {
		return fmt.Appendf(nil, "Subject: %d\r\n\r\n.body\r\n..\r\n.\r\nlast\r\n", i)
	}
	d.Fill(20, message)

	c := dial(t, d.Addr())
	c.login(d.User, d.Password)
	c.want("+OK 20 ", "STAT")
	for i := range 20 {
		c.want("+OK", "RETR %d", i+1)
		if got, want := c.body(), message(i); !bytes.Equal(got, want) {
			t.Errorf("RETR %d: got %q, want %q", i+1, got, want)
		}
	}
	c.want("+OK", "DELE 1")
	c.want("+OK", "QUIT")

	if got := d.Messages(d.User); len(got) != 19 || !bytes.Equal(got[0], message(1)) {
		t.Errorf("%d messages left, the first %q; want 19 and %q", len(got), got[0], message(1))
	}
}

func TestStartDovecot_TLS(t *testing.T) {
	d := StartDovecot(t, nil)
	c := dial(t, d.TLSAddr())
	c.startTLS(d.CA().ClientTLS("localhost"))
	c.login(d.User, d.Password)
	c.want("+OK", "QUIT")

	c = dial(t, d.Addr())
	greeting := c.line()
	if !strings.Contains(greeting, "<") || !strings.Contains(greeting, "@") {
		t.Errorf("greeting %q has no timestamp, want one for APOP", greeting)
	}
	c.want("+OK", "CAPA")
	capabilities := string(c.body())
	for _, want := range []string{"STLS", "PIPELINING", "UIDL", "SASL PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256"} {
		if !strings.Contains(capabilities, want) {
			t.Errorf("CAPA: got %q, want %s in it", capabilities, want)
		}
	}
	c.want("+OK", "STLS")
	c.startTLS(d.CA().ClientTLS("127.0.0.1"))
	c.want("+OK", "USER %s", d.User)
	c.want("-ERR", "PASS wrong")
	c.want("+OK", "USER %s", d.User)
	c.want("+OK", "PASS %s", d.Password)
	c.want("+OK", "QUIT")
}
