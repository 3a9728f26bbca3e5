package deliver

import (
	"context"
	"errors"
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

// Composed is a Target that hands messages on to others.
type Composed interface {
	// Parts returns the targets that hold messages, by the name that their places have. A name that
	// stands for several targets has nil.
	Parts() map[string]Target
}

// Parts returns the targets that hold the messages of target, by the name that their places have.
func Parts(target Target) map[string]Target {
	if c, ok := target.(Composed); ok {
		return c.Parts()
	}
	return map[string]Target{"": target}
}
