package fetch_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
)

// C0021, behaviour 12: a message that only RETR has shown to be larger than max_size is retrieved
// once, set aside and told once. It is looked at again when the limit or LIST changes.
func TestMaxSize_proved(t *testing.T) {
	t.Parallel()
	whole := sized("large", "large", strings.Repeat("x", 5000))
	listed := func(octets string) poptest.Message {
		m := whole
		m.Listed = octets
		return m
	}
	for _, test := range []struct {
		name          string
		listed, other string
		pipelined     bool
	}{
		{"LIST is wrong", "50", "60", true},
		{"LIST is wrong, lockstep", "50", "60", false},
		{"LIST tells nothing", "0", "70", true},
	} {
		t.Run("C0021/"+test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, letter("a"), listed(test.listed), letter("b"))
			if !test.pipelined {
				server.Configure(without("PIPELINING"))
			}
			r := newRig(t, server.Addr())
			r.account.MaxSize = 1000
			retrieved := func(want int) {
				t.Helper()
				checkCount(t, server, "RETR 2", want)
			}
			r.runs("3 listed, 3 new, 2 delivered, 1 skipped")
			retrieved(1)
			told := r.told(fetch.Skipped)
			if len(told) != 1 || told[0].UniqueID != "large" || !strings.Contains(told[0].Err.Error(), "1000 octets), though LIST announced "+test.listed) {
				t.Errorf("told as skipped: %+v, want large, once, and why", told)
			}
			for range 2 {
				r.runs("3 listed, 1 skipped")
			}
			server.Drop("").Add(letter("c"))
			r.runs("4 listed, 1 new, 1 delivered, 1 skipped")
			survey, err := r.runner.Look(t.Context(), &r.account)
			if err != nil || survey.Plan.Skip.Len() != 1 || survey.Plan.Retrieve.Len() != 0 {
				t.Errorf("Look() = %+v, %v, want large to be skipped", survey, err)
			}
			retrieved(1)

			list(server, letter("a"), listed(test.other), letter("b"), letter("c"))
			r.runs("4 listed, 1 new, 1 skipped") // LIST has changed
			r.runs("4 listed, 1 skipped")
			retrieved(2)
			r.account.MaxSize = 2000 // the limit has
			r.runs("4 listed, 1 new, 1 skipped")
			r.runs("4 listed, 1 skipped")
			retrieved(3)
			if told := r.told(fetch.Skipped); len(told) != 1 {
				t.Errorf("told %d times as skipped, want once", len(told))
			}
			r.account.MaxSize = 0
			r.runs("4 listed, 1 new, 1 delivered")
			retrieved(4)
			r.holds(letter("a"), whole, letter("b"), letter("c"))
			server.CheckRules(t)
		})
	}
	t.Run("C0021/LIST is refused", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, letter("a"), whole, letter("b"))
		hook(server, on("LIST", poptest.Refuse("no such command")))
		r := newRig(t, server.Addr())
		r.account.MaxSize = 1000
		r.runs("3 listed, 3 new, 2 delivered, 1 skipped")
		r.runs("3 listed, 1 skipped")
		r.runs("3 listed, 1 skipped")
		checkCount(t, server, "RETR 2", 1)
		hook(server, nil) // now LIST tells that it is too large, which is known
		r.runs("3 listed, 1 skipped")
		checkCount(t, server, "RETR 2", 1)
		if told := r.told(fetch.Skipped); len(told) != 1 {
			t.Errorf("told %d times as skipped, want once", len(told))
		}
	})
	t.Run("behaviour 15/it breaks off", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, letter("a"), listed("50"), letter("b"))
		hook(server, poptest.Misdeeds(t, "RETR 2 (once, cut 3000)"))
		r := newRig(t, server.Addr())
		r.account.MaxSize = 1000
		err := r.fails(fetch.PhaseRetrieve, "3 listed, 3 new, 1 delivered")
		if !strings.HasPrefix(err.Error(), "work: retrieve: message 2: ") {
			t.Errorf("Run() = %v, want it to begin with the account and the phase", err)
		}
		if told := r.told(fetch.Skipped); len(told) != 0 {
			t.Errorf("told as skipped, though it did not end: %+v", told)
		}
		r.runs("3 listed, 2 new, 1 delivered, 1 skipped")
		r.runs("3 listed, 1 skipped")
		checkCount(t, server, "RETR 2", 2)
	})
	t.Run("C0021/a delivered copy", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, under("large", letter("a")), listed("50"))
		r := newRig(t, server.Addr())
		r.account.MaxSize = 1000
		r.runs("2 listed, 2 new, 1 delivered, 1 skipped")
		r.runs("2 listed, 1 skipped")
		r.runs("2 listed, 1 skipped")
		checkCount(t, server, "RETR", 2)
		r.holds(letter("a"))
	})
	t.Run("C0021/two copies", func(t *testing.T) {
		t.Parallel()
		another := under("large", sized("other", "other", strings.Repeat("y", 5000)))
		another.Listed = "50"
		server := newServer(t, listed("50"), another, letter("b"))
		r := newRig(t, server.Addr())
		r.account.MaxSize = 1000
		r.runs("3 listed, 3 new, 1 delivered, 2 skipped")
		r.runs("3 listed, 2 skipped")
		checkCount(t, server, "RETR", 3)
		if told := fmt.Sprint(len(r.told(fetch.Skipped))); told != "2" {
			t.Errorf("told %s times as skipped, want each of the two once", told)
		}
	})
}
