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

// A hold is believed in for politeTenths of the lease, counted from before the renewal was sent. It is
// renewed every third of the lease.
const (
	politeTenths = 7
	renewals     = 3
)

// hold is a lease on an account.
type hold struct {
	store   *Store
	account string
	id      int64 // of the account
	epoch   int64
	turn    *Turn // nil: Lock made it

	mu     sync.Mutex
	until  time.Time // by the monotonic clock
	lost   chan struct{}
	gone   bool        // lost is closed
	ended  bool        // it was released
	expiry *time.Timer // closes lost
	locked bool        // a run has it; see Turn
}

var _ seen.Hold = (*hold)(nil)

func (s *Store) newHold(account string, id, epoch int64, began time.Time) *hold {
	h := &hold{store: s, account: account, id: id, epoch: epoch, until: began.Add(s.polite()), lost: make(chan struct{})}
	h.expiry = time.AfterFunc(time.Until(h.until), func() { _ = h.Err() })
	return h
}

// polite is how long a hold is believed in.
func (s *Store) polite() time.Duration { return s.lease * politeTenths / 10 }

// Err looks at the clock: a process that stood still may ask before its timer has ended.
func (h *hold) Err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.gone && !time.Now().Before(h.until) {
		h.lose()
	}
	if h.gone {
		return seen.ErrLost
	}
	return nil
}

// lose ends the hold. The caller holds h.mu.
func (h *hold) lose() {
	if !h.gone {
		h.gone = true
		close(h.lost)
	}
}

// Lost is closed by Err.
func (h *hold) Lost() <-chan struct{} { return h.lost }

// Epoch counts the leases of the account.
func (h *hold) Epoch() int64 { return h.epoch }

// renewed notes a renewal that was sent at began.
func (h *hold) renewed(began time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.gone {
		h.until = began.Add(h.store.polite())
		h.expiry.Reset(time.Until(h.until))
	}
}

// Release gives the account back, so that another process may have it at once. What a worker has
// claimed stays with it until Turn.End.
func (h *hold) Release() error {
	h.mu.Lock()
	turn := h.turn
	h.locked = false
	h.mu.Unlock()
	if turn != nil {
		return nil
	}
	return h.release("holder = '', until = '-infinity', abandoned = 0")
}

// release ends the lease by a statement that sets more of its row. Nothing is set if it was lost.
func (h *hold) release(set string, args ...any) error {
	h.mu.Lock()
	ended := h.ended
	h.ended = true
	h.lose()
	h.expiry.Stop()
	h.mu.Unlock()
	if ended {
		return nil
	}
	s := h.store
	s.mu.Lock()
	if s.holds[h.account] == h {
		delete(s.holds, h.account)
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tag, err := s.pool.Exec(ctx, "UPDATE popfetch.turn SET "+set+" WHERE account = $1 AND epoch = $2 AND holder <> ''",
		append([]any{h.id, h.epoch}, args...)...)
	switch {
	case err != nil:
		return fmt.Errorf("giving account %q back: %w", h.account, s.explain(err))
	case tag.RowsAffected() == 0:
		return fmt.Errorf("giving account %q back: %w", h.account, seen.ErrLost)
	}
	return nil
}

// Lock takes a lease on the account. If this process has claimed it (see Claim), that is the hold. It
// makes the row of an account that is not known.
func (s *Store) Lock(ctx context.Context, name string) (seen.Hold, error) {
	s.mu.Lock()
	h := s.holds[name]
	s.mu.Unlock()
	if h != nil {
		return h.lock()
	}
	const (
		know = "INSERT INTO popfetch.account (name) VALUES ($1) ON CONFLICT DO NOTHING"
		row  = "INSERT INTO popfetch.turn (account) SELECT id FROM popfetch.account WHERE name = $1 ON CONFLICT DO NOTHING"
		take = `UPDATE popfetch.turn SET holder = $2, process = $3, since = now(), until = now() + $4 * interval '1 ms', epoch = epoch + 1
			WHERE account = (SELECT id FROM popfetch.account WHERE name = $1) AND until < now()
			RETURNING account, epoch`
	)
	began := time.Now()
	var id, epoch int64
	locked := &seen.LockedError{}
	err := s.tx(ctx, func(tx pgx.Tx) error {
		scan := func() error {
			return tx.QueryRow(ctx, take, name, s.worker, s.number, s.lease.Milliseconds()).Scan(&id, &epoch)
		}
		err := scan()
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		for _, statement := range []string{know, row} {
			if _, err := tx.Exec(ctx, statement, name); err != nil {
				return err
			}
		}
		if err = scan(); errors.Is(err, pgx.ErrNoRows) {
			const who = "SELECT process, since FROM popfetch.turn WHERE account = (SELECT id FROM popfetch.account WHERE name = $1)"
			if err = tx.QueryRow(ctx, who, name).Scan(&locked.Process, &locked.Since); err == nil {
				err = locked
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	h = s.newHold(name, id, epoch, began)
	h.locked = true
	s.keep(h)
	return h, nil
}

// lock gives a hold to a run. It has one run at a time.
func (h *hold) lock() (seen.Hold, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.locked || h.turn == nil {
		return nil, &seen.LockedError{Process: h.store.number}
	}
	h.locked = true
	return h, nil
}

// keep renews holds from now on.
func (s *Store) keep(holds ...*hold) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range holds {
		s.holds[h.account] = h
	}
	if !s.renewing {
		s.renewing = true
		s.closed.Add(1)
		go s.renew()
	}
}

// renew renews all holds until the store is closed. Runs do not delay it: a program may take longer
// for a message than a lease lasts.
func (s *Store) renew() {
	defer s.closed.Done()
	tick := time.NewTicker(s.lease / renewals)
	defer tick.Stop()
	for {
		select {
		case <-s.ending:
			return
		case <-tick.C:
			s.renewOnce()
		}
	}
}

// renewOnce renews all holds by one statement. It tries no longer than they are believed in: acquiring
// a connection may hang, too. An account that another process has by now is lost at once.
func (s *Store) renewOnce() {
	s.mu.Lock()
	byID := make(map[int64]*hold, len(s.holds))
	ids, epochs := make([]int64, 0, len(s.holds)), make([]int64, 0, len(s.holds))
	for _, h := range s.holds {
		byID[h.id] = h
		ids, epochs = append(ids, h.id), append(epochs, h.epoch)
	}
	s.mu.Unlock()
	if len(ids) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.lease/renewals)
	defer cancel()
	began := time.Now()
	rows, err := s.pool.Query(ctx, `
		UPDATE popfetch.turn AS t SET until = now() + $3 * interval '1 ms'
		FROM unnest($1::bigint[], $2::bigint[]) AS h (account, epoch)
		WHERE t.account = h.account AND t.epoch = h.epoch AND t.holder <> ''
		RETURNING t.account`, ids, epochs, s.lease.Milliseconds())
	if err != nil {
		return // the next one may succeed
	}
	renewed, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return
	}
	for _, id := range renewed {
		byID[id].renewed(began)
		delete(byID, id)
	}
	for _, h := range byID {
		h.overtaken()
	}
}

// overtaken ends a hold whose row is another's by now, or gone.
func (h *hold) overtaken() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.ended {
		h.lose()
	}
}
