package fetch_test

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/seen"
)

const day = 24 * time.Hour

// When DELE arrives, its message is in new/ and has a record, and so do all other messages of the
// run (C0024, behaviour 28).
func TestDelete_order(t *testing.T) {
	t.Parallel()
	for _, pipelining := range []bool{true, false} {
		t.Run(fmt.Sprintf("C0024/pipelining %v", pipelining), func(t *testing.T) {
			t.Parallel()
			messages := poptest.Numbered(150, 300) // more than two batches
			server := newServer(t, messages...)
			if !pipelining {
				server.Configure(without("PIPELINING"))
			}
			r := newRig(t, server.Addr())
			r.account.Delete.Enabled = true
			first := true
			hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
				if strings.HasPrefix(cmd, "DELE ") && first {
					first = false
					if files, records := len(r.mail()), len(r.recorded()); files != 150 || records != 150 {
						t.Errorf("at the first DELE there are %d files and %d records, want 150", files, records)
					}
				}
				return poptest.Action{}
			})
			r.runs("150 listed, 150 new, 150 delivered, 150 deleted")
			if got := len(r.told(fetch.Deleted)); got != 150 {
				t.Errorf("%d deletions told, want 150", got)
			}
			sent := commands(t, server, 1)
			last := slices.IndexFunc(sent, func(c string) bool { return strings.HasPrefix(c, "DELE") })
			if slices.ContainsFunc(sent[last:], func(c string) bool { return strings.HasPrefix(c, "RETR") }) {
				t.Error("RETR was sent after DELE, want the phases apart")
			}
			server.CheckRules(t)
		})
	}
}

// If DELE is refused, only that deletion fails. It is reported, and the next run tries it again
// (C0026).
func TestDelete_refused(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"), letter("b"), letter("c"))
	hook(server, on("DELE 2", poptest.Refuse("locked")))
	r := newRig(t, server.Addr())
	r.account.Delete.Enabled = true
	r.runs("3 listed, 3 new, 3 delivered, 2 deleted")
	r.warned("delivered messages that the server does not delete: 1; message 2: ")
	checkCount(t, server, "DELE 2", 1)
	hook(server, nil)
	r.runs("1 listed, 1 deleted")
	r.holds(letter("a"), letter("b"), letter("c"))
	checkCount(t, server, "RETR", 3)
	server.CheckRules(t)
}

// If a server refuses every DELE, one warning tells of all.
func TestDelete_refusedAll(t *testing.T) {
	t.Parallel()
	server := newServer(t, letters(30)...)
	hook(server, on("DELE", poptest.Refuse("read-only")))
	r := newRig(t, server.Addr())
	r.account.Delete.Enabled = true
	r.runs("30 listed, 30 new, 30 delivered")
	r.warned("delivered messages that the server does not delete: 30; message 1: ")
	if told := r.told(fetch.Warning); len(told) != 1 {
		t.Errorf("%d warnings, want 1", len(told))
	}
}

// If the reply to QUIT is missing or negative, nothing counts as deleted. The next run deletes the
// messages that are still listed, and does not retrieve them again (C0030).
func TestDelete_QUIT(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		action poptest.Action
		left   bool // for the next run
	}{
		{"C0030/connection lost, nothing removed", poptest.Action{End: poptest.EndByCut, Effect: poptest.EffectNone}, true},
		{"C0030/connection reset, nothing removed", poptest.Action{End: poptest.EndByReset, Effect: poptest.EffectNone}, true},
		{"C0030/connection lost, all removed", poptest.Action{End: poptest.EndByCut, Effect: poptest.EffectFull}, false},
		{"C0030/negative", poptest.Refuse("some messages were not removed"), true},
		{"C0030/foreign", poptest.Reply([]byte("221 bye\r\n")), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, letter("a"), letter("b"))
			hook(server, on("QUIT", test.action))
			r := newRig(t, server.Addr())
			r.account.Delete.Enabled = true
			_ = r.fails(fetch.PhaseQuit, "2 listed, 2 new, 2 delivered")
			if told := r.told(fetch.Deleted); len(told) > 0 {
				t.Errorf("%d deletions told, want none", len(told))
			}
			server.Wait()
			hook(server, nil)
			if test.left {
				r.runs("2 listed, 2 deleted")
			} else {
				r.runs("")
			}
			r.runs("")
			r.holds(letter("a"), letter("b"))
			checkCount(t, server, "RETR", 2)
			server.CheckRules(t)
		})
	}
	// Some servers answer QUIT with +OK and list the messages again nevertheless (behaviour 43).
	t.Run("C0030/believed, yet listed again", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, letter("a"))
		hook(server, on("QUIT", poptest.Action{Effect: poptest.EffectNone}))
		r := newRig(t, server.Addr())
		r.account.Delete.Enabled = true
		r.runs("1 listed, 1 new, 1 delivered, 1 deleted")
		server.Wait()
		hook(server, nil)
		r.runs("1 listed, 1 deleted")
		r.holds(letter("a"))
	})
}

// If a session gets out of step during DELE, it is closed without QUIT and RSET, which removes
// nothing (V0006).
func TestDelete_out_of_step(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		action poptest.Action
	}{
		{"V0006/foreign reply", poptest.Reply([]byte("what?\r\n"))},
		{"V0006/two replies", poptest.Reply([]byte("+OK\r\n+OK\r\n+OK\r\n"))},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, letter("a"), letter("b"), letter("c"))
			server.Configure(without("PIPELINING"))
			hook(server, on("DELE 2", test.action))
			r := newRig(t, server.Addr())
			r.account.Delete.Enabled = true
			result := r.run()
			if result.Err == nil {
				t.Error("Run() = no error, want one")
			}
			checkCount(t, server, "QUIT", 0)
			checkCount(t, server, "RSET", 0)
			if left := server.Drop("").UniqueIDs(); len(left) != 3 {
				t.Errorf("the maildrop holds %q, want all", left)
			}
			hook(server, nil)
			r.runs("3 listed, 3 deleted")
			r.holds(letter("a"), letter("b"), letter("c"))
			server.CheckRules(t)
		})
	}
}

// A message is deleted if it was delivered long enough ago, but not if it was only marked as seen.
func TestDelete_policy(t *testing.T) {
	t.Parallel()
	t.Run("C0024/30 days", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, letter("a"))
		r := newRig(t, server.Addr())
		r.account.Delete = fetch.DeletePolicy{Enabled: true, After: 30 * day}
		r.runs("1 listed, 1 new, 1 delivered")
		r.later(20 * day)
		server.Drop("").Add(letter("b"))
		r.runs("2 listed, 1 new, 1 delivered")
		r.later(9 * day)
		r.runs("2 listed")
		r.later(day + time.Minute)
		r.runs("2 listed, 1 deleted")
		if got := server.DeletedIDs(); !slices.Equal(got, []string{"a"}) {
			t.Errorf("%q are deleted, want a alone", got)
		}
		r.later(20 * day)
		r.runs("1 listed, 1 deleted")
		r.holds(letter("a"), letter("b"))
		server.CheckRules(t)
	})
	t.Run("C0024/never", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, letter("a"))
		r := newRig(t, server.Addr())
		r.runs("1 listed, 1 new, 1 delivered")
		r.later(1000 * day)
		r.runs("1 listed")
		checkCount(t, server, "DELE", 0)
	})
	t.Run("C0024/marked by the operator", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, letter("a"), letter("b"))
		r := newRig(t, server.Addr())
		r.account.Delete.Enabled = true
		ledger, err := r.runner.Store.Enter(t.Context(), "work", server.Addr(), user)
		if err != nil {
			t.Fatal(err)
		}
		mark := seen.Record{Key: seen.Key{UniqueID: "a"}, Kind: seen.Marked, DeliveredAt: time.Now()}
		if err := ledger.Apply(t.Context(), seen.Changes{Records: slices.Values([]seen.Record{mark})}); err != nil {
			t.Fatal(err)
		}
		r.runs("2 listed, 1 new, 1 delivered, 1 deleted")
		r.holds(letter("b"))
		if got := server.Drop("").UniqueIDs(); !slices.Equal(got, []string{"a"}) {
			t.Errorf("the maildrop holds %q, want a", got)
		}
	})
	t.Run("C0024/kept first, deleted later", func(t *testing.T) {
		t.Parallel()
		messages := poptest.Numbered(30, 200)
		server := newServer(t, messages...)
		r := newRig(t, server.Addr())
		r.runs("30 listed, 30 new, 30 delivered")
		r.account.Delete.Enabled = true
		r.runs("30 listed, 30 deleted")
		checkCount(t, server, "RETR", 30)
		checkCount(t, server, "TOP", 30) // each is shown to be the message of its record
		server.CheckRules(t)
	})
}

// TestRandom makes a server refuse, cut and renumber at random over many runs. The rules hold in
// each session (C0013, C0026, V0004, V0006), and only messages in new/ are deleted. In the end each
// message is there once.
func TestRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprintf("C0026/seed %d", seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 1))
			server := newServer(t)
			if random.IntN(2) == 0 {
				server.Configure(without("PIPELINING"))
			}
			r := newRig(t, server.Addr())
			var all []poptest.Message
			trouble := func(s *poptest.Session, cmd string) poptest.Action {
				dice := rand.New(rand.NewPCG(seed, hashOf(s.Number(), cmd))).IntN(60)
				keyword, _, _ := strings.Cut(cmd, " ")
				switch {
				case dice == 0 && keyword != "":
					return poptest.Cut(5)
				case dice < 4 && (keyword == "RETR" || keyword == "DELE" || keyword == "TOP" || keyword == "STAT"):
					return poptest.Refuse("not now")
				}
				return poptest.Action{}
			}
			for run := range 12 {
				for range random.IntN(8) {
					m := letter(fmt.Sprintf("%d-%d", run, len(all)))
					all = append(all, m)
					server.Drop("").Add(m)
				}
				if ids := server.Drop("").UniqueIDs(); len(ids) > 0 && random.IntN(4) == 0 {
					last := server.Drop("").Messages()[len(ids)-1] // the order of the listing changes
					server.Drop("").Remove(last.UniqueID)
					server.Drop("").Add(last)
				}
				hook(server, trouble)
				r.account.Delete.Enabled = random.IntN(3) > 0
				r.run()
				server.Wait()
				for _, id := range server.DeletedIDs() {
					i := slices.IndexFunc(all, func(m poptest.Message) bool { return m.UniqueID == id })
					if !slices.Contains(r.mail(), delivered(all[i].Content)) {
						t.Fatalf("run %d: %s is deleted and not in new/", run, id)
					}
				}
			}
			hook(server, nil)
			r.account.Delete.Enabled = true
			if result := r.run(); result.Err != nil {
				t.Errorf("the last run = %v, want no error", result.Err)
			}
			r.holds(all...)
			if left := server.Drop("").UniqueIDs(); len(left) > 0 {
				t.Errorf("the maildrop holds %q, want nothing", left)
			}
			server.CheckRules(t)
		})
	}
}

// hashOf makes the fault of a command depend only on its session and its words.
func hashOf(session int, cmd string) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, session, cmd) // a hash takes everything
	return h.Sum64()
}
