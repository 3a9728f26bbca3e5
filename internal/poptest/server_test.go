package poptest

import (
	"bytes"
	"crypto/tls"
	"slices"
	"strings"
	"testing"
)

var rose = Maildrop{User: "mrose", Password: "tan staaf", Messages: []Message{
	{UniqueID: "a", Content: []byte("Subject: a\r\n\r\nbody\r\n")},
	{UniqueID: "b", Content: []byte(".dot\r\n..\r\n.\r\nno end")},
	{UniqueID: "c", Content: nil},
}}

func TestServer_session(t *testing.T) {
	s := NewServer(t, rose)
	c := dial(t, s.Addr())
	c.login("mrose", "tan staaf")
	c.want("+OK 3 41", "STAT")
	c.want("+OK", "LIST")
	if got, want := string(c.body()), "1 20\r\n2 21\r\n3 0\r\n"; got != want {
		t.Errorf("LIST: got %q, want %q", got, want)
	}
	c.want("+OK", "UIDL")
	if got, want := string(c.body()), "1 a\r\n2 b\r\n3 c\r\n"; got != want {
		t.Errorf("UIDL: got %q, want %q", got, want)
	}
	c.want("+OK 2 b", "UIDL 2")
	for n, m := range rose.Messages {
		c.want("+OK", "RETR %d", n+1)
		if got, want := c.body(), Wire(m.Content); !bytes.Equal(got, want) {
			t.Errorf("RETR %d: got %q, want %q", n+1, got, want)
		}
	}
	c.want("+OK", "DELE 2")
	c.want("-ERR", "RETR 2")
	c.want("-ERR", "RETR 4")
	c.want("+OK", "QUIT")
	s.Wait()
	if got, want := s.Drop("").UniqueIDs(), []string{"a", "c"}; !slices.Equal(got, want) {
		t.Errorf("left in the maildrop: %v, want %v", got, want)
	}
	if got, want := s.DeletedIDs(), []string{"b"}; !slices.Equal(got, want) {
		t.Errorf("DeletedIDs() = %v, want %v", got, want)
	}
	if got := s.RetrievedIDs(); got["a"] != 1 || got["b"] != 1 || got["c"] != 1 {
		t.Errorf("RetrievedIDs() = %v, want each once", got)
	}
	if got, want := s.Count("RETR"), 5; got != want {
		t.Errorf("Count(RETR) = %d, want %d", got, want)
	}
	if got, want := s.Count("RETR 2"), 2; got != want {
		t.Errorf("Count(RETR 2) = %d, want %d", got, want)
	}
}

// Only QUIT deletes messages.
func TestServer_noQuit(t *testing.T) {
	s := NewServer(t, rose)
	c := dial(t, s.Addr())
	c.login("mrose", "tan staaf")
	c.want("+OK", "DELE 1")
	_ = c.c.Close()
	s.Wait()
	if got := len(s.Drop("").Messages()); got != 3 {
		t.Errorf("%d messages left, want 3", got)
	}
}

// While a session has an exclusive maildrop, a second session is refused.
func TestServer_Exclusive(t *testing.T) {
	s := NewServer(t, Maildrop{User: "u", Password: "p", Exclusive: true})
	first := dial(t, s.Addr())
	first.login("u", "p")
	second := dial(t, s.Addr())
	second.line()
	second.want("+OK", "USER u")
	second.want("-ERR [IN-USE]", "PASS p")
	first.want("+OK", "QUIT")
	_ = first.c.Close()
	_ = second.c.Close()
	s.Wait()
	dial(t, s.Addr()).login("u", "p")
	if got := s.Logins(); got != 2 {
		t.Errorf("Logins() = %d, want 2", got)
	}
}

// Changes that the test makes to a maildrop appear in the next session, not in an open one.
func TestDrop(t *testing.T) {
	s := NewServer(t, rose, Maildrop{User: "other", Password: "p"})
	c := dial(t, s.Addr())
	c.login("mrose", "tan staaf")
	drop := s.Drop("mrose")
	drop.Add(Message{UniqueID: "d", Content: []byte("new\r\n"), Listed: "huge"})
	drop.Remove("a", "none")
	drop.SetUIDs(func(i int, old string) string { return old + "-" + string(rune('0'+i)) })
	c.want("+OK 1 a", "UIDL 1")
	c.want("+OK", "RETR 1")
	c.body()
	c.want("+OK", "QUIT")
	if got, want := drop.UniqueIDs(), []string{"b-0", "c-1", "d-2"}; !slices.Equal(got, want) {
		t.Errorf("UniqueIDs() = %v, want %v", got, want)
	}
	c = dial(t, s.Addr())
	c.login("mrose", "tan staaf")
	c.want("+OK 3 huge", "LIST 3")
	c.want("+OK", "TOP 3 0")
	if got := string(c.body()); got != "new\r\n" {
		t.Errorf("TOP 3 0: got %q, want all of a message without blank line", got)
	}
	if got := s.Drop("other").Messages(); len(got) != 0 {
		t.Errorf("the other maildrop holds %v, want nothing", got)
	}
	if s.Drop("nobody") != nil {
		t.Errorf("Drop(nobody) is a maildrop, want nil")
	}
}

func TestServer_login(t *testing.T) {
	const timestamp = "<1896.697170952@dbc.mtview.ca.us>"
	tests := []struct {
		name   string
		secure bool
		lines  []string // each line is sent; after " > " is the start of its reply
		user   string   // the user who is logged in afterwards
	}{
		{"USER", false, []string{"USER mrose > +OK", "PASS tanstaaf > +OK"}, "mrose"},
		{"USER/wrong", false, []string{"USER mrose > +OK", "PASS x > -ERR [AUTH]", "STAT > -ERR"}, ""},
		{"USER/unknown", false, []string{"USER x > +OK", "PASS tanstaaf > -ERR [AUTH]"}, ""},
		{"USER/none", false, []string{"PASS tanstaaf > -ERR"}, ""},
		{"APOP/RFC 1939", false, []string{"APOP mrose c4c9334bac560ecc979e58001b3e22fb > +OK"}, "mrose"},
		{"APOP/wrong", false, []string{"APOP mrose c4c9334bac560ecc979e58001b3e22fc > -ERR"}, ""},
		{"PLAIN/initial", false, []string{"AUTH PLAIN AG1yb3NlAHRhbnN0YWFm > +OK"}, "mrose"},
		{"PLAIN/two steps", false, []string{"AUTH plain > + ", "AG1yb3NlAHRhbnN0YWFm > +OK"}, "mrose"},
		{"PLAIN/cancelled", false, []string{"AUTH PLAIN > + ", "* > -ERR", "CAPA > +OK"}, ""},
		{"PLAIN/no base64", false, []string{"AUTH PLAIN > + ", "!!! > -ERR"}, ""},
		{"PLAIN/for another", false, []string{"AUTH PLAIN YWRtaW4AbXJvc2UAdGFuc3RhYWY= > -ERR"}, ""},
		{"LOGIN", false, []string{"AUTH LOGIN > + VXNlcm5hbWU6", "bXJvc2U= > + UGFzc3dvcmQ6", "dGFuc3RhYWY= > +OK"}, "mrose"},
		{"LOGIN/initial", false, []string{"AUTH LOGIN bXJvc2U= > + UGFzc3dvcmQ6", "dGFuc3RhYWY= > +OK"}, "mrose"},
		{"EXTERNAL", true, []string{"AUTH EXTERNAL = > +OK"}, "mrose"},
		{"EXTERNAL/without TLS", false, []string{"AUTH EXTERNAL = > -ERR"}, ""},
		{"own mechanism", false, []string{"AUTH X > + Zm9v", "YmFy > +OK"}, "mrose"},
		{"unknown mechanism", false, []string{"AUTH GSSAPI > -ERR"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := NewServer(t, Maildrop{User: "mrose", Password: "tanstaaf"})
			s.Configure(func(c *Config) {
				c.Timestamp = timestamp
				c.Mechanisms["X"] = func(_ *Session, _ []byte, ask func([]byte) ([]byte, error)) (string, error) {
					response, err := ask([]byte("foo"))
					if string(response) != "bar" {
						return "", err
					}
					return "mrose", err
				}
			})
			c := dial(t, s.Addr())
			if got := c.line(); !strings.HasSuffix(got, timestamp) {
				t.Errorf("greeting: got %q, want it to end in %s", got, timestamp)
			}
			if tt.secure {
				c.want("+OK", "STLS")
				config := s.CA().ClientTLS("localhost")
				config.Certificates = []tls.Certificate{s.CA().Client("mrose").TLS}
				c.startTLS(config)
			}
			for _, line := range tt.lines {
				command, want, _ := strings.Cut(line, " > ")
				c.want(want, "%s", command)
			}
			if got := s.Sessions()[0].User(); got != tt.user {
				t.Errorf("User() = %q, want %q", got, tt.user)
			}
		})
	}
}

func TestServer_capabilities(t *testing.T) {
	s := NewServer(t, rose)
	c := dial(t, s.TLSAddr())
	c.startTLS(s.CA().ClientTLS("127.0.0.1"))
	c.line()
	c.want("+OK", "CAPA")
	if got := string(c.body()); strings.Contains(got, "STLS") || !strings.Contains(got, "PIPELINING\r\n") {
		t.Errorf("CAPA under TLS: got %q, want PIPELINING and no STLS", got)
	}
	c.want("-ERR", "STLS")
	s.Configure(func(c *Config) { c.Capabilities = nil })
	c = dial(t, s.Addr())
	c.line()
	c.want("-ERR", "CAPA")
}

func TestSession_Transcript(t *testing.T) {
	s := NewServer(t, rose)
	c := dial(t, s.Addr())
	c.line()
	c.want("+ ", "AUTH PLAIN")
	c.want("-ERR", "*")
	c.want("+OK", "QUIT")
	s.Wait()
	want := "S: +OK POP3 server ready\nC: AUTH PLAIN\nS: + \nC: *\nS: -ERR the exchange is cancelled\nC: QUIT\nS: +OK good bye\n"
	if got := s.Sessions()[0].Transcript(); got != want {
		t.Errorf("Transcript() = %q, want %q", got, want)
	}
	if got, want := string(s.Received()), "AUTH PLAIN\r\n*\r\nQUIT\r\n"; got != want {
		t.Errorf("Received() = %q, want %q", got, want)
	}
}
