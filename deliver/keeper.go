package deliver

import (
	"context"
	"errors"
	"reflect"
)

// Condition is what has become of a message since it was delivered.
type Condition int

// The conditions of a message.
const (
	Gone    Condition = iota // nothing of its name lies there
	Altered                  // it lies there with other octets
	Whole                    // it lies there as it was delivered
)

// Keeper is a Target that can read back the messages that it took.
type Keeper interface {
	// Examine returns the condition of the message at each place. It reads the octets back, and
	// compares them with the Sum of the place. A place without a SHA-256 is at best Altered. An
	// error means that the target cannot be read; nothing is known then.
	Examine(ctx context.Context, places []Place) ([]Condition, error)
}

// Shelf is a Keeper from which a person takes messages away.
type Shelf interface {
	Keeper
	// TakeStock finds out what lies there now. If something hints that it does not see all, that is
	// ErrUnseen.
	TakeStock(ctx context.Context) (*Stock, error)
}

// ErrUnseen says that a target does not show all that it may hold, for example because a disk is not
// mounted.
var ErrUnseen = errors.New("may hold messages that cannot be seen now")

// Parts returns the targets that hold the messages of target, by the name that their places have. A
// name that stands for several targets has nil.
func Parts(target Target) map[string]Target {
	parts := make(map[string]Target)
	switch t := madeOf(target).(type) {
	case Drop:
	case *fan:
		for _, m := range t.members {
			parts[m.name] = onlyPart(m.Target)
		}
	case *route:
		for _, p := range t.ports {
			for name, part := range Parts(p.Target) {
				if other, known := parts[name]; known && !isSame(other, part) {
					part = nil
				}
				parts[name] = part
			}
		}
	case *filter:
		return Parts(t.inner)
	case *headersWhole:
		return Parts(t.inner)
	default:
		parts[""] = t
	}
	return parts
}

// onlyPart returns the only part of a target, or nil.
func onlyPart(target Target) (only Target) {
	parts := Parts(target)
	for _, part := range parts {
		if len(parts) == 1 {
			return part
		}
	}
	return nil
}

// isSame reports whether two targets are one. Targets that cannot be compared are not.
func isSame(a, b Target) bool {
	return a != nil && b != nil && reflect.TypeOf(a).Comparable() && reflect.TypeOf(b).Comparable() && a == b
}

// Examine asks the targets of all paths. A message that lies at one of them is where it should be.
func (d *dated) Examine(ctx context.Context, places []Place) ([]Condition, error) {
	finders, paths, err := d.finders()
	if err != nil {
		return nil, err
	}
	conditions := make([]Condition, len(places))
	for _, path := range paths {
		keeper, ok := finders[path].(Keeper)
		if !ok {
			continue
		}
		there, err := keeper.Examine(ctx, places)
		if errors.Is(err, ErrMissing) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for i := range there {
			conditions[i] = max(conditions[i], there[i])
		}
	}
	return conditions, nil
}
