package fetch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
)

// refusing makes a hook that refuses the commands, of which some may have arguments.
func refusing(commands ...string) func(*poptest.Session, string) poptest.Action {
	return func(_ *poptest.Session, cmd string) poptest.Action {
		for _, words := range commands {
			if cmd == words || strings.HasPrefix(cmd, words+" ") {
				return poptest.Refuse("no such command")
			}
		}
		return poptest.Action{}
	}
}

// TestUIDL is a server that refuses UIDL (C0037), with uidl = "required" and "fallback".
func TestUIDL(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, messages ...poptest.Message) (*rig, *poptest.Server) {
		t.Helper()
		t.Parallel()
		server := newServer(t, messages...)
		server.Configure(without("UIDL"))
		hook(server, refusing("UIDL"))
		t.Cleanup(func() { server.CheckRules(t) })
		r := newRig(t, server.Addr())
		r.account.UIDLFallback = true
		return r, server
	}
	a, b, c := letter("a"), letter("b"), letter("c")

	t.Run("C0037/required", func(t *testing.T) {
		r, server := start(t, a)
		r.account.UIDLFallback = false
		err := r.fails(fetch.PhaseList, "")
		if !strings.Contains(err.Error(), `uidl = "fallback"`) {
			t.Errorf("Run() = %v, want the mend", err)
		}
		checkCount(t, server, "TOP", 0)
	})
	t.Run("C0037/fallback", func(t *testing.T) {
		r, server := start(t, a, b)
		r.runs("2 listed, 2 new, 2 delivered")
		r.runs("2 listed")
		checkCount(t, server, "RETR", 2)
		checkCount(t, server, "TOP", 4) // one for each message in each run
		ids := r.recorded()
		for _, id := range ids {
			if !strings.HasPrefix(id, " header:") || len(id) > 70 {
				t.Errorf("the unique-id made is %q, want a short one that no server could have", id)
			}
		}
		server.Drop("").Remove("a")
		server.Drop("").Add(c)
		r.runs("2 listed, 1 new, 1 delivered")
		r.holds(a, b, c)
	})
	t.Run("C0037/delete", func(t *testing.T) {
		r, server := start(t, a, b)
		r.runs("2 listed, 2 new, 2 delivered")
		server.Drop("").Add(c)
		r.account.Delete.Enabled = true
		r.runs("3 listed, 1 new, 1 delivered, 3 deleted") // those of an earlier run by the digests of their headers
		r.runs("")
		r.holds(a, b, c)
	})
	t.Run("C0037/servers change some fields", func(t *testing.T) {
		r, server := start(t, a)
		r.runs("1 listed, 1 new, 1 delivered")
		changed := a
		changed.Content = append([]byte("Status: RO\r\n"), a.Content...)
		list(server, changed)
		r.runs("1 listed")
		r.holds(a)
	})
	t.Run("C0037/lost state", func(t *testing.T) {
		r, server := start(t, a, b)
		r.runs("2 listed, 2 new, 2 delivered")
		r.runner.Store = openStore(t, t.TempDir())
		r.runs("2 listed, 2 recognised")
		checkCount(t, server, "RETR", 2)
		r.holds(a, b)
	})
	// The id does not depend on whether the server had TOP when it was made.
	t.Run("C0037/without TOP", func(t *testing.T) {
		r, server := start(t, a, b)
		r.runs("2 listed, 2 new, 2 delivered")
		hook(server, refusing("UIDL", "TOP"))
		r.runs("2 listed")
		checkCount(t, server, "RETR", 4)
		server.Configure(without("TOP"))
		server.Drop("").Add(c)
		r.runs("3 listed, 1 new, 1 delivered")
		hook(server, refusing("UIDL"))
		server.Configure(func(c *poptest.Config) { c.Capabilities = append(slices.Clone(c.Capabilities), "TOP") })
		r.runs("3 listed")
		r.holds(a, b, c)
	})
	t.Run("C0037/without TOP, delete", func(t *testing.T) {
		r, server := start(t, a, b)
		hook(server, refusing("UIDL", "TOP"))
		r.runs("2 listed, 2 new, 2 delivered")
		server.Drop("").Add(c)
		r.account.Delete.Enabled = true
		r.runs("3 listed, 3 new, 1 delivered, 2 recognised, 3 deleted")
		r.holds(a, b, c)
	})
	t.Run("C0037/without TOP, too large", func(t *testing.T) {
		large := sized("large", "large", strings.Repeat("and more ", 100))
		r, server := start(t, a, large, b)
		hook(server, refusing("UIDL", "TOP"))
		r.account.MaxSize = 500
		r.runs("3 listed, 2 new, 2 delivered, 1 skipped")
		r.runs("3 listed, 1 skipped")
		checkCount(t, server, "RETR 2", 0)
		if told := r.told(fetch.Skipped); len(told) != 1 {
			t.Errorf("%d told as skipped, want 1 once", len(told))
		}
		r.account.MaxSize = 0
		r.runs("3 listed, 1 new, 1 delivered")
		r.holds(a, large, b)
	})
	t.Run("C0037/a message is given by neither TOP nor RETR", func(t *testing.T) {
		r, server := start(t, a, b, c)
		hook(server, refusing("UIDL", "TOP 2", "RETR 2"))
		r.runs("2 listed, 2 new, 2 delivered, 1 failed")
		hook(server, refusing("UIDL"))
		r.runs("3 listed, 1 new, 1 delivered")
		r.holds(a, b, c)
	})
	// The octets behind a torso may be lines of the message, so a further session does without it
	// (behaviour 38).
	for _, asked := range []string{"TOP", "RETR"} {
		t.Run("C0037/a torso, shown by "+asked, func(t *testing.T) {
			r, server := start(t, a, b, c)
			forged := poptest.Reply([]byte("+OK\r\n.\r\n+OK\r\nSubject: forged\r\n\r\n.\r\n"))
			hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
				switch {
				case cmd == "TOP 2 0" && asked == "TOP", cmd == "RETR 2":
					return forged
				case asked == "RETR":
					return refusing("UIDL", "TOP")(nil, cmd)
				}
				return refusing("UIDL")(nil, cmd)
			})
			for range 2 {
				result := r.run()
				if result.Err != nil || result.Failed != 1 || result.Listed != 2 {
					t.Errorf("Run() = %s, %v, want 1 failed of all", outcome(result), result.Err)
				}
			}
			r.holds(a, c)
			hook(server, refusing("UIDL"))
			r.runs("3 listed, 1 new, 1 delivered")
			r.holds(a, b, c)
		})
	}
	t.Run("C0037/TOP shows nothing of any", func(t *testing.T) {
		messages := poptest.Numbered(20, 300)
		r, server := start(t, messages...)
		hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
			if strings.HasPrefix(cmd, "TOP ") {
				return poptest.Reply([]byte("+OK\r\n.\r\n"))
			}
			return refusing("UIDL")(nil, cmd)
		})
		result := r.run()
		if result.Err != nil || result.Delivered != 20 || result.Failed != 0 {
			t.Errorf("Run() = %s, %v, want all delivered", outcome(result), result.Err)
		}
	})
	t.Run("C0031/no LIST either", func(t *testing.T) {
		r, server := start(t, a)
		hook(server, refusing("UIDL", "LIST"))
		_ = r.fails(fetch.PhaseList, "")
	})
	// If this counted as a server without UIDL, all ids would change.
	t.Run("C0037/not now", func(t *testing.T) {
		r, server := start(t, a)
		hook(server, on("UIDL", poptest.Refuse("[SYS/TEMP] try later")))
		_ = r.fails(fetch.PhaseList, "")
		checkCount(t, server, "TOP", 0)
	})
	// A server that learns UIDL, or unlearns it, shows only new ids.
	t.Run("C0037/UIDL comes and goes", func(t *testing.T) {
		r, server := start(t, a, b)
		hook(server, nil)
		r.runs("2 listed, 2 new, 2 delivered")
		hook(server, refusing("UIDL"))
		server.Drop("").Add(c)
		r.runs("3 listed, 1 new, 1 delivered")
		hook(server, nil)
		r.runs("3 listed")
		r.has("a", "b", "c")
		r.holds(a, b, c)
	})
	t.Run("C0037/POPFETCH_UID", func(t *testing.T) {
		r, _ := start(t, a)
		out := filepath.Join(t.TempDir(), "uid")
		r.account.Target = &deliver.MDA{Command: `printf %s "$POPFETCH_UID" >'` + out + `'`, Timeout: patience}
		r.runs("1 listed, 1 new, 1 delivered")
		got, err := os.ReadFile(out)
		if err != nil || !strings.HasPrefix(string(got), "%20header:") || strings.Contains(string(got), " ") {
			t.Errorf("POPFETCH_UID = %q, %v, want the blank encoded", got, err)
		}
	})
}

// TestUIDL_copies has messages with equal headers on a server without UIDL. They are told apart
// like copies of one unique-id (C0041). If something has changed, only their octets tell them
// apart, since the digest of the header adds nothing.
func TestUIDL_copies(t *testing.T) {
	t.Parallel()
	one, two, three := sized("1", "same", "1"), sized("2", "same", "2"), sized("3", "same", "3")
	for _, top := range []bool{true, false} {
		start := func(t *testing.T, messages ...poptest.Message) (*rig, *poptest.Server) {
			t.Helper()
			t.Parallel()
			server := newServer(t, messages...)
			hook(server, refusing("UIDL"))
			if !top {
				hook(server, refusing("UIDL", "TOP"))
			}
			r := newRig(t, server.Addr())
			r.account.UIDLFallback = true
			return r, server
		}
		run := func(name string, f func(t *testing.T)) { t.Run(fmt.Sprintf("C0041/%s, TOP %v", name, top), f) }

		run("both are delivered", func(t *testing.T) {
			r, server := start(t, one, two)
			r.runs("2 listed, 2 new, 2 delivered")
			r.runs("2 listed")
			list(server, two, three)
			r.run()
			r.holds(one, two) // nothing has changed that a run could see
			list(server, two, three, one)
			r.run()
			r.holds(one, two, three)
			r.runs("3 listed")
		})
		run("another comes", func(t *testing.T) {
			r, server := start(t, one)
			r.runs("1 listed, 1 new, 1 delivered")
			list(server, two, one)
			r.run()
			r.holds(one, two)
			r.runs("2 listed")
			list(server, two)
			r.run()
			r.runs("1 listed")
			r.holds(one, two)
		})
		run("another after the deletion", func(t *testing.T) {
			r, server := start(t, one)
			r.account.Delete.Enabled = true
			r.runs("1 listed, 1 new, 1 delivered, 1 deleted")
			list(server, two)
			r.runs("1 listed, 1 new, 1 delivered, 1 deleted")
			r.holds(one, two)
		})
		run("listed again after the deletion", func(t *testing.T) {
			r, server := start(t, one)
			r.account.Delete.Enabled = true
			r.runs("1 listed, 1 new, 1 delivered, 1 deleted")
			list(server, one)
			r.runs("1 listed, 1 new, 1 recognised, 1 deleted")
			r.holds(one)
		})
		run("of clearly other octets", func(t *testing.T) {
			long := sized("4", "same", strings.Repeat("and more ", 30))
			r, server := start(t, one)
			r.runs("1 listed, 1 new, 1 delivered")
			list(server, long)
			r.runs("1 listed, 1 new, 1 delivered")
			r.holds(one, long)
		})
	}
}
