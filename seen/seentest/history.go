package seentest

import (
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// Runs of the tests, without their times.
var (
	success = seen.RunNote{Verdict: seen.Succeeded, Took: 2 * time.Second, Delivered: 2, Octets: 3000, Deleted: 1, Largest: 2048, Sizes: seen.Sizes{10: 1, 11: 1},
		Maildrop: &seen.MaildropNote{Listed: 7}}
	refusal = seen.RunNote{Verdict: seen.Failed, Took: time.Second, Status: 77, Code: "login/refused", Text: "wrong password", LoginRefused: true}
	stopped = seen.RunNote{Verdict: seen.Passing, Took: time.Minute, Status: 75, Code: "retrieve/stopped", Text: "stopped", Delivered: 1, Octets: 10, Largest: 10, Sizes: seen.Sizes{4: 1},
		Maildrop: &seen.MaildropNote{Listed: 9, Backlog: 3, Quarantined: 1}}
)

func at(run seen.RunNote, end time.Time) seen.RunNote {
	run.At = end
	return run
}

func note(t testing.TB, s seen.Store, name string, runs ...seen.RunNote) {
	t.Helper()
	for _, run := range runs {
		if err := s.NoteRun(t.Context(), name, run); err != nil {
			t.Fatalf("NoteRun() = %v", err)
		}
	}
}

func historyOf(t testing.TB, s seen.Store, name string, days int) seen.History {
	t.Helper()
	h, err := s.History(t.Context(), name, days)
	if err != nil {
		t.Fatalf("History() = %v", err)
	}
	return h
}

// runHistory notes runs of all kinds, and reads them back from another store.
func runHistory(t *testing.T, harness Harness) {
	place := t.TempDir()
	s := harness.Open(t, place, seen.DefaultTuning)
	if h := historyOf(t, s, account, seen.HistoryDays); !reflect.DeepEqual(h, seen.History{}) {
		t.Errorf("History() of an unknown account = %+v, want the zero value", h)
	}
	lock(t, s, account)
	day, minute := 24*time.Hour, time.Minute
	runs := []seen.RunNote{
		at(success, now.Add(-2*day)), at(refusal, now.Add(-day)), at(refusal, now.Add(minute-day)),
		at(stopped, now.Add(-3*minute)), at(refusal, now.Add(-2*minute)), at(success, now.Add(-minute)), at(refusal, now),
	}
	var want seen.History
	byDate := map[time.Time]*seen.Day{}
	for _, run := range runs {
		note(t, s, account, run)
		want.Note(run)
		date := seen.DateOf(run.At)
		if byDate[date] == nil {
			byDate[date] = &seen.Day{Date: date}
		}
		byDate[date].Note(run)
	}
	if err := s.NoteNext(t.Context(), account, now.Add(time.Hour)); err != nil {
		t.Fatalf("NoteNext() = %v", err)
	}
	want.NextAt = now.Add(time.Hour)
	for _, days := range []int{0, 1, 2, 3, seen.HistoryDays} {
		want.Days = nil
		for i := min(days, 3) - 1; i >= 0; i-- {
			want.Days = append(want.Days, *byDate[seen.DateOf(now).AddDate(0, 0, -i)])
		}
		got := historyOf(t, harness.Open(t, place, seen.DefaultTuning), account, days)
		if text, wantText := show(got), show(want); text != wantText {
			t.Errorf("History() of %d days =\n%s\nwant\n%s", days, text, wantText)
		}
	}
	if want.Error.Since != now || want.Error.Status != 77 || want.Total.RefusedLogins != 4 || want.Total.Failed != 4 || want.Maildrop.Listed != 7 || want.Maildrop.Backlog != 0 {
		t.Errorf("the runs came to %s", show(want))
	}
	if h := historyOf(t, s, "other", 1); h.Total.Runs != 0 {
		t.Errorf("History() of another account = %s", show(h))
	}
	note(t, s, account, at(success, now.Add(30*minute)))
	if h := historyOf(t, s, account, 0); !h.NextAt.Equal(now.Add(time.Hour)) {
		t.Errorf("after a run in between, the next one is planned at %v", h.NextAt)
	}
	note(t, s, account, at(success, now.Add(61*minute)))
	if h := historyOf(t, s, account, 0); !h.NextAt.IsZero() {
		t.Errorf("after a later run, the next one is planned at %v", h.NextAt)
	}
}

// show writes a history so that times compare equal in any zone.
func show(h seen.History) string {
	utc := func(times ...*time.Time) {
		for _, t := range times {
			*t = t.UTC()
		}
	}
	utc(&h.RanAt, &h.SucceededAt, &h.Error.At, &h.Error.Since, &h.NextAt, &h.MaildropAt)
	return fmt.Sprintf("%+v", h)
}

// runHistoryBound notes runs on more days than are kept, forwards and with a clock that jumps.
func runHistoryBound(t *testing.T, harness Harness) {
	s := harness.Open(t, t.TempDir(), seen.DefaultTuning)
	lock(t, s, account)
	first := now.AddDate(0, 0, -seen.HistoryDays-9)
	for day := first; !day.After(now); day = day.AddDate(0, 0, 1) {
		note(t, s, account, at(success, day))
	}
	all := historyOf(t, s, account, 10*seen.HistoryDays)
	if len(all.Days) != seen.HistoryDays || all.Total.Runs != seen.HistoryDays+10 {
		t.Fatalf("after %d days, %d are kept, and %d runs are counted", seen.HistoryDays+10, len(all.Days), all.Total.Runs)
	}
	if got, want := all.Days[0].Date, seen.DateOf(now).AddDate(0, 0, 1-seen.HistoryDays); !got.Equal(want) {
		t.Errorf("the first day is %v, want %v", got, want)
	}
	// A clock that is years ahead costs the earliest days, one for each day of its own, and no more.
	note(t, s, account, at(success, now.AddDate(70, 0, 0)), at(success, now.AddDate(70, 0, 0)))
	after := historyOf(t, s, account, seen.HistoryDays)
	if len(after.Days) != seen.HistoryDays-1 {
		t.Errorf("after a run with a clock 70 years ahead, %d days are left, want %d", len(after.Days), seen.HistoryDays-1)
	}
	// One that is far behind makes an earliest day, which goes first.
	note(t, s, account, at(refusal, time.Unix(5, 0)))
	after = historyOf(t, s, account, 100*seen.HistoryDays)
	if len(after.Days) != seen.HistoryDays-1 || after.Error.At.Unix() != 5 || after.Error.Since.Unix() != 5 {
		t.Errorf("after a run in 1970, %d days are left and the error is %+v", len(after.Days), after.Error)
	}
}

// runHistoryClock lets the clock go back while an error lasts: it cannot have begun later than now.
func runHistoryClock(t *testing.T, harness Harness) {
	s := harness.Open(t, t.TempDir(), seen.DefaultTuning)
	lock(t, s, account)
	note(t, s, account, at(refusal, now.Add(time.Hour)), at(refusal, now))
	if h := historyOf(t, s, account, 0); !h.Error.Since.Equal(now) || !h.RanAt.Equal(now) {
		t.Errorf("the error is since %v, and the last run was at %v, want %v", h.Error.Since, h.RanAt, now)
	}
	note(t, s, account, at(refusal, now.Add(time.Minute)), at(stopped, now.Add(2*time.Minute)))
	if h := historyOf(t, s, account, 0); !h.Error.Since.Equal(now) || !h.Error.At.Equal(now.Add(time.Minute)) {
		t.Errorf("the error is since %v, and was last met at %v", h.Error.Since, h.Error.At)
	}
	note(t, s, account, at(success, now.Add(-time.Hour)))
	if h := historyOf(t, s, account, 0); !h.Error.Since.IsZero() || !h.SucceededAt.Equal(now.Add(-time.Hour)) || h.Error.Status != refusal.Status {
		t.Errorf("after a success, %s", show(h))
	}
}

// runHistoryRenamed renames an account: its history goes along, and replaces that of the new name.
// If it has none, that of the new name stays.
func runHistoryRenamed(t *testing.T, harness Harness) {
	s := harness.Open(t, t.TempDir(), seen.DefaultTuning)
	enter(t, s)
	lock(t, s, "home")
	note(t, s, account, at(success, now), at(success, now))
	note(t, s, "home", at(refusal, now))
	if err := s.Rename(t.Context(), account, "home"); err != nil {
		t.Fatal(err)
	}
	if h := historyOf(t, s, "home", 1); h.Total.Runs != 2 || len(h.Days) != 1 || h.Days[0].Runs != 2 || !h.Error.At.IsZero() {
		t.Errorf("the history under the new name is %s", show(h))
	}
	if h := historyOf(t, s, account, 1); h.Total.Runs != 0 || len(h.Days) != 0 {
		t.Errorf("the history under the old name is %s", show(h))
	}
	other := harness.Open(t, t.TempDir(), seen.DefaultTuning) // its records are older than histories
	enter(t, other)
	lock(t, other, "home")
	note(t, other, "home", at(refusal, now))
	if err := other.Rename(t.Context(), account, "home"); err != nil {
		t.Fatal(err)
	}
	if h := historyOf(t, other, "home", 1); h.Total.Runs != 1 {
		t.Errorf("an account without a history took that of its new name: %s", show(h))
	}
}

// runHistoryTogether notes runs of several accounts from two stores at once: none is lost.
func runHistoryTogether(t *testing.T, harness Harness) {
	const accounts, runs = 8, 20
	place := t.TempDir()
	stores := []seen.Store{harness.Open(t, place, seen.DefaultTuning), harness.Open(t, place, seen.DefaultTuning)}
	var wg sync.WaitGroup
	for i := range accounts {
		lock(t, stores[i%2], fmt.Sprint(i))
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range runs {
				if err := stores[i%2].NoteRun(t.Context(), fmt.Sprint(i), at(success, now)); err != nil {
					t.Errorf("NoteRun() = %v", err)
				}
			}
		}()
	}
	wg.Wait()
	for i := range accounts {
		if h := historyOf(t, stores[0], fmt.Sprint(i), 1); h.Total.Runs != runs || h.Days[0].Runs != runs {
			t.Errorf("of %d runs of account %d, %d are counted, on this day %d", runs, i, h.Total.Runs, h.Days[0].Runs)
		}
	}
}

// runHolder asks who has a lock.
func runHolder(t *testing.T, harness Harness) {
	place := t.TempDir()
	s := harness.Open(t, place, seen.DefaultTuning)
	for range 2 {
		if holder, err := s.Holder(t.Context(), account); holder != nil || err != nil {
			t.Errorf("Holder() = %v, %v, want nobody", holder, err)
		}
		hold, err := s.Lock(t.Context(), account)
		if err != nil {
			t.Fatal(err)
		}
		if holder, err := harness.Open(t, place, seen.DefaultTuning).Holder(t.Context(), account); holder == nil || err != nil || holder.Process <= 0 || holder.Since.IsZero() {
			t.Errorf("Holder() = %+v, %v, want this process", holder, err)
		}
		if err := hold.Release(); err != nil {
			t.Error(err)
		}
	}
}
