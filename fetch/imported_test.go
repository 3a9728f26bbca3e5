package fetch_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/seen"
)

// imports records messages as another program has seen them.
func (r *rig) imports(kind seen.Kind, at time.Time, ids ...string) {
	r.t.Helper()
	var records []seen.Record
	for _, id := range ids {
		records = append(records, seen.Record{Key: seen.Key{UniqueID: id}, Kind: kind, DeliveredAt: at})
	}
	ledger, err := r.runner.Store.Enter(r.t.Context(), r.account.Name, r.account.Server, r.account.User)
	if err == nil {
		err = ledger.Apply(r.t.Context(), seen.Changes{Records: slices.Values(records)})
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// received is a letter that the server received at a time.
func received(id string, at time.Time) poptest.Message {
	return dated(id, "Received: from a by b; "+at.Format(time.RFC1123Z)+"\r\n")
}

// surveys is a look that must succeed.
func (r *rig) surveys() *fetch.Survey {
	r.t.Helper()
	survey, err := r.runner.Look(r.t.Context(), &r.account)
	if err != nil {
		r.t.Fatal(err)
	}
	return survey
}

// Imported messages are not retrieved, whatever a first run fetches. New ones are.
func TestImported_seen(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"), letter("b"), letter("c"))
	r := newRig(t, server.Addr())
	r.imports(seen.Imported, time.Now(), "a", "b", "gone")
	r.account.Initial.Limited = true // it is no first run
	r.account.Delete.Enabled = true  // and nothing of it is deleted
	r.runs("3 listed, 1 new, 1 delivered, 1 deleted")
	r.runs("2 listed")
	r.holds(letter("c"))
	checkCount(t, server, "RETR", 1)
}

// A copy of an imported message counts as another message.
func TestImported_copies(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"), letterOf("a", "second"))
	r := newRig(t, server.Addr())
	r.imports(seen.Imported, time.Now(), "a")
	r.account.Delete.Enabled, r.account.Delete.Imported = true, true
	r.runs("2 listed, 1 new, 1 delivered, 1 deleted")
	r.holds(letterOf("a", "second"))
}

// A unique-id in which another program wrote "-" for "/" gets its true form at the first listing. If
// several listed ids fit, all are fetched.
func TestImported_sanitized(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		listed   []string
		imported []string
		want     string
		records  []string
	}{
		{"restored", []string{"a/b-c", "x-y", "n/e"}, []string{"a-b-c", "x-y"}, "3 listed, 1 new, 1 delivered", []string{"a/b-c", "n/e", "x-y"}},
		{"all are known", []string{"a/b", "c/d"}, []string{"a-b", "c-d"}, "2 listed", []string{"a/b", "c/d"}},
		{"two fit", []string{"a/b-c", "a-b/c"}, []string{"a-b-c"}, "2 listed, 2 new, 2 delivered", []string{"a-b-c", "a-b/c", "a/b-c"}},
		{"one of two is as written", []string{"a/b", "a-b"}, []string{"a-b"}, "2 listed, 2 new, 2 delivered", []string{"a-b", "a/b"}},
		{"listed twice", []string{"a/b", "a/b"}, []string{"a-b"}, "2 listed, 2 new, 2 delivered", []string{"a-b", "a/b", "a/b+1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var messages []poptest.Message
			for i, id := range test.listed {
				messages = append(messages, letterOf(id, fmt.Sprint(id, i)))
			}
			server := newServer(t, messages...)
			r := newRig(t, server.Addr())
			r.imports(seen.Sanitized, time.Now(), test.imported...)
			survey := r.surveys()
			r.runs(test.want)
			r.has(test.records...)
			if got, want := survey.Plan.Retrieve.Len(), len(r.mail()); got != want {
				t.Errorf("a look would retrieve %d, want %d", got, want)
			}
			r.runs(fmt.Sprintf("%d listed", len(test.listed)))
		})
	}
}

// A message that was hidden from the first listing gets its unique-id when it is listed.
func TestImported_sanitizedLater(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("k/1"))
	r := newRig(t, server.Addr())
	r.imports(seen.Sanitized, time.Now(), "k-1", "k-2", "k-3")
	r.runs("1 listed")
	server.Drop("").Add(letter("k/2"), letter("k-3"), letter("k/3"))
	r.runs("4 listed, 1 new, 1 delivered") // k-3 is as it was imported
	r.has("k-3", "k/1", "k/2", "k/3")
	r.holds(letter("k/3"))
}

// What another program has delivered is deleted only where the account says so, by the time at which
// that program first saw it.
func TestImported_delete(t *testing.T) {
	t.Parallel()
	old, recent := time.Now().Add(-40*day), time.Now().Add(-2*day)
	messages := []poptest.Message{
		received("old", old.Add(-time.Hour)), received("recent", recent), letter("undated"),
	}
	for _, test := range []struct {
		name     string
		imported bool
		after    time.Duration
		want     []string // what stays
	}{
		{"not wanted", false, 30 * day, []string{"old", "recent", "undated"}},
		{"by age", true, 30 * day, []string{"recent", "undated"}},
		{"at once", true, 0, []string{"undated"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, messages...)
			r := newRig(t, server.Addr())
			r.imports(seen.Imported, old, "old", "undated")
			r.imports(seen.Imported, recent, "recent")
			r.account.Delete.Enabled, r.account.Delete.After, r.account.Delete.Imported = true, test.after, test.imported
			survey := r.surveys()
			deleted := len(messages) - len(test.want)
			if got := survey.Plan.Delete.Len(); got != deleted {
				t.Errorf("a look would delete %d, want %d", got, deleted)
			}
			want := fmt.Sprintf("%d listed, %d deleted", len(messages), deleted)
			if deleted == 0 {
				want = fmt.Sprintf("%d listed", len(messages))
			}
			r.runs(want)
			leaves(t, server, 2, test.want...)
			r.runs(fmt.Sprintf("%d listed", len(test.want)))
			r.holds()
			checkCount(t, server, "RETR", 0)
		})
	}
}

// If the server gives the unique-id of a deleted message to another one, that is fetched. Without
// TOP nothing imported is deleted.
func TestImported_deleteAgain(t *testing.T) {
	t.Parallel()
	server := newServer(t, received("a", time.Now().Add(-50*day)))
	r := newRig(t, server.Addr())
	r.imports(seen.Imported, time.Now().Add(-40*day), "a")
	r.account.Delete.Enabled, r.account.Delete.Imported = true, true
	server.Configure(without("TOP"))
	r.runs("1 listed")
	server.Configure(func(c *poptest.Config) { c.Capabilities = poptest.DefaultCapabilities() })
	r.runs("1 listed, 1 deleted")
	server.Drop("").Add(letterOf("a", "another"))
	r.runs("1 listed, 1 new, 1 delivered, 1 deleted")
	r.holds(letterOf("a", "another"))
}

// A server may give the unique-id of an imported message to another one. If that has another size,
// or arrived after the other program saw the id, it is fetched.
func TestImported_reused(t *testing.T) {
	t.Parallel()
	saw := time.Now().Add(-40 * day)
	first, younger := received("a", saw), received("a", time.Now())
	large := letterOf("a", strings.Repeat("larger", 100))
	const isNew, isSeen = "2 listed, 1 new, 1 delivered", "2 listed"
	for _, test := range []struct {
		name          string
		first, second poptest.Message
		deletes, gone bool
		want          string
	}{
		{"larger", first, large, false, false, isNew},
		{"larger, after a while", first, large, false, true, isNew},
		{"younger, after a while", first, younger, false, true, isNew},
		{"younger, and due", first, younger, true, false, isNew},
		{"the same, after a while", first, first, false, true, isSeen},
		{"without a time, after a while", letter("a"), letter("a"), false, true, isSeen},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, test.first, letter("b"))
			r := newRig(t, server.Addr())
			r.imports(seen.Imported, saw, "a", "b")
			r.runs("2 listed")
			r.account.Delete.Enabled, r.account.Delete.Imported = test.deletes, true
			r.account.Delete.After = 30 * day
			server.Drop("").Remove("a")
			if test.gone {
				r.runs("1 listed")
			}
			server.Drop("").Add(test.second)
			survey := r.surveys()
			r.runs(test.want)
			if test.want == isSeen {
				r.holds()
			} else {
				r.holds(test.second)
			}
			if got, want := survey.Plan.Retrieve.Len(), len(r.mail()); got != want {
				t.Errorf("a look would retrieve %d, want %d", got, want)
			}
			r.runs("2 listed")
		})
	}
}
