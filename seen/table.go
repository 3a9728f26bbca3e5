package seen

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// row is what of a record is needed to compare it with a listing.
type row struct {
	Key
	kind        Kind
	listed      int64
	deliveredAt int64 // like the next two in milliseconds since 1970, 0 for none
	absentAt    int64
	deletedAt   int64
}

// known is what the store holds of one unique-id.
type known struct {
	uniqueID string
	records  []row
	asides   []aside
	current  int // how many of both were in the last finished listing, or have come since
	ever     int // how many there are of both
}

// verdict is what is known of one listed message.
type verdict int

const (
	isNew verdict = iota
	isCheck
	isLikely
	isSeen
	isAside
)

// judge tells what is known of a message by its key and octets, where listed messages have its unique-id. The record or
// aside of that key is returned with isSeen, isLikely and isAside.
//
// Where an id has, or had, several messages, the ordinal alone does not name one: when a copy is gone the others move up.
// So as soon as the number of copies is not that of the last finished listing, nothing but the header tells them apart (C0041).
// An id whose message was deleted with the server's consent, or whose octets changed beyond what servers are known to be
// off by, may name another message now (C0040). But a single message that was hidden for a while is still the same one.
func (k *known) judge(ordinal, listed int, octets int64) (verdict, *row, *aside) {
	r := k.record(ordinal)
	a := k.aside(ordinal)
	switch {
	case len(k.records) == 0 && (a == nil || a.Reason == Quarantined && Differ(a.Listed, octets)):
		return isNew, nil, nil // what is quarantined holds up no other message that came to its unique-id
	case len(k.records) == 0:
		return isAside, nil, a
	case listed != k.current && max(listed, k.ever) > 1:
		return isCheck, nil, nil
	case r == nil && a != nil:
		return isAside, nil, a
	case r == nil || a != nil:
		return isCheck, nil, nil
	case k.ever > 1 && r.listed != octets: // one copy may have gone and another come
		return isCheck, nil, nil
	case r.deletedAt != 0 || r.absentAt != 0 && k.current > 0 || Differ(r.listed, octets):
		return isCheck, nil, nil
	case k.ever > 1 || r.absentAt != 0: // one may have gone and another of equal octets have come
		return isLikely, r, nil
	}
	return isSeen, r, nil
}

// Differ says that two sizes, as LIST announced them, can hardly be those of one message. Servers count line ends differently
// and change header fields such as Status between sessions, so some difference means nothing; zero is unknown.
func Differ(a, b int64) bool {
	return a > 0 && b > 0 && max(a, b)-min(a, b) > 16+a/16
}

func (k *known) record(ordinal int) *row {
	i, found := slices.BinarySearchFunc(k.records, ordinal, func(r row, ordinal int) int { return r.Copy - ordinal })
	if !found {
		return nil
	}
	return &k.records[i]
}

func (k *known) aside(ordinal int) *aside {
	i, found := slices.BinarySearchFunc(k.asides, ordinal, func(a aside, ordinal int) int { return a.Copy - ordinal })
	if !found {
		return nil
	}
	return &k.asides[i]
}

// count brings current and ever up to date.
func (k *known) count() {
	k.current, k.ever = 0, len(k.records)+len(k.asides)
	for i := range k.records {
		if k.records[i].absentAt == 0 {
			k.current++
		}
	}
	for i := range k.asides {
		if k.asides[i].absentAt == 0 {
			k.current++
		}
	}
}

// table reads what is known of an account, unique-id by unique-id in ascending order of their octets.
type table struct {
	chunks func() (string, error) // the next rows as text, see packed; "" at the end
	chunk  string
	last   Key
	head   row // the first row of the next unique-id, if there is more
	more   bool
	begun  bool
	asides []aside // those not yet taken
	known  known   // what next returned, whose memory is used again
}

// packed makes one text of many rows: numbers, the length of the unique-id the last of them, each with a space behind it, and the
// unique-id. Handing rows over one by one takes half as long again, with several small pieces of memory for each; and while
// they are handed over, Finish could not change them. Writing and reading the numbers is most of the work, so that a plain row, as nearly
// all are, has but three: kind and time of delivery in one, then the octets. A kind that does not fit there is none of ours, or a later one.
const packed = `
	SELECT coalesce(group_concat(iif(copy = 0 AND absent_at = 0 AND deleted_at = 0 AND delivered_at >= 0 AND kind BETWEEN 0 AND 3,
		concat_ws(' ', delivered_at * 4 + kind, listed, length(unique_id), unique_id),
		concat_ws(' ', -1, copy, kind, listed, delivered_at, absent_at, deleted_at, length(unique_id), unique_id)), ''), '')
	FROM `

// mergeChunk is how many rows are read at once.
const mergeChunk = 1024

// idRange is the unique-ids behind after, up to and with to; nil stands for no limit.
type idRange struct{ after, to []byte }

// tableBetween reads everything that is known of an account in a range. Rows that it has passed may be changed meanwhile.
func tableBetween(ctx context.Context, tx *sql.Conn, account int64, asides []aside, ids idRange) *table {
	const (
		mark = "SELECT unique_id, copy FROM seen WHERE account = ? AND (unique_id, copy) > (?, ?) ORDER BY unique_id, copy LIMIT 1 OFFSET ?"
		// In the order of the primary key, as it is read; to ask for that order takes half as long again. advance makes sure of it.
		rest = packed + "seen NOT INDEXED WHERE account = ? AND (unique_id, copy) > (?, ?)"
		upTo = rest + " AND (unique_id, copy) <= (?, ?)"
	)
	t := &table{asides: asides, last: Key{Copy: -1}}
	id, copies, ended := []byte{}, -1, false // of the last row that was read
	if ids.after != nil {
		id, copies = ids.after, math.MaxInt
	}
	t.chunks = func() (chunk string, err error) {
		if ended {
			return "", nil
		}
		if err := ctx.Err(); err != nil {
			return "", err
		}
		once := context.WithoutCancel(ctx) // see transact
		var toID []byte
		var toCopy int
		err = tx.QueryRowContext(once, mark, account, id, copies, mergeChunk-1).Scan(&toID, &toCopy)
		ended = errors.Is(err, sql.ErrNoRows) || err == nil && ids.to != nil && bytes.Compare(toID, ids.to) > 0
		switch {
		case ended && ids.to == nil:
			err = tx.QueryRowContext(once, rest, account, id, copies).Scan(&chunk)
			return chunk, err
		case ended:
			toID, toCopy = ids.to, math.MaxInt
		case err != nil:
			return "", err
		}
		err = tx.QueryRowContext(once, upTo, account, id, copies, toID, toCopy).Scan(&chunk)
		id, copies = toID, toCopy
		return chunk, err
	}
	return t
}

// tableOf reads what is known of the unique-ids, which are in ascending order and all different.
func tableOf(ctx context.Context, tx *sql.Conn, account int64, asides []aside, ids []string) *table {
	t := &table{asides: asides, last: Key{Copy: -1}}
	t.chunks = func() (chunk string, err error) {
		for chunk == "" && len(ids) > 0 && err == nil {
			where, args := whereIDs(account, ids[:min(len(ids), lookupChunk)])
			ids = ids[min(len(ids), lookupChunk):]
			err = tx.QueryRowContext(ctx, packed+"(SELECT * FROM seen"+where+" ORDER BY unique_id, copy)", args...).Scan(&chunk)
		}
		return chunk, err
	}
	return t
}

// next returns what is known of the next unique-id, nil after the last. It is valid until the next call.
func (t *table) next() (*known, error) {
	if !t.begun {
		t.begun = true
		if err := t.advance(); err != nil {
			return nil, err
		}
	}
	k := &t.known
	k.records = k.records[:0]
	switch {
	case !t.more && len(t.asides) == 0:
		return nil, nil
	case !t.more || len(t.asides) > 0 && t.asides[0].UniqueID < t.head.UniqueID:
		k.uniqueID = t.asides[0].UniqueID
	default:
		k.uniqueID = t.head.UniqueID
	}
	for t.more && t.head.UniqueID == k.uniqueID {
		k.records = append(k.records, t.head)
		if err := t.advance(); err != nil {
			return nil, err
		}
	}
	n := 0
	for n < len(t.asides) && t.asides[n].UniqueID == k.uniqueID {
		n++
	}
	k.asides, t.asides = t.asides[:n], t.asides[n:]
	k.count()
	return k, nil
}

// advance makes the next row the head.
func (t *table) advance() (err error) {
	if t.chunk == "" {
		if t.chunk, err = t.chunks(); err != nil || t.chunk == "" {
			t.more = false
			return err
		}
	}
	r, rest, err := unpack(t.chunk)
	if err != nil {
		return err
	}
	if compareKeys(r.Key, t.last) <= 0 {
		return fmt.Errorf("%w: the rows are out of order", errDamaged)
	}
	t.chunk, t.last, t.head, t.more = rest, r.Key, r, true
	return nil
}

// unpack takes the first row off a chunk. Its unique-id shares the chunk's memory.
func unpack(chunk string) (r row, rest string, err error) {
	u := unpacking{rest: chunk}
	if first := u.number(); first >= 0 {
		r.kind, r.deliveredAt, r.listed = Kind(first%4), first/4, u.number()
	} else {
		r.Copy, r.kind, r.listed = int(u.number()), Kind(u.number()), u.number()
		r.deliveredAt, r.absentAt, r.deletedAt = u.number(), u.number(), u.number()
	}
	r.UniqueID = u.text(u.number())
	if u.err != nil {
		return row{}, "", fmt.Errorf("reading rows: %w", u.err)
	}
	return r, u.rest, nil
}

// unpacking reads what packed has made.
type unpacking struct {
	rest string
	err  error
}

func (u *unpacking) number() int64 {
	number, rest, _ := strings.Cut(u.rest, " ")
	n, err := strconv.ParseInt(number, 10, 64)
	u.rest, u.err = rest, cmp.Or(u.err, err)
	return n
}

func (u *unpacking) text(length int64) string {
	if length < 0 || length > int64(len(u.rest)) {
		u.err = cmp.Or(u.err, fmt.Errorf("a unique-id of %d octets in %d", length, len(u.rest)))
		return ""
	}
	text := u.rest[:length]
	u.rest = u.rest[length:]
	return text
}

// compareKeys gives the order of the table.
func compareKeys(a, b Key) int {
	if order := strings.Compare(a.UniqueID, b.UniqueID); order != 0 {
		return order
	}
	return a.Copy - b.Copy
}
