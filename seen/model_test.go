package seen

import (
	"database/sql"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// model is the seen-table of one account as plainly as it can be written: maps, no order, no digest, no SQL.
type model struct {
	records map[Key]*Record
	asides  map[Key]*Aside
	absent  map[Key]time.Time // of keys that the last finished listing lacked
}

func newModel() *model {
	return &model{records: map[Key]*Record{}, asides: map[Key]*Aside{}, absent: map[Key]time.Time{}}
}

func (m *model) diff(listing []Entry, due time.Time) Diff {
	var d Diff
	copies := map[string]int{}
	for i := range listing {
		listing[i].Copy = copies[listing[i].UniqueID]
		copies[listing[i].UniqueID]++
	}
	for i, e := range listing {
		listed := copies[e.UniqueID]
		records, current, ever := 0, 0, 0
		count := func(k Key) {
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
			d.Aside = append(d.Aside, Match{Index: i})
		case doubt:
			d.Check = append(d.Check, i)
		case r == nil && a != nil:
			d.Aside = append(d.Aside, Match{Index: i})
		case r == nil || a != nil || !r.DeletedAt.IsZero() || !m.absent[e.Key].IsZero() && current > 0 ||
			ever > 1 && r.Listed != e.Octets || math.Abs(float64(r.Listed-e.Octets)) > 16+math.Floor(float64(r.Listed)/16):
			d.Check = append(d.Check, i)
		default:
			d.Seen++
			if ever > 1 || !m.absent[e.Key].IsZero() {
				d.Likely = append(d.Likely, i)
			}
			if r.Kind == Delivered && !due.IsZero() && !r.DeliveredAt.After(due) {
				d.Due = append(d.Due, i)
			}
		}
	}
	return d
}

func (m *model) commit(records []Record) {
	for _, r := range records {
		m.records[r.Key] = &r
		delete(m.asides, r.Key)
		delete(m.absent, r.Key)
	}
}

// setAside shares absent with the record of the key, if there is one; the test therefore never does that.
func (m *model) setAside(asides []Aside) {
	for _, a := range asides {
		m.asides[a.Key] = &a
		delete(m.absent, a.Key)
	}
}

func (m *model) forget(id string) {
	for k := range m.records {
		if k.UniqueID == id {
			delete(m.records, k)
			m.asides[k] = &Aside{Key: k, Reason: Wanted}
		}
	}
}

func (m *model) finish(left []Entry, deleted []Key, at time.Time) {
	for _, k := range deleted {
		if r := m.records[k]; r != nil {
			r.DeletedAt = at
		}
	}
	isLeft := map[Key]bool{}
	for _, e := range left {
		isLeft[e.Key] = true
	}
	note := func(k Key) (forget bool) {
		switch since, isAbsent := m.absent[k]; {
		case isLeft[k]:
			delete(m.absent, k)
		case !isAbsent:
			m.absent[k] = at
		case at.Sub(since) > graceTime:
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

// TestDiff_model lets runs of random maildrops happen, some of which break off, and compares each Diff, by look-ups, by
// merge and by the digest, with that of the model.
func TestDiff_model(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { runModel(t, rand.New(rand.NewPCG(seed, 1)), 120, seed%2 == 1) })
	}
}

// runModel sees to it that the listings are in ascending order, if they shall be.
func runModel(t *testing.T, random *rand.Rand, runs int, ascending bool) {
	s := open(t)
	account := enter(t, s)
	m := newModel()
	s.sectionSize = 3
	lookups := &Store{read: s.read, lookupCost: 1, sectionSize: 3}
	merge := &Store{read: s.read, lookupCost: math.MaxInt, sectionSize: 3}
	at := now
	maildrop := listingOf()
	unchanged, few, bySections := 0, 0, 0
	for run := range runs {
		maildrop = changed(random, maildrop, run, ascending)
		at = at.Add(time.Duration(random.IntN(4)) * graceTime / 30)
		var due time.Time
		if random.IntN(3) == 0 {
			due = at.Add(-graceTime / 10)
		}
		listing := slices.Clone(maildrop)
		want := m.diff(listing, due)
		var rests []rest
		for name, store := range map[string]*Store{"default": s, "lookups": lookups, "merge": merge} {
			numbered := slices.Clone(maildrop)
			got, err := store.Diff(t.Context(), account, numbered, due)
			if err != nil {
				t.Fatalf("run %d, %s: Diff() = %v", run, name, err)
			}
			if got.Unchanged {
				unchanged++
			}
			rests = append(rests, got.rest)
			if summary(got) != summary(want) || !slices.Equal(got.Due, want.Due) || !slices.Equal(got.Likely, want.Likely) || !slices.Equal(numbered, listing) {
				t.Fatalf("run %d, %s: Diff(%v) = %s, due %v, likely %v, want %s, due %v, likely %v", run, name, numbered, summary(got), got.Due, got.Likely, summary(want), want.Due, want.Likely)
			}
		}
		if got, done := sectionsDiff(t, s, account, slices.Clone(maildrop), due); done {
			bySections++
			rests = append(rests, got.rest)
			if summary(got) != summary(want) || !slices.Equal(got.Due, want.Due) || !slices.Equal(got.Likely, want.Likely) {
				t.Fatalf("run %d, sections: Diff(%v) = %s, due %v, likely %v, want %s, due %v, likely %v", run, maildrop, summary(got), got.Due, got.Likely, summary(want), want.Due, want.Likely)
			}
		}
		want.rest = rests[random.IntN(len(rests))]
		if want.rest.few {
			few++
		}
		randomRun(t, random, s, m, account, listing, want, at)
	}
	if unchanged == 0 || few == 0 || ascending && bySections == 0 {
		t.Errorf("%d listings were found unchanged, of %d Finish was told what to look at, %d were compared by sections, want some of each", unchanged, few, bySections)
	}
}

// sectionsDiff is a Diff by sections, if that is possible, whatever it costs.
func sectionsDiff(t *testing.T, s *Store, account int64, listing []Entry, due time.Time) (d Diff, done bool) {
	t.Helper()
	c := comparison{account: account, listing: listing, due: toMillis(due), lookupCost: s.lookupCost, sectionSize: s.sectionSize}
	c.diff.rest = rest{few: true, most: math.MaxInt - 1}
	err := s.view(t.Context(), func(tx *sql.Conn) error {
		last, err := readFinished(t.Context(), tx, account)
		if err != nil || last.digest == nil || last.hasDue(c.due) {
			return err
		}
		asides, err := readAsides(t.Context(), tx, account)
		if err != nil {
			return err
		}
		c.diff.rest.oldest = last.oldest
		done, err = c.runSections(t.Context(), tx, asides, unpackSections(last.digest))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return c.diff, done
}

// changed is the maildrop some time later: some messages gone, some come, some of other octets, some copies, or as it was.
func changed(random *rand.Rand, maildrop []Entry, run int, ascending bool) []Entry {
	if random.IntN(3) == 0 {
		return maildrop
	}
	next := slices.Clone(maildrop)
	if random.IntN(3) == 0 {
		next = slices.DeleteFunc(next, func(Entry) bool { return random.IntN(6) == 0 })
	}
	for range random.IntN(4) {
		e := Entry{Octets: int64(900 + random.IntN(200)), Key: Key{UniqueID: fmt.Sprintf("id-%d", random.IntN(40))}}
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
		slices.SortFunc(next, func(a, b Entry) int { return strings.Compare(a.UniqueID, b.UniqueID) })
		next = slices.CompactFunc(next, func(a, b Entry) bool { return a.UniqueID == b.UniqueID })
	}
	for i := range next {
		next[i].Number, next[i].Copy = i+1, 0
	}
	return next
}

// randomRun does what a run may do after Diff, to store and model alike.
func randomRun(t *testing.T, random *rand.Rand, s *Store, m *model, account int64, listing []Entry, d Diff, at time.Time) {
	retrieve := slices.Concat(d.New, d.Check)
	for _, match := range d.Aside {
		retrieve = append(retrieve, match.Index)
	}
	var records []Record
	var asides []Aside
	for _, i := range retrieve {
		r := recordOf(listing[i])
		r.DeliveredAt = at
		switch {
		case random.IntN(8) == 0 && m.records[r.Key] == nil:
			asides = append(asides, Aside{Key: r.Key, Reason: Refused, Listed: r.Listed, Last: at})
		case random.IntN(30) != 0:
			records = append(records, r)
		}
	}
	if random.IntN(5) == 0 {
		records = records[:len(records)/2]
	}
	mustCommit(t, s, account, records...)
	m.commit(records)
	mustSetAside(t, s, account, asides...)
	m.setAside(asides)
	if random.IntN(10) == 0 {
		id := fmt.Sprintf("id-%d", random.IntN(40))
		if _, err := s.Forget(t.Context(), account, id); err != nil {
			t.Fatalf("Forget() = %v", err)
		}
		m.forget(id)
	}
	if random.IntN(4) == 0 {
		return // the run breaks off
	}
	var left []Entry
	var deleted []Key
	for _, e := range listing {
		if r := m.records[e.Key]; r != nil && random.IntN(12) == 0 {
			deleted = append(deleted, e.Key)
		} else {
			left = append(left, e)
		}
	}
	finish := func(d Diff) (known string, oldest int64) {
		if err := s.Finish(t.Context(), account, d, left, deleted, at); err != nil {
			t.Fatalf("Finish() = %v", err)
		}
		return dump(t, s, account)
	}
	known, oldest := finish(d)
	m.finish(left, deleted, at)
	wantKnown, wantOldest := finish(Diff{}) // which looks at everything
	if known != wantKnown {
		t.Fatalf("Finish() with %+v left\n%s\nwithout it\n%s", d.rest, known, wantKnown)
	}
	if wantOldest != 0 && (oldest == 0 || oldest > wantOldest) {
		t.Errorf("Finish() with %+v noted the earliest delivery as %d, want at most %d", d.rest, oldest, wantOldest)
	}
}

// dump returns what is stored of an account, but for account.oldest as text.
func dump(t *testing.T, s *Store, account int64) (text string, oldest int64) {
	t.Helper()
	err := s.read.QueryRowContext(t.Context(), `
		SELECT concat_ws(char(10), records, listed, hex(digest),
			(SELECT group_concat(concat_ws(' ', unique_id, copy, listed, delivered_at, absent_at, deleted_at), char(10)) FROM seen WHERE account = ?1),
			(SELECT group_concat(concat_ws(' ', unique_id, copy, reason, absent_at), char(10)) FROM aside WHERE account = ?1)), oldest
		FROM account WHERE id = ?1`, account).Scan(&text, &oldest)
	if err != nil {
		t.Fatal(err)
	}
	return text, oldest
}
