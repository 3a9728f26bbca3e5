// Package seen remembers, between runs, which messages have been delivered.
//
// A maildrop names its messages by unique-ids (RFC 1939 section 7, UIDL): opaque octets that are compared octet by octet
// (C0039). A Store keeps one Record for each message that was delivered and may still be listed, and one Aside for each
// message that is listed but could not be, or should not be, delivered yet. The part of one account is its Ledger.
//
// This package has the types, the two interfaces that a store satisfies, and the algorithms that every store shares:
// Compare and Conclude. It reads and writes no file. Package seen/sqlite keeps a store in an SQLite database.
//
// A run of one account uses a store in this order:
//
//	unlock, err := store.Lock(name)                         // one run of an account at a time, among all processes
//	ledger, err := store.Enter(ctx, name, server, user)
//	diff, err := ledger.Diff(ctx, listing, due)             // which messages of the complete listing are new?
//	err = ledger.Ready(ctx, len(diff.New))                  // before the first message is delivered
//	err = ledger.Apply(ctx, seen.Changes{Records: records}) // for each group of messages that is durable at the target
//	err = ledger.Finish(ctx, diff, left, deleted, at)       // after the positive reply to QUIT
//
// What a store promises: when Apply returns nil, its changes survive a power cut. A run that ends anywhere between these
// steps loses no record and makes none up. No record is forgotten because one listing lacked its unique-id. A store that is
// damaged, foreign or of a later version is an error, never a fresh start.
//
// Unique-ids alone do not always tell messages apart: several messages may share one, an id may come back after its message
// was deleted, and a message may have another number of octets than before (C0040, C0041). Diff.Check names these messages.
// The caller decides about them, and can ask the server for the header. Diff.Likely names those where that may be worth
// while though there is no sign of a change.
//
// Times are kept to the millisecond.
package seen

import (
	"errors"
	"iter"
	"strings"
	"time"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrLocked says that the account is at work already, in this process or in another.
	ErrLocked = errors.New("seen: another popfetch has this account; try again when it has ended")
	// ErrBusy says that another process has held the seen-table for so long that it probably hangs; nothing was written.
	ErrBusy = errors.New("seen: another process holds the state; try again later, and if it hangs, end it (fuser tells which has seen.db open)")
	// ErrNewerSchema says that this program is too old for the database, which was left as it is.
	ErrNewerSchema = errors.New("seen: the database was written by a later version of popfetch")
	// ErrUnsettled says that another run writes many records at this moment, or was ended while it did so.
	ErrUnsettled = errors.New("seen: a run has not yet written all that it has to; try again, and if it was killed, fetch the account, which completes it")
	// ErrTaken says that an account's new name has records of its own.
	ErrTaken = errors.New("seen: the name has records of its own")
	// ErrUnknown says that the store has no such account.
	ErrUnknown = errors.New("seen: no such account")
	// ErrCreate says that the state folder or the table is not there and could not be made.
	ErrCreate = errors.New("cannot be made")
	// ErrOwner says that the state folder, or a file of the table, is another user's.
	ErrOwner = errors.New("seen: the state is another user's")
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

// The kinds of a Record. Only Delivered ones are ever Due.
const (
	Delivered Kind = 1 // popfetch delivered it
	Marked    Kind = 2 // the operator said so
)

// Digest identifies a message by its header; the zero Digest is unknown.
type Digest [16]byte

// Sum tells octets from others: how many they are, and their SHA-256. The zero SHA256 is unknown.
type Sum struct {
	Octets int64
	SHA256 [32]byte
}

// Place is where a message was delivered to.
type Place struct {
	Target string // the target's name; "": the account's own target
	Name   string // where the target put it, in the target's own words; "": a program has it
	Sum           // as delivered there, after any filter
}

// Record says what became of one message. A record of kind Delivered is made only when the message would survive a power cut.
type Record struct {
	Key
	Kind        Kind
	Listed      int64 // octets as LIST announced them; 0: unknown
	Digest      Digest
	Came        Sum       // the message as it came, before any filter
	Places      []Place   // none: it was not delivered, or nobody noted where
	DeliveredAt time.Time // zero: unknown, and never due
	DeletedAt   time.Time // zero: not confirmed as deleted
	// AbsentAt is when a finished listing first lacked it; zero: the last one did not. Only the store changes it.
	AbsentAt time.Time
}

// Reason says why a message was set aside.
type Reason int

// The reasons for an Aside.
const (
	Refused  Reason = 1 // server or target refused it; it is tried again
	TooLarge Reason = 2 // larger than max_size
	Wanted   Reason = 3 // forgotten by the operator: retrieve it although the target may hold it
	// Quarantined messages were refused too often, or come only in part: they are not tried again until the operator says so.
	Quarantined Reason = 4
	// Suspect messages may have come only in part: they are to be looked at once more, alone.
	Suspect Reason = 5
)

// Aside is a message that is, or was, listed but neither delivered nor marked.
type Aside struct {
	Key
	Reason Reason
	Listed int64     // octets as LIST announced them; 0: unknown
	Count  int       // refusals that count so far
	Since  time.Time // when it was first set aside
	Last   time.Time // when it was last set aside
	Text   string    // last error, escaped
	ToldAt time.Time // when a person was last told of it; zero: never
	// MaxSize is the limit by which it was TooLarge, in octets; 0: unknown.
	MaxSize int64
	// AbsentAt is when a finished listing first lacked it; zero: the last one did not.
	AbsentAt time.Time
}

// Account is an account as the store knows it.
type Account struct {
	Name   string
	Server string // host:port
	User   string
	// Since is when the account came to have this server and user; zero for an unknown one.
	Since time.Time
	// Delivered says that a message was ever recorded as delivered, so the target must exist.
	Delivered bool
	// Records counts its records.
	Records int
	// Finished says that a run of it was finished.
	Finished bool
	// FinishedAt is when its last run was finished, see Ledger.Finish; zero: unknown.
	FinishedAt time.Time
	// Unfinished says that a run has begun to deliver (see Ledger.Ready) and that none was finished since.
	Unfinished bool
	// LeftSince and LeftAt tell of runs that were not finished: since LeftSince they may have left mail
	// at the target without records, and at LeftAt that was noticed last. LeftAt zero: there was none.
	LeftSince, LeftAt time.Time
	// Twin names another account with the same server and user that has records while this one has none; "" usually.
	Twin string
}

// UnrecordedSince returns since when the target may hold mail of the account that has no record, as
// far as is known at now. The zero time means that there may be such mail of any age. What a run left
// is looked for as long as a message may be hidden from listings (GraceTime).
func (a *Account) UnrecordedSince(now time.Time) time.Time {
	switch {
	case a.Unfinished || a.Records == 0:
		return time.Time{}
	case a.LeftWithin(now) && a.LeftSince.Before(a.FinishedAt):
		return a.LeftSince
	}
	return a.FinishedAt
}

// LeftWithin reports whether a run that was not finished is to be reckoned with at now. A clock that
// was wrong makes no difference.
func (a *Account) LeftWithin(now time.Time) bool {
	return !a.LeftAt.IsZero() && now.Sub(a.LeftAt).Abs() < GraceTime
}

// Diff is what the store knows of one complete listing. The slices hold indexes into the listing, in its order, but for AllAside.
type Diff struct {
	New       []int   // no record
	Check     []int   // there are records of this unique-id, but only the header digest can tell whether they are of this message
	Due       []int   // delivered at or before the time asked for
	Likely    []int   // seen, but another message may be in its place: one of several with one unique-id, or one that was absent
	Seen      int     // how many are known without doubt (Due and Likely among them)
	Aside     []Match // set aside earlier
	AllAside  []Aside // what Ledger.Asides would return, listed or not
	Unchanged bool    // the listing is that of the last finished run: Finish has nothing to do

	rest rest // for Finish
}

// Match is an entry of a listing that was set aside.
type Match struct {
	Index int
	Aside
}

// Move says that the message of a record is listed under another key now.
type Move struct {
	From Key
	To   Entry
}

// Changes is all that one step of a run writes. It is carried out in the order of its fields: all of it, or nothing.
type Changes struct {
	// Replace names unique-ids whose records, of every copy, are removed before those in Records are added.
	Replace []string
	// Moves give records the keys and octets under which their messages are listed now. They count as listed and not deleted;
	// whatever else they tell stays. It is an error if there is no record of From, if To has a record before the moves, or if
	// either is named twice. Nil: none.
	Moves iter.Seq[Move]
	// Records are added. A second record of a key replaces the first, DeletedAt included. A record ends the Aside of its key. Nil: none.
	Records iter.Seq[Record]
	// Asides are noted. Of a message that is set aside already, Count is added to what was counted, Since stays, and a zero ToldAt
	// leaves the one that is there. A Wanted message that is Refused or Suspect now stays Wanted: the target may hold it still.
	// A zero Since or Last is now; AbsentAt is not looked at.
	Asides []Aside
}

// Compare gives the order in which stores keep keys: by the octets of the unique-id, then by copy.
func (k Key) Compare(other Key) int {
	if order := strings.Compare(k.UniqueID, other.UniqueID); order != 0 {
		return order
	}
	return k.Copy - other.Copy
}

// Millis gives a time as stores keep it, in milliseconds since 1970; 0 stands for the zero time.
func Millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// FromMillis is the reverse of Millis.
func FromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
