// Package seen remembers, between runs, which messages have been delivered.
package seen

import (
	"context"
	"errors"
	"iter"
	"time"
)

var (
	ErrLocked      = errors.New("seen: another popfetch has this account")
	ErrNewerSchema = errors.New("seen: the database was written by a later version of popfetch")
	ErrUnknown     = errors.New("seen: no such account")
)

// Key names a message of an account: its unique-id, and which of the copies with that id in one listing (from 0).
type Key struct {
	UniqueID string
	Copy     int
}

// Entry is one message of a maildrop's listing.
type Entry struct {
	Number int
	Octets int64 // as LIST announced them; 0: unknown
	Key
}

// Kind says how a message came to count as seen.
type Kind int

const (
	Delivered Kind = 1 // popfetch delivered it
	Marked    Kind = 2 // the operator said so
)

// Digest identifies a message by its header; the zero Digest is unknown.
type Digest [16]byte

// Record says what became of one message; kind Delivered is committed only when the message would survive a power cut.
type Record struct {
	Key
	Kind        Kind
	Listed      int64 // octets as LIST announced them
	Octets      int64 // octets as delivered
	Digest      Digest
	SHA256      [32]byte // of the delivered octets; zero: unknown
	Place       string
	DeliveredAt time.Time
	DeletedAt   time.Time // zero: not confirmed as deleted
}

// Reason says why a message was set aside.
type Reason int

const (
	Refused  Reason = 1 // server or target refused it; it is tried again
	TooLarge Reason = 2 // larger than max_size
	Wanted   Reason = 3 // forgotten by the operator: retrieve it although the target may hold it
)

// Aside is a message that is listed but neither delivered nor marked.
type Aside struct {
	Key
	Reason Reason
	Listed int64
	Count  int // refusals so far
	Since  time.Time
	Last   time.Time
	Text   string // last error, escaped
}

// Account is an account as the store knows it.
type Account struct {
	ID     int64 // 0: unknown to the store
	Name   string
	Server string // host:port
	User   string
	// Delivered says that a message was ever recorded as delivered, so the target must exist.
	Delivered bool
	// Records counts its records.
	Records int
	// Twin names another account with the same server and user that has records while this one has none; "" usually.
	Twin string
}

// Diff is what the store knows of one complete listing. The slices hold indexes into the listing, in its order.
type Diff struct {
	New       []int   // no record
	Check     []int   // there are records of this unique-id, but only the header digest can tell whether they are of this message
	Due       []int   // delivered at or before the time asked for
	Seen      int     // how many are known without doubt (Due among them)
	Aside     []Match // set aside earlier
	Unchanged bool    // the listing is that of the last finished run: Finish has nothing to do
}

// Match is an entry of a listing that was set aside.
type Match struct {
	Index int
	Aside
}

// Store is the seen-table: every message that was delivered and may still be in its maildrop.
type Store struct{}

func Open(ctx context.Context, dir string) (*Store, error) { panic("todo") }
func (s *Store) Close() error                              { panic("todo") }

// Lock takes the account for this process, until unlock is called or the process dies.
func (s *Store) Lock(name string) (unlock func() error, err error) { panic("todo") }

// Lookup tells what is known of an account and writes nothing; an unknown one has ID 0.
func (s *Store) Lookup(ctx context.Context, name, server, user string) (Account, error) {
	panic("todo")
}

// Enter is Lookup, and makes the account or notes its new server and user.
func (s *Store) Enter(ctx context.Context, name, server, user string) (Account, error) {
	panic("todo")
}

// Diff fills in Copy in listing and tells what is known. due: see Diff.Due; the zero time asks for none.
// full: do not use the fast path (--all).
func (s *Store) Diff(ctx context.Context, account int64, listing []Entry, due time.Time) (Diff, error) {
	panic("todo")
}

// Records returns all records of the unique-ids, every copy.
func (s *Store) Records(ctx context.Context, account int64, uniqueIDs []string) ([]Record, error) {
	panic("todo")
}

// Commit records messages in one transaction. A second record of a key replaces the first, and ends its being set aside.
func (s *Store) Commit(ctx context.Context, account int64, records ...Record) error { panic("todo") }

// SetAside notes messages that were not delivered (counting refusals) in one transaction.
func (s *Store) SetAside(ctx context.Context, account int64, asides ...Aside) error { panic("todo") }

// Finish is called after the positive reply to QUIT: it stamps the deleted records, notes what the complete listing left
// lacks, forgets what has been absent for longer than the grace time, and keeps the digest of left for the next Diff.
func (s *Store) Finish(ctx context.Context, account int64, left []Entry, deleted []Key, at time.Time) error {
	panic("todo")
}

// Accounts lists all accounts by name.
func (s *Store) Accounts(ctx context.Context) ([]Account, error) { panic("todo") }

// All yields every record of an account, by unique-id and copy.
func (s *Store) All(ctx context.Context, account int64) iter.Seq2[Record, error] { panic("todo") }

// Asides yields what is set aside for an account.
func (s *Store) Asides(ctx context.Context, account int64) ([]Aside, error) { panic("todo") }

// Forget removes the records of the unique-ids (none named: all) and marks them as Wanted; it returns how many records went.
func (s *Store) Forget(ctx context.Context, account int64, uniqueIDs ...string) (int, error) {
	panic("todo")
}

// Rename gives an account's state to another name.
func (s *Store) Rename(ctx context.Context, from, to string) error { panic("todo") }
