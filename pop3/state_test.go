package pop3

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/popfetch/popfetch/internal/poptest"
)

// methods has each method that sends something, with the states in which it is allowed.
var methods = map[string]struct {
	states []state
	call   func(c *Client, ctx context.Context) error
}{
	"R2449-1/CAPA": {[]state{stateAuthorization, stateTransaction}, func(c *Client, ctx context.Context) error {
		_, err := c.Capa(ctx)
		return err
	}},
	"R2595-1/STLS": {[]state{stateAuthorization}, func(c *Client, ctx context.Context) error { return c.STLS(ctx) }},
	"R6856-1/UTF8": {[]state{stateAuthorization}, func(c *Client, ctx context.Context) error { return c.UTF8(ctx) }},
	"C0043/USER":   {[]state{stateAuthorization}, func(c *Client, ctx context.Context) error { return c.User(ctx, "a", "b") }},
	"V0008/APOP":   {[]state{stateAuthorization}, func(c *Client, ctx context.Context) error { return c.Apop(ctx, "a", "b") }},
	"R5034-1/AUTH": {[]state{stateAuthorization}, func(c *Client, ctx context.Context) error {
		return c.Auth(ctx, &mechanism{name: "PLAIN"})
	}},
	"C0016/STAT": {[]state{stateTransaction}, func(c *Client, ctx context.Context) error {
		_, err := c.Stat(ctx)
		return err
	}},
	"C0018/LIST": {[]state{stateTransaction}, func(c *Client, ctx context.Context) error {
		_, err := c.List(ctx)
		return err
	}},
	"C0018/LIST-number": {[]state{stateTransaction}, func(c *Client, ctx context.Context) error {
		_, err := c.ListNumber(ctx, 1)
		return err
	}},
	"C0035/UIDL": {[]state{stateTransaction}, func(c *Client, ctx context.Context) error {
		_, err := c.UIDL(ctx)
		return err
	}},
	"C0035/UIDL-number": {[]state{stateTransaction}, func(c *Client, ctx context.Context) error {
		_, err := c.UIDLNumber(ctx, 1)
		return err
	}},
	"C0008/Listings": {[]state{stateTransaction}, func(c *Client, ctx context.Context) error {
		_, err := c.Listings(ctx)
		return err
	}},
	"V0005/RETR": {[]state{stateTransaction}, func(c *Client, ctx context.Context) (err error) {
		for _, err = range c.Retr(ctx, numbers(1, 1)) {
		}
		return err
	}},
	"C0033/TOP": {[]state{stateTransaction}, func(c *Client, ctx context.Context) (err error) {
		for _, err = range c.Top(ctx, slices.Values([]int{1}), 0) {
		}
		return err
	}},
	"C0025/DELE": {[]state{stateTransaction}, func(c *Client, ctx context.Context) (err error) {
		for _, err = range c.Dele(ctx, slices.Values([]int{1})) {
		}
		return err
	}},
	"C0028/NOOP": {[]state{stateTransaction}, func(c *Client, ctx context.Context) error { return c.Noop(ctx) }},
	"V0006/RSET": {[]state{stateTransaction}, func(c *Client, ctx context.Context) error { return c.Rset(ctx) }},
	"C0012/QUIT": {[]state{stateAuthorization, stateTransaction}, func(c *Client, ctx context.Context) error { return c.Quit(ctx) }},
}

// Each method returns an error and sends nothing in a state where it is not allowed.
func TestState(t *testing.T) {
	scripts := map[state]string{
		stateAuthorization: "S: +OK ready <1@a>\n",
		stateTransaction:   "S: +OK ready <1@a>\nC: USER alice\nS: +OK\nC: PASS secret\nS: +OK\n",
	}
	for name, method := range methods {
		for in, script := range scripts {
			if slices.Contains(method.states, in) {
				continue
			}
			t.Run(name, func(t *testing.T) {
				c := dial(t, script)
				if in == stateTransaction {
					logIn(t, c)
				}
				if err := method.call(c, t.Context()); !errors.Is(err, ErrState) {
					t.Errorf("error in state %d: %v, want %v", in, err, ErrState)
				}
			})
		}
	}
}

func TestState_closed(t *testing.T) {
	for name, method := range methods {
		t.Run(name, func(t *testing.T) {
			c := dial(t, "S: +OK ready <1@a>\n")
			noError(t, "Close()", c.Close())
			if err := method.call(c, t.Context()); !errors.Is(err, ErrClosed) {
				t.Errorf("error after Close: %v, want %v", err, ErrClosed)
			}
		})
	}
}

// A context that ends before anything is sent leaves the session unchanged.
func TestState_context_ended_before(t *testing.T) {
	cause := errors.New("stopped")
	for name, method := range methods {
		t.Run(name, func(t *testing.T) {
			script, in := "S: +OK ready <1@a>\n", method.states[0]
			c := dial(t, script)
			c.state = in
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(cause)
			if err := method.call(c, ctx); !errors.Is(err, cause) {
				t.Errorf("error under an ended context: %v, want %v", err, cause)
			}
			equal(t, "lost", c.lost, nil)
		})
	}
}

func TestQuit(t *testing.T) {
	t.Run("C0030/positive", func(t *testing.T) {
		c := transaction(t, "C: QUIT\nS: +OK bye\n")
		noError(t, "Quit()", c.Quit(t.Context()))
		if err := c.Quit(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("second Quit() = %v, want %v", err, ErrClosed)
		}
	})
	t.Run("C0030/negative", func(t *testing.T) {
		c := transaction(t, "C: QUIT\nS: -ERR [SYS/TEMP] some deleted messages not removed\n")
		refusal(t, "Quit()", c.Quit(t.Context()), CodeSysTemp)
	})
	t.Run("C0030/cut", func(t *testing.T) {
		c := transaction(t, "C: QUIT\ncut\n")
		if err := c.Quit(t.Context()); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("Quit() = %v, want %v", err, io.ErrUnexpectedEOF)
		}
	})
	t.Run("C0012/five-seconds", func(t *testing.T) {
		c := dial(t, "S: +OK ready\nC: QUIT\nS: +OK\n")
		noError(t, "Quit()", c.Quit(t.Context()))
		equal(t, "limit for the reply", c.opts.ReplyTimeout, quitTimeout)
	})
}

// Nothing else can be sent while replies are outstanding.
func TestRetr_other_methods_inside(t *testing.T) {
	c := pipelined(t, `
		C: RETR 1
		C: RETR 2
		S: +OK
		S: one
		S: .
		S: +OK
		S: two
		S: .
		C: NOOP
		S: +OK
		C: QUIT
		S: +OK`)
	for m, err := range c.Retr(t.Context(), numbers(1, 2)) {
		if err != nil {
			t.Fatal(err)
		}
		for name, method := range methods {
			if err := method.call(c, t.Context()); !errors.Is(err, ErrState) {
				t.Errorf("C0028: %s inside the loop: %v, want %v", name, err, ErrState)
			}
		}
		if _, err := io.Copy(io.Discard, m); err != nil {
			t.Fatal(err)
		}
		if m.Number == 2 {
			noError(t, "C0028: Noop() with nothing outstanding", c.Noop(t.Context()))
		}
	}
	noError(t, "Quit()", c.Quit(t.Context()))
}

func TestInsecure(t *testing.T) {
	for _, name := range []string{"C0043/USER", "V0008/APOP", "R5034-1/AUTH"} {
		t.Run(name, func(t *testing.T) {
			for _, mode := range []TLSMode{TLSImplicit, TLSStart} {
				c := dial(t, "S: +OK ready <1@a>\n")
				c.opts.TLS = mode
				if err := methods[name].call(c, t.Context()); !errors.Is(err, ErrInsecure) {
					t.Errorf("error without TLS in mode %d: %v, want %v", mode, err, ErrInsecure)
				}
			}
		})
	}
}

func TestZeroClient(t *testing.T) {
	c := new(Client)
	if err := c.Noop(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Noop() = %v, want %v", err, ErrClosed)
	}
	noError(t, "Close()", c.Close())
}

// C0013: a thousand messages come in order, in one session with a server that pipelines.
func TestRetr_thousand(t *testing.T) {
	const count = 1000
	server := poptest.NewServer(t, poptest.Maildrop{User: "alice", Password: "secret", Messages: poptest.Numbered(count, 200)})
	c := open(t, server.Addr(), plain())
	_, err := c.Capa(t.Context())
	noError(t, "Capa()", err)
	logIn(t, c)
	listings, err := c.Listings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "messages listed", len(listings.Scan), count)
	next := 0
	for m, err := range c.Retr(t.Context(), func(yield func(int, int64) bool) {
		for _, listing := range listings.Scan {
			if !yield(listing.Number, listing.Octets) {
				return
			}
		}
	}) {
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, m)
		noError(t, "reading", err)
		equal(t, "octets", n, m.Octets)
		equal(t, "number", m.Number, listings.Scan[next].Number)
		next++
	}
	equal(t, "C0013: messages retrieved", next, count)
	noError(t, "Quit()", c.Quit(t.Context()))
	server.CheckRules(t)
}
