package fetch_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/headerfilter"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/seen"
)

// headerFilter gives the account a filter of headers, which notes what it is asked in a file of its
// own, and then does what the script says.
func (r *rig) headerFilter(script string) (asked func() []string) {
	dir := r.t.TempDir()
	r.account.FilterHeaders = headerfilter.New(fmt.Sprintf(`cat >%[1]s/$POPFETCH_UID.$$; %[2]s`, dir, script), headerfilter.Options{Timeout: patience})
	return func() []string {
		var ids []string
		for _, name := range filesIn(r.t, dir) {
			id, _, _ := strings.Cut(name, ".")
			ids = append(ids, id)
		}
		return ids
	}
}

// byID is a script that ends with a status by the first letter of the unique-id.
const byID = `case $POPFETCH_UID in d*) exit 1;; l*) exit 2;; r*) exit 77;; t*) exit 75;; k*) kill -9 $$;; esac`

func checkAsked(t *testing.T, asked func() []string, want ...string) {
	t.Helper()
	if got := asked(); !slices.Equal(got, want) {
		t.Errorf("the filter was asked about %q, want %q", got, want)
	}
}

// kinds returns the kind of each record, by unique-id.
func (r *rig) kinds() map[string]seen.Kind {
	kinds := make(map[string]seen.Kind)
	for _, record := range r.records() {
		kinds[record.UniqueID] = record.Kind
	}
	return kinds
}

// A filter of headers says what is retrieved. It is asked once about each message: its verdicts are
// kept, also that to retrieve a message whose retrieval fails.
func TestFilterHeaders(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, ids ...string) (*rig, *poptest.Server) {
		t.Helper()
		t.Parallel()
		var messages []poptest.Message
		for _, id := range ids {
			messages = append(messages, letter(id))
		}
		server := newServer(t, messages...)
		t.Cleanup(func() { server.CheckRules(t) })
		return newRig(t, server.Addr()), server
	}
	t.Run("verdicts", func(t *testing.T) {
		r, server := start(t, "a", "d", "l")
		asked := r.headerFilter(byID)
		r.runs("3 listed, 1 new, 1 delivered, 1 discarded, 1 left, 1 deleted")
		r.holds(letter("a"))
		checkAsked(t, asked, "a", "d", "l")
		if got, want := r.kinds(), (map[string]seen.Kind{"a": seen.Delivered, "d": seen.Discarded, "l": seen.Marked}); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("records %v, want %v", got, want)
		}
		for _, record := range r.records() {
			if record.Digest == (seen.Digest{}) || record.DeliveredAt.IsZero() {
				t.Errorf("record %+v, want a digest and a time", record)
			}
		}
		if discarded, left := r.told(fetch.Discarded), r.told(fetch.Left); len(discarded) != 1 || discarded[0].UniqueID != "d" || len(left) != 1 || left[0].UniqueID != "l" {
			t.Errorf("told %+v and %+v, want d and l", discarded, left)
		}
		r.run()
		checkAsked(t, asked, "a", "d", "l")
		checkCount(t, server, "RETR", 1)
	})
	t.Run("facts", func(t *testing.T) {
		r, server := start(t)
		server.Drop("").Add(poptest.Message{UniqueID: "a%b", Content: []byte("Return-Path: <x@example.org>\r\nX-Original-To: y@example.org\r\nSubject: s\r\n t\r\n\r\nbody\r\n")})
		out := filepath.Join(r.state, "asked")
		r.account.FilterHeaders = headerfilter.New("{ env | grep ^POPFETCH_ | sort; cat; } >"+out,
			headerfilter.Options{Timeout: patience, Envelope: []string{"X-Original-To"}})
		r.runs("1 listed, 1 new, 1 delivered")
		got, err := os.ReadFile(out)
		want := fmt.Sprintf("POPFETCH_ACCOUNT=work\nPOPFETCH_OCTETS=84\nPOPFETCH_RECIPIENT=y@example.org\nPOPFETCH_SENDER=x@example.org\nPOPFETCH_SERVER=%s\nPOPFETCH_UID=a%%25b\nPOPFETCH_USER=%s\n"+
			"Return-Path: <x@example.org>\nX-Original-To: y@example.org\nSubject: s\n t\n\n", r.account.Server, user)
		if err != nil || string(got) != want {
			t.Errorf("the filter got %q, %v, want %q", got, err, want)
		}
	})
	t.Run("retrieval fails", func(t *testing.T) {
		r, server := start(t, "a", "b")
		asked := r.headerFilter("true")
		hook(server, on("RETR 2", poptest.Cut(20)))
		r.run()
		r.run()
		hook(server, nil)
		r.run()
		r.holds(letter("a"), letter("b"))
		checkAsked(t, asked, "a", "b")
	})
	t.Run("target refuses", func(t *testing.T) {
		r, _ := start(t, "a", "b")
		asked := r.headerFilter("true")
		r.account.Target = poison("exit 1")
		r.runs("2 listed, 2 new, 1 delivered, 1 failed")
		r.runs("2 listed, 1 new, 1 failed")
		r.account.Target = poison("true")
		r.runs("2 listed, 1 new, 1 delivered")
		checkAsked(t, asked, "a", "b")
	})
	t.Run("another message", func(t *testing.T) {
		r, server := start(t, "a")
		asked := r.headerFilter("true")
		hook(server, on("RETR", poptest.Refuse("not now")))
		r.runs("1 listed, 1 new, 1 failed")
		hook(server, nil)
		server.Drop("").Remove("a")
		server.Drop("").Add(letterOf("a", "another subject"))
		r.runs("1 listed, 1 new, 1 delivered")
		checkAsked(t, asked, "a", "a")
	})
	t.Run("forgotten", func(t *testing.T) {
		r, _ := start(t, "l")
		asked := r.headerFilter(byID)
		r.runs("1 listed, 1 left")
		ledger, err := r.runner.Store.Enter(t.Context(), "work", r.account.Server, user)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ledger.Forget(t.Context(), "l"); err != nil {
			t.Fatal(err)
		}
		r.runs("1 listed, 1 left")
		checkAsked(t, asked, "l", "l")
	})
	t.Run("failures", func(t *testing.T) {
		r, server := start(t, "a", "k", "r", "t")
		r.account.Delete.Enabled, r.account.QuarantineAfter = true, 3
		asked := r.headerFilter(byID)
		r.runs("4 listed, 1 new, 1 delivered, 3 failed, 1 deleted")
		for _, id := range []string{"b", "c"} { // others get through
			server.Drop("").Add(letter(id))
			r.runs("4 listed, 1 new, 1 delivered, 3 failed, 1 deleted")
		}
		checkAsked(t, asked, "a", "b", "c", "k", "k", "k", "r", "r", "r", "t", "t", "t")
		server.Drop("").Add(letter("e"))
		r.runs("4 listed, 1 new, 1 delivered, 1 quarantined, 2 failed, 1 deleted")
		if got := server.Drop("").UniqueIDs(); !slices.Equal(got, []string{"k", "r", "t"}) {
			t.Errorf("the maildrop holds %q, want k, r and t", got)
		}
		for _, e := range r.told(fetch.Refused) {
			if !strings.HasPrefix(e.Err.Error(), `asking filter_headers "cat >`) || !strings.HasPrefix(string(e.Code), "filter-") {
				t.Errorf("told %v with code %q, want the filter named", e.Err, e.Code)
			}
		}
	})
	t.Run("refuses all", func(t *testing.T) {
		var ids []string
		for n := range 70 {
			ids = append(ids, fmt.Sprintf("r%02d", n))
		}
		r, server := start(t, append([]string{"a"}, ids...)...)
		r.account.Delete.Enabled = true
		asked := r.headerFilter(byID)
		_ = r.fails(fetch.PhaseFilter, "71 listed, 1 new, 1 delivered, 20 failed, 1 deleted")
		if n := len(asked()); n != 64 {
			t.Errorf("asked about %d messages, want 64, as many as are asked about at once", n)
		}
		checkCount(t, server, "RETR", 1)
	})
	t.Run("no TOP", func(t *testing.T) {
		r, server := start(t, "a")
		server.Configure(without("TOP"))
		r.headerFilter("true")
		if err := r.fails(fetch.PhaseIdentify, "1 listed"); !errors.Is(err, fetch.ErrNoTop) {
			t.Errorf("Run() = %v, want ErrNoTop", err)
		}
	})
	t.Run("no TOP and no CAPA", func(t *testing.T) {
		r, server := start(t, "a")
		hook(server, refusing("CAPA", "TOP"))
		r.headerFilter("true")
		if err := r.fails(fetch.PhaseIdentify, "1 listed"); !errors.Is(err, fetch.ErrNoTop) {
			t.Errorf("Run() = %v, want ErrNoTop", err)
		}
		checkCount(t, server, "RETR", 0)
	})
	t.Run("TOP is refused", func(t *testing.T) {
		r, server := start(t, "a", "b")
		hook(server, on("TOP 2", poptest.Refuse("damaged")))
		asked := r.headerFilter("true")
		r.runs("2 listed, 1 new, 1 delivered, 1 failed")
		checkAsked(t, asked, "a")
	})
	t.Run("TOP ends sessions", func(t *testing.T) {
		r, server := start(t, "a", "b", "c")
		hook(server, on("TOP 2", poptest.Cut(3)))
		asked := r.headerFilter("true")
		result := r.run()
		checkOutcome(t, result, "3 listed, 2 new, 2 delivered, 1 failed")
		if result.Err == nil {
			t.Error("Run() = nil, want what ended the first session")
		}
		checkAsked(t, asked, "a", "c")
	})
	t.Run("no program", func(t *testing.T) {
		r, server := start(t, "a")
		r.account.FilterHeaders = headerfilter.New("no-such-program -x", headerfilter.Options{Timeout: patience})
		err := r.fails(fetch.PhaseFilter, "")
		if !errors.Is(err, deliver.ErrCannotRun) || !strings.Contains(err.Error(), `asking filter_headers "no-such-program -x"`) {
			t.Errorf("Run() = %v, want the program named", err)
		}
		if n := len(server.Sessions()); n != 0 {
			t.Errorf("%d sessions, want none", n)
		}
	})
	t.Run("hangs", func(t *testing.T) {
		r, _ := start(t, "a", "b")
		r.account.FilterHeaders = headerfilter.New(`cat; [ $POPFETCH_UID = b ] || sleep 60 & wait`, headerfilter.Options{Timeout: 300 * time.Millisecond, AtOnce: 2})
		r.runner.KeepAlive = 50 * time.Millisecond
		r.runs("2 listed, 1 new, 1 delivered, 1 failed")
		told := r.told(fetch.Refused)
		if len(told) != 1 || !strings.Contains(told[0].Err.Error(), "it did not end within 300ms: Message-ID: <a@") {
			t.Errorf("told %+v, want the limit and what was printed", told)
		}
		asked, _, retrieved := strings.Cut(strings.Join(r.traced, "\n"), "true RETR")
		if !retrieved || !strings.Contains(asked, "true NOOP") {
			t.Error("no NOOP was sent while the filter ran")
		}
	})
	t.Run("stopped", func(t *testing.T) {
		r, _ := start(t, "a")
		began := filepath.Join(r.state, "began")
		r.account.FilterHeaders = headerfilter.New("echo >"+began+"; sleep 60", headerfilter.Options{Timeout: patience})
		ctx, stop := context.WithCancel(t.Context())
		go func() {
			defer stop()
			for ctx.Err() == nil {
				if _, err := os.Stat(began); err == nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		}()
		result := r.runner.Run(ctx, []fetch.Account{r.account})[0]
		checkFailure(t, result, fetch.PhaseFilter)
		checkOutcome(t, result, "1 listed")
		r.headerFilter("true")
		r.runs("1 listed, 1 new, 1 delivered")
	})
	t.Run("look", func(t *testing.T) {
		r, _ := start(t, "a", "b")
		asked := r.headerFilter("true")
		survey, err := r.runner.Look(t.Context(), &r.account)
		if err != nil {
			t.Fatal(err)
		}
		if retrieve, asks := survey.Plan.Retrieve.Len(), survey.Plan.Asks.Len(); retrieve != 2 || asks != 2 {
			t.Errorf("a run would retrieve %d messages and ask about %d, want 2 and 2", retrieve, asks)
		}
		checkAsked(t, asked)
	})
	t.Run("EXPIRE 0", func(t *testing.T) {
		r, server := start(t, "a", "l")
		server.Configure(func(c *poptest.Config) { c.Capabilities = append(c.Capabilities, "EXPIRE 0") })
		r.headerFilter(byID)
		r.runs("2 listed, 1 new, 1 delivered, 1 left")
		checkCount(t, server, "QUIT", 0)
	})
}
