package deliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Find asks all members that are Finders. A message is found only if all members have it, by their
// files or by the notes, and if all have the same one. What only some have is remembered. When the
// message is delivered again, they do not get it again.
func (f *fan) Find(ctx context.Context, tokens iter.Seq[Token], since time.Time) (map[Token][]string, error) {
	byMember := make([]map[Token][]string, len(f.members))
	known := make(map[Token]bool)
	for i, m := range f.members {
		if m.finder == nil {
			continue
		}
		places, err := m.finder.Find(ctx, tokens, since)
		if errors.Is(err, ErrMissing) {
			// If it was added to the account, nothing is missing there.
			if before, readErr := f.prepared.has(m.name); readErr == nil && !before {
				err = nil
			}
		}
		if err != nil {
			return nil, m.wrong(err)
		}
		byMember[i] = places
		for token := range places {
			known[token] = true
		}
	}
	found := make(map[Token][]string)
	for token := range known {
		held := make([][]string, len(f.members))
		for i := range f.members {
			held[i] = byMember[i][token]
		}
		places, err := f.agreed(ctx, token, held)
		if err != nil {
			return nil, err
		}
		f.mu.Lock()
		if len(places) > 0 {
			found[token] = places
			delete(f.partly, token)
		} else {
			f.partly[token] = held
		}
		f.mu.Unlock()
	}
	return found, nil
}

// agreed returns the places of a message that all members have. held has the places at each member
// with the token of the message.
func (f *fan) agreed(ctx context.Context, token Token, held [][]string) ([]string, error) {
	note, _, err := f.notes.Get(token)
	if err != nil {
		return nil, err
	}
	for i, m := range f.members {
		if _, noted := note.Has[m.name]; !noted && len(held[i]) == 0 {
			return nil, nil
		}
	}
	if len(f.members) == 1 { // there is nothing to compare
		var places []string
		for _, place := range held[0] {
			places = append(places, fanPlace(0, place))
		}
		return places, nil
	}
	// By the way in which it came: the places at all members.
	byCame := make([]map[Sum]string, len(f.members))
	var first []Sum
	for i, m := range f.members {
		byCame[i] = make(map[Sum]string)
		for _, place := range held[i] {
			came, known, err := cameAs(ctx, m.finder, place)
			if err != nil && !isGone(err) {
				return nil, m.wrong(err)
			}
			if err != nil || !known {
				continue
			}
			if _, again := byCame[i][came]; !again {
				first = append(first, came)
			}
			byCame[i][came] = fanPlace(i, place)
		}
		if places, noted := note.Has[m.name]; noted && byCame[i][Sum(note.Came)] == "" {
			byCame[i][Sum(note.Came)] = notedPlace(i, places)
		}
	}
	var places []string
	slices.SortFunc(first, compareSums)
	for _, came := range slices.Compact(first) {
		var place strings.Builder
		complete := true
		for i := range f.members {
			complete = complete && byCame[i][came] != ""
			place.WriteString(byCame[i][came])
		}
		if complete {
			places = append(places, place.String())
		}
	}
	return places, nil
}

func compareSums(a, b Sum) int { return slices.Compare(a.SHA256[:], b.SHA256[:]) }

// A place of a fan consists of one part for each place at a member: the index of the member, ":" or
// "!", the octets of what follows, ":", and the place there. With "!" only a note tells of it, so
// that it cannot be opened; then there is the name of the place.

func fanPlace(member int, place string) string {
	return fmt.Sprintf("%d:%d:%s", member, len(place), place)
}

// notedPlace returns the parts for places of which a note tells.
func notedPlace(member int, places []notePlace) string {
	var parts []byte
	for _, p := range places {
		parts = fmt.Appendf(parts, "%d!%d:%s", member, len(p.Name), p.Name)
	}
	if len(places) == 0 { // the member has dropped the message
		parts = fmt.Appendf(parts, "%d!-", member)
	}
	return string(parts)
}

// placePart is one part of a place of a fan.
type placePart struct {
	member *member
	noted  bool // only a note tells of it
	place  string
}

// parts yields the parts of a place.
func (f *fan) parts(place string) iter.Seq[placePart] {
	return func(yield func(placePart) bool) {
		for place != "" {
			at := strings.IndexAny(place, ":!")
			if at < 0 {
				return
			}
			index, err := strconv.Atoi(place[:at])
			if err != nil || index >= len(f.members) {
				return
			}
			noted := place[at] == '!'
			place = place[at+1:]
			if rest, nowhere := strings.CutPrefix(place, "-"); nowhere {
				place = rest
				continue
			}
			digits, rest, _ := strings.Cut(place, ":")
			octets, err := strconv.Atoi(digits)
			if err != nil || octets < 0 || octets > len(rest) {
				return
			}
			if !yield(placePart{f.members[index], noted, rest[:octets]}) {
				return
			}
			place = rest[octets:]
		}
	}
}

// readable returns the first part of a place that can be opened.
func (f *fan) readable(place string) (placePart, error) {
	for part := range f.parts(place) {
		if !part.noted {
			return part, nil
		}
	}
	return placePart{}, fmt.Errorf("place %q is at no target: %w", place, fs.ErrNotExist)
}

// isGone reports whether err says that a message is not there any more.
func isGone(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// Holds returns the numbers of the member that holds the most.
func (f *fan) Holds(ctx context.Context) (own, others int, err error) {
	for _, m := range f.members {
		if m.finder == nil {
			continue
		}
		ownThere, othersThere, err := m.finder.Holds(ctx)
		if err != nil {
			return 0, 0, m.wrong(err)
		}
		own, others = max(own, ownThere), max(others, othersThere)
	}
	return own, others, nil
}

// Places yields the messages of all members.
func (f *fan) Places(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for i, m := range f.members {
			if m.finder == nil {
				continue
			}
			for place, err := range m.finder.Places(ctx) {
				if err != nil {
					yield("", m.wrong(err))
					return
				}
				if !yield(fanPlace(i, place), nil) {
					return
				}
			}
		}
	}
}

// PlaceOf returns what a record says of a message at the first member that has it.
func (f *fan) PlaceOf(place string) Place {
	if places := f.PlacesOf(place); len(places) > 0 {
		return places[0]
	}
	return Place{}
}

// PlacesOf returns what a record says of a message at all members.
func (f *fan) PlacesOf(place string) []Place {
	var places []Place
	for part := range f.parts(place) {
		if part.noted {
			places = append(places, Place{Target: part.member.name, Name: part.place})
		} else {
			places = append(places, part.member.placesOf(part.place)...)
		}
	}
	return places
}

// Open reads back a message at the first member that has it.
func (f *fan) Open(ctx context.Context, place string) (io.ReadCloser, error) {
	part, err := f.readable(place)
	if err != nil {
		return nil, err
	}
	return part.member.finder.Open(ctx, part.place)
}

// CameAs asks the member at which Open reads.
func (f *fan) CameAs(ctx context.Context, place string) (came Sum, known bool, err error) {
	part, err := f.readable(place)
	if err != nil {
		return Sum{}, false, err
	}
	return cameAs(ctx, part.member.finder, part.place)
}

// Sync makes the messages durable at all members.
func (f *fan) Sync(ctx context.Context, places []string) error {
	byMember := make(map[*member][]string)
	for _, place := range places {
		for part := range f.parts(place) {
			if !part.noted {
				byMember[part.member] = append(byMember[part.member], part.place)
			}
		}
	}
	for _, m := range f.members {
		if len(byMember[m]) == 0 {
			continue
		}
		if err := m.finder.Sync(ctx, byMember[m]); err != nil {
			return m.wrong(err)
		}
	}
	return nil
}
