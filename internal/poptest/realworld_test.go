package poptest

import (
	"bytes"
	"net"
	"testing"
)

func TestRealWorld(t *testing.T) {
	samples := RealWorld()
	if len(samples) < 40 {
		t.Errorf("%d samples, want 40 or more", len(samples))
	}
	names := make(map[string]bool)
	for _, s := range samples {
		if names[s.Name] {
			t.Errorf("two samples are called %q", s.Name)
		}
		names[s.Name] = true
	}
	again := RealWorld()
	for i, s := range samples {
		if !bytes.Equal(s.Message, again[i].Message) {
			t.Errorf("%s: differs when made again", s.Name)
		}
	}
}

// The model server sends each sample unchanged.
func TestRealWorld_server(t *testing.T) {
	samples := RealWorld()
	var messages []Message
	for _, s := range samples {
		messages = append(messages, Message{UniqueID: s.Name, Content: s.Message})
	}
	srv := NewServer(t, Maildrop{User: "u", Password: "p", Messages: messages})
	c := dial(t, srv.Addr())
	c.login("u", "p")
	for i, s := range samples {
		c.want("+OK", "RETR %d", i+1)
		if got, want := c.body(), Wire(s.Message); !bytes.Equal(got, want) {
			t.Errorf("%s: got %d octets, want %d: %.200q", s.Name, len(got), len(want), got)
		}
	}
}

// Sample.Dovecot says correctly which samples Dovecot sends unchanged.
func TestRealWorld_dovecot(t *testing.T) {
	d := StartDovecot(t, nil)
	samples := RealWorld()
	d.Fill(len(samples), func(i int) []byte { return samples[i].Message })
	for i, s := range samples {
		// Each sample needs a session of its own. After a sample that Dovecot breaks, the client is
		// out of step.
		c := dial(t, d.Addr())
		c.login(d.User, d.Password)
		c.want("+OK", "RETR %d", i+1)
		got := c.body()
		same := bytes.Equal(got, Wire(s.Message)) && c.cmd("QUIT")[0] == '+'
		if same != s.Dovecot {
			t.Errorf("%s: unchanged = %v, want %v; got %.200q", s.Name, same, s.Dovecot, got)
		}
		_ = c.c.(*net.TCPConn).Close()
	}
}
