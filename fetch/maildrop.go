package fetch

import (
	"iter"
	"slices"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// maxLikely bounds how many Likely messages (see seen.Diff) are compared with their records. More
// of them are believed: a whole maildrop was hidden for a while, or has one unique-id for all.
const maxLikely = 1000

// fate is what is to become of a listed message, as far as is known.
type fate uint8

const (
	isNew      fate = iota // to be retrieved, unless the policy says otherwise
	isSeen                 // it is the message of a record
	isOld                  // a first run leaves it out
	isRecorded             // this session has delivered or recognised it, and recorded that
)

// item is one listed message and all that a session learns of it. Maildrops are large, so only
// messages that something is to be decided about have one.
type item struct {
	*seen.Entry
	fate    fate
	aside   bool        // an earlier run has set this message aside, which the ledger does not doubt
	check   bool        // only its digest can tell whether it is the message of a record
	due     bool        // it was delivered long enough ago to be deleted
	likely  bool        // nothing shows that it is another message than the recorded one
	shown   bool        // the server has shown octets of it in this session
	settled bool        // delivered, refused or quarantined: a further session of the run leaves it alone
	deleted bool        // the server has accepted DELE for it
	digest  seen.Digest // of its header, as the server shows it now; zero: unknown
	before  *seen.Aside // what was set aside under its key, perhaps another message; or nil
	twins   []*twins    // messages that it may turn out to be
}

// identified reports whether something is known of the header.
func (it *item) identified() bool { return it.digest != seen.Digest{} }

// reason returns why something was set aside under its key, or 0 if nothing was.
func (it *item) reason() seen.Reason {
	if it.before == nil {
		return 0
	}
	return it.before.Reason
}

// maildrop is what one session found listed. Its items point into the listing.
type maildrop struct {
	listing []seen.Entry // ascending message-numbers
	diff    seen.Diff
	items   []item // ascending message-numbers
	asides  map[seen.Key]*seen.Aside
	copies  map[string][]*item // those with a unique-id that is listed more than once
	shown   bool               // the server has shown octets of all messages
	found   bool               // the target holds messages of this maildrop that have no record
}

// newMaildrop makes items of the messages that something is to be decided about: those that diff
// names, or with all every one.
func newMaildrop(listing []seen.Entry, diff seen.Diff, all bool) *maildrop {
	d := &maildrop{listing: listing, diff: diff, asides: make(map[seen.Key]*seen.Aside, len(diff.AllAside))}
	for i := range diff.AllAside {
		d.asides[diff.AllAside[i].Key] = &diff.AllAside[i]
	}
	indexes, copied := d.chosen(all)
	d.items = make([]item, len(indexes))
	for n, i := range indexes {
		d.items[n] = item{Entry: &listing[i], fate: isSeen}
		if len(d.asides) > 0 {
			d.items[n].before = d.asides[listing[i].Key]
		}
	}
	d.apply(all)
	d.copies = make(map[string][]*item, len(copied))
	for n := range d.items {
		if it := &d.items[n]; copied[it.UniqueID] {
			d.copies[it.UniqueID] = append(d.copies[it.UniqueID], it)
		}
	}
	return d
}

// chosen returns the indexes of the messages that get an item, ascending, and the unique-ids of
// those that are listed more than once.
func (d *maildrop) chosen(all bool) (indexes []int, copied map[string]bool) {
	copied = make(map[string]bool)
	for i := range d.listing {
		if e := &d.listing[i]; e.Copy > 0 {
			copied[e.UniqueID] = true
		}
	}
	if all {
		indexes = make([]int, len(d.listing))
		for i := range indexes {
			indexes[i] = i
		}
		return indexes, copied
	}
	diff := &d.diff
	indexes = make([]int, 0, len(diff.New)+len(diff.Check)+len(diff.Due)+len(diff.Aside))
	indexes = append(append(append(indexes, diff.New...), diff.Check...), diff.Due...)
	if len(diff.Likely) <= maxLikely {
		indexes = append(indexes, diff.Likely...)
	}
	for _, m := range diff.Aside {
		indexes = append(indexes, m.Index)
	}
	if len(copied) > 0 { // whoever decides about one copy looks at all
		wanted := make(map[string]bool)
		for _, i := range indexes {
			if id := d.listing[i].UniqueID; copied[id] {
				wanted[id] = true
			}
		}
		for i := range d.listing {
			if wanted[d.listing[i].UniqueID] {
				indexes = append(indexes, i)
			}
		}
	}
	slices.Sort(indexes)
	return slices.Compact(indexes), copied
}

// apply notes in the items what the diff says of them.
func (d *maildrop) apply(all bool) {
	for n := range d.diff.Aside {
		it := d.at(d.diff.Aside[n].Index)
		it.fate, it.aside = isNew, true
	}
	if all {
		for n := range d.items {
			d.items[n].fate = isNew
		}
		return
	}
	for _, i := range d.diff.New {
		d.at(i).fate = isNew
	}
	for _, i := range d.diff.Check {
		it := d.at(i)
		it.fate, it.check = isNew, true
	}
	for _, i := range d.diff.Due {
		d.at(i).due = true
	}
	if len(d.diff.Likely) <= maxLikely {
		for _, i := range d.diff.Likely {
			d.at(i).likely = true
		}
	}
}

// at returns the item of the message at an index of the listing, which has one.
func (d *maildrop) at(index int) *item {
	number := d.listing[index].Number
	n, _ := slices.BinarySearchFunc(d.items, number, func(it item, number int) int { return it.Number - number })
	return &d.items[n]
}

// groups calls do with the items that wanted picks, in parts of about a chunk. If it picks one copy
// of a unique-id, all copies come, in one part and side by side: they are read and judged together.
func (d *maildrop) groups(wanted func(*item) bool, do func(part []*item) error) error {
	part := make([]*item, 0, chunk)
	done := make(map[string]bool) // unique-ids with copies, which hardly any maildrop has
	for n := range d.items {
		it := &d.items[n]
		if !wanted(it) || done[it.UniqueID] {
			continue
		}
		if copies, ok := d.copies[it.UniqueID]; ok {
			done[it.UniqueID] = true
			part = append(part, copies...)
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

// each yields pointers to items.
func each(items []item) iter.Seq[*item] {
	return func(yield func(*item) bool) {
		for n := range items {
			if !yield(&items[n]) {
				return
			}
		}
	}
}

// byID yields the items of each unique-id of a part.
func byID(part []*item) iter.Seq[[]*item] {
	return func(yield func([]*item) bool) {
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
	type sized struct {
		id     string
		octets int64
	}
	unchanged, sizes := make(map[string]bool), make(map[sized]bool) // copies that show no sign of a change
	for _, i := range d.diff.Likely {
		e := &d.listing[i]
		unchanged[e.UniqueID], sizes[sized{e.UniqueID, e.Octets}] = true, true
	}
	ids := make(map[string]bool)
	for key, a := range d.asides {
		// A copy that shows no change can only be the one that was set aside if their octets are
		// equal.
		if !unchanged[key.UniqueID] || sizes[sized{key.UniqueID, a.Listed}] {
			ids[key.UniqueID] = true
		}
	}
	for _, i := range d.diff.Check {
		if id := d.listing[i].UniqueID; isMade(id) {
			ids[id] = true
		}
	}
	return ids
}

// seen counts the messages that are recorded, and so not retrieved.
func (d *maildrop) seen() int {
	n := len(d.listing) - len(d.items)
	for i := range d.items {
		if d.items[i].fate == isSeen {
			n++
		}
	}
	return n
}

// recorded counts the messages that this session has delivered or recognised, and recorded.
func (d *maildrop) recorded() int {
	n := 0
	for i := range d.items {
		if d.items[i].fate == isRecorded {
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
	items := d.items
	for i := range d.listing {
		for len(items) > 0 && items[0].Number < d.listing[i].Number {
			items = items[1:]
		}
		if len(items) == 0 || items[0].Number != d.listing[i].Number || !items[0].deleted {
			left = append(left, d.listing[i])
		}
	}
	return left
}

// exposed reports whether the server has sent octets of a message that is not recorded. A server
// that announces EXPIRE 0 may remove such a message at QUIT (R2449-5).
func (d *maildrop) exposed() bool {
	return slices.ContainsFunc(d.items, func(it item) bool {
		return (it.shown || d.shown) && it.fate != isSeen && it.fate != isRecorded
	})
}

// twin is a delivered message whose octets are known. Several listed messages may turn out to be
// this message; the first that does takes it.
type twin struct {
	places []seen.Place
	at     time.Time // of its delivery; zero: unknown
	file   string    // where the target holds it without a record; "": it has a record
}

// twins are messages that were delivered, to be found by their octets.
type twins struct {
	bySum map[seen.Sum][]*twin
}

func (t *twins) add(sum seen.Sum, one *twin) {
	if t.bySum == nil {
		t.bySum = make(map[seen.Sum][]*twin)
	}
	t.bySum[sum] = append(t.bySum[sum], one)
}

// mayBe notes that the message may turn out to be one of t.
func (it *item) mayBe(t *twins) {
	if len(t.bySum) > 0 {
		it.twins = append(slices.Clip(it.twins), t)
	}
}

// take returns a message with these octets, which is nobody else's from now on; nil: there is none.
func (t *twins) take(sum seen.Sum) *twin {
	all := t.bySum[sum]
	if len(all) == 0 {
		return nil
	}
	t.bySum[sum] = all[1:]
	return all[0]
}
