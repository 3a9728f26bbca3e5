package poptest

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

const roseSession = "USER mrose\r\nPASS tan staaf\r\nRETR 2\r\nDELE 2\r\nQUIT\r\n"

// After a cut at any octet n, the client has received exactly n octets. Commands without a reply
// were not carried out, except QUIT, which deletes before it answers.
func TestServer_CutAfter(t *testing.T) {
	c := dial(t, NewServer(t, rose).Addr())
	c.send(roseSession)
	whole, _ := c.rest()
	beforeQuit := strings.LastIndex(whole, "+OK")
	s := NewServer(t, rose)
	for n := range len(whole) {
		s.CutAfter(int64(n))
		c := dial(t, s.Addr())
		c.send(roseSession)
		got, err := c.rest()
		if got != whole[:n] || err != nil {
			t.Errorf("cut after %d: got %q and %v, want %q", n, got, err, whole[:n])
		}
		_ = c.c.Close()
		s.Wait()
		if deleted := len(s.DeletedIDs()) > 0; deleted && n <= beforeQuit {
			t.Fatalf("cut after %d: message deleted, QUIT begins its reply at %d", n, beforeQuit)
		}
		if n > beforeQuit {
			break
		}
	}
	c = dial(t, s.Addr())
	c.send("USER mrose\r\nPASS tan staaf\r\nQUIT\r\n")
	if got, err := c.rest(); !strings.HasSuffix(got, "good bye\r\n") || err != nil {
		t.Errorf("the connection after a cut one: got %q and %v, want a whole session", got, err)
	}
}

// Under TLS, octets are counted before encryption. The test cannot check that close_notify is
// missing: crypto/tls reports an end between two records as a normal end.
func TestServer_CutAfter_TLS(t *testing.T) {
	s := NewServer(t, rose)
	s.CutAfter(10)
	c := dial(t, s.TLSAddr())
	c.startTLS(s.CA().ClientTLS("localhost"))
	if got, err := c.rest(); got != "+OK POP3 s" || err != nil {
		t.Errorf("got %q and %v, want 10 octets", got, err)
	}
}

func TestServer_Hook(t *testing.T) {
	tests := []struct {
		name    string
		at      string // the hook acts on this command
		action  Action
		want    string // end of what the client reads
		deleted []string
	}{
		{"as usual", "", Action{}, "+OK deleted\r\n+OK good bye\r\n", []string{"b"}},
		{"refuse", "RETR 2", Refuse("[SYS/TEMP] later"), "maildrop open\r\n-ERR [SYS/TEMP] later\r\n+OK deleted\r\n+OK good bye\r\n", []string{"b"}},
		{"refuse greeting", "greeting", Refuse("busy"), "-ERR busy\r\n", nil},
		{"reply", "DELE 2", Reply([]byte("+OK\r\n+OK more\r\n")), ".\r\n+OK\r\n+OK more\r\n+OK good bye\r\n", nil},
		{"reply with effect", "DELE 2", Action{Reply: []byte("-ERR\r\n"), Effect: EffectFull}, "-ERR\r\n+OK good bye\r\n", []string{"b"}},
		{"refuse QUIT", "QUIT", Refuse("cannot"), "deleted\r\n-ERR cannot\r\n", nil},
		{"cut before", "RETR 2", Cut(0), "maildrop open\r\n", nil},
		{"cut inside", "RETR 2", Cut(5), "maildrop open\r\n+OK 2", nil},
		{"cut after", "RETR 2", Cut(Whole), "no end\r\n.\r\n", nil},
		{"cut far behind", "RETR 2", Cut(1 << 40), "no end\r\n.\r\n", nil},
		{"QUIT's reply is lost", "QUIT", Cut(0), "deleted\r\n", []string{"b"}},
		{"QUIT is lost", "QUIT", Action{End: EndByCut, Effect: EffectNone}, "deleted\r\n", nil},
		{"QUIT lies", "QUIT", Action{Effect: EffectNone}, "good bye\r\n", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := NewServer(t, rose)
			s.Configure(func(c *Config) {
				c.Hook = func(_ *Session, cmd string) Action {
					if cmd == tt.at && cmd != "" || cmd == "" && tt.at == "greeting" {
						return tt.action
					}
					return Action{}
				}
			})
			c := dial(t, s.Addr())
			c.send(roseSession)
			got, err := c.rest()
			if !strings.HasSuffix(got, tt.want) || err != nil {
				t.Errorf("got %q and %v, want it to end in %q", got, err, tt.want)
			}
			_ = c.c.Close()
			s.Wait()
			if deleted := s.DeletedIDs(); !slices.Equal(deleted, tt.deleted) {
				t.Errorf("deleted %v, want %v", deleted, tt.deleted)
			}
		})
	}
}

// hookAt makes the server act on one command.
func hookAt(s *Server, at string, action Action) {
	s.Configure(func(c *Config) {
		c.Hook = func(_ *Session, cmd string) Action {
			if cmd == at {
				return action
			}
			return Action{}
		}
	})
}

func TestServer_Hook_stall(t *testing.T) {
	s := NewServer(t, rose)
	hookAt(s, "STAT", Stall(3))
	c := dial(t, s.Addr())
	c.login("mrose", "tan staaf")
	c.send("STAT\r\n")
	got := make([]byte, 3)
	if _, err := io.ReadFull(c.r, got); err != nil || string(got) != "+OK" {
		t.Fatalf("before the stall: got %q and %v, want +OK", got, err)
	}
	_ = c.c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if rest, err := c.rest(); rest != "" || !isTimeout(err) {
		t.Errorf("in the stall: got %q and %v, want silence", rest, err)
	}
}

func TestServer_Hook_reset(t *testing.T) {
	s := NewServer(t, rose)
	hookAt(s, "STAT", Reset(0))
	c := dial(t, s.Addr())
	c.login("mrose", "tan staaf")
	c.send("STAT\r\n")
	if rest, err := c.rest(); rest != "" || err == nil {
		t.Errorf("got %q and %v, want a reset", rest, err)
	}
}

// A delay holds back the reply of its command, but not earlier replies.
func TestServer_Hook_delay(t *testing.T) {
	s := NewServer(t, rose)
	hookAt(s, "STAT", Action{Delay: 300 * time.Millisecond})
	c := dial(t, s.Addr())
	c.login("mrose", "tan staaf")
	start := time.Now()
	c.send("NOOP\r\nSTAT\r\n")
	c.line()
	if took := time.Since(start); took > 250*time.Millisecond {
		t.Errorf("the reply before the delayed one took %v", took)
	}
	c.line()
	if took := time.Since(start); took < 300*time.Millisecond {
		t.Errorf("the delayed reply took %v, want 300 ms or more", took)
	}
}
