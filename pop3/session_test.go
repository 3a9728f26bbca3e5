package pop3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/poptest"
)

func TestStat(t *testing.T) {
	t.Run("C0017/unreadable", func(t *testing.T) {
		c := transaction(t, "C: STAT\nS: +OK 2 -1873741824\nC: NOOP\nS: +OK")
		if _, err := c.Stat(t.Context()); !isProtocolError(err) {
			t.Errorf("Stat() = %v, want a *ProtocolError", err)
		}
		noError(t, "Noop() after it", c.Noop(t.Context()))
	})
	t.Run("C0014/foreign-line", func(t *testing.T) {
		c := transaction(t, "C: STAT\nS: 2 320")
		_, err := c.Stat(t.Context())
		outOfStep(t, c, "Stat()", err)
	})
}

func TestListings(t *testing.T) {
	tests := []struct {
		name, script string
		want         Listings
	}{
		{"C0020/empty", "C: STAT\nS: +OK 0 0\nC: LIST\nS: +OK\nS: .\nC: UIDL\nS: +OK\nS: .", Listings{}},
		{"C0031/only-uidl", "C: STAT\nS: -ERR [SYS/PERM] no\nC: LIST\nS: -ERR what?\nC: UIDL\nS: +OK\nS: 1 a\nS: .", Listings{
			DropErr: &ReplyError{"STAT", CodeSysPerm, "no"}, ScanErr: &ReplyError{"LIST", "", "what?"},
			UIDs: []UniqueIDListing{{1, "a"}}}},
		{"C0037/no-uidl", "C: STAT\nS: +OK 1 9\nC: LIST\nS: +OK\nS: 1 9\nS: .\nC: UIDL\nS: -ERR what?", Listings{
			Drop: DropListing{1, 9}, Scan: []ScanListing{{1, 9}}, UIDErr: &ReplyError{"UIDL", "", "what?"}}},
		{"C0011/gaps-and-beyond-stat", "C: STAT\nS: +OK 1 9\nC: LIST\nS: +OK\nS: 7 1\nS: 2 2\nS: .\nC: UIDL\nS: +OK\nS: 7 a\nS: 2 b\nS: .", Listings{
			Drop: DropListing{1, 9}, Scan: []ScanListing{{7, 1}, {2, 2}}, UIDs: []UniqueIDListing{{7, "a"}, {2, "b"}}}},
		{"C0011/malformed", "C: STAT\nS: +OK 2147483647 9\nC: LIST\nS: +OK\nS: 0 5\nS: x 5\nS:\nS: 1 5\nS: .\nC: UIDL\nS: +OK\nS: 0 z\nS: 1\nS: 2 b\nS: .", Listings{
			Drop: DropListing{2147483647, 9}, Scan: []ScanListing{{1, 5}}, UIDs: []UniqueIDListing{{2, "b"}}, Malformed: 4}},
		{"C0038/shorter-than-list", "C: STAT\nS: +OK 2 9\nC: LIST\nS: +OK\nS: 1 4\nS: 2 5\nS: .\nC: UIDL\nS: +OK\nS: 2 b\nS: .", Listings{
			Drop: DropListing{2, 9}, Scan: []ScanListing{{1, 4}, {2, 5}}, UIDs: []UniqueIDListing{{2, "b"}}}},
		{"C0039/case", "C: STAT\nS: +OK 2 9\nC: LIST\nS: +OK\nS: .\nC: UIDL\nS: +OK\nS: 1 id\nS: 2 ID\nS: .", Listings{
			Drop: DropListing{2, 9}, UIDs: []UniqueIDListing{{1, "id"}, {2, "ID"}}}},
		{"C0041/same-id-twice", "C: STAT\nS: +OK 2 9\nC: LIST\nS: +OK\nS: .\nC: UIDL\nS: +OK\nS: 1 x\nS: 2 x\nS: .", Listings{
			Drop: DropListing{2, 9}, UIDs: []UniqueIDListing{{1, "x"}, {2, "x"}}}},
		{"C0017/unreadable-stat", "C: STAT\nS: +OK 2 -1\nC: LIST\nS: +OK\nS: .\nC: UIDL\nS: +OK\nS: .", Listings{
			DropErr: &ProtocolError{Command: "STAT", Got: "2 -1", Want: "the number of messages and of octets"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := transaction(t, tt.script+"\nC: NOOP\nS: +OK")
			got, err := c.Listings(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "Listings()", *got, tt.want)
			noError(t, "Noop()", c.Noop(t.Context()))
		})
	}
}

// The three commands leave together. A refusal of one does not disturb the others.
func TestListings_pipelined(t *testing.T) {
	c := pipelined(t, `
		C: STAT
		C: LIST
		C: UIDL
		S: -ERR no
		S: +OK
		S: 1 9
		S: .
		S: +OK
		S: 1 a
		S: .
		C: NOOP
		S: +OK`)
	got, err := c.Listings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "R2449-3: Listings()", *got, Listings{DropErr: &ReplyError{"STAT", "", "no"},
		Scan: []ScanListing{{1, 9}}, UIDs: []UniqueIDListing{{1, "a"}}})
	noError(t, "Noop()", c.Noop(t.Context()))
}

func TestListings_broken(t *testing.T) {
	tests := []struct {
		name, script string
		check        func(error) bool
	}{
		{"C0011/repeated-in-list", "S: +OK 2 9\nC: LIST\nS: +OK\nS: 1 4\nS: 2 5\nS: 2 5\nstall", isProtocolError},
		{"C0011/repeated-in-uidl", "S: +OK 2 9\nC: LIST\nS: +OK\nS: .\nC: UIDL\nS: +OK\nS: 9 a\nS: 2 b\nS: 09 c\nstall", isProtocolError},
		{"C0006/cut-in-list", "S: +OK 2 9\nC: LIST\nS: +OK\nS: 1 4\ncut", isCut},
		{"C0006/cut-in-dot", "S: +OK 2 9\nC: LIST\nS: +OK\nS: 1 4\nS- .\ncut", isCut},
		{"C0006/reset-in-uidl", "S: +OK 2 9\nC: LIST\nS: +OK\nS: .\nC: UIDL\nS: +OK\nS: 1 a\nreset", isCut},
		{"C0014/silent", "stall", isTimeout},
		{"C0005/no-line-end", "S- +OK 2 9\nstall", isTimeout},
		{"C0005/closed-inside-a-reply", "S- +OK 2 9\ncut", isCut},
		{"C0006/silent-list", "S: +OK 2 9\nC: LIST\nS: +OK\nS: 1 4\nstall", isTimeout},
		{"C0021/endless-line", "S: +OK 2 9\nC: LIST\nS: +OK\nS: 1 " + strings.Repeat("4", maxListingLine), isProtocolError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := transaction(t, "C: STAT\n"+tt.script)
			hurry(&c.opts, tt.script)
			got, err := c.Listings(t.Context())
			if got != nil || err == nil || !tt.check(err) {
				t.Errorf("Listings() = %v, %v, want another error", got, err)
			}
			if err := c.Quit(t.Context()); !errors.Is(err, ErrClosed) {
				t.Errorf("Quit() = %v, want %v", err, ErrClosed)
			}
		})
	}
}

// A server that ignores the argument and lists everything is out of step. The next command notices
// it at the latest.
func TestListNumber_broken(t *testing.T) {
	t.Run("C0019/whole-list", func(t *testing.T) {
		c := transaction(t, `C: LIST 2
			S- +OK 2 messages\r\n1 4\r\n2 5\r\n.\r\n`)
		_, err := c.ListNumber(t.Context(), 2)
		_, again := c.ListNumber(t.Context(), 2)
		if !isProtocolError(err) && !isProtocolError(again) {
			t.Errorf("ListNumber(2) = %v, then %v, want a *ProtocolError", err, again)
		}
	})
	t.Run("C0019/other-number", func(t *testing.T) {
		c := transaction(t, "C: LIST 2\nS: +OK 1 4")
		_, err := c.ListNumber(t.Context(), 2)
		outOfStep(t, c, "ListNumber(2)", err)
	})
	t.Run("C0036/other-number", func(t *testing.T) {
		c := transaction(t, "C: UIDL 2\nS: +OK 1 a\nC: NOOP\nS: +OK")
		_, err := c.UIDLNumber(t.Context(), 2)
		outOfStep(t, c, "UIDLNumber(2)", err)
	})
	t.Run("C0011/bad-number", func(t *testing.T) {
		c := transaction(t, "")
		for _, n := range []int{0, -1} {
			if _, err := c.ListNumber(t.Context(), n); !errors.Is(err, ErrArgument) {
				t.Errorf("ListNumber(%d) = %v, want %v", n, err, ErrArgument)
			}
			if _, err := c.UIDLNumber(t.Context(), n); !errors.Is(err, ErrArgument) {
				t.Errorf("UIDLNumber(%d) = %v, want %v", n, err, ErrArgument)
			}
		}
	})
}

func TestNoop(t *testing.T) {
	c := transaction(t, "C: NOOP\nS: -ERR what?\nC: NOOP\nS: +OK")
	refusal(t, "C0029: Noop()", c.Noop(t.Context()), "")
	noError(t, "C0029: Noop() after a refusal", c.Noop(t.Context()))
}

// Octets that come while no reply is due mean that an earlier reply was misread.
func TestStray_octets(t *testing.T) {
	c := transaction(t, "C: NOOP\nS- +OK\\r\\n-ERR what was that?\\r\\n")
	noError(t, "Noop()", c.Noop(t.Context()))
	err := c.Noop(t.Context())
	want := `NOOP: protocol error: got "-ERR what was that?\x0d\x0a", want nothing while no reply is due`
	if err == nil || err.Error() != want {
		t.Errorf("Noop() = %v, want %s", err, want)
	}
	outOfStep(t, c, "Noop()", err)
}

func TestCapa_endless(t *testing.T) {
	c := dial(t, "S: +OK ready\nC: CAPA\nS: +OK\n"+strings.Repeat("S: X-A\n", maxCapabilities+1))
	_, err := c.Capa(t.Context())
	outOfStep(t, c, "R2449-1: Capa()", err)
}

// A context that ends during a wait ends the wait, and the error is its cause.
func TestContext(t *testing.T) {
	cause := errors.New("stopped")
	scripts := map[string]string{
		"reply":   "C: STAT\nstall",
		"listing": "C: STAT\nS: +OK 1 1\nC: LIST\nS: +OK\nS: 1 1\nstall",
	}
	for name, script := range scripts {
		t.Run(name, func(t *testing.T) {
			c := transaction(t, script)
			ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, cause)
			defer cancel()
			if _, err := c.Listings(ctx); !errors.Is(err, cause) {
				t.Errorf("Listings() = %v, want %v", err, cause)
			}
			if err := c.Noop(t.Context()); !errors.Is(err, ErrClosed) {
				t.Errorf("Noop() = %v, want %v", err, ErrClosed)
			}
		})
	}
	t.Run("message", func(t *testing.T) {
		c := transaction(t, "C: RETR 1\nS: +OK\nS: begun\nstall")
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		for m, err := range c.Retr(ctx, numbers(1, 1)) {
			if err != nil {
				break // the loop yields the error once more
			}
			if _, err := io.ReadFull(m, make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
			cancel(cause)
			if _, err := io.Copy(io.Discard, m); !errors.Is(err, cause) {
				t.Errorf("reading: %v, want %v", err, cause)
			}
		}
	})
	t.Run("C0006/cause-like-the-end", func(t *testing.T) {
		c := transaction(t, "C: RETR 1\nS: +OK\nS: begun\nstall")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, fmt.Errorf("stopped: %w", io.EOF))
		defer cancel()
		for m, err := range c.Retr(ctx, numbers(1, 1)) {
			if err == nil {
				_, err = io.Copy(io.Discard, m)
			}
			if err == nil || errors.Is(err, io.EOF) {
				t.Errorf("reading: %v, want an error that is not io.EOF", err)
			}
		}
	})
	t.Run("greeting", func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, cause)
		defer cancel()
		if _, err := Dial(ctx, poptest.InClear(poptest.Dialogue(t, "stall").Addr(), true), plain()); !errors.Is(err, cause) {
			t.Errorf("Dial() = %v, want %v", err, cause)
		}
	})
}

// Idle is called once a wait, and only if the status line has not begun.
func TestIdle(t *testing.T) {
	const script = "S: +OK ready\nC: USER alice\npause 600ms\nS: +OK\nC: PASS secret\nS- +O\npause 600ms\nS: K\nC: QUIT\nS: +OK\nclose"
	for name, mode := range map[string]TLSMode{"clear": TLSNone, "TLS": TLSImplicit} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begin := ""
			if mode == TLSImplicit {
				begin = "tls\n"
			}
			server := poptest.Dialogue(t, begin+script)
			opts := secured(server, mode)
			calls := 0
			opts.Idle = func() { calls++ }
			c := open(t, server.Addr(), opts)
			logIn(t, c)
			equal(t, "calls of Idle", calls, 1)
			noError(t, "Quit()", c.Quit(t.Context()))
		})
	}
}

// A timeout names the reply or octets that did not come.
func TestTimeout_text(t *testing.T) {
	c := transaction(t, "C: NOOP\nstall")
	c.opts.ReplyTimeout = 50 * time.Millisecond
	err := c.Noop(t.Context())
	if want := "NOOP: no complete reply within 50ms: i/o timeout"; err == nil || err.Error() != want {
		t.Errorf("C0014: Noop() = %v, want %s", err, want)
	}
}

func TestUTF8_refused(t *testing.T) {
	c := dial(t, "S: +OK ready\nC: UTF8\nS: -ERR [UTF8] no")
	refusal(t, "R6856-1: UTF8()", c.UTF8(t.Context()), CodeUTF8)
	equal(t, "utf8", c.utf8, false)
}

func TestDele(t *testing.T) {
	c := transaction(t, "C: DELE 1\nS: +OK\nC: DELE 2\nS: -ERR no\nC: DELE 3\nS: +OK\nC: QUIT\nS: +OK")
	got := deletions(c.Dele(t.Context(), slices.Values([]int{1, 2, 3})))
	equal(t, "C0026: Dele()", got, []string{"1: <nil>", "2: server refused DELE: no", "3: <nil>"})
	noError(t, "Quit()", c.Quit(t.Context()))
}

// A listing that comes octet by octet is ended by the limit, however many lines come. A slow
// listing is not (behaviour 14).
func TestListing_drips(t *testing.T) {
	line := func(n int, id string, pause time.Duration) string {
		return fmt.Sprintf("S: %d %s\npause %v\n", n, id, pause)
	}
	t.Run("C0038/octet by octet", func(t *testing.T) {
		t.Parallel()
		server := poptest.NewServer(t, poptest.Maildrop{User: "mrose", Password: "tanstaaf", Messages: poptest.Numbered(2000, 10)})
		server.Configure(func(c *poptest.Config) { c.Hook = poptest.Misdeeds(t, "UIDL (pieces 1, pause 5ms)") })
		c, err := Dial(t.Context(), poptest.InClear(server.Addr(), true), plain())
		noError(t, "Dial()", err)
		t.Cleanup(func() { c.Close() })
		noError(t, "User()", c.User(t.Context(), "mrose", "tanstaaf"))
		c.opts.ReplyTimeout = 250 * time.Millisecond
		begun := time.Now()
		_, err = c.UIDL(t.Context())
		if took := time.Since(begun); !isTimeout(err) || took > 2*time.Second {
			t.Errorf("UIDL() = %v after %v, want a timeout after about %v", err, took, c.opts.ReplyTimeout)
		}
	})
	t.Run("C0038/slow", func(t *testing.T) {
		t.Parallel()
		script := "C: UIDL\nS: +OK\n"
		for n := range 40 {
			script += line(n+1, strings.Repeat("u", 64), 30*time.Millisecond)
		}
		c := transaction(t, script+"S: .")
		c.opts.ReplyTimeout = time.Second
		listing, err := c.UIDL(t.Context())
		noError(t, "UIDL()", err)
		equal(t, "lines", len(listing), 40)
	})
}
