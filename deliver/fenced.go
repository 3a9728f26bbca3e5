package deliver

import (
	"context"
	"errors"
)

// ErrOvertaken says that a later run has the account by now, so that nothing was delivered.
var ErrOvertaken = errors.New("another run has the account by now")

// Fenced is a Target that keeps out a run that has lost its account to another process without
// knowing it, because it stood still (see seen.Hold).
//
// A Maildir and an mbox are Fenced. A target over others is so as far as those are. An IMAP
// mailbox, a server of LMTP or SMTP, and a program cannot be fenced: what a run has begun to hand
// over when it is overtaken, they may get once more by the next one, up to as many messages as are
// on their way at once.
type Fenced interface {
	// Fence says that the messages of this account are from now on delivered under this epoch. From
	// then on, nothing that a run of an earlier epoch still commits gets into the target: its
	// Commit fails with ErrOvertaken. It is called after Prepare, and before Find and Begin.
	Fence(ctx context.Context, account string, epoch int64) error
}

// Fence tells the target.
func (w wrapped) Fence(ctx context.Context, account string, epoch int64) error {
	return fence(ctx, account, epoch, w.inner)
}

// Fence tells the members.
func (f *fan) Fence(ctx context.Context, account string, epoch int64) error {
	for _, m := range f.members {
		if err := fence(ctx, account, epoch, m.Target); err != nil {
			return m.wrong(err)
		}
	}
	return nil
}

// Fence tells all targets.
func (r *route) Fence(ctx context.Context, account string, epoch int64) error {
	return fence(ctx, account, epoch, r.targets()...)
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
