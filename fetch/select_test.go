package fetch_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
)

// retrieved returns the arguments of RETR in each session that sent one.
func retrieved(server *poptest.Server) []string {
	server.Wait()
	var all []string
	for _, s := range server.Sessions() {
		var numbers []string
		for _, cmd := range s.Commands() {
			if n, ok := strings.CutPrefix(cmd, "RETR "); ok {
				numbers = append(numbers, n)
			}
		}
		if len(numbers) > 0 {
			all = append(all, strings.Join(numbers, " "))
		}
	}
	return all
}

func checkRetrieved(t *testing.T, server *poptest.Server, want ...string) {
	t.Helper()
	if got := retrieved(server); !slices.Equal(got, want) {
		t.Errorf("RETR was sent in sessions for %q, want %q", got, want)
	}
}

// startSelect makes an account of a server with these messages.
func startSelect(t *testing.T, messages ...poptest.Message) (*rig, *poptest.Server) {
	t.Helper()
	t.Parallel()
	server := newServer(t, messages...)
	t.Cleanup(func() { server.CheckRules(t) })
	return newRig(t, server.Addr()), server
}

// A pass stops at its limits. What is left comes in later passes, and what is delivered is deleted.
func TestSelect_limits(t *testing.T) {
	t.Parallel()
	t.Run("messages", func(t *testing.T) {
		r, server := startSelect(t, letters(5)...)
		r.account.Select.Messages = 2
		survey, err := r.runner.Look(t.Context(), &r.account)
		if err != nil || survey.Plan.Retrieve.Len() != 2 || survey.Plan.Wait.Len() != 3 {
			t.Errorf("Look() = %+v, %v, want 2 to be retrieved and 3 to wait", survey.Plan, err)
		}
		r.runs("5 listed, 2 new, 2 delivered, 3 waiting")
		r.runs("5 listed, 2 new, 2 delivered, 1 waiting")
		r.runs("5 listed, 1 new, 1 delivered")
		r.runs("5 listed")
		checkRetrieved(t, server, "1 2", "3 4", "5")
		r.holds(letters(5)...)
	})
	t.Run("messages, newest first, deleted", func(t *testing.T) {
		r, server := startSelect(t, letters(5)...)
		r.account.Select.Messages, r.account.Newest, r.account.Delete.Enabled = 2, true, true
		r.runs("5 listed, 2 new, 2 delivered, 2 deleted, 3 waiting")
		if got := server.Drop("").UniqueIDs(); len(got) != 3 || got[2] != "102" {
			t.Errorf("left on the server are %q, want the three oldest", got)
		}
		r.runs("3 listed, 2 new, 2 delivered, 2 deleted, 1 waiting")
		checkRetrieved(t, server, "5 4", "3 2")
	})
	t.Run("octets", func(t *testing.T) {
		large := sized("large", "large", strings.Repeat("x", 5000))
		r, server := startSelect(t, letter("a"), letter("b"), large, letter("c"))
		r.account.Select.Octets = 300
		r.runs("4 listed, 2 new, 2 delivered, 2 waiting")
		r.runs("4 listed, 1 new, 1 delivered, 1 waiting") // the first goes, however large
		r.runs("4 listed, 1 new, 1 delivered")
		checkRetrieved(t, server, "1 2", "3", "4")
	})
	// A message that is refused in each run holds up no other one.
	t.Run("refused", func(t *testing.T) {
		r, server := startSelect(t, letters(4)...)
		hook(server, on("RETR 1", poptest.Refuse("no")))
		r.account.Select.Messages = 1
		r.runs("4 listed, 1 new, 1 failed, 3 waiting")
		r.runs("4 listed, 1 new, 1 delivered, 3 waiting")
		r.runs("4 listed, 1 new, 1 delivered, 2 waiting")
		r.runs("4 listed, 1 new, 1 delivered, 1 waiting")
		r.runs("4 listed, 1 new, 1 failed")
		checkRetrieved(t, server, "1", "2", "3", "4", "1")
	})
	// A pass of several sessions, because one of them broke, stays within its limit.
	t.Run("a session breaks", func(t *testing.T) {
		messages := letters(6)
		messages[1].Listed = "999" // so it is retrieved once more, alone
		r, server := startSelect(t, messages...)
		r.account.Select.Messages = 3
		r.runs("6 listed, 3 new, 3 delivered, 3 waiting")
		if got := strings.Join(retrieved(server), "|"); strings.ContainsAny(got, "5") || !strings.HasSuffix(got, "2 3") {
			t.Errorf("RETR was sent for %q, want at last 2 and 3, and never 5", got)
		}
		r.holds(messages[:3]...)
	})
	// What ends each session waits, and opens no further session.
	t.Run("breaking", func(t *testing.T) {
		r, server := startSelect(t, letters(4)...)
		hook(server, on("RETR 1", poptest.Action{End: poptest.EndByCut}))
		_ = r.fails(fetch.PhaseRetrieve, "4 listed, 4 new, 3 delivered")
		hook(server, nil)
		server.Drop("").Add(letter("a"), letter("b"), letter("c"))
		before := server.Logins()
		r.account.Select.Messages, r.account.Delete.Enabled = 2, true
		r.runs("7 listed, 2 new, 2 delivered, 5 deleted, 2 waiting")
		if got := server.Logins() - before; got != 1 {
			t.Errorf("%d log-ins, want 1", got)
		}
	})
}

// A run logs in again after so many messages. Each session deletes what it has delivered.
func TestSelect_sessions(t *testing.T) {
	t.Parallel()
	t.Run("deleted", func(t *testing.T) {
		r, server := startSelect(t, letters(5)...)
		r.account.Select.Session, r.account.Delete.Enabled = 2, true
		r.runs("5 listed, 5 new, 5 delivered, 5 deleted")
		checkRetrieved(t, server, "1 2", "1 2", "1")
		checkCount(t, server, "DELE", 5)
		r.holds(letters(5)...)
		if got := server.Logins(); got != 3 {
			t.Errorf("%d log-ins, want 3", got)
		}
	})
	t.Run("kept", func(t *testing.T) {
		r, server := startSelect(t, letters(5)...)
		r.account.Select.Session = 2
		r.runs("5 listed, 5 new, 5 delivered")
		checkRetrieved(t, server, "1 2", "3 4", "5")
		r.runs("5 listed")
		r.holds(letters(5)...)
	})
	t.Run("within the limit of a pass, newest first", func(t *testing.T) {
		r, server := startSelect(t, letters(7)...)
		r.account.Select.Session, r.account.Select.Messages, r.account.Newest = 2, 5, true
		r.runs("7 listed, 5 new, 5 delivered, 2 waiting")
		checkRetrieved(t, server, "7 6", "5 4", "3")
	})
	// --all retrieves each message once, though each session lists all of them as new.
	t.Run("all", func(t *testing.T) {
		for _, deletes := range []bool{false, true} {
			t.Run(fmt.Sprint(deletes), func(t *testing.T) {
				messages := letters(5)
				messages[4].UniqueID = messages[0].UniqueID // another message with this id
				r, server := startSelect(t, messages...)
				r.account.Select.Session, r.account.All = 2, true
				if r.account.Delete.Enabled = deletes; deletes {
					// The copy that moved up is left to the next run: its key stood for another message.
					r.runs("5 listed, 4 new, 4 delivered, 4 deleted")
					r.runs("1 listed, 1 new, 1 delivered, 1 deleted")
				} else {
					r.runs("5 listed, 5 new, 5 delivered")
				}
				checkCount(t, server, "RETR", 5)
				r.holds(messages...)
			})
		}
	})
	t.Run("copies", func(t *testing.T) {
		messages := letters(5)
		messages[4].UniqueID = messages[0].UniqueID
		r, server := startSelect(t, messages...)
		r.account.Select.Session, r.account.Delete.Enabled = 2, true
		r.runs("5 listed, 5 new, 5 delivered, 5 deleted")
		checkCount(t, server, "RETR", 5)
		r.holds(messages...)
	})
	// Refused messages come last, are tried once, and end nothing.
	t.Run("refused", func(t *testing.T) {
		r, server := startSelect(t, letters(5)...)
		hook(server, on("RETR", poptest.Refuse("no")))
		r.account.Select.Session = 2
		r.runs("5 listed, 5 new, 5 failed")
		checkCount(t, server, "RETR", 5)
		hook(server, nil)
		r.runs("5 listed, 5 new, 5 delivered")
	})
	t.Run("first run", func(t *testing.T) {
		old, recent := dated("old", "Date: "+daysAgo(40)+"\r\n"), []poptest.Message{dated("x", "Date: "+daysAgo(2)+"\r\n"), dated("y", "Date: "+daysAgo(1)+"\r\n")}
		r, server := startSelect(t, old, recent[0], recent[1])
		r.account.Initial = fetch.InitialPolicy{Limited: true, Within: 30 * day}
		r.account.Select.Session = 1
		r.runs("3 listed, 2 new, 2 delivered, 1 marked")
		checkCount(t, server, "TOP", 3) // not again in the second session
		r.holds(recent...)
	})
	// The server may refuse a log-in as too early, also one between two sessions.
	t.Run("login delay", func(t *testing.T) {
		r, server := startSelect(t, letters(3)...)
		logins := 0
		hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
			if strings.HasPrefix(cmd, "AUTH") {
				if logins++; logins == 2 {
					return poptest.Refuse("[LOGIN-DELAY] not yet")
				}
			}
			return poptest.Action{}
		})
		server.Configure(announcing("LOGIN-DELAY 1"))
		r.account.Select.Session = 1
		r.runs("3 listed, 3 new, 3 delivered")
		if logins != 4 {
			t.Errorf("%d log-ins, want 4", logins)
		}
	})
	// A server that breaks in a later session costs nothing that came before.
	t.Run("a later session fails", func(t *testing.T) {
		r, server := startSelect(t, letters(4)...)
		lists := 0
		hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
			if cmd == "LIST" {
				if lists++; lists >= 2 {
					return poptest.Cut(0)
				}
			}
			return poptest.Action{}
		})
		r.account.Select.Session, r.account.Delete.Enabled = 2, true
		result := r.run()
		if result.Err == nil || result.Delivered != 2 || result.Deleted != 2 {
			t.Errorf("the run came to %s, %v, want 2 delivered and deleted by the first session", outcome(result), result.Err)
		}
	})
}

// partly is a server that lists at most n messages.
func partly(server *poptest.Server, all []poptest.Message, n int) {
	drop := server.Drop("")
	rest := slices.Clone(all[n:])
	shown := slices.Clone(all[:n])
	list(server, shown...)
	hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
		if strings.HasPrefix(cmd, "AUTH") && len(rest) > 0 && len(drop.UniqueIDs()) == 0 {
			drop.Add(rest[:min(n, len(rest))]...)
			rest = rest[min(n, len(rest)):]
		}
		return poptest.Action{}
	})
}

// With Drain, a run goes on until a listing brings nothing new.
func TestSelect_drain(t *testing.T) {
	t.Parallel()
	t.Run("deleted", func(t *testing.T) {
		r, server := startSelect(t)
		partly(server, letters(5), 2)
		r.account.Select.Drain, r.account.Delete.Enabled = true, true
		r.runs("2 listed, 5 new, 5 delivered, 5 deleted")
		if got := server.Logins(); got != 4 {
			t.Errorf("%d log-ins, want 4: the last finds nothing", got)
		}
		r.holds(letters(5)...)
	})
	t.Run("nothing new", func(t *testing.T) {
		r, server := startSelect(t, letters(2)...)
		r.runs("2 listed, 2 new, 2 delivered")
		r.account.Select.Drain = true
		r.runs("2 listed")
		if got := server.Logins(); got != 2 {
			t.Errorf("%d log-ins, want one for each run", got)
		}
	})
	t.Run("refused", func(t *testing.T) {
		r, server := startSelect(t, letters(3)...)
		hook(server, on("RETR 2", poptest.Refuse("no")))
		r.account.Select.Drain = true
		r.runs("3 listed, 3 new, 2 delivered, 1 failed")
		checkCount(t, server, "RETR 2", 1)
		if got := server.Logins(); got != 2 {
			t.Errorf("%d log-ins, want 2", got)
		}
	})
	t.Run("limited", func(t *testing.T) {
		r, server := startSelect(t)
		partly(server, letters(6), 2)
		r.account.Select.Drain, r.account.Select.Messages, r.account.Delete.Enabled = true, 3, true
		r.runs("2 listed, 3 new, 3 delivered, 3 deleted, 1 waiting")
		if got := server.Logins(); got != 2 {
			t.Errorf("%d log-ins, want 2", got)
		}
	})
	t.Run("all", func(t *testing.T) {
		r, server := startSelect(t)
		partly(server, letters(5), 2)
		r.account.Select.Drain, r.account.All, r.account.Delete.Enabled = true, true, true
		r.runs("2 listed, 5 new, 5 delivered, 5 deleted")
		r.holds(letters(5)...)
	})
	// The first run includes its further sessions: initial holds in all of them.
	t.Run("first run", func(t *testing.T) {
		r, server := startSelect(t, letters(2)...)
		hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
			if strings.HasPrefix(cmd, "AUTH") && server.Logins() == 1 {
				server.Drop("").Add(letter("late"))
			}
			return poptest.Action{}
		})
		r.account.Select.Drain = true
		r.account.Initial = fetch.InitialPolicy{Limited: true}
		r.runs("3 listed, 3 marked")
		r.has("100", "101", "late")
	})
}

// With Only, nothing else is retrieved. What is not listed is told.
func TestSelect_named(t *testing.T) {
	t.Parallel()
	name := func(r *rig, ids ...string) {
		r.account.Select.Only = make(map[string]bool)
		for _, id := range ids {
			r.account.Select.Only[id] = true
		}
	}
	t.Run("new", func(t *testing.T) {
		r, server := startSelect(t, letters(4)...)
		name(r, "101", "103", "gone")
		r.account.Delete.Enabled = true
		r.runs("4 listed, 2 new, 2 delivered, 2 deleted, 1 unlisted")
		r.holds(letters(4)[1], letters(4)[3])
		checkRetrieved(t, server, "2 4")
		told := r.told(fetch.Warning)
		if len(told) != 1 || told[0].Code != fetch.CodeNotListed || told[0].UniqueID != "gone" {
			t.Errorf("told %+v, want once that gone is not listed", told)
		}
		name(r, "100")
		r.runs("2 listed, 1 new, 1 delivered, 1 deleted")
	})
	t.Run("seen", func(t *testing.T) {
		r, server := startSelect(t, letters(3)...)
		r.runs("3 listed, 3 new, 3 delivered")
		name(r, "101")
		r.runs("3 listed")
		r.account.All = true
		r.runs("3 listed, 1 new, 1 delivered")
		checkCount(t, server, "RETR 2", 2)
		checkCount(t, server, "RETR", 4)
	})
	// Others are neither told as too large, nor counted as quarantined.
	t.Run("others", func(t *testing.T) {
		r, _ := startSelect(t, letter("a"), sized("large", "large", strings.Repeat("x", 5000)))
		r.account.MaxSize = 1000
		name(r, "a")
		r.runs("2 listed, 1 new, 1 delivered")
		r.account.Select.Only = nil
		r.runs("2 listed, 1 skipped")
	})
	// A first run marks what it leaves out all the same.
	t.Run("first run", func(t *testing.T) {
		r, _ := startSelect(t, letters(3)...)
		r.account.Initial = fetch.InitialPolicy{Limited: true}
		name(r, "101")
		r.runs("3 listed, 1 new, 1 delivered, 2 marked")
		r.holds(letters(3)[1])
	})
	t.Run("copies", func(t *testing.T) {
		r, _ := startSelect(t, letterOf("x", "one"), letter("a"), letterOf("x", "two"))
		name(r, "x")
		r.runs("3 listed, 2 new, 2 delivered")
		r.holds(letterOf("x", "one"), letterOf("x", "two"))
	})
}

// Messages older than since are left out, by their Date. Nothing is recorded of them but that.
func TestSelect_since(t *testing.T) {
	t.Parallel()
	at := func(id string, days int) poptest.Message { return dated(id, "Date: "+daysAgo(days)+"\r\n") }
	since := func(r *rig, days int) { r.account.Select.Within = time.Duration(days) * day }

	t.Run("judged anew", func(t *testing.T) {
		r, server := startSelect(t, at("a", 40), at("b", 20), letter("c"), dated("d", "Date: yesterday\r\n"), at("e", 50))
		since(r, 30)
		survey, err := r.runner.Look(t.Context(), &r.account)
		if err != nil || survey.Plan.Retrieve.Len() != 3 || survey.Plan.LeftOut.Len() != 2 {
			t.Errorf("Look() = %+v, %v, want 3 to be retrieved and 2 left out", survey.Plan, err)
		}
		r.runs("5 listed, 3 new, 3 delivered, 2 left out")
		r.has("b", "c", "d")
		for range 2 {
			r.runs("5 listed, 2 left out")
		}
		checkCount(t, server, "TOP", 10) // by the look, and by one run
		if told := r.told(fetch.LeftOut); len(told) != 1 || told[0].Messages != 2 {
			t.Errorf("told %+v, want once that 2 are left out", told)
		}
		server.Drop("").Add(at("f", 60), at("g", 1))
		r.runs("7 listed, 1 new, 1 delivered, 3 left out")
		if told := r.told(fetch.LeftOut); len(told) != 2 || told[1].Messages != 1 {
			t.Errorf("told %+v, want then of the new one", told)
		}
		since(r, 45) // by the date that is known
		r.runs("7 listed, 1 new, 1 delivered, 2 left out")
		since(r, 0)
		r.runs("7 listed, 2 new, 2 delivered")
		checkCount(t, server, "TOP", 12)
		r.account.Delete.Enabled = true
		r.runs("7 listed, 7 deleted")
	})
	// Time goes by: what is new enough is delivered, and stays known.
	t.Run("later", func(t *testing.T) {
		r, _ := startSelect(t, at("a", 20))
		since(r, 30)
		r.runs("1 listed, 1 new, 1 delivered")
		r.later(50 * day)
		r.runs("1 listed")
	})
	t.Run("all old", func(t *testing.T) {
		r, server := startSelect(t, at("a", 40), at("b", 40))
		since(r, 30)
		r.runs("2 listed, 2 left out")
		server.Drop("").Add(at("c", 1))
		r.runs("3 listed, 1 new, 1 delivered, 2 left out")
		server.Drop("").Remove("c") // nothing that is recorded is listed, but no unique-id is new
		r.runs("2 listed, 2 left out")
		checkCount(t, server, "TOP", 3)
	})
	t.Run("LIST changes", func(t *testing.T) {
		r, server := startSelect(t, at("a", 40))
		since(r, 30)
		r.runs("1 listed, 1 left out")
		other := dated("a", "Date: "+daysAgo(1)+"\r\n")
		other.Content = append(other.Content, strings.Repeat("more\r\n", 50)...)
		list(server, other)
		r.runs("1 listed, 1 new, 1 delivered")
		r.holds(other)
	})
	t.Run("no TOP", func(t *testing.T) {
		for _, announced := range []bool{true, false} {
			t.Run(fmt.Sprint(announced), func(t *testing.T) {
				r, server := startSelect(t, at("a", 40), at("b", 40))
				noTop(server)
				if !announced {
					hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
						if cmd == "CAPA" || strings.HasPrefix(cmd, "TOP") {
							return poptest.Refuse("no such command")
						}
						return poptest.Action{}
					})
				}
				since(r, 30)
				r.runs("2 listed, 2 new, 2 delivered")
				r.warned("since is left aside")
				if told := r.told(fetch.Warning); len(told) != 1 {
					t.Errorf("%d warnings, want one", len(told))
				}
				r.runs("2 listed")
			})
		}
	})
	t.Run("TOP is refused for one", func(t *testing.T) {
		r, server := startSelect(t, at("a", 40), at("b", 40))
		hook(server, on("TOP 1", poptest.Refuse("no")))
		since(r, 30)
		r.runs("2 listed, 1 new, 1 delivered, 1 left out")
		r.has("a")
	})
	// A session that ends at a TOP costs that message nothing: it is retrieved without a date.
	t.Run("TOP breaks", func(t *testing.T) {
		r, server := startSelect(t, at("a", 40), at("b", 40), at("c", 1))
		hook(server, on("TOP 1", poptest.Action{End: poptest.EndByCut}))
		since(r, 30)
		result := r.run()
		if got := outcome(result); got != "3 listed, 2 new, 2 delivered, 1 left out" {
			t.Errorf("the run came to %s, %v, want a and c delivered", got, result.Err)
		}
		r.has("a", "c")
	})
	// The limit of a pass counts what is retrieved, and no more headers are asked for than needed.
	t.Run("limited", func(t *testing.T) {
		messages := []poptest.Message{at("o1", 40), at("n1", 1), at("o2", 40), at("n2", 1), at("n3", 1), at("o3", 40), at("n4", 1)}
		r, server := startSelect(t, messages...)
		since(r, 30)
		r.account.Select.Messages = 2
		r.runs("7 listed, 2 new, 2 delivered, 3 waiting, 2 left out")
		r.has("n1", "n2")
		checkCount(t, server, "TOP", 4)
		r.runs("7 listed, 2 new, 2 delivered, 3 left out")
		checkCount(t, server, "TOP", 7)
		r.runs("7 listed, 3 left out")
		checkCount(t, server, "TOP", 7)
	})
	t.Run("limited, newest first, in sessions", func(t *testing.T) {
		messages := []poptest.Message{at("o1", 40), at("n1", 1), at("o2", 40), at("n2", 1), at("n3", 1)}
		r, server := startSelect(t, messages...)
		since(r, 30)
		r.account.Select.Session, r.account.Newest = 1, true
		result := r.run()
		if result.Err != nil || result.Delivered != 3 || result.New != 3 {
			t.Errorf("the run came to %s, %v, want 3 delivered", outcome(result), result.Err)
		}
		checkRetrieved(t, server, "5", "4", "2")
		checkCount(t, server, "TOP", 5) // once for each
		r.runs("5 listed, 2 left out")
	})
	// What has been set aside for another reason stays so.
	t.Run("other reasons", func(t *testing.T) {
		large := at("large", 40)
		large.Content = append(large.Content, strings.Repeat("more\r\n", 500)...)
		r, server := startSelect(t, at("bad", 40), large, letter("c"))
		hook(server, on("RETR 1", poptest.Refuse("no")))
		r.account.QuarantineAfter, r.account.MaxSize = 1, 1000
		r.runs("3 listed, 2 new, 1 delivered, 1 skipped, 1 quarantined")
		since(r, 30)
		r.runs("3 listed, 1 skipped, 1 quarantined")
		r.account.MaxSize = 0 // now it is old
		for range 2 {
			r.runs("3 listed, 1 quarantined, 1 left out")
		}
		checkCount(t, server, "TOP", 1)
		since(r, 0)
		r.runs("3 listed, 1 new, 1 delivered, 1 quarantined")
	})
	t.Run("all and named", func(t *testing.T) {
		r, _ := startSelect(t, at("a", 40), at("b", 1))
		since(r, 30)
		r.runs("2 listed, 1 new, 1 delivered, 1 left out")
		r.account.All = true
		r.runs("2 listed, 1 new, 1 delivered, 1 left out")
		r.account.All, r.account.Select.Only = false, map[string]bool{"a": true}
		r.runs("2 listed, 1 new, 1 delivered")
	})
	t.Run("it was refused after it was old", func(t *testing.T) {
		r, server := startSelect(t, at("a", 40))
		since(r, 30)
		r.runs("1 listed, 1 left out")
		since(r, 50)
		hook(server, on("RETR", poptest.Refuse("no")))
		r.runs("1 listed, 1 new, 1 failed")
		hook(server, nil)
		since(r, 30) // once tried, it is tried again
		r.runs("1 listed, 1 new, 1 delivered")
	})
}
