package pop3_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"net"
	"runtime"
	"strings"
	"testing"
	"unsafe"
	"weak"

	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

// keeper is a connection that keeps the buffers that were written, and whether they held a secret.
type keeper struct {
	net.Conn
	secret  string
	buffers [][]byte
	held    int
}

func (k *keeper) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(k.secret)) {
		k.held++
	}
	k.buffers = append(k.buffers, p[:cap(p)])
	return k.Conn.Write(p)
}

// told is a mechanism that keeps what it answers.
type told struct {
	initial   []byte
	responses [][]byte
	next      int
}

func (m *told) Start() (string, []byte, error) { return "PLAIN", m.initial, nil }

func (m *told) Next([]byte) ([]byte, error) {
	m.next++
	return m.responses[m.next-1], nil
}

// TestClient_wipes looks into the buffers that held the password when they were written, and into
// those of the mechanism. None has it any more.
func TestClient_wipes(t *testing.T) {
	const secret = "tanstaaf"
	plain := "\x00mrose\x00" + secret
	encoded := base64.StdEncoding.EncodeToString([]byte(plain))
	for name, test := range map[string]struct {
		sent  string
		login func(ctx context.Context, c *pop3.Client, m *told) error
	}{
		"USER": {secret, func(ctx context.Context, c *pop3.Client, _ *told) error { return c.User(ctx, "mrose", secret) }},
		"AUTH with initial response": {encoded, func(ctx context.Context, c *pop3.Client, m *told) error {
			m.initial = []byte(plain)
			return c.Auth(ctx, m)
		}},
		"AUTH with challenge": {encoded, func(ctx context.Context, c *pop3.Client, m *told) error {
			m.responses = [][]byte{[]byte(plain)}
			return c.Auth(ctx, m)
		}},
		"AUTH with long initial response": {"eHh4", func(ctx context.Context, c *pop3.Client, m *told) error {
			m.initial = []byte(strings.Repeat("x", 300))
			if err := c.Auth(ctx, m); err == nil {
				t.Error("a wrong password was taken")
			}
			return nil
		}},
		"AUTH with CAPA": {encoded, func(ctx context.Context, c *pop3.Client, m *told) error {
			m.initial = []byte(plain)
			return c.AuthExpecting(ctx, pop3.Capabilities{"PIPELINING": nil, "UTF8": nil}, m)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := poptest.NewServer(t, poptest.Maildrop{User: "mrose", Password: secret})
			conn, err := net.Dial("tcp", poptest.InClear(server.Addr(), true))
			if err != nil {
				t.Fatal(err)
			}
			k := &keeper{Conn: conn, secret: test.sent}
			c, err := pop3.New(t.Context(), k, &pop3.Options{TLS: pop3.TLSNone})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			m := &told{}
			if err := test.login(t.Context(), c, m); err != nil {
				t.Fatal(err)
			}
			if k.held != 1 {
				t.Errorf("the password was sent %d times, want once", k.held)
			}
			for _, buffer := range k.buffers {
				if strings.Trim(string(buffer), "\x00") != "" {
					t.Errorf("a buffer still has %q", buffer)
				}
			}
			for _, octets := range append(m.responses, m.initial) {
				if strings.Trim(string(octets), "\x00") != "" {
					t.Errorf("a response of the mechanism is still %q", octets)
				}
			}
		})
	}
}

// TestClient_Close_forgets looks whether a closed client still refers to what Conceal was given.
func TestClient_Close_forgets(t *testing.T) {
	server := poptest.NewServer(t, poptest.Maildrop{User: "mrose", Password: "tanstaaf"})
	c, err := pop3.Dial(t.Context(), poptest.InClear(server.Addr(), true), &pop3.Options{TLS: pop3.TLSNone})
	if err != nil {
		t.Fatal(err)
	}
	conceal := func() weak.Pointer[byte] {
		octets := bytes.Repeat([]byte("secret"), 1000)
		c.Conceal(unsafe.String(&octets[0], len(octets)))
		return weak.Make(&octets[0])
	}
	secret := conceal()
	runtime.GC()
	if secret.Value() == nil {
		t.Fatal("the client forgot the secret too early")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	if secret.Value() != nil {
		t.Error("the client still refers to the secret")
	}
	runtime.KeepAlive(c)
}
