package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/popfetch/popfetch/seen"
)

// Options say which database is used, and how.
type Options struct {
	// URL names the database as libpq does, without the password or with it.
	URL string
	// Password returns the password for each new connection. nil: that of the URL, or of PGPASSFILE.
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
	// mostConnections is all that a process takes, however many accounts it has at work.
	mostConnections = 10
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

	mu       sync.Mutex
	holds    map[string]*hold // by account
	steps    map[int64]*stepper
	renewing bool
	ending   chan struct{} // closed by Close
	closed   sync.WaitGroup

	register register
}

// Open connects, and makes or updates the tables. Where the role may not, it ends with ErrCreate and
// says what a role that may has to run.
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
	config, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		return nil, maskedURL(err)
	}
	config.MaxConns = mostConnections - 1 // see heart
	// PgBouncer in transaction mode keeps no prepared statement for us.
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.ConnConfig.StatementCacheCapacity, config.ConnConfig.DescriptionCacheCapacity = 0, 0
	if o.Password != nil {
		config.BeforeConnect = func(ctx context.Context, c *pgx.ConnConfig) (err error) {
			c.Password, err = o.Password(ctx)
			return err
		}
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, maskedURL(err)
	}
	s := &Store{
		pool: pool, lease: o.Lease, worker: o.Worker, number: o.Process, now: time.Now, tuning: seen.DefaultTuning,
		holds: make(map[string]*hold), steps: make(map[int64]*stepper), rowsAtOnce: 5000, ending: make(chan struct{}),
		register: register{changed: make(chan struct{}, 1)},
	}
	if s.lease <= 0 {
		s.lease = defaultLease
	}
	return s, nil
}

// maskedURL returns an error about a URL that does not show its password.
func maskedURL(err error) error {
	var parse *pgconn.ParseConfigError
	if errors.As(err, &parse) {
		return fmt.Errorf("the URL of the database cannot be used: %w", err) // pgconn masks the password
	}
	return err
}

// Close releases all holds and closes the connections.
func (s *Store) Close() error {
	close(s.ending)
	s.closed.Wait()
	s.pool.Close()
	return nil
}

// tx runs do in a transaction.
func (s *Store) tx(ctx context.Context, do func(pgx.Tx) error) error {
	return s.explain(pgx.BeginTxFunc(ctx, s.pool, s.beginning(), do))
}
