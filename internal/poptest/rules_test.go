package poptest

import (
	"slices"
	"strings"
	"testing"
)

// talk makes exchanges from lines "command > reply". The first line is the greeting. "<" before the
// command means that the client had already sent more. "~" means a line of a SASL exchange.
func talk(lines ...string) []exchange {
	var all []exchange
	for _, line := range lines {
		command, reply, _ := strings.Cut(line, " > ")
		e := exchange{reply: reply}
		command, e.ahead = strings.CutPrefix(command, "<")
		command, e.continuation = strings.CutPrefix(command, "~")
		if command != "" {
			e.line = []byte(command)
			if !strings.HasSuffix(command, "\n") {
				e.line = append(e.line, "\r\n"...)
			}
		}
		all = append(all, e)
	}
	return all
}

func TestBreaches(t *testing.T) {
	hello := " > +OK hello"
	in := []string{hello, "USER u > +OK", "PASS p > +OK"}
	after := func(lines ...string) []string { return append(slices.Clone(in), lines...) }
	tests := []struct {
		name  string
		lines []string
		want  []string // clauses, in order
	}{
		{"nothing", []string{hello}, nil},
		{"whole session", []string{hello, "CAPA > +OK", "STLS > +OK", "CAPA > +OK", "UTF8 > +OK", "USER u  v > +OK", "PASS a b  c  > +OK",
			"STAT > +OK 2 9", "LIST > +OK", "UIDL > +OK", "UIDL 2 > +OK", "TOP 1 0 > +OK", "RETR 1 > +OK", "NOOP > +OK",
			"RETR 2 > +OK", "DELE 1 > +OK", "DELE 2 > -ERR", "QUIT > +OK"}, nil},
		{"SASL", []string{hello, "AUTH PLAIN > + ", "~AHUAcA== > +OK", "STAT > +OK", "QUIT > +OK"}, nil},
		{"SASL with initial response", []string{hello, "AUTH PLAIN AHUAcA== > +OK", "STAT > +OK", "QUIT > +OK"}, nil},
		{"second mechanism", []string{hello, "AUTH PLAIN AHUAcA== > -ERR", "USER u > +OK", "PASS p > +OK", "STAT > +OK"}, nil},
		{"long line in SASL", []string{hello, "AUTH X > + ", "~" + strings.Repeat("A", 5000) + " > +OK", "STAT > +OK"}, nil},
		{"umlaut after UTF8", []string{hello, "UTF8 > +OK", "USER jörg > +OK", "PASS ö > +OK"}, nil},
		{"pipelined where allowed", after("<STAT > +OK", "<LIST > +OK", "RETR 1 > +OK"), nil},

		{"C0002/before greeting", []string{"< > +OK hello"}, []string{"C0002"}},
		{"C0002/after negative greeting", []string{" > -ERR busy", "QUIT > +OK"}, []string{"C0002"}},
		{"C0002/foreign greeting", []string{" > * OK IMAP4rev1", "CAPA > +OK"}, []string{"C0002"}},
		{"C0003/bare LF", after("STAT\n > +OK"), []string{"C0003"}},
		{"C0003/8 bit", []string{hello, "USER j\xf6rg > +OK"}, []string{"C0003"}},
		{"C0003/not UTF-8", []string{hello, "UTF8 > +OK", "USER j\xf6rg > +OK"}, []string{"C0003"}},
		{"C0003/UTF-8 without UTF8", []string{hello, "USER jörg > +OK"}, []string{"C0003"}},
		{"C0003/tab", after("RETR\t1 > +OK"), []string{"C0003", "C0004"}},
		{"C0003/in SASL", []string{hello, "AUTH X > + ", "~\x01 > -ERR"}, []string{"C0003"}},
		{"C0004/two spaces", after("RETR  1 > +OK"), []string{"C0004"}},
		{"C0004/trailing", after("STAT  > +OK"), []string{"C0004"}},
		{"C0004/leading", after(" STAT > +OK"), []string{"C0004"}},
		{"C0004/trailing after argument", after("DELE 1  > +OK"), []string{"C0004"}},
		{"C0008/STAT", []string{hello, "STAT > -ERR"}, []string{"C0008"}},
		{"C0008/after refused password", []string{hello, "USER u > +OK", "PASS p > -ERR", "LIST > -ERR"}, []string{"C0008"}},
		{"C0008/inside SASL", []string{hello, "AUTH PLAIN > + ", "~x > -ERR", "UIDL > -ERR"}, []string{"C0008"}},
		{"C0008/login twice", after("USER u > +OK"), []string{"C0008"}},
		{"C0010/same password again", []string{hello, "USER u > +OK", "PASS p > -ERR", "USER u > +OK", "PASS p > -ERR"}, []string{"C0010"}},
		{"C0010/third mechanism", []string{hello, "AUTH A x > -ERR", "AUTH B x > -ERR", "USER u > +OK", "PASS p > -ERR"}, []string{"C0010"}},
		{"C0012/argument", []string{hello, "QUIT now > +OK"}, []string{"C0012"}},
		{"C0015/argument", after("STAT 1 > +OK"), []string{"C0015"}},
		{"C0024/none", after("DELE > -ERR"), []string{"C0024"}},
		{"C0024/twice", after("DELE 3 > +OK", "DELE 3 > -ERR"), []string{"C0026", "C0024"}},
		{"C0024/twice after refusal", after("DELE 3 > -ERR", "DELE 3 > -ERR"), []string{"C0026", "C0024"}},
		{"C0026/RETR", after("DELE 3 > +OK", "RETR 3 > -ERR"), []string{"C0026"}},
		{"C0026/TOP", after("DELE 3 > +OK", "TOP 3 0 > -ERR"), []string{"C0026"}},
		{"C0026/LIST", after("DELE 3 > +OK", "LIST 3 > -ERR"), []string{"C0026"}},
		{"C0026/UIDL", after("DELE 3 > +OK", "UIDL 3 > -ERR"), []string{"C0026"}},
		{"C0027/argument", after("NOOP 1 > +OK"), []string{"C0027"}},
		{"C0030/argument", after("QUIT 1 > +OK"), []string{"C0030"}},
		{"C0030/after QUIT", after("QUIT > +OK", "NOOP > +OK"), []string{"C0030"}},
		{"C0032/one argument", after("TOP 1 > -ERR"), []string{"C0032"}},
		{"C0032/negative", after("TOP 1 -1 > -ERR"), []string{"C0032"}},
		{"C0042/empty", []string{hello, "USER  > -ERR"}, []string{"C0042"}},
		{"C0044/pipelined", []string{hello, "<USER u > +OK", "PASS p > +OK"}, []string{"C0044"}},
		{"C0044/behind PASS", []string{hello, "USER u > +OK", "<PASS p > +OK"}, []string{"C0044"}},
		{"C0047/no USER", []string{hello, "PASS p > -ERR"}, []string{"C0047"}},
		{"C0045/USER refused", []string{hello, "USER u > -ERR", "PASS p > -ERR"}, []string{"C0045"}},
		{"C0047/not right after", []string{hello, "USER u > +OK", "CAPA > +OK", "PASS p > +OK"}, []string{"C0047"}},
		{"R2449-1/argument", []string{hello, "CAPA 1 > -ERR"}, []string{"R2449-1"}},
		{"R2449-7/long", []string{hello, "USER " + strings.Repeat("u", 249) + " > +OK"}, []string{"R2449-7"}},
		{"R2595-1/pipelined", []string{hello, "<STLS > +OK"}, []string{"R2595-1"}},
		{"R6856-1/STLS after UTF8", []string{hello, "UTF8 > +OK", "STLS > +OK"}, []string{"R6856-1"}},
		{"V0004/none", after("RETR > -ERR"), []string{"V0004"}},
		{"V0004/two", after("RETR 1 2 > -ERR"), []string{"V0004"}},
		{"V0004/zero", after("RETR 0 > -ERR"), []string{"V0004"}},
		{"V0004/word", after("RETR all > -ERR"), []string{"V0004"}},
		{"V0004/leading zero", after("RETR 01 > +OK"), []string{"V0004"}},
		{"V0006", after("RSET > +OK"), []string{"V0006"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			found := breaches(talk(tt.lines...))
			var got []string
			for _, breach := range found {
				clause, _, _ := strings.Cut(breach, ":")
				got = append(got, clause)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("breaches() = %q, want %q", found, tt.want)
			}
		})
	}
}

// CheckRules judges real sessions, and its messages have the session's number.
func TestServer_CheckRules(t *testing.T) {
	s := NewServer(t, rose)
	c := dial(t, s.Addr())
	c.login("mrose", "tan staaf")
	c.want("+OK", "QUIT")
	s.Wait()
	s.CheckRules(t)

	c = dial(t, s.Addr())
	c.login("mrose", "tan staaf")
	c.want("+OK", "DELE 1")
	c.want("-ERR", "RETR 1")
	c.want("+OK", "RSET")
	c.want("+OK", "QUIT")
	c.send("NOOP\r\n")
	_ = c.c.Close()
	s.Wait()
	tr := newTrial(t)
	s.CheckRules(tr)
	got := strings.Join(tr.finish(), "\n")
	want := "session 2: C0026: \"RETR 1\" after DELE 1\nsession 2: V0006: RSET\nsession 2: C0030: \"NOOP\" after QUIT"
	if got != want {
		t.Errorf("failures: got %s, want %s", got, want)
	}
}

// CheckRules reports a client that sends something before the greeting. The server delays the
// greeting.
func TestServer_CheckRules_beforeGreeting(t *testing.T) {
	s := NewServer(t, rose)
	gate := make(chan struct{})
	s.Configure(func(c *Config) {
		c.Hook = func(_ *Session, cmd string) Action {
			if cmd == "" {
				<-gate
			}
			return Action{}
		}
	})
	c := dial(t, s.Addr())
	c.send("CAPA\r\n")
	close(gate)
	c.line()
	_ = c.c.Close()
	s.Wait()
	tr := newTrial(t)
	s.CheckRules(tr)
	if got := strings.Join(tr.finish(), "\n"); !strings.Contains(got, "C0002") {
		t.Errorf("failures: got %q, want C0002", got)
	}
}
