package deliver

import (
	"context"
	"errors"
)

// ErrOvertaken says that a later run has the account by now, so that nothing was delivered.
var ErrOvertaken = errors.New("another run has the account by now")

// Fenced is a Target that keeps out a run that has lost its account to another process without knowing
// it, because it stood still (see seen.Hold).
type Fenced interface {
	// Fence says that the messages of this account are from now on delivered under this epoch. From
	// then on, nothing that a run of an earlier epoch still commits gets into the target: its Commit
	// fails with ErrOvertaken. It is called after Prepare, and before Find and Begin.
	Fence(ctx context.Context, account string, epoch int64) error
}

// fence tells those targets that are Fenced.
func fence(ctx context.Context, account string, epoch int64, targets ...Target) error {
	for _, target := range targets {
		if fenced, ok := target.(Fenced); ok {
			if err := fenced.Fence(ctx, account, epoch); err != nil {
				return err
			}
		}
	}
	return nil
}
