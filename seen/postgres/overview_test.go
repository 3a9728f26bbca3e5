package postgres

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/pgtest"
	"github.com/popfetch/popfetch/seen"
)

// Overviews tells of each account what the methods of single accounts tell.
func TestStore_Overviews(t *testing.T) {
	s := openAs(t, pgtest.Database(t), "here (process 1)", time.Minute)
	s.now = func() time.Time { return now }
	names := []string{"unknown"}
	for i, write := range writes {
		name := fmt.Sprint("account", i)
		names = append(names, name)
		l := prepare(t, s, name)
		if err := write.do(t.Context(), s, l, name); err != nil {
			t.Fatal(write.name, err)
		}
	}
	first := names[1]
	for days, verdict := range []seen.Verdict{seen.Succeeded, seen.Failed} {
		at := now.Add(-time.Duration(days) * 24 * time.Hour)
		if err := s.NoteRun(t.Context(), first, seen.RunNote{At: at, Verdict: verdict, Delivered: days + 1}); err != nil {
			t.Fatal(err)
		}
	}
	changeStanding(t, s, first, func(st *seen.Standing) { st.Refusals, st.NotBefore = 3, now.Add(time.Hour) })
	all, err := s.Overviews(t.Context(), names, 14)
	if err != nil {
		t.Fatal(err)
	}
	if len(all[first].History.Days) != 2 || all[first].Refusals != 3 || all["unknown"] != nil {
		t.Errorf("the first account is %+v, the unknown one %+v", all[first], all["unknown"])
	}
	asides := 0
	for _, name := range names[1:] {
		checkOverview(t, s, name, all[name])
		asides += all[name].Asides
	}
	if asides == 0 {
		t.Error("no account has asides")
	}
}

func changeStanding(t *testing.T, s *Store, name string, do func(*seen.Standing)) {
	t.Helper()
	l, err := s.Look(t.Context(), name, "", "")
	if err == nil {
		err = l.ChangeStanding(t.Context(), do)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func checkOverview(t *testing.T, s *Store, name string, got *Overview) {
	t.Helper()
	ctx := t.Context()
	if got == nil {
		t.Fatalf("%s: nothing is told", name)
	}
	history, err := s.History(ctx, name, 14)
	if err != nil || !reflect.DeepEqual(got.History, history) {
		t.Errorf("%s: the history is\n%+v, want\n%+v, %v", name, got.History, history, err)
	}
	holder, err := s.Holder(ctx, name)
	if err != nil || !reflect.DeepEqual(got.Holder, holder) || holder.Host != "" {
		t.Errorf("%s: the holder is %+v, want %+v, %v", name, got.Holder, holder, err)
	}
	l, err := s.Look(ctx, name, "", "")
	if err != nil {
		t.Fatal(err)
	}
	standing, err := l.Standing(ctx)
	if err != nil || got.Refusals != standing.Refusals || !got.NotBefore.Equal(standing.NotBefore) {
		t.Errorf("%s: the standing is %d, %v, want %+v, %v", name, got.Refusals, got.NotBefore, standing, err)
	}
	asides, err := l.Asides(ctx)
	if err != nil || got.Asides != len(asides) {
		t.Errorf("%s: %d asides, want %d, %v", name, got.Asides, len(asides), err)
	}
	for _, until := range []time.Time{seen.AnyTime, now, now.Add(-time.Hour)} {
		want, err := l.CountDue(ctx, until)
		counts, errs := s.CountsDue(ctx, []Counting{{name, until}, {"unknown", until}})
		if err != nil || errs != nil || counts[name] != want {
			t.Errorf("%s: %d are due until %v, want %d, %v, %v", name, counts[name], until, want, err, errs)
		}
	}
}

// An account is polled at a time, waits, is at work elsewhere, or is left alone.
func TestStore_Overviews_place(t *testing.T) {
	url := pgtest.Database(t)
	here, far := openAs(t, url, "here (process 1)", time.Minute), openAs(t, url, "far (process 1)", time.Minute)
	if err := here.Schedule(t.Context(), []Scheduled{{Account: "a", Label: "east", Spread: time.Hour}, {Account: "b"}}); err != nil {
		t.Fatal(err)
	}
	place := func(name string) Place {
		t.Helper()
		all, err := here.Overviews(t.Context(), []string{name}, 0)
		if err != nil {
			t.Fatal(err)
		}
		return all[name].Place
	}
	if a := place("a"); a.IsWaiting() || a.Label != "east" || a.In > time.Hour || a.In < 59*time.Minute || time.Until(a.Due).Round(time.Minute) != time.Hour {
		t.Errorf("an account that is due in an hour: %+v", a)
	}
	if b := place("b"); !b.IsWaiting() || b.In > 0 {
		t.Errorf("an account that is due: %+v", b)
	}
	hold, err := far.Lock(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	if b := place("b"); b.IsWaiting() || b.Holder == nil || b.Holder.Host != "far" || b.Holder.Process != 1 {
		t.Errorf("an account that another machine has: %+v", b.Holder)
	}
	_, err = here.Lock(t.Context(), "b")
	if text := fmt.Sprint(err); text[:len("another popfetch on far (process 1, since ")] != "another popfetch on far (process 1, since " {
		t.Errorf("Lock = %v", err)
	}
	if err := hold.Release(); err != nil {
		t.Fatal(err)
	}
	_, err = here.pool.Exec(t.Context(), `UPDATE popfetch.turn SET holder = 'far (process 1)', until = now() - interval '20 min', abandoned = 2
		WHERE account = (SELECT id FROM popfetch.account WHERE name = 'b')`)
	if err != nil {
		t.Fatal(err)
	}
	b := place("b").Abandoned
	if b == nil || b.Times != 3 || b.Holder != "far (process 1)" || b.Again.Round(time.Minute) != 40*time.Minute || time.Since(b.Ended).Round(time.Minute) != 20*time.Minute {
		t.Errorf("an account that is left alone: %+v", b)
	}
	if err := here.Unschedule(t.Context(), []string{"a"}); err != nil {
		t.Fatal(err)
	}
	if a := place("a"); a.IsWaiting() || !a.Due.IsZero() {
		t.Errorf("an account that is not scheduled: %+v", a)
	}
	work, err := here.Work(t.Context())
	if err != nil || work.Late != 0 || work.Resting != 1 {
		t.Errorf("Work = %+v, %v", work, err)
	}
}

// Deleting names the accounts with deletions from a time on.
func TestStore_Deleting(t *testing.T) {
	s := openStore(t, pgtest.Database(t))
	for _, name := range []string{"deletes", "keeps"} {
		l := prepare(t, s, name)
		if name == "keeps" {
			continue
		}
		if err := l.Finish(t.Context(), seen.Diff{}, nil, []seen.Deleted{{Key: seen.Key{UniqueID: "old-0001"}, Rule: "rule"}}, now); err != nil {
			t.Fatal(err)
		}
	}
	for since, want := range map[time.Time]string{{}: "map[deletes:true]", now: "map[deletes:true]", now.Add(time.Second): "map[]"} {
		got, err := s.Deleting(t.Context(), since)
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("Deleting(%v) = %v, %v, want %s", since, got, err, want)
		}
	}
}
