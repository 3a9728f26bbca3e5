package fetch_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/seen"
)

// newExpiring starts a server that announces EXPIRE 0 and removes at QUIT what it has shown.
func newExpiring(t *testing.T, messages ...poptest.Message) *poptest.Server {
	t.Helper()
	server := newServer(t, messages...)
	server.Configure(func(c *poptest.Config) { c.Expire0 = true })
	return server
}

// leaves checks which messages the server still has, and how often QUIT was sent by now.
func leaves(t *testing.T, server *poptest.Server, quits int, want ...string) {
	t.Helper()
	server.Wait()
	if got := fmt.Sprint(server.Drop("").UniqueIDs()); got != fmt.Sprint(want) {
		t.Errorf("the server has %s, want %s", got, want)
	}
	checkCount(t, server, "QUIT", quits)
}

// R2449-5: if the server has shown a message that is not recorded in the end, the run sends no
// QUIT. The next run retrieves the message and sends QUIT.
func TestExpire_run(t *testing.T) {
	t.Parallel()
	large := sized("b", "b", strings.Repeat("x", 5000))
	large.Listed = "50"
	for _, test := range []struct {
		name     string
		messages []poptest.Message
		spoil    func(r *rig, server *poptest.Server)
		want     string // what the first run comes to
		fails    bool
		mend     func(r *rig, server *poptest.Server)
		then     string
	}{
		{
			name:     "the MDA says 75",
			messages: []poptest.Message{letter("a"), letter("b"), letter("c")},
			spoil: func(r *rig, _ *poptest.Server) {
				r.account.Target = filing(r, `[ "$POPFETCH_UID" = b ] && exit 75; `)
			},
			want: "3 listed, 3 new, 2 delivered, 1 failed", fails: true,
			mend: func(r *rig, _ *poptest.Server) { r.account.Target = filing(r, "") },
			then: "3 listed, 1 new, 1 delivered, 3 deleted",
		},
		{
			name:     "the disk is full",
			messages: []poptest.Message{letter("a"), letter("b"), letter("c")},
			spoil: func(r *rig, _ *poptest.Server) {
				disk := &full{Maildir: deliver.NewMaildir(r.maildir), at: "write", errno: syscall.ENOSPC}
				disk.room.Store(1)
				r.account.Target = disk
			},
			want: "3 listed, 3 new, 1 delivered", fails: true,
			mend: func(r *rig, _ *poptest.Server) { r.account.Target = deliver.NewMaildir(r.maildir) },
			then: "3 listed, 2 new, 2 delivered, 3 deleted",
		},
		{
			name:     "larger than max_size, and LIST is wrong",
			messages: []poptest.Message{letter("a"), large, letter("c")},
			spoil:    func(r *rig, _ *poptest.Server) { r.account.MaxSize = 1000 },
			want:     "3 listed, 3 new, 2 delivered, 1 skipped",
			fails:    true,
			mend:     func(r *rig, _ *poptest.Server) { r.account.MaxSize = 0 },
			then:     "3 listed, 1 new, 1 delivered, 3 deleted",
		},
		{
			name:     "the state cannot be written",
			messages: []poptest.Message{letter("a"), letter("b")},
			spoil: func(r *rig, server *poptest.Server) {
				path := filepath.Join(r.state, "seen.db")
				hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
					if cmd == "RETR 2" {
						if err := os.Rename(path, path+".away"); err != nil {
							r.t.Error(err)
						}
					}
					return poptest.Action{}
				})
			},
			want: "2 listed, 2 new", fails: true,
			mend: func(r *rig, server *poptest.Server) {
				hook(server, nil)
				path := filepath.Join(r.state, "seen.db")
				if err := os.Rename(path+".away", path); err != nil {
					r.t.Fatal(err)
				}
			},
			then: "2 listed, 2 recognised, 2 deleted",
		},
	} {
		t.Run("R2449-5/"+test.name, func(t *testing.T) {
			t.Parallel()
			server := newExpiring(t, test.messages...)
			r := newRig(t, server.Addr())
			r.account.Delete.Enabled = true
			test.spoil(r, server)
			result := r.run()
			checkOutcome(t, result, test.want)
			if (result.Err != nil) != test.fails {
				t.Errorf("Run() = %v, want an error: %v", result.Err, test.fails)
			}
			leaves(t, server, 0, uniqueIDs(test.messages)...)
			test.mend(r, server)
			r.runs(test.then)
			leaves(t, server, 1)
			r.holds(test.messages...)
			server.CheckRules(t)
		})
	}
}

// filing is an MDA that writes into the rig's Maildir after what script does.
func filing(r *rig, script string) *deliver.MDA {
	for _, part := range []string{"new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(r.maildir, part), 0o700); err != nil {
			r.t.Fatal(err)
		}
	}
	return &deliver.MDA{Command: script + "cat > " + r.maildir + "/new/$POPFETCH_UID"}
}

func uniqueIDs(messages []poptest.Message) []string {
	ids := make([]string, len(messages))
	for i, m := range messages {
		ids[i] = m.UniqueID
	}
	return ids
}

// R2449-5: if everything that the server has shown is recorded, QUIT is sent, deletions count, and
// there is no warning. The server cannot remove a message that it refused to show.
func TestExpire_recorded(t *testing.T) {
	t.Parallel()
	messages := []poptest.Message{letter("a"), letter("b"), letter("c")}
	server := newExpiring(t, messages...)
	hook(server, on("RETR 2", poptest.Refuse("not now")))
	r := newRig(t, server.Addr())
	r.account.Delete.Enabled = true
	r.runs("3 listed, 3 new, 2 delivered, 1 failed, 2 deleted")
	leaves(t, server, 1, "b")
	hook(server, nil)
	r.runs("1 listed, 1 new, 1 delivered, 1 deleted")
	leaves(t, server, 2)
	r.holds(messages...)
	if told := r.told(fetch.Warning); len(told) > 0 {
		t.Errorf("warned of %v, want no warning", told[0].Err)
	}
	server.CheckRules(t)
}

// R2449-5: if QUIT is left out, the deletions cannot count. They are reported and done by a later
// run.
func TestExpire_told(t *testing.T) {
	t.Parallel()
	server := newExpiring(t, letter("a"), letter("b"))
	r := newRig(t, server.Addr())
	r.account.Delete.Enabled = true
	r.account.Target = filing(r, `[ "$POPFETCH_UID" = b ] && exit 75; `)
	err := r.fails(fetch.PhaseDelete, "2 listed, 2 new, 1 delivered, 1 failed")
	if !strings.Contains(err.Error(), "1 delivered messages are not deleted") {
		t.Errorf("Run() = %v, want it to tell what is not deleted", err)
	}
	if told := r.told(fetch.Deleted); len(told) > 0 {
		t.Errorf("told %+v as deleted, want nothing", told)
	}
}

// seeing are the two ways to look at an account.
var seeing = []struct {
	name string
	look func(*fetch.Runner, context.Context, *fetch.Account) (*fetch.Survey, error)
}{{"Look", (*fetch.Runner).Look}, {"Check", (*fetch.Runner).Check}}

// R2449-5: a look sends no QUIT if it has read octets to identify messages.
func TestExpire_look(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		messages []poptest.Message
		prepare  func(r *rig, server *poptest.Server)
		left     []string
	}{
		{"by TOP, for initial", []poptest.Message{dated("old", "Date: "+daysAgo(40)+"\r\n"), letter("b")}, func(r *rig, _ *poptest.Server) {
			r.account.Initial = fetch.InitialPolicy{Limited: true, Within: 30 * day}
		}, []string{"old", "b"}},
		{"by TOP, new unique-ids", []poptest.Message{letter("a")}, func(r *rig, server *poptest.Server) {
			r.runs("1 listed, 1 new, 1 delivered")
			list(server, under("x", letter("a")), letter("b"))
		}, []string{"x", "b"}},
		{"without TOP, new unique-ids", []poptest.Message{letter("a")}, func(r *rig, server *poptest.Server) {
			noTop(server)
			r.runs("1 listed, 1 new, 1 delivered")
			list(server, under("x", letter("a")), letter("b"))
		}, []string{"x", "b"}},
		{"by TOP, uidl = fallback", []poptest.Message{letter("a"), letter("b")}, func(r *rig, server *poptest.Server) {
			hook(server, refusing("UIDL"))
			r.account.UIDLFallback = true
		}, []string{"a", "b"}},
		{"without TOP, uidl = fallback", []poptest.Message{letter("a"), letter("b")}, func(r *rig, server *poptest.Server) {
			server.Configure(without("TOP"))
			hook(server, refusing("UIDL", "TOP"))
			r.account.UIDLFallback = true
		}, []string{"a", "b"}},
		{"by TOP, a copy more", []poptest.Message{letter("a")}, func(r *rig, server *poptest.Server) {
			r.runs("1 listed, 1 new, 1 delivered")
			list(server, letter("a"), letterOf("a", "another"))
		}, []string{"a", "a"}},
		// A look makes nothing durable, so what the target holds may be lost still.
		{"by TOP, the target holds it", []poptest.Message{letter("a")}, func(r *rig, server *poptest.Server) {
			r.runs("1 listed, 1 new, 1 delivered")
			list(server, letter("a"))
			r.runner.Store = openStore(r.t, r.t.TempDir())
		}, []string{"a"}},
	} {
		for _, by := range seeing {
			t.Run("R2449-5/"+test.name+"/"+by.name, func(t *testing.T) {
				t.Parallel()
				server := newExpiring(t, test.messages...)
				r := newRig(t, server.Addr())
				test.prepare(r, server)
				server.Wait()
				quits := server.Count("QUIT")
				survey, err := by.look(r.runner, t.Context(), &r.account)
				if err != nil || len(survey.Listing) != len(test.left) {
					t.Fatalf("%s() = %+v, %v, want %d listed", by.name, survey, err, len(test.left))
				}
				leaves(t, server, quits, test.left...)
				if survey.Capabilities["EXPIRE"][0] != "0" {
					t.Errorf("the capabilities are %v, want EXPIRE among them", survey.Capabilities)
				}
				server.CheckRules(t)
			})
		}
	}
}

// R2449-5: a look that was shown nothing, or nothing that has no record, says QUIT.
func TestExpire_lookSafe(t *testing.T) {
	t.Parallel()
	server := newExpiring(t, letter("a"), letter("b"))
	r := newRig(t, server.Addr())
	for n, by := range seeing {
		if _, err := by.look(r.runner, t.Context(), &r.account); err != nil {
			t.Errorf("%s() = %v, want no error", by.name, err)
		}
		leaves(t, server, n+1, "a", "b")
	}
}

// R2449-5: a run that ends after the server has shown all headers, and before anything is compared
// with the records, says no QUIT.
func TestExpire_notCompared(t *testing.T) {
	t.Parallel()
	server := newExpiring(t, letter("a"), letter("b"))
	hook(server, refusing("UIDL"))
	r := newRig(t, server.Addr())
	r.account.UIDLFallback = true
	r.runner.Store = wrapped{r.runner.Store, func(l seen.Ledger) seen.Ledger { return brokenDiff{l} }}
	if err := r.fails(fetch.PhaseState, "2 listed"); !errors.Is(err, errBroken) {
		t.Errorf("Run() = %v, want %v", err, errBroken)
	}
	leaves(t, server, 0, "a", "b")
}
