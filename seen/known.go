package seen

import "slices"

// known is what the store holds of one unique-id.
type known struct {
	uniqueID string
	records  []Row
	asides   []aside
	current  int // how many of both were in the last finished listing, or have come since
	ever     int // how many there are of both
}

// aside is an Aside whose AbsentAt is changed by Conclude.
type aside struct {
	Aside
	absentAt int64
}

func asidesOf(stored []Aside) []aside {
	asides := make([]aside, len(stored))
	for i, a := range stored {
		asides[i] = aside{Aside: a, absentAt: Millis(a.AbsentAt)}
	}
	return asides
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
func (k *known) judge(ordinal, listed int, octets int64) (verdict, *Row, *aside) {
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
	case k.ever > 1 && r.Listed != octets: // one copy may have gone and another come
		return isCheck, nil, nil
	case r.DeletedAt != 0 || r.AbsentAt != 0 && k.current > 0 || Differ(r.Listed, octets):
		return isCheck, nil, nil
	case k.ever > 1 || r.AbsentAt != 0: // one may have gone and another of equal octets have come
		return isLikely, r, nil
	}
	return isSeen, r, nil
}

// Differ says that two sizes, as LIST announced them, can hardly be those of one message. Servers count line ends differently
// and change header fields such as Status between sessions, so some difference means nothing; zero is unknown.
func Differ(a, b int64) bool {
	return a > 0 && b > 0 && max(a, b)-min(a, b) > 16+a/16
}

func (k *known) record(ordinal int) *Row {
	i, found := slices.BinarySearchFunc(k.records, ordinal, func(r Row, ordinal int) int { return r.Copy - ordinal })
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
		if k.records[i].AbsentAt == 0 {
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
	rows   Rows
	head   Row // the first row of the next unique-id, if there is more
	more   bool
	begun  bool
	asides []aside // those not yet taken
	known  known   // what next returned, whose memory is used again
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
	t.more, err = t.rows.Next(&t.head)
	return err
}
