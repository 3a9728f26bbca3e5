package seen

import "errors"

// ErrLost says that the account may have gone to another process: this one has lost its hold, for
// example because it stood still for too long. Nothing was written.
var ErrLost = errors.New("seen: another popfetch may have this account by now")

// Hold is an account that this process has taken by Store.Lock.
//
// On one machine, a hold is a lock that lasts as long as the process. Among many machines it is a
// lease: the store renews it, and when that does not succeed in time, another machine may take the
// account. A process that stood still for a while cannot know that. So whoever has a hold looks at
// Err before each step that must not be made twice. Besides, the store writes nothing under a hold
// that was lost (ErrLost), and a target that is fenced by the epoch takes nothing.
//
// The methods may be called at the same time.
type Hold interface {
	// Err returns nil as long as no other process can have the account, and then ErrLost.
	Err() error
	// Lost is closed when Err returns an error, but later if the process stands still. nil: the
	// hold is never lost.
	Lost() <-chan struct{}
	// Epoch is larger than that of each earlier hold of the account; 0: holds are not counted,
	// since no process can outlast its own.
	Epoch() int64
	// Release gives the account back. A second call does nothing.
	Release() error
}

// UntilReleased returns a hold that is never lost, and released by unlock.
func UntilReleased(unlock func() error) Hold { return lasting(unlock) }

type lasting func() error

func (lasting) Err() error            { return nil }
func (lasting) Lost() <-chan struct{} { return nil }
func (lasting) Epoch() int64          { return 0 }
func (l lasting) Release() error      { return l() }
