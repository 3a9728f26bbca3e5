package seentest

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// look returns what is known of an account.
func look(t testing.TB, s seen.Store, name, server, user string) seen.Account {
	t.Helper()
	l, err := s.Look(t.Context(), name, server, user)
	if err != nil {
		t.Fatalf("Look() = %v", err)
	}
	a := l.Account()
	for _, at := range []*time.Time{&a.Since, &a.FinishedAt, &a.LeftSince, &a.LeftAt} {
		if !at.IsZero() {
			*at = at.UTC()
		}
	}
	return a
}

func enterAs(t testing.TB, s seen.Store, name, server, user string) seen.Ledger {
	t.Helper()
	l, err := s.Enter(t.Context(), name, server, user)
	if err != nil {
		t.Fatalf("Enter() = %v", err)
	}
	return l
}

func mustFinish(t testing.TB, l seen.Ledger, left []seen.Entry, at time.Time) {
	t.Helper()
	if err := l.Finish(t.Context(), seen.Diff{}, slices.Clone(left), nil, at); err != nil {
		t.Fatalf("Finish() = %v", err)
	}
}

// runAccount follows an account from the first look at it to its second server.
func runAccount(t *testing.T, harness Harness) {
	s := harness.Open(t, t.TempDir(), seen.DefaultTuning)
	const server, user = "pop.example.org:995", "alice"
	unknown := seen.Account{Name: account, Server: server, User: user}
	if a := look(t, s, account, server, user); a != unknown {
		t.Errorf("Look() = %+v, want %+v", a, unknown)
	}
	lock(t, s, account)
	if a := look(t, s, account, server, user); a != unknown {
		t.Errorf("Look() of a locked account = %+v, want %+v", a, unknown)
	}
	if all, err := s.Accounts(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("Accounts() = %+v, %v, want none", all, err)
	}
	l := enterAs(t, s, account, server, user)
	want := unknown
	if want.Since = look(t, s, account, "", "").Since; want.Since.IsZero() {
		t.Error("an account that was entered is not known since a time")
	}
	check := func(what string) {
		t.Helper()
		if a := look(t, s, account, "", ""); a != want {
			t.Errorf("%s: Look() = %+v, want %+v", what, a, want)
		}
		if all, err := s.Accounts(t.Context()); err != nil || len(all) != 1 || all[0].Records != want.Records {
			t.Errorf("%s: Accounts() = %+v, %v, want this one", what, all, err)
		}
	}
	check("entered")

	listing := entries("a", 3)
	marked := recordOf(listing[0])
	marked.Kind = seen.Marked
	mustApply(t, l, seen.Changes{Records: slices.Values([]seen.Record{marked})})
	want.Records = 1
	check("one is marked")
	if err := l.Ready(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	want.Unfinished = true
	check("a run begins to deliver")
	mustApply(t, l, seen.Changes{Records: slices.Values(recordsOf(listing))})
	want.Records, want.Delivered = 3, true
	check("all are delivered")
	mustFinish(t, l, listing, now)
	want.Unfinished, want.Finished, want.FinishedAt = false, true, now
	check("the run is finished")
	if n, err := l.CountDue(t.Context(), seen.AnyTime); err != nil || n != 3 {
		t.Errorf("CountDue() = %d, %v", n, err)
	}
	if at, err := l.Newest(t.Context()); err != nil || !at.Equal(now) {
		t.Errorf("Newest() = %v, %v, want %v", at, err, now)
	}

	if err := l.Ready(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	l = enterAs(t, s, account, server, user) // after a run that was killed
	want.Unfinished, want.LeftSince = true, now
	if want.LeftAt = look(t, s, account, "", "").LeftAt; want.LeftAt.IsZero() {
		t.Error("the run that was not finished is not noted")
	}
	check("a run was not finished")

	mustApply(t, l, seen.Changes{Asides: []seen.Aside{{Key: seen.Key{UniqueID: "refused"}, Reason: seen.Quarantined, Count: 3}}})
	if err := l.ChangeStanding(t.Context(), func(st *seen.Standing) { st.Refusals = 3 }); err != nil {
		t.Fatal(err)
	}
	runOtherServer(t, s)
}

// runOtherServer gives the account another server: its records count as those of deleted messages,
// and what was refused is tried again.
func runOtherServer(t *testing.T, s seen.Store) {
	t.Helper()
	const server, user = "pop.example.net:995", "bob"
	l := enterAs(t, s, account, server, user)
	if a := l.Account(); a.Server != server || a.User != user || a.Records != 3 || !a.Delivered {
		t.Errorf("Enter() = %+v, want the new server and user", a)
	}
	for _, r := range all(t, l) {
		if r.DeletedAt.IsZero() {
			t.Errorf("%s is not deleted", r.UniqueID)
		}
	}
	d, err := l.Diff(t.Context(), entries("a", 3), time.Time{})
	if err != nil || len(d.Check) != 3 || d.Unchanged {
		t.Errorf("Diff() = %s, unchanged %v, %v, want three to check", summary(d), d.Unchanged, err)
	}
	if asides, err := l.Asides(t.Context()); err != nil || len(asides) != 1 || asides[0].Reason != seen.Refused || asides[0].Count != 0 {
		t.Errorf("Asides() = %+v, %v, want it to be tried again", asides, err)
	}
	if st, err := l.Standing(t.Context()); err != nil || !reflect.DeepEqual(st, seen.Standing{}) {
		t.Errorf("Standing() = %+v, %v, want a good one", st, err)
	}
	if servers, err := l.Servers(t.Context(), user); err != nil || !slices.Equal(servers, []string{server}) {
		t.Errorf("Servers() = %v, %v, want the new one", servers, err)
	}
	if servers, err := l.Servers(t.Context(), "alice"); err != nil || len(servers) != 0 {
		t.Errorf("Servers() of the former user = %v, %v, want none", servers, err)
	}
}

// runTwin finds an account that may have been renamed, and renames it.
func runTwin(t *testing.T, harness Harness) {
	s := harness.Open(t, t.TempDir(), seen.DefaultTuning)
	const server, user = "pop.example.org:995", "alice"
	l := enter(t, s)
	listing := entries("a", 5)
	mustApply(t, l, seen.Changes{Records: slices.Values(recordsOf(listing)),
		Asides: []seen.Aside{{Key: seen.Key{UniqueID: "refused"}, Reason: seen.Refused, Last: now}}})
	listing = append(listing, seen.Entry{Key: seen.Key{UniqueID: "refused"}})
	mustFinish(t, l, listing, now)
	if err := l.ChangeStanding(t.Context(), func(st *seen.Standing) { st.Refusals = 3 }); err != nil {
		t.Fatal(err)
	}
	before, was := all(t, l), look(t, s, account, "", "")
	for _, test := range []struct{ name, server, user, want string }{
		{"renamed", server, user, account}, {account, server, user, ""}, {"other user", server, "bob", ""}, {"other server", "elsewhere", user, ""},
	} {
		if a := look(t, s, test.name, test.server, test.user); a.Twin != test.want {
			t.Errorf("Look(%s).Twin = %q, want %q", test.name, a.Twin, test.want)
		}
	}
	lock(t, s, "renamed")
	if err := s.Rename(t.Context(), "none", "renamed"); !errors.Is(err, seen.ErrUnknown) {
		t.Errorf("Rename() of an unknown account = %v, want ErrUnknown", err)
	}
	fresh := enterAs(t, s, "renamed", server, user)
	if twin := fresh.Account().Twin; twin != account {
		t.Errorf("Enter().Twin = %q, want %q", twin, account)
	}
	mustApply(t, fresh, seen.Changes{Asides: []seen.Aside{{Key: listing[0].Key, Reason: seen.TooLarge}}})
	if err := s.Rename(t.Context(), account, "renamed"); err != nil {
		t.Fatalf("Rename() = %v", err)
	}
	moved := enterAs(t, s, "renamed", server, user)
	was.Name = "renamed"
	if a := look(t, s, "renamed", "", ""); a != was {
		t.Errorf("Look() = %+v, want %+v", a, was)
	}
	if got := all(t, moved); !reflect.DeepEqual(got, before) {
		t.Errorf("All() has %d records, want %d", len(got), len(before))
	}
	if asides, err := moved.Asides(t.Context()); err != nil || len(asides) != 1 || asides[0].Reason != seen.Refused {
		t.Errorf("Asides() = %+v, %v, want that of the renamed account", asides, err)
	}
	if st, err := moved.Standing(t.Context()); err != nil || st.Refusals != 3 {
		t.Errorf("Standing() = %+v, %v", st, err)
	}
	// The run that has taken the records over goes on under its own lock.
	mustApply(t, moved, seen.Changes{Records: slices.Values(recordsOf(entries("b", 1)))})
	if d, err := moved.Diff(t.Context(), slices.Clone(listing), time.Time{}); err != nil || d.Seen != 5 || len(d.Aside) != 1 {
		t.Errorf("Diff() = %s, %v, want 5 seen and one set aside", summary(d), err)
	}
	if a := look(t, s, account, server, "carol"); !a.Since.IsZero() || a.Records != 0 || a.User != "carol" {
		t.Errorf("Look() of the old name = %+v, want an unknown account", a)
	}
	again := enterAs(t, s, account, server, user)
	mustApply(t, again, seen.Changes{Records: slices.Values(recordsOf(entries("c", 1)))})
	if err := s.Rename(t.Context(), "renamed", account); !errors.Is(err, seen.ErrTaken) {
		t.Errorf("Rename() to an account with records = %v, want ErrTaken", err)
	}
	if all, err := s.Accounts(t.Context()); err != nil || len(all) != 2 || all[0].Name != "renamed" || all[0].Records != 6 || all[1].Records != 1 {
		t.Errorf("Accounts() = %+v, %v, want both, by name", all, err)
	}
}

// runUnchanged finds a listing unchanged until something happens to one of its records.
func runUnchanged(t *testing.T, harness Harness) {
	for _, test := range []struct {
		name string
		do   func(t *testing.T, s seen.Store, l seen.Ledger, listing []seen.Entry) error
		stay bool
	}{
		{"nothing", func(*testing.T, seen.Store, seen.Ledger, []seen.Entry) error { return nil }, true},
		{"a new record", func(t *testing.T, _ seen.Store, l seen.Ledger, _ []seen.Entry) error {
			return l.Apply(t.Context(), seen.Changes{Records: slices.Values(recordsOf(entries("b", 1)))})
		}, true},
		{"forgotten", func(t *testing.T, _ seen.Store, l seen.Ledger, listing []seen.Entry) error {
			_, err := l.Forget(t.Context(), listing[1].UniqueID)
			return err
		}, false},
		{"replaced", func(t *testing.T, _ seen.Store, l seen.Ledger, listing []seen.Entry) error {
			r := recordOf(listing[1])
			r.Kind = seen.Marked
			return l.Apply(t.Context(), seen.Changes{Records: slices.Values([]seen.Record{r})})
		}, false},
		{"removed", func(t *testing.T, _ seen.Store, l seen.Ledger, listing []seen.Entry) error {
			return l.Apply(t.Context(), seen.Changes{Replace: []string{listing[1].UniqueID}})
		}, false},
		{"moved", func(t *testing.T, _ seen.Store, l seen.Ledger, listing []seen.Entry) error {
			to := listing[1]
			to.UniqueID = "elsewhere"
			return l.Apply(t.Context(), seen.Changes{Moves: slices.Values([]seen.Move{{From: listing[1].Key, To: to}})})
		}, false},
		{"an aside delivered", func(t *testing.T, _ seen.Store, l seen.Ledger, listing []seen.Entry) error {
			return l.Apply(t.Context(), seen.Changes{Records: slices.Values(recordsOf(listing[2:]))})
		}, false},
		{"an aside that is old", func(t *testing.T, _ seen.Store, l seen.Ledger, listing []seen.Entry) error {
			return l.Apply(t.Context(), seen.Changes{Asides: []seen.Aside{{Key: listing[2].Key, Reason: seen.Old}}})
		}, false},
		{"the same server", func(t *testing.T, s seen.Store, _ seen.Ledger, _ []seen.Entry) error {
			_, err := s.Enter(t.Context(), account, "pop.example.org:995", "alice")
			return err
		}, true},
		{"another server", func(t *testing.T, s seen.Store, _ seen.Ledger, _ []seen.Entry) error {
			_, err := s.Enter(t.Context(), account, "pop.example.net:995", "alice")
			return err
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := harness.Open(t, t.TempDir(), seen.DefaultTuning)
			l := enter(t, s)
			listing := entries("a", 3)
			mustApply(t, l, seen.Changes{Records: slices.Values(recordsOf(listing[:2])), Asides: []seen.Aside{{Key: listing[2].Key, Reason: seen.TooLarge, Listed: 1000}}})
			mustFinish(t, l, listing, now)
			for i, want := range []bool{true, test.stay} {
				if d, err := l.Diff(t.Context(), slices.Clone(listing), time.Time{}); err != nil || d.Unchanged != want {
					t.Errorf("Diff() says unchanged %v, %v, want %v", d.Unchanged, err, want)
				}
				if i > 0 {
					break
				}
				if err := test.do(t, s, l, listing); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// runStanding changes a standing from two stores at once: no change is lost.
func runStanding(t *testing.T, harness Harness) {
	place := t.TempDir()
	s := harness.Open(t, place, seen.DefaultTuning)
	l := enter(t, s)
	other, err := harness.Open(t, place, seen.DefaultTuning).Look(t.Context(), account, "", "")
	if err != nil {
		t.Fatal(err)
	}
	second := now.Add(time.Second)
	want := seen.Standing{Credential: []byte{0, 1}, Proven: []byte{}, ProvenAt: now, NotBefore: second, Reason: "r", LockstepSince: now, CameAt: second, ThroughAt: now,
		HostSessions: 2, HostAt: second, RanAt: now, HeldAt: second, Kept: "k", Origin: "o", Shortfall: 3, Announced: "a", Told: "t", ToldAt: now}
	err = l.ChangeStanding(t.Context(), func(st *seen.Standing) { *st = want })
	if err != nil {
		t.Fatal(err)
	}
	const changes = 20
	errs := make(chan error)
	for _, l := range []seen.Ledger{l, other} {
		go func() {
			var failed error
			for range changes {
				failed = errors.Join(failed, l.ChangeStanding(t.Context(), func(st *seen.Standing) { st.Refusals++ }))
			}
			errs <- failed
		}()
	}
	if err := errors.Join(<-errs, <-errs); err != nil {
		t.Fatal(err)
	}
	want.Refusals = 2 * changes
	if st, err := other.Standing(t.Context()); err != nil || !st.Equal(want) {
		t.Errorf("Standing() = %+v, %v, want %+v", st, err, want)
	}
}
