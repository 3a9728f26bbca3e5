package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/popfetch/popfetch/seen"
)

// politeTenths of the lease is how long a hold is believed in, counted from before the renewal was
// sent.
const politeTenths = 7

// hold is a lease on an account.
type hold struct {
	store   *Store
	account string
	id      int64 // of the account
	epoch   int64
	claimed bool // it belongs to a Turn; otherwise Lock has made it
	stepper stepper

	mu        sync.Mutex
	until     time.Time // by the monotonic clock
	lost      chan struct{}
	gone      bool        // lost is closed
	releasing bool        // the statement that releases it is on its way
	ended     bool        // it was released, or its row is another's
	expiry    *time.Timer // closes lost
	lent      bool        // a run has it
	given     bool        // the turn has ended, or tried to
}

func (s *Store) newHold(account string, id, epoch int64, began time.Time) *hold {
	h := &hold{
		store: s, account: account, id: id, epoch: epoch, until: began.Add(s.polite()),
		lost: make(chan struct{}),
	}
	h.mu.Lock() // the timer may end before it is assigned
	defer h.mu.Unlock()
	h.expiry = time.AfterFunc(time.Until(h.until), func() { _ = h.Err() })
	return h
}

// polite is how long a hold is believed in.
func (s *Store) polite() time.Duration { return s.lease * politeTenths / 10 }

// Err looks at the clock: a process that stood still may ask before its timer has ended.
func (h *hold) Err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.look()
	if h.gone {
		return seen.ErrLost
	}
	return nil
}

// look ends the hold if its time is over. The caller holds h.mu.
func (h *hold) look() {
	if !h.gone && !time.Now().Before(h.until) {
		h.lose()
		h.store.register.count(func(c *Counts) { c.Lost++ })
	}
}

// lose ends the hold. The caller holds h.mu.
func (h *hold) lose() {
	if !h.gone {
		h.gone = true
		h.expiry.Stop()
		close(h.lost)
	}
}

// Lost is closed by Err.
func (h *hold) Lost() <-chan struct{} { return h.lost }

// Epoch counts the leases of the account.
func (h *hold) Epoch() int64 { return h.epoch }

// wanted reports whether the hold is to be renewed.
func (h *hold) wanted() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.look()
	return !h.gone || h.releasing
}

// renewed notes a renewal that was sent at began. It does not bring back a hold whose time was over
// when the answer came: a run may have seen that.
func (h *hold) renewed(began time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.look()
	if !h.gone {
		h.until = began.Add(h.store.polite())
		h.expiry.Reset(time.Until(h.until))
	}
}

// overtaken ends a hold whose row is another's by now, or gone.
func (h *hold) overtaken() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.gone {
		h.lose()
		h.store.register.count(func(c *Counts) { c.Lost++ })
	}
}

// released is what a release sets in the row of a lease.
const released = "holder = '', until = '-infinity', abandoned = 0"

// release ends the lease by a statement that sets its row. The hold is over for its run at once,
// but is renewed until the statement is answered.
//
// The database decides whether the lease was lost. If this process gave it up too early, but nobody
// has taken the account meanwhile, the row is still its own. So it is if the lease was released
// before, and only the answer was lost: each new lease has another epoch.
func (h *hold) release(ctx context.Context, set string, args ...any) error {
	h.mu.Lock()
	h.look()
	done := h.ended || h.releasing
	h.releasing = true
	h.lose()
	h.mu.Unlock()
	if done {
		return nil
	}
	ctx, cancel := outlive(ctx)
	defer cancel()
	s := h.store
	tag, err := s.pool.Exec(ctx,
		"UPDATE popfetch.turn SET "+set+" WHERE account = $1 AND epoch = $2",
		append([]any{h.id, h.epoch}, args...)...)
	h.mu.Lock()
	h.releasing = false
	h.ended = err == nil
	h.given = true
	h.mu.Unlock()
	s.drop(h)
	switch {
	case err != nil:
		return fmt.Errorf("giving account %q back: %w", h.account, s.explain(err))
	case tag.RowsAffected() == 0:
		return fmt.Errorf("giving account %q back: %w", h.account, seen.ErrLost)
	}
	return nil
}

// outlive returns a context that does not end when ctx is cancelled, but at its deadline, and after
// patience at the latest.
func outlive(ctx context.Context) (context.Context, context.CancelFunc) {
	end := time.Now().Add(patience)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(end) {
		end = deadline
	}
	return context.WithDeadline(context.WithoutCancel(ctx), end)
}

// loan is a hold that a run has.
type loan struct {
	*hold
	once sync.Once
}

var _ seen.Hold = (*loan)(nil)

// Release gives the account back, so that another process may have it at once. What a worker has
// claimed stays with it until Turn.End.
func (l *loan) Release() (err error) {
	l.once.Do(func() {
		if !l.claimed {
			err = l.release(context.Background(), released)
			return
		}
		l.mu.Lock()
		l.lent = false
		given := l.given
		l.mu.Unlock()
		if given {
			l.store.drop(l.hold)
		}
	})
	return err
}

// lend gives a hold to a run. It has one run at a time.
func (h *hold) lend() (seen.Hold, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lent {
		return nil, &seen.LockedError{Process: h.store.number}
	}
	h.lent = true
	return &loan{hold: h}, nil
}

// Lock takes a lease on the account. If this process has claimed it (see Claim), that is the hold.
// It makes the row of an account that is not known.
func (s *Store) Lock(ctx context.Context, name string) (seen.Hold, error) {
	s.mu.Lock()
	if h := s.holds[name]; h != nil {
		defer s.mu.Unlock()
		return h.lend()
	}
	s.mu.Unlock()
	h, err := s.take(ctx, name)
	if err != nil {
		return nil, err
	}
	s.keep(h)
	return h.lend()
}

// take takes a lease on an account that no process has.
func (s *Store) take(ctx context.Context, name string) (*hold, error) {
	h, err := s.tryTake(ctx, name)
	if !errors.Is(err, pgx.ErrNoRows) {
		return h, err
	}
	const know = `INSERT INTO popfetch.account (name) SELECT $1
		WHERE NOT EXISTS (SELECT FROM popfetch.account WHERE name = $1) ON CONFLICT DO NOTHING`
	const row = `INSERT INTO popfetch.turn (account) SELECT id FROM popfetch.account AS a
		WHERE name = $1 AND NOT EXISTS (SELECT FROM popfetch.turn WHERE account = a.id) ON CONFLICT DO NOTHING`
	err = s.quick(ctx, func(ctx context.Context) error {
		args := []any{name}
		return run(ctx, s.pool, []statement{{sql: know, args: args}, {sql: row, args: args}})
	})
	if err != nil {
		return nil, err
	}
	if h, err = s.tryTake(ctx, name); !errors.Is(err, pgx.ErrNoRows) {
		return h, err
	}
	const who = `SELECT holder, process, since FROM popfetch.turn
		WHERE account = (SELECT id FROM popfetch.account WHERE name = $1)`
	var holder string
	var process int
	var since time.Time
	err = s.quick(ctx, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, who, name).Scan(&holder, &process, &since)
	})
	if err != nil {
		return nil, err
	}
	return nil, s.lockedBy(holder, process, &since)
}

// tryTake takes a lease by one statement, which locks the row first: a run's transaction that is
// under way ends before the epoch changes. pgx.ErrNoRows: another process has the account, or it
// has no row.
func (s *Store) tryTake(ctx context.Context, name string) (*hold, error) {
	const take = `
		WITH free AS (
			SELECT t.account FROM popfetch.turn AS t JOIN popfetch.account AS a ON a.id = t.account
			WHERE a.name = $1 AND t.until < now() FOR UPDATE OF t
		)
		UPDATE popfetch.turn AS t SET holder = $2, process = $3, since = now(),
			until = now() + $4 * interval '1 ms', claim = 0,
			epoch = ` + nextEpoch + `, abandoned = ` + abandonedNow + `
		FROM free WHERE t.account = free.account RETURNING t.account, t.epoch`
	began := time.Now()
	var id, epoch int64
	err := s.quick(ctx, func(ctx context.Context) error {
		row := s.pool.QueryRow(ctx, take, name, s.worker, s.number, s.lease.Milliseconds())
		return row.Scan(&id, &epoch)
	})
	if err != nil {
		return nil, err
	}
	return s.newHold(name, id, epoch, began), nil
}

// beginning is how transactions begin. A transaction that locks the row of a lease keeps other
// workers from taking the account over. If this process stands still in it, the server ends it with
// the lease.
func (s *Store) beginning() pgx.TxOptions {
	return pgx.TxOptions{BeginQuery: fmt.Sprintf(
		"begin; set local idle_in_transaction_session_timeout = %d", s.lease.Milliseconds())}
}

// drop forgets a hold. It is renewed no more.
//
// If a turn has ended before its run, the run's release does that. Until then this process takes no
// other hold of the account, because the run must not write under it.
func (s *Store) drop(h *hold) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.holds[h.account] == h && !(h.claimed && h.lent) {
		delete(s.holds, h.account)
	}
}
