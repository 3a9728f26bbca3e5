package seen

import "slices"

// known is what the store holds about one unique-id.
type known struct {
	uniqueID string
	records  []Row
	asides   []aside
	// How many records and asides were in the last finished listing, or were added since.
	current int
	ever    int // how many records and asides there are
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

// verdict is what the store knows of one listed message.
type verdict int

const (
	isNew verdict = iota
	isCheck
	isLikely
	isSeen
	isAside
)

// judge returns the verdict on the message with this ordinal and these octets; listed is how many
// messages have its unique-id. With isSeen and isLikely it returns the record of the message, and
// with isAside its aside.
//
// If several messages have or had one id, the ordinal does not identify a message: when a copy is
// gone, the others move up. So when the number of copies differs from that of the last finished
// listing, only the header can tell them apart (C0041).
//
// An id may name another message than before (C0040) if its message was deleted with the server's
// consent. The same holds if its octets have changed by more than servers are known to be wrong by.
// But a single message that was hidden for a while is still the same one.
func (k *known) judge(ordinal, listed int, octets int64) (verdict, *Row, *aside) {
	r := k.record(ordinal)
	a := k.aside(ordinal)
	switch {
	case len(k.records) == 0 && (a == nil || a.Reason == Quarantined && Differ(a.Listed, octets)):
		// A quarantined message must not block another one that has got its unique-id.
		return isNew, nil, nil
	case len(k.records) == 0:
		return isAside, nil, a
	case listed != k.current && max(listed, k.ever) > 1:
		return isCheck, nil, nil
	case r == nil && a != nil:
		return isAside, nil, a
	case r == nil || a != nil:
		return isCheck, nil, nil
	case k.ever > 1 && r.Listed != octets: // one copy may be gone and another have come
		return isCheck, nil, nil
	case r.DeletedAt != 0 || r.AbsentAt != 0 && k.current > 0 || Differ(r.Listed, octets):
		return isCheck, nil, nil
	// One message may be gone, and another one of the same size have come.
	case k.ever > 1 || r.AbsentAt != 0:
		return isLikely, r, nil
	}
	return isSeen, r, nil
}

// Differ reports whether two sizes, as LIST announced them, can hardly belong to one message. Zero
// is unknown and never differs. Servers count line ends differently, and change header fields such
// as Status between sessions. So a small difference means nothing.
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

// table reads what is known of an account, one unique-id at a time, in ascending order of their
// octets.
type table struct {
	rows   Rows
	head   Row // the first row of the next unique-id, if more
	more   bool
	begun  bool
	asides []aside // those not returned yet
	known  known   // the last result of next; its memory is reused
}

// next returns what is known of the next unique-id, or nil after the last. The result is valid
// until the next call.
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

// advance reads the next row into head.
func (t *table) advance() (err error) {
	t.more, err = t.rows.Next(&t.head)
	return err
}
