package seen

import "context"

// Reader is what Compare and Conclude read of one account. The rows of an account are changed by nobody else meanwhile.
type Reader interface {
	// Finished returns what the last Finish noted; the zero value for an account that was never entered.
	Finished(ctx context.Context) (Finished, error)
	// Asides returns what Ledger.Asides does.
	Asides(ctx context.Context) ([]Aside, error)
	// Copies returns the unique-ids of which more than one copy is recorded, up to limit.
	Copies(ctx context.Context, limit int) (map[string]bool, error)
	// Expired returns unique-ids of records that are absent since before the time, up to limit.
	Expired(ctx context.Context, before int64, limit int) (map[string]bool, error)
	// Absent returns how many records have an AbsentAt.
	Absent(ctx context.Context) (int, error)
	// Oldest returns the earliest delivery of all records of kind Delivered; 0: none.
	Oldest(ctx context.Context) (int64, error)
	// Of reads the records of these unique-ids, which are in ascending order and all different.
	Of(ctx context.Context, uniqueIDs []string) Rows
	// Between reads the records in a range. Those that it has passed may be changed meanwhile.
	Between(ctx context.Context, ids Range) Rows
}

// Rows yields records in the order of their keys.
type Rows interface {
	// Next puts the next record into row, or returns false after the last.
	Next(row *Row) (bool, error)
}

// Range is the unique-ids behind After, up to and with To; nil stands for no limit.
type Range struct{ After, To []byte }

// Row is what of a record is needed to compare it with a listing.
type Row struct {
	Key
	Kind        Kind
	Listed      int64
	DeliveredAt int64 // like the next two in milliseconds since 1970, 0 for none
	AbsentAt    int64
	DeletedAt   int64
}

// Finished is what the last finished run left behind.
type Finished struct {
	Records int    // of the account, now
	Listed  int    // how many entries were left
	Digest  []byte // the sections of these, packed (see section); nil if they do not hold any more
	Oldest  int64  // no entry that was left was delivered earlier; 0: none of them was delivered
}

// Tuning says how Compare and Conclude weigh their ways of comparing. Only tests need another than DefaultTuning.
type Tuning struct {
	LookupCost  int  // how many rows are read one after the other in the time that looking one up takes
	SectionSize int  // how many entries a section has
	Sections    bool // compare section by section wherever that can be done
}

// DefaultTuning is what stores use. The cost is two to three where the rows lie side by side in memory (BenchmarkDiff), and more where
// they do not.
var DefaultTuning = Tuning{LookupCost: 8, SectionSize: 1024}

// ChangeKind says what Conclude wants done to a row.
type ChangeKind int

// The kinds of a RowChange.
const (
	Stamp  ChangeKind = iota // set the record's DeletedAt
	Mark                     // set AbsentAt
	Remove                   // remove the row
)

// RowChange is one change that Conclude makes.
type RowChange struct {
	Key
	Kind  ChangeKind
	Aside bool  // of an Aside, not of a record
	At    int64 // of Stamp and Mark
}
