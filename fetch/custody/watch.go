// Package custody finds out what has become of delivered messages at their targets: whether they still
// lie there as they were delivered, and which of them a person has removed from a Maildir.
//
// A message that cannot be found need not be removed: a disk may not be mounted, another Maildir
// may be configured, a mail program may have moved or renamed the file. Each doubt counts for the
// message. So only that counts which popfetch delivered into this very folder while the rule was in
// force, and nothing while the folder holds much less than before.
package custody

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch/policy"
	"github.com/popfetch/popfetch/seen"
)

// Watch looks at the folders of one account, in one run.
type Watch struct {
	now     time.Time // of the last look
	parts   map[string]deliver.Target
	shelves map[string]*shelf // those of them that are folders, by the target's name in places
}

// shelf is one folder.
type shelf struct {
	target deliver.Shelf
	kept   policy.Kept    // what it held at the last run is the measure for this one
	stock  *deliver.Stock // nil: it cannot be seen
	doubt  error          // nil: what is gone is removed
}

// New makes a Watch of what target delivers to. kept is what the Watch of an earlier run returned as
// Kept. With ok false, nothing there can tell what was removed.
func New(target deliver.Target, kept string) (w *Watch, ok bool) {
	var known map[string]policy.Kept
	_ = json.Unmarshal([]byte(kept), &known) // without it, the rule begins anew
	w = &Watch{parts: deliver.Parts(target), shelves: make(map[string]*shelf)}
	for name, part := range w.parts {
		if one, ok := part.(deliver.Shelf); ok {
			w.shelves[name] = &shelf{target: one, kept: known[name]}
		}
	}
	return w, len(w.shelves) > 0
}

// Look finds out what the folders hold now. A folder that cannot be seen is doubtful. So is one
// that has become much smaller since the last run, however many looks this run has taken.
func (w *Watch) Look(ctx context.Context, now time.Time) {
	w.now = now
	for _, s := range w.shelves {
		s.stock, s.doubt = s.target.TakeStock(ctx)
		if s.doubt != nil {
			continue
		}
		s.kept = s.kept.Renew(s.stock.Identity, s.stock.Messages, now)
		s.doubt = s.kept.Doubt(s.stock.Messages)
	}
}

// Kept returns what later runs need to know. It is called after Look.
func (w *Watch) Kept() string {
	known := make(map[string]policy.Kept)
	for name, s := range w.shelves {
		k := s.kept
		if s.doubt == nil && s.stock != nil {
			k.Messages = s.stock.Messages
		}
		if k.Identity != "" {
			known[name] = k
		}
	}
	if len(known) == 0 {
		return ""
	}
	text, err := json.Marshal(known)
	if err != nil { // a map of plain values has none
		return ""
	}
	return string(text)
}

// HasToken reports whether one of the folders has a message with this token. Then it is not removed.
// A message whose token no folder has may be removed; IsRemoved tells.
func (w *Watch) HasToken(token deliver.Token) bool {
	for _, s := range w.shelves {
		if s.stock != nil && s.stock.HasToken(token) {
			return true
		}
	}
	return false
}

// IsRemoved reports whether a person has removed the message of a record. If that is doubtful, the
// message counts as there, and doubt says why.
func (w *Watch) IsRemoved(ctx context.Context, r *seen.Record) (removed bool, doubt error) {
	states := make([]policy.PlaceState, len(r.Places))
	for i, p := range r.Places {
		var err error
		states[i], err = w.find(ctx, r, p)
		doubt = cmp.Or(doubt, err)
	}
	if !policy.IsRemoved(states) {
		return false, nil
	}
	return doubt == nil, doubt
}

// find looks for a message that was delivered to a place. If it may be gone from there, the error
// says what is doubtful about that. In each other folder of the account it counts as there, too.
func (w *Watch) find(ctx context.Context, r *seen.Record, p seen.Place) (policy.PlaceState, error) {
	s := w.shelves[p.Target]
	switch {
	case p.Name == "":
		return policy.CannotTell, nil
	case w.parts[p.Target] == nil: // nobody can be asked any more
		return policy.IsThere, nil
	case s == nil:
		return policy.CannotTell, nil
	case !s.kept.Covers(r, w.now) || p.SHA256 == [32]byte{}:
		return policy.IsThere, nil
	}
	place := deliver.Place{Target: p.Target, Name: p.Name, Sum: deliver.Sum(p.Sum)}
	doubt := s.doubt
	for _, one := range w.shelves {
		if one.stock == nil {
			doubt = cmp.Or(doubt, one.doubt)
			continue
		}
		has, err := one.stock.Has(ctx, place)
		if has {
			return policy.IsThere, nil
		}
		doubt = cmp.Or(doubt, err)
	}
	return policy.IsGone, doubt
}
