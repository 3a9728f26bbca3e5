package seen

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Diff fills in Copy in listing, which must be complete, and tells what is known of each message. due: see Diff.Due; the
// zero time asks for none. An account that Lookup does not know (ID 0) makes every message new. Diff writes nothing.
//
// Nearly always a maildrop is what it was, or that and some new messages. So Finish keeps digests of what it left, and
// where a listing begins with just that, only the rest is looked up; see section for what has lost some.
func (s *Store) Diff(ctx context.Context, account int64, listing []Entry, due time.Time) (Diff, error) {
	c := comparison{account: account, listing: listing, due: toMillis(due), lookupCost: s.lookupCost, sectionSize: s.sectionSize}
	err := s.view(ctx, func(tx *sql.Conn) error { return c.run(ctx, tx) })
	if err != nil {
		return Diff{}, fmt.Errorf("comparing the listing with the seen-table: %w", err)
	}
	slices.Sort(c.diff.New)
	slices.Sort(c.diff.Check)
	slices.Sort(c.diff.Due)
	slices.Sort(c.diff.Likely)
	slices.SortFunc(c.diff.Aside, func(a, b Match) int { return a.Index - b.Index })
	return c.diff, nil
}

// comparison is the work of one Diff.
type comparison struct {
	account int64
	listing []Entry
	due     int64
	diff    Diff

	lookupCost, sectionSize int // of Store
}

func (c *comparison) run(ctx context.Context, tx *sql.Conn) error {
	last, err := readFinished(ctx, tx, c.account)
	if err != nil {
		return err
	}
	asides, err := readAsides(ctx, tx, c.account)
	if err != nil {
		return err
	}
	c.diff.AllAside = published(asides)
	same := last.isPrefixOf(c.listing, c.sectionSize)
	c.diff.Unchanged = same && last.listed == len(c.listing)
	c.diff.rest = rest{few: true, most: len(c.listing) / c.lookupCost, first: last.records+len(asides) == 0}
	scattered := len(c.listing) < last.records/c.lookupCost // most of what is known is listed no more
	var done bool
	switch {
	case last.hasDue(c.due):
	case same:
		done, err = c.runTail(ctx, tx, asides, last.listed)
	case !scattered:
		done, err = c.runSections(ctx, tx, asides, unpackSections(last.digest))
	}
	if done || err != nil {
		c.diff.rest.oldest = earliest(c.diff.rest.oldest, last.oldest)
		return err
	}
	if last.hasDue(c.due) {
		// If nothing is due in the end, that was of a message that is gone by now: Finish finds out anew which delivery is the earliest.
		defer func() { c.diff.Unchanged = c.diff.Unchanged && len(c.diff.Due) > 0 }()
	}
	order := indexes(0, len(c.listing))
	c.sort(order)
	if scattered {
		c.diff.rest.few = same // or what is gone is not known
		return c.compare(order, tableOf(ctx, tx, c.account, asides, c.uniqueIDs(order)))
	}
	return c.compare(order, tableBetween(ctx, tx, c.account, asides, idRange{}))
}

// runTail compares a listing whose first entries are what the last finished run left. Of these only the ones whose
// unique-id is listed behind them too, or has copies, or was set aside, are looked at; the others are seen. It is not done if
// that leaves too much to look up.
func (c *comparison) runTail(ctx context.Context, tx *sql.Conn, asides []aside, listed int) (done bool, err error) {
	if len(c.listing)-listed > c.diff.rest.most {
		return false, nil
	}
	ids, err := c.doubtful(ctx, tx, asides)
	if err != nil || ids == nil {
		return false, err
	}
	for _, e := range c.listing[listed:] {
		ids[e.UniqueID] = true
	}
	var order []int
	for i := range c.listing {
		c.listing[i].Copy = 0
		if len(ids) > 0 && ids[c.listing[i].UniqueID] {
			order = append(order, i)
		}
	}
	c.diff.Seen = len(c.listing) - len(order)
	c.sort(order)
	return true, c.compare(order, tableOf(ctx, tx, c.account, asides, c.uniqueIDs(order)))
}

// doubtful returns the unique-ids of which more than one copy is recorded, or that were set aside, nil if these are too many to be looked up.
func (c *comparison) doubtful(ctx context.Context, tx *sql.Conn, asides []aside) (map[string]bool, error) {
	most := c.diff.rest.most
	ids, err := queryIDs(ctx, tx, "SELECT DISTINCT unique_id FROM seen WHERE account = ? AND copy > 0 LIMIT ?", c.account, most+1)
	if err != nil || len(ids)+len(asides) > most {
		return nil, err
	}
	for i := range asides {
		ids[asides[i].UniqueID] = true
	}
	return ids, nil
}

// queryIDs returns the unique-ids that a query finds.
func queryIDs(ctx context.Context, tx *sql.Conn, query string, args ...any) (map[string]bool, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	ids := make(map[string]bool)
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids[id] = true
	}
	return ids, rows.Err()
}

// sort puts indexes into the order of the table: by unique-id, and in the order of the listing among copies.
func (c *comparison) sort(order []int) {
	slices.SortFunc(order, func(a, b int) int {
		if order := strings.Compare(c.listing[a].UniqueID, c.listing[b].UniqueID); order != 0 {
			return order
		}
		return a - b
	})
}

// uniqueIDs returns the unique-ids of sorted indexes, each once.
func (c *comparison) uniqueIDs(order []int) []string {
	ids := make([]string, 0, len(order))
	for _, i := range order {
		if id := c.listing[i].UniqueID; len(ids) == 0 || ids[len(ids)-1] != id {
			ids = append(ids, id)
		}
	}
	return ids
}

// compare goes through the entries that order names, sorted, and through the table side by side.
func (c *comparison) compare(order []int, t *table) error {
	for {
		k, err := t.next()
		if err != nil {
			return err
		}
		for len(order) > 0 && (k == nil || c.listing[order[0]].UniqueID < k.uniqueID) {
			order = c.judge(order, &known{uniqueID: c.listing[order[0]].UniqueID})
		}
		if k == nil {
			break
		}
		if len(order) > 0 && c.listing[order[0]].UniqueID == k.uniqueID {
			order = c.judge(order, k)
		} else if k.current > 0 {
			c.diff.rest.lookAt(strings.Clone(k.uniqueID))
		}
	}
	return nil
}

// judge numbers the listed copies of one unique-id, which are the first in order, notes what is known of them, and returns the others.
func (c *comparison) judge(order []int, k *known) (others []int) {
	listed := 1
	for listed < len(order) && c.listing[order[listed]].UniqueID == k.uniqueID {
		listed++
	}
	for ordinal, i := range order[:listed] {
		e := &c.listing[i]
		e.Copy = ordinal
		v, r, a := k.judge(ordinal, listed, e.Octets)
		if v != isSeen && ordinal == 0 {
			c.diff.rest.lookAt(e.UniqueID)
		}
		switch v {
		case isNew:
			c.diff.New = append(c.diff.New, i)
		case isCheck:
			c.diff.Check = append(c.diff.Check, i)
		case isAside:
			c.diff.Aside = append(c.diff.Aside, Match{Index: i, Aside: a.Aside})
		case isSeen, isLikely:
			if v == isLikely {
				c.diff.Likely = append(c.diff.Likely, i)
			}
			c.diff.Seen++
			if r.isDue(c.due) { // it will hardly be left
				c.diff.Due = append(c.diff.Due, i)
				c.diff.rest.lookAt(e.UniqueID)
			} else {
				c.diff.rest.oldest = earliest(c.diff.rest.oldest, r.delivery())
			}
		}
	}
	return order[listed:]
}

// delivery returns when the message was delivered, 0 if it is not known.
func (r *row) delivery() int64 {
	if r.kind != Delivered {
		return 0
	}
	return r.deliveredAt
}

// earliest is the earlier of two times, of which 0 is none.
func earliest(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// rest is what Diff tells Finish, so that not all has to be compared twice.
type rest struct {
	few    bool     // each listed id that is not in ids has just one row, seen without doubt; ids has all that the last listing had, too
	ids    []string // what is to be looked at again: not seen without doubt, due, or listed no more
	most   int      // more than so many are not few
	first  bool     // nothing at all was known
	oldest int64    // no message with one of the other ids was delivered earlier; 0: none was delivered
}

func (r *rest) lookAt(id string) {
	if r.few = r.few && len(r.ids) < r.most; r.few {
		r.ids = append(r.ids, id)
	}
}

// isDue says that the message was delivered at or before the time due; 0 asks for none.
func (r *row) isDue(due int64) bool {
	return due != 0 && r.delivery() != 0 && r.delivery() <= due
}

// finished is what the last finished run left behind.
type finished struct {
	records int    // of the account, now
	listed  int    // how many entries were left
	digest  []byte // the sections of these, packed; nil if they do not hold any more
	oldest  int64  // the earliest delivery among them; 0: none
}

// readFinished returns the zero value for account 0.
func readFinished(ctx context.Context, tx *sql.Conn, account int64) (finished, error) {
	var f finished
	if account == 0 {
		return f, nil
	}
	err := tx.QueryRowContext(ctx, "SELECT records, listed, digest, oldest FROM account WHERE id = ?", account).
		Scan(&f.records, &f.listed, &f.digest, &f.oldest)
	if errors.Is(err, sql.ErrNoRows) {
		return f, ErrUnknown
	}
	return f, err
}

func (f *finished) hasDue(due int64) bool {
	return due != 0 && f.oldest != 0 && f.oldest <= due
}
