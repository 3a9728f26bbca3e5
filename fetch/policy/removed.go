package policy

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// Kept is what is remembered of a target for the rule Removed.
type Kept struct {
	Identity string    `json:"identity"` // of the folder itself; another one held other messages
	Since    time.Time `json:"since"`    // when the rule came into force for this folder
	Messages int       `json:"messages"` // at the last run that saw them all, from wherever they came
}

// Renew returns what to remember of a folder that now has this identity. Another folder than before
// begins anew: what was delivered before now need not have been delivered there.
func (k Kept) Renew(identity string, messages int, now time.Time) Kept {
	if k.Identity == identity && !k.Since.After(now) {
		return k
	}
	return Kept{identity, now, messages}
}

// Doubt returns why nothing may be taken for removed, if the folder holds so many messages now.
func (k Kept) Doubt(messages int) error {
	switch {
	case messages == 0:
		return errors.New("it is empty")
	case messages < k.Messages-messages:
		return fmt.Errorf("it holds %d messages, and held %d at the last run that saw them all", messages, k.Messages)
	}
	return nil
}

// Covers reports whether a record is of a message that was delivered to the folder while the rule
// was in force.
func (k Kept) Covers(r *seen.Record, now time.Time) bool {
	return r.Kind == seen.Delivered && !r.DeliveredAt.IsZero() &&
		!r.DeliveredAt.Before(k.Since.Truncate(time.Millisecond)) && !r.DeliveredAt.After(now)
}

// IsRemoved reports whether a person has removed a message. at has, for each of its places, whether
// that is a folder that can tell, and whether the message is gone from there. A message that is gone
// from one such place and lies in another is not removed.
func IsRemoved(at []PlaceState) bool {
	return slices.Contains(at, IsGone) && !slices.Contains(at, IsThere)
}

// PlaceState is what is known of a message at one of its places.
type PlaceState int

// A place that is no folder cannot tell.
const (
	CannotTell PlaceState = iota
	IsThere               // or it may be there
	IsGone
)
