package fetch_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
)

// rename gives all messages new unique-ids, as a move to another server does.
func rename(server *poptest.Server) {
	server.Drop("").SetUIDs(func(i int, _ string) string { return fmt.Sprintf("new-%d", i) })
}

// list makes the maildrop hold these messages.
func list(server *poptest.Server, messages ...poptest.Message) {
	drop := server.Drop("")
	drop.Remove(drop.UniqueIDs()...)
	drop.Add(messages...)
}

// under returns the message with another unique-id.
func under(id string, m poptest.Message) poptest.Message {
	m.UniqueID = id
	return m
}

// noTop makes a server neither announce nor know TOP.
func noTop(server *poptest.Server) {
	server.Configure(without("TOP"))
	hook(server, on("TOP", poptest.Refuse("no such command")))
}

// TestNewUIDs changes all unique-ids at once (C0040, behaviour 5) in each mode of new_uids, with
// and without TOP.
func TestNewUIDs(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, messages ...poptest.Message) (*rig, *poptest.Server) {
		t.Helper()
		t.Parallel()
		server := newServer(t, messages...)
		t.Cleanup(func() { server.CheckRules(t) })
		return newRig(t, server.Addr()), server
	}
	a, b, c := letter("a"), letter("b"), letter("c")

	t.Run("C0040/match", func(t *testing.T) {
		r, server := start(t, a, b)
		r.runs("2 listed, 2 new, 2 delivered")
		before := r.records()
		rename(server)
		server.Drop("").Add(c)
		r.runs("3 listed, 1 new, 1 delivered")
		r.warned("shows only new unique-ids; 2 of its 3 messages are known")
		checkCount(t, server, "RETR", 3)
		r.has("c", "new-0", "new-1") // and no second record of anything
		for i, after := range r.records()[1:] {
			want := before[i]
			want.UniqueID = after.UniqueID
			if !reflect.DeepEqual(after, want) {
				t.Errorf("the record of %s = %+v, want what it told before: %+v", after.UniqueID, after, want)
			}
		}
		r.runs("3 listed")
		r.holds(a, b, c)
	})
	t.Run("C0040/match, then delete", func(t *testing.T) {
		r, server := start(t, a, b)
		r.runs("2 listed, 2 new, 2 delivered")
		rename(server)
		server.Drop("").Add(c)
		r.account.Delete.Enabled = true
		r.runs("3 listed, 1 new, 1 delivered, 1 deleted")
		r.runs("2 listed, 2 deleted") // the server has shown its new ids twice by then
		r.runs("")
		r.holds(a, b, c)
	})
	t.Run("C0040/match at another server", func(t *testing.T) {
		r, _ := start(t, a, b)
		r.runs("2 listed, 2 new, 2 delivered")
		other := newServer(t, under("1", b), under("2", c), under("3", a))
		r.account.Server = poptest.InClear(other.Addr(), true)
		r.runs("3 listed, 1 new, 1 delivered")
		r.has("1", "2", "3")
		r.runs("3 listed")
		r.holds(a, b, c)
	})
	// A new server is empty at first, and the mail comes later. Messages that listings lacked are
	// still known.
	t.Run("C0040/match after an empty listing", func(t *testing.T) {
		r, server := start(t, a, b)
		r.runs("2 listed, 2 new, 2 delivered")
		list(server)
		r.runs("")
		list(server, under("1", a), under("2", b))
		r.runs("2 listed")
		r.holds(a, b)
	})
	t.Run("C0041/another copy after an empty listing", func(t *testing.T) {
		first, second := letter("a"), letter("a") // as to one who is addressed directly and by a list: equal headers
		first.Content = append(first.Content, strings.Repeat("x", 300)...)
		second.Content = append(second.Content, strings.Repeat("x", 300)+"footer"...)
		r, server := start(t, first)
		r.runs("1 listed, 1 new, 1 delivered")
		list(server)
		r.runs("")
		list(server, under("by-list", second))
		r.account.Delete.Enabled = true
		r.runs("1 listed, 1 new, 1 delivered, 1 deleted")
		r.holds(first, second)
	})
	t.Run("C0040/match without TOP", func(t *testing.T) {
		r, server := start(t, a, b, sized("d", "d", "1"))
		noTop(server)
		r.runs("3 listed, 3 new, 3 delivered")
		rename(server)
		server.Drop("").Add(c, sized("e", "d", "2")) // the header of a known message, and another body
		r.runs("5 listed, 2 new, 2 delivered")
		r.warned("has no TOP")
		r.runs("5 listed")
		r.holds(a, b, c, sized("d", "d", "1"), sized("e", "d", "2"))
	})
	t.Run("C0040/match while TOP is refused for one", func(t *testing.T) {
		r, server := start(t, a, b)
		r.runs("2 listed, 2 new, 2 delivered")
		rename(server)
		hook(server, on("TOP 1", poptest.Refuse("not now")))
		r.runs("2 listed")
		r.has("new-0", "new-1")
		r.holds(a, b)
	})
	// Their headers are equal, but only one of the two is known.
	t.Run("C0040/headers alike, one is new", func(t *testing.T) {
		known, fresh := sized("x", "one", "1"), sized("y", "one", "2")
		r, server := start(t, known)
		r.runs("1 listed, 1 new, 1 delivered")
		list(server, under("1", fresh), under("2", known))
		r.account.Delete.Enabled = true
		r.runs("2 listed, 1 new, 1 delivered, 1 deleted")
		r.has("1", "2")
		r.runs("1 listed, 1 deleted")
		r.holds(known, fresh)
	})
	t.Run("C0040/headers alike, several known", func(t *testing.T) {
		one, two, three := sized("x", "one", "1"), sized("y", "one", "2"), sized("z", "one", "3")
		r, server := start(t, one, two)
		r.runs("2 listed, 2 new, 2 delivered")
		list(server, under("1", three), under("2", two))
		r.runs("2 listed, 1 new, 1 delivered")
		r.holds(one, two, three)
		r.runs("2 listed")
	})
	// Copies are counted, even if nothing tells them apart.
	t.Run("C0041/equal in all octets", func(t *testing.T) {
		r, server := start(t, under("x", a), under("y", a))
		r.runs("2 listed, 2 new, 2 delivered")
		list(server, under("1", a), under("2", a), under("3", a))
		r.runs("3 listed, 1 new, 1 delivered")
		r.has("1", "2", "3")
		r.holds(a, a, a)
	})
	// Without Message-ID and Date, quite different messages have equal headers: this is another
	// alarm.
	t.Run("C0040/no Message-ID", func(t *testing.T) {
		alarm := func(id, body string) poptest.Message {
			return poptest.Message{UniqueID: id, Content: []byte("From: printer\r\nSubject: alarm\r\n\r\n" + body + "\r\n")}
		}
		r, server := start(t, alarm("x", "1"))
		r.runs("1 listed, 1 new, 1 delivered")
		list(server, alarm("y", "2"))
		r.runs("1 listed, 1 new, 1 delivered")
		r.holds(alarm("x", "1"), alarm("y", "2"))
		rename(server)
		r.runs("1 listed")
	})
	// The new server adds header lines, and stores the text in another way.
	t.Run("C0040/clearly other octets", func(t *testing.T) {
		moved := func(m poptest.Message) poptest.Message {
			added := "Received: from old.example.org by new.example.org;\r\n" + strings.Repeat("X-Moved: by a program that moves mail\r\n", 40)
			m.Content = append([]byte(added), append(m.Content, strings.Repeat("and more ", 200)+"\r\n"...)...)
			return m
		}
		r, server := start(t, a, b, c)
		r.runs("3 listed, 3 new, 3 delivered")
		list(server, under("1", moved(c)), under("2", moved(a)), letter("d"), under("3", moved(b)))
		r.runs("4 listed, 1 new, 1 delivered")
		r.has("1", "2", "3", "d")
		checkCount(t, server, "RETR", 4)
		r.account.Delete.Enabled = true
		r.runs("4 listed, 4 deleted")
		r.holds(a, b, c, letter("d"))
	})
	// Two listed messages have the header of one record, or the other way round: the octets decide.
	t.Run("C0040/clearly other octets, not one on each side", func(t *testing.T) {
		short, long, longer := sized("x", "one", "1"), sized("y", "one", strings.Repeat("and more ", 30)), sized("z", "one", strings.Repeat("and more ", 60))
		r, server := start(t, short)
		r.runs("1 listed, 1 new, 1 delivered")
		list(server, under("1", long), under("2", short))
		r.runs("2 listed, 1 new, 1 delivered")
		list(server, under("3", longer))
		r.runs("1 listed, 1 new, 1 delivered")
		r.holds(short, long, longer)
	})
	// A run that breaks off before everything is recognised has changed nothing.
	for _, cut := range []string{"TOP 2", "RETR 3"} {
		t.Run("C0040/broken off at "+cut, func(t *testing.T) {
			one, two := sized("x", "one", "1"), sized("y", "one", "2")
			r, server := start(t, a, one, two)
			r.runs("3 listed, 3 new, 3 delivered")
			before := r.recorded()
			rename(server)
			hook(server, on(cut, poptest.Cut(0)))
			_ = r.fails(fetch.PhaseIdentify, "3 listed")
			r.has(before...)
			hook(server, nil)
			r.runs("3 listed")
			r.has("new-0", "new-1", "new-2")
			r.holds(a, one, two)
		})
	}
	t.Run("C0040/fetch", func(t *testing.T) {
		r, server := start(t, a, b)
		r.runs("2 listed, 2 new, 2 delivered")
		rename(server)
		r.account.NewUIDs = fetch.NewUIDsFetch
		r.runs("2 listed, 2 new, 2 delivered")
		checkCount(t, server, "TOP", 0)
		r.holds(a, a, b, b)
		r.runs("2 listed")
	})
	t.Run("C0040/stop", func(t *testing.T) {
		r, server := start(t, a, b)
		r.account.NewUIDs = fetch.NewUIDsStop
		r.runs("2 listed, 2 new, 2 delivered")
		server.Drop("").Add(c)
		r.runs("3 listed, 1 new, 1 delivered") // some are known
		rename(server)
		for range 2 {
			err := r.fails(fetch.PhaseIdentify, "3 listed")
			if !errors.Is(err, fetch.ErrNewUIDs) || !strings.Contains(err.Error(), `set new_uids = "match"`) {
				t.Errorf("Run() = %v, want ErrNewUIDs and the mend", err)
			}
		}
		checkCount(t, server, "QUIT", 4)
		r.account.NewUIDs = fetch.NewUIDsMatch
		r.runs("3 listed")
		r.holds(a, b, c)
	})
	// If all delivered messages are deleted as they should be, new mail neither stops the run nor
	// needs TOP.
	t.Run("C0040/all were deleted", func(t *testing.T) {
		r, server := start(t, a, b)
		r.account.Delete.Enabled = true
		r.account.NewUIDs = fetch.NewUIDsStop
		r.runs("2 listed, 2 new, 2 delivered, 2 deleted")
		server.Drop("").Add(c)
		r.runs("1 listed, 1 new, 1 delivered, 1 deleted")
		r.account.NewUIDs = fetch.NewUIDsMatch
		server.Drop("").Add(letter("d"))
		r.runs("1 listed, 1 new, 1 delivered, 1 deleted")
		checkCount(t, server, "TOP", 0)
	})
	// If only some ids have changed, these messages count as new.
	t.Run("C0040/half of them", func(t *testing.T) {
		r, server := start(t, a, b)
		r.runs("2 listed, 2 new, 2 delivered")
		list(server, a, under("new", b))
		r.runs("2 listed, 1 new, 1 delivered")
		checkCount(t, server, "TOP", 0)
	})
	t.Run("C0040/marked by a first run", func(t *testing.T) {
		r, server := start(t, a, b)
		r.account.Initial.Limited = true
		r.runs("2 listed, 2 marked")
		rename(server)
		server.Drop("").Add(c)
		r.runs("3 listed, 1 new, 1 delivered")
		r.holds(c)
	})
	t.Run("C0040/a look changes nothing", func(t *testing.T) {
		r, server := start(t, a, b)
		r.runs("2 listed, 2 new, 2 delivered")
		rename(server)
		server.Drop("").Add(c)
		survey, err := r.runner.Look(t.Context(), &r.account)
		if err != nil || survey.Plan.Retrieve.Len() != 1 || slices.Collect(survey.Plan.Retrieve.All())[0].UniqueID != "c" {
			t.Fatalf("Look() = %+v, %v, want that c would be retrieved", survey, err)
		}
		r.has("a", "b")
		r.account.NewUIDs = fetch.NewUIDsStop
		if _, err := r.runner.Look(t.Context(), &r.account); err != nil {
			t.Errorf("Look() = %v, want a warning", err)
		}
		r.warned(`set new_uids = "match"`)
		r.account.NewUIDs = fetch.NewUIDsMatch
		r.runs("3 listed, 1 new, 1 delivered")
	})
	// The octets behind a torso are compared with nothing (behaviour 38). Further sessions go on
	// without the torso.
	for _, always := range []bool{false, true} {
		t.Run(fmt.Sprintf("C0040/a torso among those in doubt, always %v", always), func(t *testing.T) {
			one, two := sized("x", "one", "1"), sized("y", "one", "2")
			r, server := start(t, one, two, a)
			r.runs("3 listed, 3 new, 3 delivered")
			rename(server)
			hook(server, func(s *poptest.Session, cmd string) poptest.Action {
				if (always || s.Number() == 2) && cmd == "RETR 1" {
					return poptest.Reply([]byte("+OK\r\n.\r\n+OK\r\nSubject: forged\r\n\r\n.\r\n"))
				}
				return poptest.Action{}
			})
			if always {
				r.runs("3 listed, 1 new, 1 quarantined")
				r.has("new-1", "new-2", "x")
			} else {
				r.runs("3 listed")
				r.has("new-0", "new-1", "new-2")
			}
			r.holds(one, two, a)
		})
	}
}

// TestNewUIDs_random changes ids, order and content of random maildrops with many equal headers,
// with TOP and without. It also makes sessions break off. No message is lost, and none comes more
// often than it was sent.
func TestNewUIDs_random(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprintf("C0040/seed %d", seed), func(t *testing.T) {
			t.Parallel()
			runNewUIDs(t, seed)
		})
	}
}

func runNewUIDs(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 5))
	server := newServer(t)
	if random.IntN(3) == 0 {
		noTop(server)
	}
	var mu sync.Mutex // a session may end later than the next one begins
	trouble := func(cut bool) {
		hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
			mu.Lock()
			defer mu.Unlock()
			keyword, _, _ := strings.Cut(cmd, " ")
			if cut && random.IntN(40) == 0 && (keyword == "TOP" || keyword == "RETR") {
				return poptest.Cut(0)
			}
			if keyword == "TOP" && seed%4 == 3 && random.IntN(4) == 0 {
				return poptest.Refuse("not now")
			}
			return poptest.Action{}
		})
	}
	r := newRig(t, server.Addr())
	var all, drop []poptest.Message
	for round := range 8 {
		server.Wait()
		if round%2 == 1 {
			for i := range drop {
				drop[i].UniqueID = fmt.Sprintf("%d.%d", round, i)
			}
			random.Shuffle(len(drop), func(i, j int) { drop[i], drop[j] = drop[j], drop[i] })
		}
		drop = slices.DeleteFunc(drop, func(poptest.Message) bool { return random.IntN(8) == 0 })
		for i := range random.IntN(6) {
			about, body := random.IntN(8), random.IntN(3)
			m := sized(fmt.Sprintf("%d+%d", round, i), fmt.Sprint("about ", about), strings.Repeat("and more ", 40*(about%3)))
			if random.IntN(2) == 0 { // without a Message-ID, messages with equal headers may differ
				text := fmt.Sprintf("Subject: about %d\r\n\r\n%s\r\n", about, strings.Repeat("and more ", 40*body))
				m.Content = []byte(text)
			}
			all, drop = append(all, m), append(drop, m)
		}
		list(server, drop...)
		trouble(true)
		for range 3 {
			r.run()
			server.Wait()
		}
		trouble(false)
		if result := r.run(); result.Err != nil {
			t.Fatalf("round %d: %v", round, result.Err)
		}
	}
	sent, came := make(map[string]int), make(map[string]int)
	for _, m := range all {
		sent[delivered(m.Content)]++
	}
	for _, m := range r.mail() {
		came[m]++
	}
	for m, n := range sent {
		if came[m] < 1 || came[m] > n {
			t.Errorf("sent %d times, came %d times: %.80q", n, came[m], m)
		}
	}
	server.CheckRules(t)
}
