package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/popfetch/popfetch/seen"
)

// Options say which database is used, and how.
type Options struct {
	// URL names the database as libpq does, without the password or with it.
	URL string
	// Password returns the password for each new connection. nil: that of the URL, or of
	// PGPASSFILE.
	Password func(ctx context.Context) (string, error)
	// Lease is how long an account is held without a renewal; zero means a minute.
	Lease time.Duration
	// Worker names this process to people, for example "host (process 12)".
	Worker string
	// Process is the number of this process.
	Process int
}

const (
	defaultLease = time.Minute
	// mostConnections is the size of the pool, however many accounts a process has at work. With
	// the one that renews holds (see heart) it takes 10 at most.
	mostConnections = 9
	// patience is how long a statement waits that no run depends on.
	patience = 30 * time.Second
)

// Store is a seen.Store in a PostgreSQL database. Its methods may be called at the same time.
type Store struct {
	pool   *pgxpool.Pool
	lease  time.Duration
	worker string
	number int // of this process
	now    func() time.Time
	tuning seen.Tuning
	// rowsAtOnce is how many rows are sent, or read, in one round trip.
	rowsAtOnce int
	patience   time.Duration // how long quick waits

	mu       sync.Mutex
	holds    map[string]*hold    // by account
	void     map[int64]time.Time // claims without an answer, and until when; see voided
	renewing bool
	ending   chan struct{} // closed by Close
	closed   sync.WaitGroup

	register register
}

// Open connects, and makes or updates the tables. Where the role may not, it ends with ErrCreate
// and says what a role that may has to run.
func Open(ctx context.Context, o Options) (*Store, error) {
	s, err := connect(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := s.migrate(ctx); err != nil {
		s.pool.Close()
		return nil, err
	}
	return s, nil
}

// OpenExisting connects, and makes nothing.
func OpenExisting(ctx context.Context, o Options) (*Store, error) {
	s, err := connect(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := s.checkSchema(ctx); err != nil {
		s.pool.Close()
		return nil, err
	}
	return s, nil
}

func connect(ctx context.Context, o Options) (*Store, error) {
	config, err := configuration(o)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	s := &Store{
		pool: pool, lease: o.Lease, worker: o.Worker, number: o.Process, now: time.Now, tuning: seen.DefaultTuning,
		holds: make(map[string]*hold), rowsAtOnce: 5000, patience: patience, ending: make(chan struct{}),
	}
	if s.lease <= 0 {
		s.lease = defaultLease
	}
	return s, nil
}

// Close releases all holds and closes the connections. A second call does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	select {
	case <-s.ending:
	default:
		close(s.ending)
	}
	s.mu.Unlock()
	s.closed.Wait()
	s.pool.Close()
	return nil
}

// tx runs do in a transaction that may lock rows of leases.
func (s *Store) tx(ctx context.Context, do func(pgx.Tx) error) error {
	return s.txAs(ctx, s.beginning(), do)
}

// txAs runs do in a transaction. It waits for its beginning and its end no longer than patience.
func (s *Store) txAs(ctx context.Context, options pgx.TxOptions, do func(pgx.Tx) error) error {
	var tx pgx.Tx
	err := s.quick(ctx, func(ctx context.Context) (err error) {
		tx, err = s.pool.BeginTx(ctx, options)
		return err
	})
	if err != nil {
		return err
	}
	// After a commit, it does nothing.
	defer func() { _ = s.quick(context.WithoutCancel(ctx), tx.Rollback) }()
	if err := do(tx); err != nil {
		return s.explain(err)
	}
	return s.quick(ctx, tx.Commit)
}
