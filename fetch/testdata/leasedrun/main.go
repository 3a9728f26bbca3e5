// Leasedrun makes one run of an account that processes share by leases, which are in a file. Tests
// stop it for longer than its lease. It exits with 75 if it has lost the account.
//
//	leasedrun STATE SERVER USER KIND PATH
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
	"github.com/popfetch/popfetch/seen/sqlite"
)

// length is that of a lease.
const length = 3 * time.Second

func main() {
	err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	switch {
	case errors.Is(err, seen.ErrLost):
		os.Exit(75)
	case err != nil:
		os.Exit(1)
	}
}

func run(state, server, user, kind, path string) error {
	ctx := context.Background()
	below, err := sqlite.Open(ctx, state)
	if err != nil {
		return err
	}
	defer below.Close()
	var target deliver.Target = deliver.NewMaildir(path)
	if kind == "mbox" {
		target = deliver.NewMbox(path, deliver.NewFileBook(filepath.Join(state, "mbox")))
	}
	const patience = 20 * time.Second
	account := fetch.Account{
		Name: "work", Server: server, User: user, Target: target,
		Policy: fetch.Policy{Delete: fetch.DeletePolicy{Enabled: true}},
		POP3: pop3.Options{
			TLS: pop3.TLSNone, DialTimeout: patience, GreetingTimeout: patience, ReplyTimeout: patience, StallTimeout: patience, Window: 1,
		},
		Login: (&login.Credentials{User: user, Password: func(context.Context) (string, error) { return "tanstaaf", nil }}).Login,
	}
	return (&fetch.Runner{Store: &store{Store: below, path: filepath.Join(state, "lease")}}).Run(ctx, []fetch.Account{account})[0].Err
}

// store is a seen-table with leases.
type store struct {
	seen.Store
	path string // of the file with the lease
	hold *hold
}

// lease is what the file holds.
type lease struct {
	Epoch int64
	Until time.Time
}

// change changes the lease while no other process does. If change returns an error, it stays.
func (s *store) change(change func(*lease) error) error {
	file, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	var l lease
	_ = json.NewDecoder(file).Decode(&l) // an empty file is no lease
	if err := change(&l); err != nil {
		return err
	}
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err = file.WriteAt(text, 0)
	return err
}

func (s *store) Lock(context.Context, string) (seen.Hold, error) {
	h := &hold{store: s, lost: make(chan struct{})}
	err := s.change(func(l *lease) error {
		if time.Now().Before(l.Until) {
			return &seen.LockedError{}
		}
		l.Epoch++
		h.epoch = l.Epoch
		return h.renew(l)
	})
	if err != nil {
		return nil, err
	}
	go h.keep()
	s.hold = h
	return h, nil
}

func (s *store) Enter(ctx context.Context, name, server, user string) (seen.Ledger, error) {
	l, err := s.Store.Enter(ctx, name, server, user)
	return ledger{l, s.hold}, err
}

// hold is the lease of this process.
type hold struct {
	store *store
	epoch int64
	lost  chan struct{}

	mu    sync.Mutex
	until time.Time
	gone  bool
}

func (h *hold) renew(l *lease) error {
	if l.Epoch != h.epoch {
		return seen.ErrLost
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.until = time.Now().Add(length * 7 / 10)
	l.Until = time.Now().Add(length)
	return nil
}

func (h *hold) keep() {
	for h.Err() == nil {
		time.Sleep(length / 5)
		if h.Err() == nil && h.store.change(h.renew) != nil {
			h.lose()
		}
	}
}

func (h *hold) lose() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.gone {
		h.gone = true
		close(h.lost)
	}
}

func (h *hold) Err() error {
	h.mu.Lock()
	late := time.Now().After(h.until)
	h.mu.Unlock()
	if late {
		h.lose()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gone {
		return seen.ErrLost
	}
	return nil
}

func (h *hold) Lost() <-chan struct{} { return h.lost }
func (h *hold) Epoch() int64          { return h.epoch }

func (h *hold) Release() error {
	h.lose()
	return h.store.change(func(l *lease) error {
		if l.Epoch != h.epoch {
			return seen.ErrLost
		}
		l.Until = time.Time{}
		return nil
	})
}

// ledger writes only under the latest epoch.
type ledger struct {
	seen.Ledger
	hold *hold
}

func (l ledger) fenced(do func() error) error {
	return l.hold.store.change(func(now *lease) error {
		if now.Epoch != l.hold.epoch {
			return seen.ErrLost
		}
		return do()
	})
}

func (l ledger) Apply(ctx context.Context, changes seen.Changes) error {
	return l.fenced(func() error { return l.Ledger.Apply(ctx, changes) })
}

func (l ledger) Finish(ctx context.Context, diff seen.Diff, left []seen.Entry, deleted []seen.Deleted, at time.Time) error {
	return l.fenced(func() error { return l.Ledger.Finish(ctx, diff, left, deleted, at) })
}

func (l ledger) Ready(ctx context.Context, messages int) error {
	return l.fenced(func() error { return l.Ledger.Ready(ctx, messages) })
}
