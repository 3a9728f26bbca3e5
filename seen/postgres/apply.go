package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/popfetch/popfetch/seen"
)

// Apply carries out one step. What is recorded is delivered already. So only the database says
// whether the lease was lost, and not the clock of this process, which is earlier: without records,
// the next run would deliver again.
func (l *ledger) Apply(ctx context.Context, changes seen.Changes) error {
	if l.hold == nil {
		return errNotEntered
	}
	err := l.store.stepLate(ctx, l.hold,
		func(ctx context.Context, st *step) error { return l.apply(ctx, st, changes) })
	if err != nil {
		return fmt.Errorf("recording messages: %w", err)
	}
	return nil
}

func (l *ledger) apply(ctx context.Context, st *step, c seen.Changes) error {
	for ids := range slices.Chunk(octetsOf(c.Replace), l.store.rowsAtOnce) {
		const remove = "DELETE FROM popfetch.seen WHERE account = $1 AND unique_id = ANY ($2::bytea[])"
		if err := st.add(ctx, len(ids), remove, l.id, ids); err != nil {
			return err
		}
	}
	if c.Moves != nil {
		if err := l.move(ctx, st, slices.Collect(c.Moves)); err != nil {
			return err
		}
	}
	if c.Records != nil {
		err := grouped(c.Records, l.store.rowsAtOnce, func(r *seen.Record) seen.Key { return r.Key },
			func(records []seen.Record) error { return l.record(ctx, st, records) })
		if err != nil {
			return err
		}
	}
	return grouped(slices.Values(c.Asides), l.store.rowsAtOnce,
		func(a *seen.Aside) seen.Key { return a.Key },
		func(asides []seen.Aside) error { return l.setAside(ctx, st, asides) })
}

// grouped calls do for groups of at most so many rows. No key is twice in a group, because a
// statement changes a row only once.
func grouped[R any](
	rows func(func(R) bool), most int, key func(*R) seen.Key, do func([]R) error,
) (err error) {
	var group []R
	keys := make(map[seen.Key]bool)
	rows(func(r R) bool {
		if len(group) == most || keys[key(&r)] {
			err = do(group)
			group = group[:0]
			clear(keys)
		}
		group = append(group, r)
		keys[key(&r)] = true
		return err == nil
	})
	if err != nil || len(group) == 0 {
		return err
	}
	return do(group)
}

// moveRows gives records other keys. It fails unless all of them exist. If one of the new keys has
// a record already, the primary key fails.
const moveRows = `
	WITH moved AS (
		UPDATE popfetch.seen AS s SET unique_id = m.to_id, copy = m.to_copy, listed = m.listed,
			absent_at = 0, deleted_at = 0
		FROM unnest($2::bytea[], $3::bigint[], $4::bytea[], $5::bigint[], $6::bigint[]) 
			AS m (from_id, from_copy, to_id, to_copy, listed)
		WHERE s.account = $1 AND s.unique_id = m.from_id AND s.copy = m.from_copy
		RETURNING 1
	)
	SELECT popfetch.demand(count(*) = $7::bigint, 'a message to be moved has no record') FROM moved`

// move gives records other keys.
func (l *ledger) move(ctx context.Context, st *step, moves []seen.Move) error {
	from, to := make(map[seen.Key]bool, len(moves)), make(map[seen.Key]bool, len(moves))
	for _, m := range moves {
		if from[m.From] || to[m.To.Key] {
			return fmt.Errorf("the move of %q to %q: one of them is named twice",
				m.From.UniqueID, m.To.UniqueID)
		}
		from[m.From], to[m.To.Key] = true, true
	}
	for _, m := range moves {
		if from[m.To.Key] {
			return fmt.Errorf("the move of %q to %q: that has a record", m.From.UniqueID, m.To.UniqueID)
		}
	}
	for some := range slices.Chunk(moves, l.store.rowsAtOnce) {
		n := len(some)
		fromIDs, toIDs := make([][]byte, n), make([][]byte, n)
		fromCopies, toCopies, listed := make([]int64, n), make([]int64, n), make([]int64, n)
		for i, m := range some {
			fromIDs[i], fromCopies[i] = []byte(m.From.UniqueID), int64(m.From.Copy)
			toIDs[i], toCopies[i], listed[i] = []byte(m.To.UniqueID), int64(m.To.Copy), m.To.Octets
		}
		err := st.add(ctx, n, moveRows, l.id, fromIDs, fromCopies, toIDs, toCopies, listed, n)
		if err != nil {
			return err
		}
	}
	return nil
}

// recordRows adds records, or replaces those with the same keys.
const recordRows = `
	INSERT INTO popfetch.seen (account, unique_id, copy, kind, listed, delivered_at, deleted_at,
		octets, digest, sha256, place, places)
	SELECT $1, r.* FROM unnest($2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
		$7::bigint[], $8::bigint[], $9::bytea[], $10::bytea[], $11::bytea[], $12::text[]) AS r
	ON CONFLICT (account, unique_id, copy) DO UPDATE SET kind = excluded.kind,
		listed = excluded.listed, delivered_at = excluded.delivered_at, deleted_at = excluded.deleted_at,
		absent_at = 0, octets = excluded.octets, digest = excluded.digest, sha256 = excluded.sha256,
		place = excluded.place, places = excluded.places`

const removeAsides = `
	DELETE FROM popfetch.aside USING unnest($2::bytea[], $3::bigint[]) AS r (unique_id, copy)
	WHERE aside.account = $1 AND aside.unique_id = r.unique_id AND aside.copy = r.copy`

// record adds records, all of which have different keys.
func (l *ledger) record(ctx context.Context, st *step, records []seen.Record) error {
	n := len(records)
	ids, copies := make([][]byte, n), make([]int64, n)
	kinds, listed := make([]int64, n), make([]int64, n)
	deliveredAt, deletedAt, octets := make([]int64, n), make([]int64, n), make([]int64, n)
	digests, sums := make([][]byte, n), make([][]byte, n)
	place, places := make([][]byte, n), make([]string, n)
	for i := range records {
		r := &records[i]
		if r.Kind == 0 {
			return fmt.Errorf("the record of unique-id %q has no kind", r.UniqueID)
		}
		ids[i], copies[i] = []byte(r.UniqueID), int64(r.Copy)
		kinds[i], listed[i] = int64(r.Kind), r.Listed
		deliveredAt[i], deletedAt[i] = seen.Millis(r.DeliveredAt), seen.Millis(r.DeletedAt)
		octets[i] = r.Came.Octets
		digests[i], sums[i] = known(r.Digest[:]), known(r.Came.SHA256[:])
		var err error
		if place[i], places[i], err = packPlaces(r); err != nil {
			return err
		}
	}
	err := st.add(ctx, n, recordRows, l.id, ids, copies, kinds, listed, deliveredAt, deletedAt, octets,
		digests, sums, place, places)
	return cmp.Or(err, st.add(ctx, 0, removeAsides, l.id, ids, copies))
}

// known returns no octets for zeros, which stand for an unknown value.
func known(octets []byte) []byte {
	if !slices.ContainsFunc(octets, func(b byte) bool { return b != 0 }) {
		return []byte{}
	}
	return slices.Clone(octets)
}

// storedPlace is a place in the JSON of places. Without Changed, the message is there as it came.
type storedPlace struct {
	Target  string    `json:"target,omitempty"`
	Name    []byte    `json:"name,omitempty"` // not always UTF-8
	Changed *seen.Sum `json:"changed,omitempty"`
}

// packPlaces returns what the columns place and places hold.
func packPlaces(r *seen.Record) (place []byte, places string, err error) {
	switch {
	case len(r.Places) == 0:
		return nil, "", nil
	case len(r.Places) == 1 && r.Places[0].Target == "" && r.Places[0].Sum == r.Came:
		return []byte(r.Places[0].Name), "", nil
	}
	all := make([]storedPlace, len(r.Places))
	for i, p := range r.Places {
		all[i] = storedPlace{Target: p.Target, Name: []byte(p.Name)}
		if p.Sum != r.Came {
			all[i].Changed = &p.Sum
		}
	}
	text, err := json.Marshal(all)
	return nil, string(text), err
}

// unpackPlaces is the reverse of packPlaces.
func unpackPlaces(r *seen.Record, place []byte, places string) error {
	if place != nil {
		r.Places = []seen.Place{{Name: string(place), Sum: r.Came}}
	}
	if places == "" {
		return nil
	}
	var all []storedPlace
	if err := json.Unmarshal([]byte(places), &all); err != nil {
		return fmt.Errorf("the places of unique-id %q: %w", r.UniqueID, err)
	}
	for _, p := range all {
		sum := r.Came
		if p.Changed != nil {
			sum = *p.Changed
		}
		r.Places = append(r.Places, seen.Place{Target: p.Target, Name: string(p.Name), Sum: sum})
	}
	return nil
}

// octetsOf returns unique-ids as the database takes them.
func octetsOf(ids []string) [][]byte {
	all := make([][]byte, len(ids))
	for i, id := range ids {
		all[i] = []byte(id)
	}
	return all
}
