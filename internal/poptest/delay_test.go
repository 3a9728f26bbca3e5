package poptest

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// echo starts a server that sends back what it receives.
func echo(t *testing.T) string {
	l := listen(t)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.AcceptTCP()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.CloseWrite()
			}()
		}
	}()
	return l.Addr().String()
}

// A round trip takes twice the delay. Data sent at once in one direction takes the delay once, for
// any amount.
func TestDelay(t *testing.T) {
	const oneWay = 100 * time.Millisecond
	c := dial(t, Delay(t, echo(t), oneWay))
	start := time.Now()
	c.send("ping\r\n")
	if got := c.line(); got != "ping" {
		t.Errorf("got %q, want ping", got)
	}
	if took := time.Since(start); took < 2*oneWay || took > 5*oneWay {
		t.Errorf("a round trip took %v, want %v", took, 2*oneWay)
	}

	sent := noise(4 << 20)
	start = time.Now()
	go func() {
		_, _ = c.c.Write(sent)
		_ = c.c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c.r)
	if !bytes.Equal(got, sent) || err != nil {
		t.Errorf("got %d octets and %v, want the %d that were sent", len(got), err, len(sent))
	}
	if took := time.Since(start); took < 2*oneWay || took > 20*oneWay {
		t.Errorf("4 MiB took %v, want little more than %v", took, 2*oneWay)
	}
}

// If the client closes, the server behind the proxy learns it.
func TestDelay_clientGone(t *testing.T) {
	s := NewServer(t, rose)
	c := dial(t, Delay(t, s.Addr(), 5*time.Millisecond))
	c.login("mrose", "tan staaf")
	_ = c.c.Close()
	s.Wait()
}

// If no server listens behind the proxy, the client learns it.
func TestDelay_refused(t *testing.T) {
	l := listen(t)
	_ = l.Close()
	c := dial(t, Delay(t, l.Addr().String(), time.Millisecond))
	if got, _ := c.rest(); got != "" {
		t.Errorf("got %q, want the end", got)
	}
}
