package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/popfetch/popfetch/seen"
)

// statement is a part of a step.
type statement struct {
	sql      string
	args     []any
	affected *int // gets the number of rows, unless it is nil
}

// step is all that is written at once for an account under a lease. Its statements are sent
// together, so the transaction waits for this process only while they are sent. A step of very many
// rows is a transaction with several round trips; it is not repeated if the database goes away.
type step struct {
	store  *Store
	hold   *hold
	number int64
	queue  []statement
	rows   int // of the statements in queue
	tx     pgx.Tx
	once   bool // do not repeat it
	// limit is how long the database may take for what is sent in one round trip.
	limit time.Duration
}

// stepper numbers the steps of one hold, and lets them pass one after the other.
type stepper struct {
	mu   sync.Mutex
	last int64
	// moments counts the beginnings and the ends of steps. If it stays the same, no step has changed
	// anything meanwhile.
	moments atomic.Int64
}

// moments is that of the stepper, and one more: it is never zero.
func (h *hold) moments() int64 { return h.stepper.moments.Load() + 1 }

// held returns the hold that this process has on the account.
func (s *Store) held(name string) (*hold, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.holds[name]
	if h == nil {
		return nil, errNotHeld
	}
	return h, nil
}

var errNotHeld = errors.New("seen: this process does not hold the account")

// fenced runs statements in a transaction under the hold: all of them, or nothing. It returns
// seen.ErrLost if another process has the account. If the database goes away, it tries again for as
// long as the hold lasts. A statement is carried out once even if its answer was lost.
func (s *Store) fenced(ctx context.Context, h *hold, statements ...statement) error {
	return s.step(ctx, h, func(_ context.Context, st *step) error {
		st.queue = statements
		return nil
	})
}

// fencedOnce is fenced without a second attempt: the caller needs to know what the first has done.
func (s *Store) fencedOnce(ctx context.Context, h *hold, statements ...statement) error {
	return s.step(ctx, h, func(_ context.Context, st *step) error {
		st.queue, st.once = statements, true
		return nil
	})
}

// step runs do, which adds statements to a step, and then carries the step out.
func (s *Store) step(ctx context.Context, h *hold, do func(context.Context, *step) error) error {
	return s.stepUntil(ctx, h, 0, do)
}

// stepLate is step, but goes on for a lease after the hold is lost by the clock of this process.
func (s *Store) stepLate(ctx context.Context, h *hold, do func(context.Context, *step) error) error {
	return s.stepUntil(ctx, h, s.lease, do)
}

// stepUntil carries out a step for as long as the hold lasts, and for a time after that.
func (s *Store) stepUntil(
	ctx context.Context, h *hold, after time.Duration, do func(context.Context, *step) error,
) error {
	p := &h.stepper
	p.mu.Lock()
	defer p.mu.Unlock()
	ctx, cancel := h.while(ctx, after)
	defer cancel()
	if err := h.Err(); err != nil && after == 0 {
		return err
	}
	p.last++
	p.moments.Add(1)
	defer p.moments.Add(1)
	st := &step{store: s, hold: h, number: p.last, limit: patience}
	err := do(ctx, st)
	switch {
	case err == nil && st.tx == nil && len(st.queue) == 0:
		return nil
	case err == nil && st.tx == nil:
		err = st.send(ctx)
	case err == nil:
		err = st.commit(ctx)
	case st.tx != nil:
		st.rollback()
	}
	if err != nil && h.Err() != nil && !errors.Is(err, seen.ErrLost) {
		err = fmt.Errorf("%w: %w", seen.ErrLost, err)
	}
	return err
}

// while returns a context that ends with the hold, too, or so long after it.
func (h *hold) while(ctx context.Context, after time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-h.lost:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(after):
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// unlimited is the limit of a step whose statements change any number of rows.
const unlimited = time.Hour

// add adds a statement that changes so many rows.
func (st *step) add(ctx context.Context, rows int, sql string, args ...any) error {
	if st.rows > 0 && st.rows+rows > st.store.rowsAtOnce {
		if err := st.flush(ctx); err != nil {
			return err
		}
	}
	st.queue = append(st.queue, statement{sql: sql, args: args})
	st.rows += rows
	return ctx.Err()
}

// begin and end are the first statement of a step, and the last.
func (st *step) begin() statement {
	return statement{sql: "SELECT popfetch.step($1, $2, $3)", args: []any{st.hold.id, st.hold.epoch, st.number}}
}

func (st *step) end() statement {
	return statement{sql: "SELECT popfetch.fence($1, $2)", args: []any{st.hold.id, st.hold.epoch}}
}

// flush sends what is queued in a transaction that goes on.
func (st *step) flush(ctx context.Context) (err error) {
	if st.tx == nil {
		if st.tx, err = st.store.pool.Begin(ctx); err != nil {
			return st.store.explain(err)
		}
		// A process that is stopped now holds up nobody for longer than its lease.
		const limit = "SELECT set_config('idle_in_transaction_session_timeout', $1, true)"
		st.queue = append([]statement{{sql: limit, args: []any{fmt.Sprint(st.store.lease.Milliseconds())}}, st.begin()}, st.queue...)
	}
	limited, cancel := context.WithTimeout(ctx, st.limit)
	defer cancel()
	err = st.store.explain(run(limited, st.tx, st.queue))
	st.queue, st.rows = nil, 0
	return err
}

// commit sends the rest, and ends the transaction.
func (st *step) commit(ctx context.Context) error {
	st.queue = append(st.queue, st.end())
	err := st.flush(ctx)
	if err != nil {
		st.rollback()
		return err
	}
	if err = st.store.explain(st.tx.Commit(ctx)); err == nil || !errors.Is(err, ErrAway) {
		return err
	}
	// The answer is lost. The step itself shows whether it was carried out: it cannot be begun
	// again.
	st.queue = nil
	return st.again(ctx, err, func(err error) error {
		if isCode(err, codeDone) {
			return nil
		}
		return fmt.Errorf("%w: the step was not carried out", ErrAway)
	})
}

func (st *step) rollback() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = st.tx.Rollback(ctx) // it ends with the connection otherwise
}

// send carries out the whole step at once.
func (st *step) send(ctx context.Context) error {
	err := st.attempt(ctx)
	if st.once || !errors.Is(err, ErrAway) {
		return err
	}
	return st.again(ctx, err, func(err error) error {
		if isCode(err, codeDone) {
			return nil // an attempt before
		}
		return err
	})
}

// The longest pause between two attempts, and the first.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = 2 * time.Second
)

// repeated calls do until the database is not away, or the hold is lost. do has changed nothing if
// it returns ErrAway under a hold that lasts.
func (s *Store) repeated(ctx context.Context, h *hold, do func() error) error {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := do()
		if !errors.Is(err, ErrAway) || h.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-h.lost:
		case <-time.After(pause):
		}
	}
}

// again repeats the step after the error err, until the database answers or ctx ends. judge says
// what the answer means.
func (st *step) again(ctx context.Context, err error, judge func(error) error) error {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause/2 + rand.N(pause/2)): //nolint:gosec // only a pause
		}
		next := st.attempt(ctx)
		switch {
		case ctx.Err() != nil:
			return err
		case !errors.Is(next, ErrAway):
			return judge(next)
		}
		err = next
	}
}

// attempt sends the step once. It takes no longer than the limit, because a silent peer never
// answers.
func (st *step) attempt(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, st.limit)
	defer cancel()
	all := make([]statement, 0, len(st.queue)+2)
	all = append(all, st.begin())
	all = append(all, st.queue...)
	return st.store.explain(run(ctx, st.store.pool, append(all, st.end())))
}

// sender is a connection pool, or a transaction.
type sender interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// run sends statements together. Without a transaction they are one.
func run(ctx context.Context, to sender, statements []statement) (err error) {
	batch := &pgx.Batch{}
	for _, s := range statements {
		batch.Queue(s.sql, s.args...)
	}
	results := to.SendBatch(ctx, batch)
	defer func() {
		if closed := results.Close(); err == nil {
			err = closed
		}
	}()
	for i := range statements {
		tag, err := results.Exec()
		if err != nil {
			return err
		}
		if n := statements[i].affected; n != nil {
			*n = int(tag.RowsAffected())
		}
	}
	return nil
}

// Codes of the errors that functions of the schema raise.
const (
	codeLost   = "PF001"
	codeDone   = "PF002"
	codeDemand = "PF003"
)

func isCode(err error, code string) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == code
}
