package fetch

import (
	"iter"
	"slices"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch/policy"
	"github.com/popfetch/popfetch/seen"
)

// maxLikely limits how many Likely messages (see seen.Diff) are compared with their records. More are
// believed: a whole maildrop was hidden for a while, or all its messages have one unique-id.
const maxLikely = 1000

// fate is what will happen to a listed message, as far as is known.
type fate uint8

const (
	isSeen     fate = iota // it is the message of a record
	isNew                  // to be retrieved, unless the policy says otherwise
	isOld                  // a first run leaves it out
	isRecorded             // this session has delivered or recognised it, and recorded that
	isLeftOut              // it was sent before the time that the account sets (Select.Within)
)

// state is what a session keeps of every listed message. A maildrop may hold millions of them, so
// facts about few messages are in maps of the maildrop.
type state struct {
	fate  fate
	flags flags
}

// flags are facts about one message.
type flags uint16

const (
	// An earlier run has set this message aside, and the ledger does not doubt that.
	isAside  flags = 1 << iota
	isCheck        // only its digest can tell whether it is the message of a record
	isDue          // it was delivered long enough ago to be deleted
	isLikely       // nothing shows that it is another message than the recorded one
	isShown        // the server has sent octets of it in this session
	// Delivered, refused or quarantined: a further session of the run leaves it alone.
	isSettled
	isDeleted // the server has accepted DELE for it
	isOlder   // it arrived before the time of its only record
	isYounger // it arrived clearly after that time
	isDated   // its Date was asked for, so that its fate is decided by that
	isWaiting // a later pass retrieves it, or a later session of this one
	isGone    // a person seems to have removed it at the target
	isMoved   // its record is that of another unique-id, which it had before
	isUnasked // the filter of headers has said nothing about it yet
)

// maildrop is the listing of one session, and all that the session has learnt of its messages.
type maildrop struct {
	listing []seen.Entry // ascending message-numbers
	diff    seen.Diff
	states  []state // by index of the listing
	shown   bool    // the server has sent octets of all messages
	found   bool    // the target holds messages of this maildrop that have no record
	// The age of messages is judged for this time; see policy.Delete.AsOf.
	asOf time.Time

	discarded map[string]bool // unique-ids that a filter of headers has discarded
	staying   int             // from this index on, messages stay, whatever the rules say
	applied   []policy.Rule   // the rules by which messages are deleted
	rules     []uint8         // by index: of what is deleted, the rule's index in applied

	asides  map[seen.Key]*seen.Aside  // set aside by earlier runs, listed or not
	again   map[int32][]deliver.Place // recorded, and to be retrieved again; see Envelope.Has
	copies  map[string][]int32        // the indexes of each unique-id that is listed more than once
	digests map[int32]seen.Digest     // by index, of the headers that the server has shown
	twins   map[int32][]*twins        // by index, messages that one may turn out to be
}

// item is one listed message. It is a handle: the facts about the message are in the maildrop, so
// every copy of the item shows them.
type item struct {
	*seen.Entry
	drop  *maildrop
	index int32
}

// newMaildrop notes what the ledger says about a listing. With all, every message is new.
func newMaildrop(listing []seen.Entry, diff seen.Diff, all bool) *maildrop {
	d := &maildrop{
		listing: listing,
		diff:    diff,
		states:  make([]state, len(listing)),
		asides:  make(map[seen.Key]*seen.Aside, len(diff.AllAside)),
		copies:  make(map[string][]int32),
		digests: make(map[int32]seen.Digest),
		twins:   make(map[int32][]*twins),
		staying: len(listing),
	}
	for i := range diff.AllAside {
		d.asides[diff.AllAside[i].Key] = &diff.AllAside[i]
	}
	for i := range listing {
		if listing[i].Copy > 0 {
			d.copies[listing[i].UniqueID] = nil
		}
	}
	if len(d.copies) > 0 {
		for i := range listing {
			if copies, ok := d.copies[listing[i].UniqueID]; ok {
				d.copies[listing[i].UniqueID] = append(copies, int32(i))
			}
		}
	}
	for _, m := range diff.Aside {
		d.states[m.Index] = state{isNew, isAside}
	}
	if all {
		for i := range d.states {
			d.states[i].fate = isNew
		}
		return d
	}
	d.note(diff.New, isNew, 0)
	d.note(diff.Check, isNew, isCheck)
	d.note(diff.Due, isSeen, isDue)
	if len(diff.Likely) <= maxLikely {
		d.note(diff.Likely, isSeen, isLikely)
	}
	return d
}

func (d *maildrop) note(indexes []int, f fate, flag flags) {
	for _, i := range indexes {
		d.states[i].fate = f
		d.states[i].flags |= flag
	}
}

func (d *maildrop) item(index int32) item { return item{&d.listing[index], d, index} }

// items yields the messages at indexes.
func (d *maildrop) items(indexes []int32) iter.Seq[item] {
	return func(yield func(item) bool) {
		for _, i := range indexes {
			if !yield(d.item(i)) {
				return
			}
		}
	}
}

// all yields every listed message, in the order of the listing.
func (d *maildrop) all() iter.Seq[item] {
	return func(yield func(item) bool) {
		for i := range d.listing {
			if !yield(d.item(int32(i))) {
				return
			}
		}
	}
}

func (it item) isAgain() bool {
	_, again := it.drop.again[it.index]
	return again
}

func (it item) fate() fate        { return it.drop.states[it.index].fate }
func (it item) is(any flags) bool { return it.drop.states[it.index].flags&any != 0 }
func (it item) decide(f fate)     { it.drop.states[it.index].fate = f }
func (it item) set(flag flags)    { it.drop.states[it.index].flags |= flag }
func (it item) unset(flag flags)  { it.drop.states[it.index].flags &^= flag }

// digest returns the digest of the header, as the server shows it now; zero: it is unknown.
func (it item) digest() seen.Digest { return it.drop.digests[it.index] }

// identified reports whether the digest of the header is known.
func (it item) identified() bool { return it.digest() != seen.Digest{} }

// before returns what was set aside under the key of the message, or nil. That may be another
// message.
func (it item) before() *seen.Aside {
	if len(it.drop.asides) == 0 { // nearly always, so it must be cheap
		return nil
	}
	return it.drop.asides[it.Key]
}

// reason returns why something was set aside under its key, or 0 if nothing was.
func (it item) reason() seen.Reason {
	if before := it.before(); before != nil {
		return before.Reason
	}
	return 0
}

// twins returns the delivered messages that the message may turn out to be.
func (it item) twins() []*twins { return it.drop.twins[it.index] }

// mayBe notes that the message may turn out to be one of t.
func (it item) mayBe(t *twins) {
	if len(t.bySum) > 0 {
		it.drop.twins[it.index] = append(slices.Clip(it.drop.twins[it.index]), t)
	}
}

// groups calls do with the items that wanted selects, in parts of about chunk items. If it selects
// one copy of a unique-id, all copies come, in one part and side by side. So they are read and
// judged together.
func (d *maildrop) groups(wanted func(item) bool, do func(part []item) error) error {
	part := make([]item, 0, chunk)
	done := make(map[string]bool) // unique-ids with copies, which hardly any maildrop has
	for it := range d.all() {
		if !wanted(it) || len(done) > 0 && done[it.UniqueID] {
			continue
		}
		if copies, ok := d.copies[it.UniqueID]; ok {
			done[it.UniqueID] = true
			part = slices.AppendSeq(part, d.items(copies))
		} else {
			part = append(part, it)
		}
		if len(part) >= chunk {
			if err := do(part); err != nil {
				return err
			}
			part = part[:0]
		}
	}
	if len(part) == 0 {
		return nil
	}
	return do(part)
}

// byID yields the items of each unique-id of a part.
func byID(part []item) iter.Seq[[]item] {
	return func(yield func([]item) bool) {
		for len(part) > 0 {
			n := 1
			for n < len(part) && part[n].UniqueID == part[0].UniqueID {
				n++
			}
			if !yield(part[:n]) {
				return
			}
			part = part[n:]
		}
	}
}

// doubtful returns the unique-ids whose headers prove nothing: another message with this id may
// have the header of a delivered one. Either a copy was set aside, or the id is made of the header.
func (d *maildrop) doubtful() map[string]bool {
	ids := make(map[string]bool)
	for _, i := range d.diff.Check {
		if id := d.listing[i].UniqueID; isMade(id) {
			ids[id] = true
		}
	}
	if len(d.asides) == 0 {
		return ids
	}
	type sized struct {
		id     string
		octets int64
	}
	// The copies that show no sign of a change.
	unchanged, sizes := make(map[string]bool), make(map[sized]bool)
	for _, i := range d.diff.Likely {
		e := &d.listing[i]
		unchanged[e.UniqueID], sizes[sized{e.UniqueID, e.Octets}] = true, true
	}
	for key, a := range d.asides {
		// An unchanged copy can only be the one that was set aside if their octets are equal.
		if !unchanged[key.UniqueID] || sizes[sized{key.UniqueID, a.Listed}] {
			ids[key.UniqueID] = true
		}
	}
	return ids
}

// count counts the messages of a fate.
func (d *maildrop) count(f fate) int {
	n := 0
	for i := range d.states {
		if d.states[i].fate == f {
			n++
		}
	}
	return n
}

// left returns the listing without the messages whose DELE was accepted, in its order.
func (d *maildrop) left(deleted int) []seen.Entry {
	if deleted == 0 {
		return d.listing
	}
	left := make([]seen.Entry, 0, len(d.listing)-deleted)
	for i := range d.listing {
		if d.states[i].flags&isDeleted == 0 {
			left = append(left, d.listing[i])
		}
	}
	return left
}

// exposed reports whether the server has sent octets of a message that is not safe. Such a message
// has no record, or only one that a look would have made. A server that announces EXPIRE 0 may
// remove it at QUIT (R2449-5).
func (d *maildrop) exposed(looks bool) bool {
	if d.shown && d.states == nil { // the session ended before anything was looked up
		return true
	}
	return slices.ContainsFunc(d.states, func(s state) bool {
		safe := s.fate == isSeen || s.fate == isRecorded && !looks
		return !safe && (d.shown || s.flags&isShown != 0)
	})
}

// twin is a delivered message whose octets are known. Several listed messages may turn out to be
// this message; the first that does takes it.
type twin struct {
	kind   seen.Kind // Delivered or Dropped
	places []seen.Place
	at     time.Time // of its delivery; zero: unknown
	file   string    // where the target holds it without a record; "": it has a record
}

// twins are delivered messages, looked up by their octets.
type twins struct {
	bySum map[seen.Sum][]*twin
}

func (t *twins) add(sum seen.Sum, one *twin) {
	if t.bySum == nil {
		t.bySum = make(map[seen.Sum][]*twin)
	}
	t.bySum[sum] = append(t.bySum[sum], one)
}

// take returns a message with these octets, or nil. Nobody else gets that message from now on.
func (t *twins) take(sum seen.Sum) *twin {
	all := t.bySum[sum]
	if len(all) == 0 {
		return nil
	}
	t.bySum[sum] = all[1:]
	return all[0]
}
