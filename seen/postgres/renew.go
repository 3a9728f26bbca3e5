package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// renewals is how often holds are renewed within a lease.
	renewals = 4
	// attempts is the part of a lease that one attempt to renew may take: so there is time for a
	// second one, over a new connection, before the holds end.
	attempts = 6
	// retries is the part of a lease that passes between an attempt that has failed and the next
	// one, but longestRetry at most.
	retries      = 40
	longestRetry = time.Second
	// closing is how long a store that is closed tries to give back what it holds.
	closing = 3 * time.Second
)

// heart renews the holds of a store, and notes it in the register of workers. It has a connection
// of its own: runs may use up the pool, and waiting for a connection of the pool may take as long
// as a peer that answers nothing.
type heart struct {
	store   *Store
	ctx     context.Context
	conn    *pgx.Conn // nil: none is open
	renewAt time.Time
	noteAt  time.Time
	tidyAt  time.Time
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
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-s.ending
		cancel()
	}()
	h := &heart{store: s, ctx: ctx, renewAt: time.Now().Add(s.lease / renewals)}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-s.ending:
			h.end()
			return
		case <-s.register.changes():
			h.noteAt = time.Time{}
		case <-timer.C:
		}
		timer.Reset(h.beat())
	}
}

// beat does what is due, and returns when to call it again. Renewals come first.
func (h *heart) beat() time.Duration {
	if began := time.Now(); !began.Before(h.renewAt) {
		pause := h.store.lease / renewals
		if !h.renewAll() {
			began, pause = time.Now(), min(h.store.lease/retries, longestRetry)
		}
		h.renewAt = began.Add(pause)
	}
	now, next := time.Now(), h.renewAt
	if h.renewAt.Sub(now) > h.store.lease/attempts/2 { // there is time for a note
		if !now.Before(h.noteAt) {
			h.note(now)
		}
		if h.noteAt.Before(next) {
			next = h.noteAt
		}
	}
	return time.Until(next)
}

// do calls a function with the connection. It ends in time for another attempt. After an error the
// next call makes a new connection.
func (h *heart) do(f func(ctx context.Context, conn *pgx.Conn) error) error {
	return h.doUntil(time.Now().Add(h.store.lease/attempts), f)
}

func (h *heart) doUntil(end time.Time, f func(ctx context.Context, conn *pgx.Conn) error) error {
	ctx, cancel := context.WithDeadline(h.ctx, end)
	defer cancel()
	if h.conn == nil {
		config := h.store.pool.Config()
		if prepare := config.BeforeConnect; prepare != nil {
			if err := prepare(ctx, config.ConnConfig); err != nil {
				return err
			}
		}
		conn, err := pgx.ConnectConfig(ctx, config.ConnConfig)
		if err != nil {
			return err
		}
		h.conn = conn
	}
	err := f(ctx, h.conn)
	if err != nil {
		h.disconnect()
	}
	return err
}

// disconnect ends the connection without waiting for the server, which may not answer.
func (h *heart) disconnect() {
	if h.conn == nil {
		return
	}
	go func(conn *pgx.Conn) {
		ctx, cancel := context.WithTimeout(context.Background(), closing)
		defer cancel()
		_ = conn.Close(ctx)
	}(h.conn)
	h.conn = nil
}

// renewAll renews all holds by one statement, and reports whether all are renewed or lost for ever.
//
// A row that a transaction has locked at this moment is passed over, so that one run cannot hold up
// the renewal of all accounts. A lease that the database counts as ended is not renewed.
func (h *heart) renewAll() bool {
	const statement = `
		WITH ours AS (
			SELECT t.account, t.epoch FROM unnest($1::bigint[], $2::bigint[]) AS h (account, epoch)
			JOIN popfetch.turn AS t ON t.account = h.account AND t.epoch = h.epoch
			WHERE t.holder <> '' AND t.until >= now()
		), free AS (
			SELECT t.account FROM popfetch.turn AS t
			JOIN ours AS o ON o.account = t.account AND o.epoch = t.epoch
			WHERE t.holder <> '' AND t.until >= now() FOR NO KEY UPDATE OF t SKIP LOCKED
		), done AS (
			UPDATE popfetch.turn AS t SET until = now() + $3 * interval '1 ms'
			FROM free WHERE t.account = free.account RETURNING t.account
		)
		SELECT o.account, d.account IS NOT NULL
		FROM ours AS o LEFT JOIN done AS d ON d.account = o.account`
	s := h.store
	s.mu.Lock()
	byID := make(map[int64]*hold, len(s.holds))
	ids, epochs := make([]int64, 0, len(s.holds)), make([]int64, 0, len(s.holds))
	for _, held := range s.holds {
		if held.wanted() {
			byID[held.id] = held
			ids, epochs = append(ids, held.id), append(epochs, held.epoch)
		}
	}
	s.mu.Unlock()
	if len(ids) == 0 {
		return true
	}
	began := time.Now()
	all := true
	err := h.do(func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, statement, ids, epochs, s.lease.Milliseconds())
		if err != nil {
			return err
		}
		var renewed []int64
		var id int64
		var done bool
		_, err = pgx.ForEachRow(rows, []any{&id, &done}, func() error {
			if done {
				renewed = append(renewed, id)
			} else {
				all = false
				delete(byID, id)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, id := range renewed {
			byID[id].renewed(began)
			delete(byID, id)
		}
		for _, held := range byID {
			held.overtaken()
		}
		return nil
	})
	s.register.count(func(c *Counts) {
		if c.Renewals++; err != nil {
			c.Unrenewed++
		}
	})
	return all && err == nil
}

// note writes what the process tells about itself, if it is a worker. It ends before the next
// renewal.
func (h *heart) note(now time.Time) {
	h.noteAt = now.Add(noteEvery)
	if !h.store.registered() || h.doUntil(h.renewAt, h.store.note) != nil {
		return
	}
	if !now.Before(h.tidyAt) && h.doUntil(h.renewAt, h.store.tidy) == nil {
		h.tidyAt = now.Add(tidyEvery)
	}
}

// end gives back what the process still holds, by one statement, and removes it from the register.
func (h *heart) end() {
	defer h.disconnect()
	const statement = "UPDATE popfetch.turn AS t SET " + released + `
		FROM (
			SELECT o.account FROM unnest($1::bigint[], $2::bigint[]) AS h (account, epoch)
			JOIN popfetch.turn AS o ON o.account = h.account AND o.epoch = h.epoch
			WHERE o.holder <> '' ORDER BY o.account FOR NO KEY UPDATE OF o
		) AS ours WHERE t.account = ours.account`
	s := h.store
	var ids, epochs []int64
	s.mu.Lock()
	for name, held := range s.holds {
		held.mu.Lock()
		held.lose()
		held.ended = true
		held.mu.Unlock()
		ids, epochs = append(ids, held.id), append(epochs, held.epoch)
		delete(s.holds, name)
	}
	some := len(ids)+len(s.void) > 0
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	h.ctx = ctx
	if some {
		release := func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, statement, ids, epochs)
			if err == nil {
				err = s.giveBackVoid(ctx, conn)
			}
			return err
		}
		err := h.do(release)
		if err != nil {
			err = h.do(release) // over a new connection
		}
		if err != nil {
			return // the leases run out
		}
	}
	if s.registered() {
		_ = h.do(s.unnote) // otherwise the row is removed after a day
	}
}
