package fetch_test

import (
	"os"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/fetch/custody"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/seen"
)

// inspects returns the condition of each recorded message.
func (r *rig) inspects() (whole int, missing *custody.Missing) {
	r.t.Helper()
	list, records := deliver.NewChecklist(0), r.records()
	placeOf := func(one *seen.Record) deliver.Place {
		return deliver.Place{Name: one.Places[0].Name, Sum: deliver.Sum(one.Places[0].Sum)}
	}
	for i := range records {
		list.Add(placeOf(&records[i]))
	}
	if err := deliver.NewMaildir(r.maildir).Inspect(r.t.Context(), list); err != nil {
		r.t.Fatal(err)
	}
	missing = custody.NewMissing()
	for i := range records {
		if condition, _ := list.Condition(placeOf(&records[i])); condition == deliver.Whole {
			whole++
		} else {
			missing.Add(&records[i], nil)
		}
	}
	return whole, missing
}

// newAgain makes an account that has fetched the letters a to d and two copies of e. The file of b is
// gone, and that of the letter "second e" is altered. Only these are to be fetched again.
func newAgain(t *testing.T) (*rig, *poptest.Server) {
	t.Helper()
	r, server := ruled(t, fetch.DeletePolicy{Keep: true}, letter("a"), letter("b"), letter("c"), letter("d"), letterOf("e", "first e"), letterOf("e", "second e"))
	r.runs("6 listed, 6 new, 6 delivered")
	r.take("b")
	if err := os.WriteFile(r.fileOf("second e"), []byte("Subject: mine\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	whole, missing := r.inspects()
	if whole != 4 || missing.Len() != 2 {
		t.Fatalf("%d messages are whole and %d are missing, want 4 and 2", whole, missing.Len())
	}
	r.account.Missing = missing
	return r, server
}

// wholes checks that so many messages are whole.
func (r *rig) wholes(want int) {
	r.t.Helper()
	if whole, _ := r.inspects(); whole != want {
		r.t.Errorf("%d messages are whole, want %d", whole, want)
	}
}

// Of two messages with one unique-id, only the missing one comes again.
func TestAgain(t *testing.T) {
	r, server := newAgain(t)
	r.runs("6 listed, 2 new, 2 delivered")
	checkCount(t, server, "RETR", 8)
	r.wholes(6)
	r.runs("6 listed") // their records are other ones now
	r.account.Missing = nil
	r.runs("6 listed")
	checkCount(t, server, "RETR", 8)
}

// A message that is refused, or another one that has got its unique-id, leaves the record as it is.
func TestAgain_notThere(t *testing.T) {
	r, server := newAgain(t)
	server.Drop("").Remove("b")
	server.Drop("").Add(letterOf("b", "another"))
	hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
		if strings.HasPrefix(cmd, "RETR") {
			return poptest.Refuse("[SYS/TEMP] not now")
		}
		return poptest.Action{}
	})
	before := r.places()
	_ = r.run()
	if after := r.places(); len(after) != len(before) {
		t.Errorf("there are %d records, want %d", len(after), len(before))
	}
	r.wholes(4)
	hook(server, nil)
	r.runs("6 listed, 1 new, 1 delivered")
	r.wholes(5)
	if retrieved := server.RetrievedIDs(); retrieved["b"] != 1 {
		t.Errorf("b was retrieved %d times, want once", retrieved["b"])
	}
	r.account.Missing = nil
	r.runs("6 listed") // nothing was set aside, and nothing is compared by its octets
	checkCount(t, server, "RETR", 8)
}

// If the further copy lies there and could not be recorded, the next look finds it by its octets.
func TestAgain_crash(t *testing.T) {
	r, server := newAgain(t)
	store := r.runner.Store
	r.runner.Store = wrapped{store, func(l seen.Ledger) seen.Ledger { return brokenApply{l} }}
	if err := r.run().Err; err == nil {
		t.Error("Run() = nil, want an error of the state")
	}
	r.runner.Store = store
	r.wholes(6)
	checkCount(t, server, "RETR", 8)
}
