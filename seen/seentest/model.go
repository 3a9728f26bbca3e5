package seentest

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// model is the seen-table of one account, written as plainly as possible: maps, no order, no
// digest, no SQL.
type model struct {
	records map[seen.Key]*seen.Record
	asides  map[seen.Key]*seen.Aside
	absent  map[seen.Key]time.Time // since when the last finished listing lacked a key
	log     []seen.Deletion
}

func newModel() *model {
	return &model{records: map[seen.Key]*seen.Record{}, asides: map[seen.Key]*seen.Aside{}, absent: map[seen.Key]time.Time{}}
}

func (m *model) diff(listing []seen.Entry, due time.Time) seen.Diff {
	var d seen.Diff
	copies := map[string]int{}
	for i := range listing {
		listing[i].Copy = copies[listing[i].UniqueID]
		copies[listing[i].UniqueID]++
	}
	for i, e := range listing {
		listed := copies[e.UniqueID]
		records, current, ever := 0, 0, 0
		count := func(k seen.Key) {
			if k.UniqueID == e.UniqueID {
				ever++
				if m.absent[k].IsZero() {
					current++
				}
			}
		}
		for k := range m.records {
			if k.UniqueID == e.UniqueID {
				records++
			}
			count(k)
		}
		for k := range m.asides {
			count(k)
		}
		r, a := m.records[e.Key], m.asides[e.Key]
		doubt := listed != current && (listed > 1 || ever > 1)
		switch {
		case records == 0 && a == nil:
			d.New = append(d.New, i)
		case records == 0:
			d.Aside = append(d.Aside, seen.Match{Index: i})
		case doubt:
			d.Check = append(d.Check, i)
		case r == nil && a != nil:
			d.Aside = append(d.Aside, seen.Match{Index: i})
		case r == nil || a != nil || !r.DeletedAt.IsZero() || !m.absent[e.Key].IsZero() && current > 0 ||
			ever > 1 && r.Listed != e.Octets || math.Abs(float64(r.Listed-e.Octets)) > 16+math.Floor(float64(r.Listed)/16):
			d.Check = append(d.Check, i)
		default:
			d.Seen++
			if ever > 1 || !m.absent[e.Key].IsZero() {
				d.Likely = append(d.Likely, i)
			}
			if isDone(r) && isDue(r.DeliveredAt, due) {
				d.Due = append(d.Due, i)
			}
		}
	}
	return d
}

func (m *model) countDue(due time.Time) (n int) {
	for k, r := range m.records {
		if isDone(r) && r.DeletedAt.IsZero() && m.absent[k].IsZero() && isDue(r.DeliveredAt, due) {
			n++
		}
	}
	return n
}

func isDone(r *seen.Record) bool { return r.Kind == seen.Delivered || r.Kind == seen.Dropped }

// checkLog compares the log of deletions, and what is discarded and not deleted.
func (m *model) checkLog(t *testing.T, l seen.Ledger, since time.Time) {
	t.Helper()
	var got, want []string
	last := time.Time{}
	for d, err := range l.Deletions(t.Context(), since) {
		if err != nil || d.DeletedAt.Before(last) {
			t.Errorf("Deletions() yields %+v, %v behind one of %v", d, err, last)
		}
		last = d.DeletedAt
		got = append(got, showDeletion(d))
	}
	for _, d := range m.log {
		if !d.DeletedAt.Before(since) {
			want = append(want, showDeletion(d))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("Deletions(%v) = %d %v, want %d %v", since, len(got), got, len(want), want)
	}
	discarded, err := l.Discarded(t.Context())
	want = nil
	for k, r := range m.records {
		if r.Kind == seen.Discarded && r.DeletedAt.IsZero() {
			want = append(want, k.UniqueID)
		}
	}
	slices.Sort(want)
	if err != nil || !slices.Equal(discarded, want) {
		t.Fatalf("Discarded() = %v, %v, want %v", discarded, err, want)
	}
}

func showDeletion(d seen.Deletion) string {
	return fmt.Sprint(d.UniqueID, " ", d.Rule, " ", d.Octets, " ", d.SHA256[:3], " ", seen.Millis(d.DeliveredAt), " ", seen.Millis(d.DeletedAt))
}

func isDue(deliveredAt, due time.Time) bool {
	if deliveredAt.IsZero() {
		return due.Equal(seen.AnyTime)
	}
	return !due.IsZero() && !deliveredAt.After(due)
}

func (m *model) commit(records []seen.Record) {
	for _, r := range records {
		m.records[r.Key] = &r
		delete(m.asides, r.Key)
		delete(m.absent, r.Key)
	}
}

// setAside uses the entry of absent that the record of the same key would use. So the test never
// sets a recorded key aside.
func (m *model) setAside(asides []seen.Aside) {
	for _, a := range asides {
		m.asides[a.Key] = &a
		delete(m.absent, a.Key)
	}
}

func (m *model) forget(id string) {
	for k := range m.records {
		if k.UniqueID == id {
			delete(m.records, k)
			m.asides[k] = &seen.Aside{Key: k, Reason: seen.Wanted}
		}
	}
}

func (m *model) finish(left []seen.Entry, deleted []seen.Deleted, at time.Time) {
	for _, k := range deleted {
		if r := m.records[k.Key]; r != nil {
			r.DeletedAt = at
			m.log = append(m.log, seen.Deletion{UniqueID: k.UniqueID, Rule: k.Rule, Octets: r.Came.Octets, SHA256: r.Came.SHA256, DeliveredAt: r.DeliveredAt, DeletedAt: at})
		}
	}
	isLeft := map[seen.Key]bool{}
	for _, e := range left {
		isLeft[e.Key] = true
	}
	note := func(k seen.Key) (forget bool) {
		switch since, isAbsent := m.absent[k]; {
		case isLeft[k]:
			delete(m.absent, k)
		case !isAbsent:
			m.absent[k] = at
		case at.Sub(since) > seen.GraceTime:
			return true
		}
		return false
	}
	for k := range m.records {
		if note(k) {
			delete(m.records, k)
			delete(m.absent, k)
		}
	}
	for k := range m.asides {
		if m.records[k] == nil && note(k) {
			delete(m.asides, k)
			delete(m.absent, k)
		}
	}
}

// runModel simulates runs over a random maildrop, some of which break off. It makes each Diff by
// look-ups, by merge and by digests, and compares it with that of the model. With ascending, most
// listings are in ascending order.
func runModel(t *testing.T, harness Harness, random *rand.Rand, runs int, ascending bool) {
	place := t.TempDir()
	stores := map[string]seen.Store{}
	for name, tuning := range map[string]seen.Tuning{
		"default":  {LookupCost: seen.DefaultTuning.LookupCost, SectionSize: 3},
		"lookups":  {LookupCost: 1, SectionSize: 3},
		"merge":    {LookupCost: math.MaxInt, SectionSize: 3},
		"sections": {LookupCost: seen.DefaultTuning.LookupCost, SectionSize: 3, Sections: true},
	} {
		stores[name] = harness.Open(t, place, tuning)
	}
	ways := map[string]seen.Ledger{"default": enter(t, stores["default"])} // it alone writes
	for name, s := range stores {
		if name != "default" {
			l, err := s.Look(t.Context(), account, "", "")
			if err != nil {
				t.Fatalf("Look() = %v", err)
			}
			ways[name] = l
		}
	}
	m := newModel()
	at := now
	var maildrop []seen.Entry
	unchanged, few, bySections := 0, 0, 0
	for run := range runs {
		maildrop = changed(random, maildrop, run, ascending)
		at = at.Add(time.Duration(random.IntN(4)) * seen.GraceTime / 30)
		var due time.Time
		switch random.IntN(9) {
		case 0:
			due = seen.AnyTime
		case 1, 2:
			due = at.Add(-seen.GraceTime / 10)
		}
		listing := slices.Clone(maildrop)
		want := m.diff(listing, due)
		var diffs []seen.Diff
		for _, name := range slices.Sorted(maps.Keys(ways)) {
			numbered := slices.Clone(maildrop)
			got, err := ways[name].Diff(t.Context(), numbered, due)
			if err != nil {
				t.Fatalf("run %d, %s: Diff() = %v", run, name, err)
			}
			if got.Unchanged {
				unchanged++
			}
			if got.Effort().Sections {
				bySections++
			}
			diffs = append(diffs, got)
			if summary(got) != summary(want) || !slices.Equal(got.Due, want.Due) || !slices.Equal(got.Likely, want.Likely) || !slices.Equal(numbered, listing) {
				t.Fatalf("run %d, %s: Diff(%v) = %s, due %v, likely %v, want %s, due %v, likely %v", run, name, numbered, summary(got), got.Due, got.Likely, summary(want), want.Due, want.Likely)
			}
		}
		if got, err := ways["default"].CountDue(t.Context(), due); err != nil || got != m.countDue(due) {
			t.Fatalf("run %d: CountDue(%v) = %d, %v, want %d", run, due, got, err, m.countDue(due))
		}
		if run%8 == 0 {
			m.checkLog(t, ways["default"], at.Add(-time.Duration(random.IntN(3))*seen.GraceTime))
		}
		d := diffs[random.IntN(len(diffs))]
		if d.Effort().Few {
			few++
		}
		r := randomRun{t: t, random: random, ledger: ways["default"], model: m, listing: listing, at: at}
		r.do(d, func() (string, int64) { return harness.Inspect(t, place, account) })
	}
	if unchanged == 0 || few == 0 || ascending && bySections == 0 {
		t.Errorf("%d listings were found unchanged, of %d Finish was told what to look at, %d were compared by sections, want some of each", unchanged, few, bySections)
	}
}

// changed returns the maildrop some time later. Some messages are gone, new or copied, or have
// other octets; or nothing has changed.
func changed(random *rand.Rand, maildrop []seen.Entry, run int, ascending bool) []seen.Entry {
	if random.IntN(3) == 0 {
		return maildrop
	}
	next := slices.Clone(maildrop)
	if random.IntN(3) == 0 {
		next = slices.DeleteFunc(next, func(seen.Entry) bool { return random.IntN(6) == 0 })
	}
	for range random.IntN(4) {
		e := seen.Entry{Octets: int64(900 + random.IntN(200)), Key: seen.Key{UniqueID: fmt.Sprintf("id-%d", random.IntN(40))}}
		switch random.IntN(6) {
		case 0:
			next = slices.Insert(next, random.IntN(len(next)+1), e)
		case 1:
			if len(next) > 0 {
				next[random.IntN(len(next))].Octets += int64(random.IntN(100))
			}
		default:
			next = append(next, e)
		}
	}
	if run%40 == 39 {
		next = next[:len(next)/4]
	}
	if ascending && random.IntN(4) != 0 {
		slices.SortFunc(next, func(a, b seen.Entry) int { return strings.Compare(a.UniqueID, b.UniqueID) })
		next = slices.CompactFunc(next, func(a, b seen.Entry) bool { return a.UniqueID == b.UniqueID })
	}
	for i := range next {
		next[i].Number, next[i].Copy = i+1, 0
	}
	return next
}

// randomRun does what a run may do after Diff, both to the ledger and to the model.
type randomRun struct {
	t       *testing.T
	random  *rand.Rand
	ledger  seen.Ledger
	model   *model
	listing []seen.Entry
	at      time.Time
}

func (r *randomRun) do(d seen.Diff, inspect func() (string, int64)) {
	r.t.Helper()
	r.deliver(d)
	if r.random.IntN(10) == 0 {
		id := fmt.Sprintf("id-%d", r.random.IntN(40))
		if _, err := r.ledger.Forget(r.t.Context(), id); err != nil {
			r.t.Fatalf("Forget() = %v", err)
		}
		r.model.forget(id)
	}
	if r.random.IntN(4) == 0 {
		return // the run breaks off
	}
	var left []seen.Entry
	var deleted []seen.Deleted
	for _, e := range r.listing {
		if known := r.model.records[e.Key]; known != nil && r.random.IntN(12) == 0 {
			deleted = append(deleted, seen.Deleted{Key: e.Key, Rule: fmt.Sprint("rule ", r.random.IntN(3))})
		} else {
			left = append(left, e)
		}
	}
	finish := func(d seen.Diff, deleted []seen.Deleted) (known string, oldest int64) {
		if err := r.ledger.Finish(r.t.Context(), d, left, deleted, r.at); err != nil {
			r.t.Fatalf("Finish() = %v", err)
		}
		return inspect()
	}
	known, oldest := finish(d, deleted)
	r.model.finish(left, deleted, r.at)
	wantKnown, wantOldest := finish(seen.Diff{}, nil) // looks at everything
	if known != wantKnown {
		r.t.Fatalf("Finish() with %+v left\n%s\nwithout it\n%s", d.Effort(), known, wantKnown)
	}
	if wantOldest != 0 && (oldest == 0 || oldest > wantOldest) {
		r.t.Errorf("Finish() with %+v noted the earliest delivery as %d, want at most %d", d.Effort(), oldest, wantOldest)
	}
}

// deliver delivers most of the messages that the run has to retrieve, and sets some of the others
// aside.
func (r *randomRun) deliver(d seen.Diff) {
	r.t.Helper()
	retrieve := slices.Concat(d.New, d.Check)
	for _, match := range d.Aside {
		retrieve = append(retrieve, match.Index)
	}
	var records []seen.Record
	var asides []seen.Aside
	for _, i := range retrieve {
		record := recordOf(r.listing[i])
		record.DeliveredAt = r.at
		if r.random.IntN(40) == 0 {
			record.DeliveredAt = time.Time{} // unknown
		}
		if r.random.IntN(9) == 0 {
			record.Kind = []seen.Kind{seen.Imported, seen.Dropped, seen.Discarded}[r.random.IntN(3)]
		}
		switch {
		case r.random.IntN(8) == 0 && r.model.records[record.Key] == nil:
			asides = append(asides, seen.Aside{Key: record.Key, Reason: seen.Refused, Listed: record.Listed, Last: r.at})
		case r.random.IntN(30) != 0:
			records = append(records, record)
		}
	}
	if r.random.IntN(5) == 0 {
		records = records[:len(records)/2]
	}
	if err := r.ledger.Apply(r.t.Context(), seen.Changes{Records: slices.Values(records), Asides: asides}); err != nil {
		r.t.Fatalf("Apply() = %v", err)
	}
	r.model.commit(records)
	r.model.setAside(asides)
}
