package poptest

import (
	"strings"
	"testing"
)

func TestDialogue(t *testing.T) {
	s := Dialogue(t, `
		# two connections, the second by TLS
		S: +OK ready
		C: USER mrose
		S- +O
		S- K\r\n
		C~ PASS .*
		S: +OK \x41\t\\
		chunk 1
		C: QUIT
		S: +OK bye

		-- connection
		tls
		S: +OK ready
		C: QUIT
		S: +OK bye
		close`)
	c := dial(t, s.Addr())
	if got := c.line(); got != "+OK ready" {
		t.Errorf("greeting: got %q, want %q", got, "+OK ready")
	}
	c.want("+OK", "USER mrose")
	if got, want := c.cmd("PASS secret"), "+OK A\t\\"; got != want {
		t.Errorf("escapes: got %q, want %q", got, want)
	}
	c.want("+OK bye", "QUIT")
	_ = c.c.Close()

	c = dial(t, s.Addr())
	c.startTLS(s.CA().ClientTLS("localhost"))
	c.line()
	c.want("+OK bye", "QUIT")
	if rest, err := c.rest(); rest != "" || err != nil {
		t.Errorf("after close: got %q and %v, want a proper end", rest, err)
	}
	_ = c.c.Close()
	s.Wait()
	if got, want := string(s.Received()), "USER mrose\r\nPASS secret\r\nQUIT\r\nQUIT\r\n"; got != want {
		t.Errorf("Received() = %q, want %q", got, want)
	}
	if got, want := len(s.Connections()), 2; got != want {
		t.Errorf("%d connections recorded, want %d", got, want)
	}
}

// Each way of leaving the script fails the test with the line's number.
func TestDialogue_mismatch(t *testing.T) {
	const script = "S: +OK\nC: QUIT\nS: +OK bye"
	tests := []struct {
		name, script, sent string
		want               string // part of the failure, "" for none
	}{
		{"same", script, "QUIT\r\n", ""},
		{"other line", script, "NOOP\r\n", `line 2: got "NOOP\r\n", want "QUIT\r\n"`},
		{"end", script, "", "line 2: got \"\" and the end of the stream"},
		{"half a line", script, "QUI", "line 2: got \"QUI\" and the end of the stream"},
		{"more", script, "QUIT\r\nNOOP\r\n", `after the last line: got "NOOP\r\n"`},
		{"regexp is anchored", "S: +OK\nC~ QUI", "QUIT\r\n", `line 2: got "QUIT"`},
		{"C0003/bare LF", "S: +OK\nC~ QUIT\\n?", "QUIT\n", "line 2: C0003"},
		{"C0003/8 bit", "S: +OK\nC~ .*", "USER \xe9\r\n", "line 2: C0003"},
		{"C0003/behind stall", "S: +OK\nstall", "QUIT\n", "C0003"},
		{"C0003/lax", "S: +OK\nlax\nC~ .*", "USER \xe9\r\n", ""},
		{"R2449-7/long", "S: +OK\nC~ .*", strings.Repeat("x", 254) + "\r\n", "line 2: R2449-7"},
		{"R2449-7/longest", "S: +OK\nC~ .*", strings.Repeat("x", 253) + "\r\n", ""},
		{"R2449-7/SASL", "S: + \nC~ .*", strings.Repeat("x", 4000) + "\r\n", ""},
		{"missing connection", script + "\n-- connection\nS: +OK", "QUIT\r\n", "connection 2 of 2 was not opened"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrial(t)
			s := Dialogue(tr, tt.script)
			c := dial(t, s.Addr())
			c.line()
			c.send(tt.sent)
			_ = c.c.Close()
			failures := strings.Join(tr.finish(), "\n")
			if tt.want == "" && failures != "" || !strings.Contains(failures, tt.want) {
				t.Errorf("failures: got %q, want %q", failures, tt.want)
			}
		})
	}
}
