package deliver

import (
	"bytes"
	"cmp"
	"context"
	"hash/maphash"
	"slices"
)

// Checklist is a list of places of one target, and what Inspect has found out of each. It takes
// about 80 octets for each place, whatever the names are, because it may be a whole mailbox.
//
// The places are added first. Then the list is given to Inspect, which uses it in one goroutine.
type Checklist struct {
	seed   maphash.Seed
	places []checked // by stem, once it is sorted
	bySum  []int32   // indexes of places
	sorted bool
}

// checked is one place of a Checklist.
type checked struct {
	stem uint64 // stands for the name that stays the same wherever the message is moved
	Sum
	condition Condition
	found     int32 // see count; in the first place of these octets
	altered   bool  // likewise, of this name
}

// NewChecklist makes an empty list with room for so many places.
func NewChecklist(places int) *Checklist {
	return &Checklist{seed: maphash.MakeSeed(), places: make([]checked, 0, places)}
}

// Add adds a place that is to be inspected.
func (c *Checklist) Add(p Place) {
	c.places = append(c.places, checked{stem: c.stemOf(p.Name), Sum: p.Sum})
}

// Len returns the number of places.
func (c *Checklist) Len() int { return len(c.places) }

// Condition returns what Inspect has found out of a place. Without known, it was never added.
func (c *Checklist) Condition(p Place) (condition Condition, known bool) {
	c.sort()
	one := checked{stem: c.stemOf(p.Name), Sum: p.Sum}
	i, known := slices.BinarySearchFunc(c.places, one, checked.compareAll)
	if !known {
		return Gone, false
	}
	return c.places[i].condition, true
}

func (c *Checklist) stemOf(name string) uint64 { return maphash.String(c.seed, stemOf(name)) }

// sort prepares the list for look-ups.
func (c *Checklist) sort() {
	if c.sorted {
		return
	}
	c.sorted = true
	slices.SortFunc(c.places, checked.compareAll)
	c.bySum = make([]int32, len(c.places))
	for i := range c.bySum {
		c.bySum[i] = int32(i)
	}
	slices.SortFunc(c.bySum, func(a, b int32) int { return c.places[a].compare(c.places[b].Sum) })
}

// compareAll orders places by what they stand for.
func (c checked) compareAll(other checked) int {
	return cmp.Or(cmp.Compare(c.stem, other.stem), c.compare(other.Sum))
}

// compare orders sums, by size first.
func (s Sum) compare(other Sum) int {
	switch {
	case s.Octets < other.Octets:
		return -1
	case s.Octets > other.Octets:
		return 1
	}
	return bytes.Compare(s.SHA256[:], other.SHA256[:])
}

// named yields the indexes of the places of that name.
func (c *Checklist) named(name string) func(yield func(int) bool) {
	c.sort()
	stem := c.stemOf(name)
	first, _ := slices.BinarySearchFunc(c.places, stem, func(p checked, stem uint64) int {
		if p.stem < stem {
			return -1
		}
		return 1
	})
	return func(yield func(int) bool) {
		for i := first; i < len(c.places) && c.places[i].stem == stem; i++ {
			if !yield(i) {
				return
			}
		}
	}
}

// alike yields the indexes of the places whose messages had these octets.
func (c *Checklist) alike(sum Sum) func(yield func(int) bool) {
	c.sort()
	first, _ := slices.BinarySearchFunc(c.bySum, sum, func(i int32, sum Sum) int {
		if c.places[i].compare(sum) < 0 {
			return -1
		}
		return 1
	})
	return func(yield func(int) bool) {
		for n := first; n < len(c.bySum) && c.places[c.bySum[n]].Sum == sum; n++ {
			if !yield(int(c.bySum[n])) {
				return
			}
		}
	}
}

// sizes returns the sizes of the messages that are not yet found as they were delivered.
func (c *Checklist) sizes() map[int64]bool {
	sizes := make(map[int64]bool)
	for i := range c.places {
		if c.places[i].condition != Whole {
			sizes[c.places[i].Octets] = true
		}
	}
	return sizes
}

// lacks reports whether any message is not yet found as it was delivered.
func (c *Checklist) lacks() bool {
	return slices.ContainsFunc(c.places, func(p checked) bool { return p.condition != Whole })
}

// found notes a message of that name. It stands for every place of the name, since two records
// may name one file.
func (c *Checklist) found(name string, sum Sum) {
	for i := range c.named(name) {
		p := &c.places[i]
		p.condition = max(p.condition, (&Place{Sum: p.Sum}).conditionOf(sum))
	}
}

// wants reports whether a place has that name.
func (c *Checklist) wants(name string) bool {
	for range c.named(name) {
		return true
	}
	return false
}

// isWhole reports whether every place of that name is found as it was delivered.
func (c *Checklist) isWhole(name string) bool {
	for i := range c.named(name) {
		if c.places[i].condition != Whole {
			return false
		}
	}
	return true
}

// count notes a message that is found by its octets alone; settle then says whose it is. The name, if
// there is one, may be that of a message that was altered.
func (c *Checklist) count(name string, sum Sum) {
	for i := range c.alike(sum) {
		c.places[i].found++
		return
	}
	if name == "" {
		return
	}
	for i := range c.named(name) {
		c.places[i].altered = true
		return
	}
}

// settle gives each message that was counted to one place, since two messages may have equal octets.
func (c *Checklist) settle() {
	c.sort()
	var found int32
	for n, i := range c.bySum {
		p := &c.places[i]
		if n == 0 || c.places[c.bySum[n-1]].Sum != p.Sum {
			found, p.found = p.found, 0
		}
		if p.condition != Whole && found > 0 && p.SHA256 != (Sum{}).SHA256 {
			p.condition = Whole
			found--
		}
	}
	altered := false
	for i := range c.places {
		p := &c.places[i]
		if i == 0 || c.places[i-1].stem != p.stem {
			altered, p.altered = p.altered, false
		}
		if altered {
			p.condition = max(p.condition, Altered)
		}
	}
}

// Inspector is a target that can find out the conditions of many messages in one go.
type Inspector interface {
	// Inspect looks for the places in list, and notes their conditions there. It finds a message by
	// its name, and otherwise by its octets. It reads no message twice. An error means that the
	// target cannot be read.
	Inspect(ctx context.Context, list *Checklist) error
}

// Inspect asks the targets of all paths. A message that lies at one of them is where it should be.
func (d *dated) Inspect(ctx context.Context, list *Checklist) error {
	finders, paths, err := d.finders()
	if err != nil {
		return err
	}
	for _, path := range paths {
		inspector, ok := finders[path].(Inspector)
		if !ok {
			continue
		}
		if err := inspector.Inspect(ctx, list); err != nil {
			return err
		}
	}
	return nil
}

// forgetMissing removes what members seem to have of a message that they were found to lack.
func (f *fan) forgetMissing(has [][]possession, env *Envelope) {
	for i := range has {
		if env.Has != nil && f.members[i].finder != nil {
			has[i] = nil
		}
	}
}

// at returns the places where the target of that name has the message already; nil: it has not.
func (e *Envelope) at(target string) (places []Place) {
	for _, p := range e.Has {
		if p.Target == target {
			places = append(places, p)
		}
	}
	return places
}
