package custody

import (
	"encoding/binary"
	"hash/maphash"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/seen"
)

// Missing is a set of recorded messages that do not lie at all their places any more as they were
// delivered. It takes about 100 octets for each, because it may be a whole maildrop.
//
// One goroutine fills it. Afterwards several may read it.
type Missing struct {
	seed    maphash.Seed
	ids     map[uint64]struct{} // their unique-ids
	records map[uint64]uint64   // by what a record says: a bit for each place that is whole
}

// NewMissing makes an empty set.
func NewMissing() *Missing {
	return &Missing{seed: maphash.MakeSeed(), ids: make(map[uint64]struct{}), records: make(map[uint64]uint64)}
}

// mostPlaces is for how many places of one message a Missing knows whether they are whole.
const mostPlaces = 64

// Add adds the message of a record. whole says of each place whether the message is whole there, or
// needs no further copy for another reason.
func (m *Missing) Add(r *seen.Record, whole []bool) {
	var bits uint64
	for i := range min(len(whole), mostPlaces) {
		if whole[i] {
			bits |= 1 << i
		}
	}
	m.ids[maphash.String(m.seed, r.UniqueID)] = struct{}{}
	m.records[m.hash(r)] = bits
}

// Len returns how many records were added.
func (m *Missing) Len() int { return len(m.records) }

// Names reports whether a message with this unique-id may be in the set.
func (m *Missing) Names(uniqueID string) bool {
	_, ok := m.ids[maphash.String(m.seed, uniqueID)]
	return ok
}

// Whole reports whether the message of a record is in the set, and returns the places where it needs
// no further copy. A record that was made since is not in the set.
func (m *Missing) Whole(r *seen.Record) (places []deliver.Place, missing bool) {
	bits, missing := m.records[m.hash(r)]
	places = make([]deliver.Place, 0) // see deliver.Envelope.Has
	for i := range min(len(r.Places), mostPlaces) {
		if p := r.Places[i]; bits&(1<<i) != 0 {
			places = append(places, deliver.Place{Target: p.Target, Name: p.Name, Sum: deliver.Sum(p.Sum)})
		}
	}
	return places, missing
}

// hash stands for what a record says of the message and its places, and not for its unique-id, which
// a server may change.
func (m *Missing) hash(r *seen.Record) uint64 {
	var h maphash.Hash
	h.SetSeed(m.seed)
	_, _ = h.Write(r.Came.SHA256[:])
	_, _ = h.Write(binary.AppendVarint(nil, r.DeliveredAt.UnixMilli()))
	for _, p := range r.Places {
		_, _ = h.WriteString(p.Target)
		_ = h.WriteByte(0)
		_, _ = h.WriteString(p.Name)
		_ = h.WriteByte(0)
		_, _ = h.Write(p.SHA256[:])
	}
	return h.Sum64()
}
