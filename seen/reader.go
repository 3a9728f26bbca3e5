package seen

import "context"

// Reader reads the rows of one account for Compare and Conclude. Nobody else changes these rows
// meanwhile.
type Reader interface {
	// Finished returns what the last Finish noted, or the zero value for an account that was never
	// entered.
	Finished(ctx context.Context) (Finished, error)
	// Asides is Ledger.Asides.
	Asides(ctx context.Context) ([]Aside, error)
	// Old is Ledger.Old.
	Old(ctx context.Context, behind Key, limit int) ([]Aside, error)
	// Copies returns the unique-ids that have more than one recorded copy, up to limit.
	Copies(ctx context.Context, limit int) (map[string]bool, error)
	// Expired returns unique-ids of records that have been absent since before the time, up to
	// limit.
	Expired(ctx context.Context, before int64, limit int) (map[string]bool, error)
	// Absent returns how many records have an AbsentAt.
	Absent(ctx context.Context) (int, error)
	// Oldest returns the earliest time of all records of kind Delivered or Dropped; 0: none. An unknown
	// time counts as 1.
	Oldest(ctx context.Context) (int64, error)
	// Of reads the records of these unique-ids, which are in ascending order and all different.
	Of(ctx context.Context, uniqueIDs []string) Rows
	// Between reads the records in a range. Records that were already read may change meanwhile.
	Between(ctx context.Context, ids Range) Rows
}

// Rows yields records in the order of their keys.
type Rows interface {
	// Next reads the next record into row, or returns false after the last.
	Next(row *Row) (bool, error)
}

// Range is the unique-ids after After, up to and including To; nil stands for no limit.
type Range struct{ After, To []byte }

// Row is the part of a record that is compared with a listing.
type Row struct {
	Key
	Kind   Kind
	Listed int64
	// DeliveredAt, AbsentAt and DeletedAt are milliseconds since 1970; 0: none.
	DeliveredAt int64
	AbsentAt    int64
	DeletedAt   int64
}

// Finished is what the last finished run left in the store.
type Finished struct {
	Records int // how many the account has now
	Listed  int // how many entries were left
	// The sections of these entries, packed (see section); nil: they are no longer valid.
	Digest []byte
	// No entry that was left was delivered before this time; 0: none of them was delivered. An
	// unknown time counts as 1.
	Oldest int64
}

// Tuning controls how Compare and Conclude choose their way of comparing. Only tests need another
// one than DefaultTuning.
type Tuning struct {
	// How many rows can be read in sequence in the time of one look-up.
	LookupCost  int
	SectionSize int  // how many entries a section has
	Sections    bool // compare section by section wherever possible
}

// DefaultTuning is what stores use. A look-up costs two to three rows if the rows lie side by side
// in memory (BenchmarkDiff), and more if they do not.
var DefaultTuning = Tuning{LookupCost: 8, SectionSize: 1024}

// ChangeKind says what Conclude wants done to a row.
type ChangeKind int

// The kinds of a RowChange.
const (
	Stamp  ChangeKind = iota // set the record's DeletedAt, and log the deletion
	Mark                     // set AbsentAt
	Remove                   // remove the row
)

// RowChange is one change that Conclude makes.
type RowChange struct {
	Key
	Kind  ChangeKind
	Aside bool   // it changes an Aside, not a record
	At    int64  // of Stamp and Mark
	Rule  string // of Stamp: what the log says
}
