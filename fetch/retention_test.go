package fetch_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/seen"
)

// kept checks which messages the maildrop still holds.
func kept(t *testing.T, server *poptest.Server, want ...string) {
	t.Helper()
	server.Wait()
	if got := server.Drop("").UniqueIDs(); !slices.Equal(got, want) {
		t.Errorf("the maildrop holds %q, want %q", got, want)
	}
}

// ruled makes an account with these rules, at a server whose rules are checked at the end.
func ruled(t *testing.T, rules fetch.DeletePolicy, messages ...poptest.Message) (*rig, *poptest.Server) {
	t.Helper()
	t.Parallel()
	server := newServer(t, messages...)
	t.Cleanup(func() { server.CheckRules(t) })
	r := newRig(t, server.Addr())
	r.account.Delete = rules
	return r, server
}

// logged returns the log of deletions: unique-id and rule.
func (r *rig) logged() []string {
	r.t.Helper()
	ledger, err := r.runner.Store.Look(r.t.Context(), r.account.Name, r.account.Server, r.account.User)
	if err != nil {
		r.t.Fatal(err)
	}
	var all []string
	for d, err := range ledger.Deletions(r.t.Context(), time.Time{}) {
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, d.UniqueID+" "+d.Rule)
	}
	return all
}

func (r *rig) logs(want ...string) {
	r.t.Helper()
	if got := r.logged(); !slices.Equal(got, want) {
		r.t.Errorf("the log has %q, want %q", got, want)
	}
}

// foretells checks what a dry run would delete, and by which rule.
func (r *rig) foretells(want ...string) {
	r.t.Helper()
	survey, err := r.runner.Look(r.t.Context(), &r.account)
	if err != nil {
		r.t.Fatal(err)
	}
	var got []string
	for e := range survey.Plan.Delete.All() {
		got = append(got, e.UniqueID+" "+survey.Plan.Rules[e.Number])
	}
	if !slices.Equal(got, want) {
		r.t.Errorf("a look foretells %q, want %q", got, want)
	}
}

// take removes the file of a message from the Maildir.
func (r *rig) take(subject string) string {
	r.t.Helper()
	path := r.fileOf(subject)
	if err := os.Remove(path); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// fileOf returns the path of the only file of a letter.
func (r *rig) fileOf(subject string) string {
	r.t.Helper()
	for _, name := range filesIn(r.t, filepath.Join(r.maildir, "new")) {
		path := filepath.Join(r.maildir, "new", name)
		content, err := os.ReadFile(path)
		if err != nil {
			r.t.Fatal(err)
		}
		if strings.Contains(string(content), "\nSubject: "+subject+"\n") {
			return path
		}
	}
	r.t.Fatalf("no file is about %s", subject)
	return ""
}

// moves makes folders as needed and moves a file.
func moves(t *testing.T, from, to string) {
	t.Helper()
	for _, part := range []string{"new", "cur", "tmp"} {
		if err := os.MkdirAll(filepath.Join(filepath.Dir(filepath.Dir(to)), part), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func large(id string) poptest.Message {
	m := letter(id)
	m.Content = append(m.Content, []byte(strings.Repeat("x", 70)+"\r\n"+strings.Repeat("y", 70)+"\r\n")...)
	return m
}

// What is larger than a limit is deleted as soon as it is delivered, also if an earlier run has
// delivered it. What was only marked stays.
func TestDelete_larger(t *testing.T) {
	r, server := ruled(t, fetch.DeletePolicy{Larger: 100}, letter("a"), large("b"), large("c"), large("m"))
	r.account.Delete.Larger = 0
	r.marks("m")
	r.runs("4 listed, 3 new, 3 delivered")
	r.account.Delete.Larger = 100
	server.Drop("").Add(large("d"))
	r.foretells("b larger_than", "c larger_than", "d larger_than")
	r.runs("5 listed, 1 new, 1 delivered, 3 deleted")
	kept(t, server, "a", "m")
	r.logs("b larger_than", "c larger_than", "d larger_than")
	r.runs("2 listed")
	checkCount(t, server, "RETR", 4)
}

// A message of exactly the limit stays.
func TestDelete_largerThanItself(t *testing.T) {
	m := large("a")
	r, server := ruled(t, fetch.DeletePolicy{Larger: int64(len(poptest.Wire(m.Content)))}, m)
	r.runs("1 listed, 1 new, 1 delivered")
	r.account.Delete.Larger--
	r.runs("1 listed, 1 deleted")
	kept(t, server)
}

// The last listed messages stay, whatever the other rules say; --delete and --keep override that.
func TestDelete_newest(t *testing.T) {
	r, server := ruled(t, fetch.DeletePolicy{Enabled: true, Larger: 1, Newest: 2}, letters(5)...)
	ids := server.Drop("").UniqueIDs()
	r.foretells(ids[0]+" delivered", ids[1]+" delivered", ids[2]+" delivered")
	r.runs("5 listed, 5 new, 5 delivered, 3 deleted")
	kept(t, server, ids[3:]...)
	r.runs("2 listed")
	checkCount(t, server, "TOP", 0) // what stays is not looked at
	server.Drop("").Add(letter("new"))
	r.runs("3 listed, 1 new, 1 delivered, 1 deleted")
	kept(t, server, ids[4], "new")
	r.account.Delete.Keep = true
	r.account.Delete.Newest = 0
	r.foretells()
	r.runs("2 listed")
	r.account.Delete = fetch.DeletePolicy{Enabled: true, Newest: 1}
	r.account.All = true
	r.foretells(ids[4] + " delivered")
	r.account.All = false
	r.account.Delete = fetch.DeletePolicy{Enabled: true, Newest: 2, All: true}
	r.foretells(ids[4]+" --delete", "new --delete")
	r.runs("2 listed, 2 deleted")
	kept(t, server)
}

// With an age, too, the newest messages stay.
func TestDelete_newestByAge(t *testing.T) {
	r, server := ruled(t, fetch.DeletePolicy{Enabled: true, After: day, Newest: 1}, letter("a"), letter("b"), letter("c"))
	r.runs("3 listed, 3 new, 3 delivered")
	r.later(day + time.Minute)
	r.runs("3 listed, 2 deleted")
	kept(t, server, "c")
	r.logs("a after", "b after")
	checkCount(t, server, "TOP", 2)
}

// marks records that messages were only marked.
func (r *rig) marks(ids ...string) { r.t.Helper(); r.notes(seen.Marked, ids...) }

// notes records messages of a kind, without a digest.
func (r *rig) notes(kind seen.Kind, ids ...string) {
	r.t.Helper()
	ledger, err := r.runner.Store.Enter(r.t.Context(), r.account.Name, r.account.Server, r.account.User)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, id := range ids {
		record := seen.Record{Key: seen.Key{UniqueID: id}, Kind: kind, DeliveredAt: r.now()}
		if err := ledger.Apply(r.t.Context(), seen.Changes{Records: slices.Values([]seen.Record{record})}); err != nil {
			r.t.Fatal(err)
		}
	}
}

// become changes the kind of records.
func (r *rig) become(kind seen.Kind, ids ...string) {
	r.t.Helper()
	ledger, err := r.runner.Store.Enter(r.t.Context(), r.account.Name, r.account.Server, r.account.User)
	if err != nil {
		r.t.Fatal(err)
	}
	records, err := ledger.Records(r.t.Context(), ids)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := range records {
		records[i].Kind, records[i].Places = kind, nil
	}
	if err := ledger.Apply(r.t.Context(), seen.Changes{Records: slices.Values(records)}); err != nil {
		r.t.Fatal(err)
	}
}

// What was only marked is deleted if somebody names it and says --delete, and not otherwise.
func TestDelete_named(t *testing.T) {
	r, server := ruled(t, fetch.DeletePolicy{}, letter("a"), letter("b"), letter("c"), letter("d"))
	r.marks("a", "b")
	r.runs("4 listed, 2 new, 2 delivered")
	r.account.Select.Only = map[string]bool{"a": true, "c": true}
	r.account.Delete.Enabled = true
	r.runs("4 listed, 1 deleted")
	kept(t, server, "a", "b", "d")
	r.account.Delete = fetch.DeletePolicy{All: true, Keep: true}
	r.foretells()
	r.account.Delete = fetch.DeletePolicy{All: true}
	r.foretells("a --delete")
	r.runs("3 listed, 1 deleted, 1 unlisted")
	kept(t, server, "b", "d")
	r.account.Select.Only = nil
	r.runs("2 listed, 1 deleted")
	kept(t, server, "b")
	r.logs("c delivered", "a --delete", "d --delete")
}

// What the target is found to hold gets its record, but is deleted only if it is named.
func TestDelete_namedFound(t *testing.T) {
	r, server := ruled(t, fetch.DeletePolicy{Enabled: true}, letter("a"), letter("b"))
	r.account.Delete.Keep = true
	r.runs("2 listed, 2 new, 2 delivered")
	r.runner.Store = openStore(t, t.TempDir())
	r.account.Delete.Keep = false
	r.account.Select.Only = map[string]bool{"a": true}
	r.runs("2 listed, 2 recognised, 1 deleted")
	kept(t, server, "b")
}

// What the first run has left out has a digest. Only who names it deletes it.
func TestDelete_leftOut(t *testing.T) {
	r, server := ruled(t, fetch.DeletePolicy{All: true}, letter("a"), letter("b"))
	r.account.Initial.Limited = true
	r.runs("2 listed, 2 marked")
	r.runs("2 listed")
	r.account.Select.Only = map[string]bool{"a": true}
	r.runs("2 listed, 1 deleted")
	kept(t, server, "b")
}

// A dropped message is deleted by the same rules as a delivered one. It lies nowhere, so verify does
// not keep it.
func TestDelete_dropped(t *testing.T) {
	r, server := ruled(t, fetch.DeletePolicy{}, letter("a"), letter("b"))
	r.runs("2 listed, 2 new, 2 delivered")
	r.become(seen.Dropped, "a")
	r.runs("2 listed")
	r.account.Delete = fetch.DeletePolicy{Enabled: true, After: day}
	r.later(day - time.Minute)
	r.runs("2 listed")
	r.account.Delete.Verify = true
	r.take("b")
	r.later(2 * time.Minute)
	r.runs("2 listed, 1 deleted")
	kept(t, server, "b")
	r.logs("a after")
}

// A dropped message that comes again is known by its octets, and still counts as dropped.
func TestDelete_droppedAgain(t *testing.T) {
	r, server := ruled(t, fetch.DeletePolicy{Enabled: true}, letter("a"))
	r.account.Delete.Keep = true
	r.runs("1 listed, 1 new, 1 delivered")
	r.become(seen.Dropped, "a")
	r.account.Delete.Keep = false
	r.runs("1 listed, 1 deleted")
	server.Configure(without("TOP"))
	server.Drop("").Add(letter("a"))
	r.runs("1 listed, 1 new, 1 recognised, 1 deleted")
	if got := r.kinds()["a"]; got != seen.Dropped {
		t.Errorf("the record is of kind %d, want that it was dropped", got)
	}
}

// A discarded message is deleted whatever the rules are, unless nothing may be deleted. Another
// message under its unique-id stays.
func TestDelete_discarded(t *testing.T) {
	r, server := ruled(t, fetch.DeletePolicy{Newest: 3}, letter("a"), letter("b"), letter("c"))
	r.account.Delete.Keep = true
	r.runs("3 listed, 3 new, 3 delivered")
	r.become(seen.Discarded, "a", "b", "c")
	relist(server, letterOf("a", "another"), letter("b"), letter("c"))
	r.foretells()
	r.account.Delete.Keep = false
	r.foretells("b filter_headers", "c filter_headers")
	r.runs("3 listed, 1 new, 1 delivered, 2 deleted")
	kept(t, server, "a")
	r.logs("b filter_headers", "c filter_headers")
	r.runs("1 listed")
}

// What was discarded does not count among the newest messages that stay.
func TestDelete_newestBesideDiscarded(t *testing.T) {
	r, server := ruled(t, fetch.DeletePolicy{}, letter("a"), letter("b"), letter("c"))
	r.runs("3 listed, 3 new, 3 delivered")
	r.become(seen.Discarded, "c")
	r.account.Delete = fetch.DeletePolicy{Enabled: true, Newest: 1}
	r.runs("3 listed, 2 deleted")
	kept(t, server, "b")
}

// A file that is altered or gone keeps its message on the server; one that was moved and renamed by
// flags does not.
func TestDelete_verify(t *testing.T) {
	r, server := ruled(t, fetch.DeletePolicy{}, letter("a"), letter("b"), letter("c"), letter("d"))
	r.runs("4 listed, 4 new, 4 delivered")
	r.account.Delete = fetch.DeletePolicy{Enabled: true, Verify: true}
	r.take("a")
	b := r.fileOf("b")
	if err := os.Chmod(b, 0o600); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)-2] ^= 1
	if err := os.WriteFile(b, content, 0o600); err != nil {
		t.Fatal(err)
	}
	c := r.fileOf("c")
	moves(t, c, filepath.Join(r.maildir, ".Archive", "cur", filepath.Base(c)+":2,ST"))
	r.foretells("c delivered", "d delivered")
	r.runs("4 listed, 2 deleted")
	kept(t, server, "a", "b")
	r.runs("2 listed")
	// --delete wants the proof, too.
	r.account.Delete.All = true
	r.runs("2 listed")
	r.account.Delete.Verify = false
	r.runs("2 listed, 2 deleted")
	kept(t, server)
}

// A message that is delivered in this run is read back before it is deleted.
func TestDelete_verifyAtOnce(t *testing.T) {
	r, server := ruled(t, fetch.DeletePolicy{Enabled: true, Verify: true}, letter("a"), letter("b"))
	hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
		if strings.HasPrefix(cmd, "DELE") && len(r.mail()) != 2 {
			t.Error("DELE came before all files were there")
		}
		return poptest.Action{}
	})
	r.runs("2 listed, 2 new, 2 delivered, 2 deleted")
	kept(t, server)
}

// What a program has taken cannot be read back, so it stays, and that is told.
func TestDelete_verifyProgram(t *testing.T) {
	r, server := ruled(t, fetch.DeletePolicy{Enabled: true, Verify: true}, letter("a"), letter("b"))
	r.account.Target = &deliver.MDA{Command: "cat >/dev/null"}
	r.runs("2 listed, 2 new, 2 delivered")
	r.warned("verify deletes only what lies in a Maildir or an mbox")
	if n := r.warnings(fetch.CodeNotVerified); n != 1 {
		t.Errorf("told %d times, want once", n)
	}
	kept(t, server, "a", "b")
}

// A time of delivery that is still to come makes nothing due, and is told.
func TestDelete_future(t *testing.T) {
	r, server := ruled(t, fetch.DeletePolicy{}, letter("a"))
	r.later(3000 * day)
	r.runs("1 listed, 1 new, 1 delivered")
	r.later(-3000 * day)
	r.account.Delete = fetch.DeletePolicy{Enabled: true, Larger: 1, Removed: true}
	r.runs("1 listed")
	r.warned("at a time that is still to come")
	r.account.Delete = fetch.DeletePolicy{Enabled: true, After: day}
	r.events = nil
	r.runs("1 listed")
	r.warned("but the newest record is of")
	kept(t, server, "a")
	r.account.Delete.All = true
	r.runs("1 listed, 1 deleted")
}

// With --all, a further session knows by its unique-id what an earlier one has delivered. Where
// unique-ids are only numbers, that may be another message by then. It is not deleted.
func TestDelete_allRenumbered(t *testing.T) {
	two, three := letterOf("2", "two"), large("3")
	rules := fetch.DeletePolicy{Larger: int64(len(two.Content)) + 10}
	r, server := ruled(t, rules, large("1"), two, three)
	r.account.All = true
	r.account.Select.Session = 2
	logins := 0
	hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
		if strings.HasPrefix(cmd, "AUTH") {
			if logins++; logins == 2 {
				two.UniqueID, three.UniqueID = "1", "2"
				relist(server, two, three)
			}
		}
		return poptest.Action{}
	})
	r.runs("3 listed, 3 new, 3 delivered, 2 deleted")
	kept(t, server, "1")
	r.holds(large("1"), two, three)
}
