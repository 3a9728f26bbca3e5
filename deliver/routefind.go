package deliver

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"
)

// Prepare prepares all targets.
func (r *route) Prepare(ctx context.Context, create bool) error {
	for _, p := range r.ports {
		if err := p.Target.Prepare(ctx, create); err != nil {
			return err
		}
	}
	return nil
}

// Probe probes all targets that can tell.
func (r *route) Probe(ctx context.Context, create bool) error {
	for _, p := range r.ports {
		if err := probe(ctx, p.Target, create); err != nil {
			return err
		}
	}
	return nil
}

// probe probes a target if it can tell.
func probe(ctx context.Context, target Target, create bool) error {
	if prober, ok := target.(Prober); ok {
		return prober.Probe(ctx, create)
	}
	return nil
}

// Limit returns what a batch of all targets may hold. See batchLimit.
func (r *route) Limit() Limit { return batchLimit(r.targets(), false) }

// Room returns the room of the target that has the least.
func (r *route) Room(ctx context.Context) (octets int64, err error) {
	return leastRoom(ctx, r.targets())
}

// Recorded tells all targets.
func (r *route) Recorded(tokens ...Token) { tellRecorded(r.targets(), tokens) }

// Maildir returns that of the target for what no rule matches.
func (r *route) Maildir() (m *Maildir, found bool) {
	return MaildirOf(r.ports[r.otherwise].Target)
}

// Find asks all targets that are Finders. A message is found if any of them holds it, whatever the
// rules say now.
func (r *route) Find(ctx context.Context, tokens iter.Seq[Token], since time.Time) (map[Token][]string, error) {
	found := make(map[Token][]string)
	for i, p := range r.ports {
		finder, ok := AsFinder(p.Target)
		if !ok {
			continue
		}
		places, err := finder.Find(ctx, tokens, since)
		if err != nil {
			return nil, err
		}
		for token, those := range places {
			for _, place := range those {
				found[token] = append(found[token], routePlace(i, place))
			}
		}
	}
	return found, nil
}

// routePlace is a place of a route: the index of the target, a colon, and the place there.
func routePlace(port int, place string) string { return strconv.Itoa(port) + ":" + place }

// at returns the target of a place, and the place there.
func (r *route) at(place string) (finder Finder, inner string, err error) {
	index, inner, _ := strings.Cut(place, ":")
	i, err := strconv.Atoi(index)
	if err == nil && i < len(r.ports) {
		if finder, ok := AsFinder(r.ports[i].Target); ok {
			return finder, inner, nil
		}
	}
	return nil, "", fmt.Errorf("place %q is at no target", place)
}

// Holds adds up the numbers of the targets.
func (r *route) Holds(ctx context.Context) (own, others int, err error) {
	for _, p := range r.ports {
		finder, ok := AsFinder(p.Target)
		if !ok {
			continue
		}
		ownThere, othersThere, err := finder.Holds(ctx)
		if err != nil {
			return 0, 0, err
		}
		own, others = own+ownThere, others+othersThere
	}
	return own, others, nil
}

// Places yields the messages of all targets.
func (r *route) Places(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for i, p := range r.ports {
			finder, ok := AsFinder(p.Target)
			if !ok {
				continue
			}
			for place, err := range finder.Places(ctx) {
				if err != nil {
					yield("", err)
					return
				}
				if !yield(routePlace(i, place), nil) {
					return
				}
			}
		}
	}
}

// PlaceOf asks the target of the place.
func (r *route) PlaceOf(place string) Place {
	finder, inner, err := r.at(place)
	if err != nil {
		return Place{}
	}
	return finder.PlaceOf(inner)
}

// PlacesOf asks the target of the place.
func (r *route) PlacesOf(place string) []Place {
	finder, inner, err := r.at(place)
	if err != nil {
		return nil
	}
	return PlacesOf(finder, inner)
}

// Open asks the target of the place.
func (r *route) Open(ctx context.Context, place string) (io.ReadCloser, error) {
	finder, inner, err := r.at(place)
	if err != nil {
		return nil, err
	}
	return finder.Open(ctx, inner)
}

// CameAs asks the target of the place. One that alters nothing has the message as it came.
func (r *route) CameAs(ctx context.Context, place string) (came Sum, known bool, err error) {
	finder, inner, err := r.at(place)
	if err != nil {
		return Sum{}, false, err
	}
	return cameAs(ctx, finder, inner)
}

// Sync asks the targets of the places.
func (r *route) Sync(ctx context.Context, places []string) error {
	byIndex := make(map[string][]string)
	for _, place := range places {
		index, _, _ := strings.Cut(place, ":")
		byIndex[index] = append(byIndex[index], place)
	}
	for _, those := range byIndex {
		var finder Finder
		inner := make([]string, len(those))
		for i, place := range those {
			var err error
			if finder, inner[i], err = r.at(place); err != nil {
				return err
			}
		}
		if err := finder.Sync(ctx, inner); err != nil {
			return err
		}
	}
	return nil
}
