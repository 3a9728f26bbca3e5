// Package seen remembers, between runs, which messages have been delivered.
//
// A maildrop names its messages by unique-ids (RFC 1939 section 7, UIDL): opaque octets that are
// compared octet by octet (C0039). A Store keeps one Record for each message that was delivered and
// may still be listed. It keeps one Aside for each listed message that could not be, or should not
// be, delivered yet. The part of one account is its Ledger.
//
// This package has the types, the two interfaces that a store satisfies, and the algorithms that
// every store shares: Compare and Conclude. It reads and writes no file. Package seen/sqlite keeps
// a store in an SQLite database.
//
// A run of one account uses a store in this order. Changes that deliver nothing may be applied before
// Ready; a run that delivers nothing leaves Ready out:
//
//	hold, err := store.Lock(ctx, name)                      // one run of an account at a time, among all processes
//	ledger, err := store.Enter(ctx, name, server, user)
//	diff, err := ledger.Diff(ctx, listing, due)             // which messages of the complete listing are new?
//	err = ledger.Ready(ctx, messages)                       // before the first message is delivered
//	err = ledger.Apply(ctx, seen.Changes{Records: records}) // for each group of messages that is durable at the target
//	err = ledger.Finish(ctx, diff, left, deleted, at)       // after the positive reply to QUIT
//
// A store promises four things. When Apply returns nil, its changes survive a power cut. A run that
// ends anywhere between these steps loses no record and invents none. No record is forgotten
// because one listing lacked its unique-id. A store that is damaged, foreign or of a later version
// is an error, never a fresh start.
//
// Unique-ids alone do not always tell messages apart (C0040, C0041). Several messages may share
// one. An id may come back after its message was deleted. A message may have another number of
// octets than before. Diff.Check names these messages. The caller decides about them, and can ask
// the server for the header. Diff.Likely names messages without a sign of a change where a look at
// the header may still be worth it.
//
// Times are kept to the millisecond.
package seen

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"strings"
	"time"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrLocked says that a run of the account is at work already, in this process or in another. A
	// *LockedError says which one.
	ErrLocked = errors.New("seen: another popfetch has this account")
	// ErrBusy says that another process has held the seen-table for so long that it probably hangs.
	// Nothing was written.
	ErrBusy = errors.New("seen: another process holds the state; try again later, and if it hangs, end it (fuser shows which process has seen.db open)")
	// ErrNewerSchema says that this program is too old for the database. The database was left
	// unchanged.
	ErrNewerSchema = errors.New("seen: the database was written by a later version of popfetch")
	// ErrUnsettled says that another run is writing many records at this moment, or was killed
	// while it did.
	ErrUnsettled = errors.New("seen: a run has not written all its records yet; try again; if that run was killed, fetch the account to complete them")
	// ErrTaken says that an account's new name already has records of its own.
	ErrTaken = errors.New("seen: the name has records of its own")
	// ErrUnknown says that the store has no such account.
	ErrUnknown = errors.New("seen: no such account")
	// ErrHistoryLost says that the history was damaged, and begins anew.
	ErrHistoryLost = errors.New("seen: the history was damaged, and begins anew")
	// ErrCreate says that the state folder or the table is missing and could not be created.
	ErrCreate = errors.New("cannot be made")
	// ErrOwner says that the state folder, or a file of the table, belongs to another user.
	ErrOwner = errors.New("seen: the state belongs to another user")
)

// LockedError is ErrLocked, with what is known of the process that has the account.
type LockedError struct {
	Process int       // 0: unknown
	Since   time.Time // zero: unknown
	Host    string    // the machine of the process; "": this one, or unknown
}

func (e *LockedError) Error() string {
	return e.Holder() + " is fetching it; try again when it has ended"
}

// Holder names the process. It tells the time in the local zone, and the date unless it is today's.
func (e *LockedError) Holder() string {
	who := "another popfetch"
	if e.Host != "" {
		who += " on " + e.Host
	}
	if e.Process > 0 && !e.Since.IsZero() {
		layout := "15:04 MST"
		if since, now := e.Since.Local(), time.Now(); since.YearDay() != now.YearDay() || since.Year() != now.Year() {
			layout = time.DateOnly + " " + layout
		}
		who += fmt.Sprintf(" (process %d, since %s)", e.Process, e.Since.Local().Format(layout))
	}
	return who
}

// Name names the process in a few words.
func (e *LockedError) Name() string {
	name := "another process"
	if e.Process > 0 {
		name = fmt.Sprintf("process %d", e.Process)
	}
	if e.Host != "" {
		name += " on " + e.Host
	}
	return name
}

// Is reports that the error is ErrLocked.
func (e *LockedError) Is(target error) bool { return target == ErrLocked }

// Key names a message of an account: its unique-id, and its number (from 0) among the messages with
// that id in one listing.
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

// Kind says why a message counts as seen.
type Kind int

// The kinds of a Record. Only Delivered and Dropped ones are ever Due.
const (
	Delivered Kind = 1 // popfetch delivered it
	Marked    Kind = 2 // not delivered: the operator said so, or the first run left it out
	// Another program delivered it, and DeliveredAt is when that program first saw it. The first
	// run notes its octets. Its digest is unknown until it is due for deletion.
	Imported Kind = 3
	// It is Imported, but the other program wrote each "/" of its unique-id as "-". Sanitized gives
	// it the unique-id that the server lists.
	Sanitized Kind = 4
	// A route or a filter dropped it: it was retrieved, and somebody wants it delivered nowhere. It
	// is deleted on the server by the rules for delivered messages.
	Dropped Kind = 5
	// A filter of headers said to delete it without retrieving it. It is deleted whatever the rules
	// are.
	Discarded Kind = 6
)

// IsDone reports whether popfetch has done with the message what it was told: it delivered or
// dropped it.
func (k Kind) IsDone() bool { return k == Delivered || k == Dropped }

// IsImported reports whether another program delivered the message.
func (k Kind) IsImported() bool { return k == Imported || k == Sanitized }

// AnyTime is an argument due of Ledger.Diff. It makes every delivered message due, also one whose time
// of delivery is unknown.
var AnyTime = time.UnixMilli(math.MaxInt64)

// Digest identifies a message by its header; the zero Digest is unknown.
type Digest [16]byte

// Sum identifies octets by their number and their SHA-256. The zero SHA256 is unknown.
type Sum struct {
	Octets int64
	SHA256 [32]byte
}

// Place is where a message was delivered to.
type Place struct {
	Target string // the target's name; "": the account's own target
	// The name that the target gave the message, in the target's own form; "": a program has it.
	Name string
	Sum  // as delivered there, after any filter
}

// Record says what happened to one message. A record of kind Delivered is made only when the
// message would survive a power cut.
type Record struct {
	Key
	Kind   Kind
	Listed int64 // octets as LIST announced them; 0: unknown
	Digest Digest
	Came   Sum     // the message as it came, before any filter
	Places []Place // none: it was not delivered, or its place is unknown
	// DeliveredAt is when the message was delivered or marked; zero: unknown, and due only at AnyTime.
	DeliveredAt time.Time
	DeletedAt   time.Time // zero: not confirmed as deleted
	// AbsentAt is the time of the first finished listing that lacked the message; zero: the last
	// listing had it. Only the store changes it.
	AbsentAt time.Time
}

// Reason says why a message was set aside.
type Reason int

// The reasons for an Aside.
const (
	Refused  Reason = 1 // server or target refused it; it is retried
	TooLarge Reason = 2 // larger than max_size
	// The operator has forgotten it: retrieve it although the target may have it.
	Wanted Reason = 3
	// Quarantined messages were refused too often, or arrive only in part. They are not retried
	// until the operator says so.
	Quarantined Reason = 4
	// Suspect messages may have arrived only in part. They are to be retrieved once more, alone.
	Suspect Reason = 5
	// The session ended while a Breaking message was retrieved. It is retried when all else is done.
	Breaking Reason = 6
	// Old messages were sent before a time that the account sets, by their Dated. Diff calls them new,
	// because that time moves.
	Old Reason = 7
	// A filter of headers said to retrieve a Chosen message, and nothing has gone wrong with it.
	Chosen Reason = 8
)

// Aside is a message that is, or was, listed but neither delivered nor marked.
type Aside struct {
	Key
	Reason Reason
	Listed int64 // octets as LIST announced them; 0: unknown
	Count  int   // refusals that count so far
	// Since is when it was first set aside for this reason; Refused, Quarantined and Suspect count as
	// one. Zero: the operator has said since that it is to be retried as if it were new.
	Since  time.Time
	Last   time.Time // when it was last set aside
	Text   string    // last error, escaped
	ToldAt time.Time // when a person was last told about it; zero: never
	// MaxSize is the limit that it exceeded when it was TooLarge, in octets; 0: unknown.
	MaxSize int64
	// Dated is when the message was sent, by its header, if the header was asked for that; zero:
	// unknown.
	Dated time.Time
	// Asked is when a filter of headers said to retrieve the message; zero: it has not said so.
	Asked time.Time
	// AbsentAt is the time of the first finished listing that lacked the message; zero: the last
	// listing had it.
	AbsentAt time.Time
}

// Account is what the store knows of an account.
type Account struct {
	Name   string
	Server string // host:port
	User   string
	// Since is when the account got this server and user; zero: the account is unknown.
	Since time.Time
	// Delivered reports whether a message was ever recorded as delivered, so that the target must
	// exist.
	Delivered bool
	// Records is the number of its records.
	Records int
	// Finished reports whether a run of it was ever finished.
	Finished bool
	// FinishedAt is when its last run was finished (see Ledger.Finish); zero: unknown.
	FinishedAt time.Time
	// Unfinished reports whether a run has begun to deliver (see Ledger.Ready) and none was
	// finished since.
	Unfinished bool
	// LeftSince and LeftAt are about runs that were not finished. Such runs may have left mail at
	// the target without records since LeftSince. LeftAt is when that was last noticed; zero: there
	// was no such run.
	LeftSince, LeftAt time.Time
	// Twin is the name of another account with the same server and user. That account has records
	// while this one has none; "": there is no such account.
	Twin string
}

// UnrecordedSince returns the time since which the target may hold mail of the account that has no
// record, as far as is known at now. The zero time means that there may be such mail of any age.
// Mail that an unfinished run left is looked for during GraceTime, because a message may be hidden
// from listings for so long.
func (a *Account) UnrecordedSince(now time.Time) time.Time {
	switch {
	case a.Unfinished || a.Records == 0:
		return time.Time{}
	case a.LeftWithin(now) && a.LeftSince.Before(a.FinishedAt):
		return a.LeftSince
	}
	return a.FinishedAt
}

// LeftWithin reports whether an unfinished run may still have left mail without records at now. It
// uses the distance in time alone, so a clock that was wrong makes no difference.
func (a *Account) LeftWithin(now time.Time) bool {
	return !a.LeftAt.IsZero() && now.Sub(a.LeftAt).Abs() < GraceTime
}

// Diff is what the store knows of one complete listing. All slices but AllAside hold indexes into
// the listing, in its order.
type Diff struct {
	New []int // no record
	// There are records of this unique-id, but only the header digest can tell whether they are of
	// this message.
	Check []int
	Due   []int // delivered at or before the time asked for
	// Seen, but another message may be in its place: it is one of several with one unique-id, or
	// was absent for a while.
	Likely   []int
	Seen     int     // how many are known without doubt (Due and Likely among them)
	Aside    []Match // set aside earlier
	AllAside []Aside // what Ledger.Asides would return, listed or not
	// The listing is that of the last finished run, so Finish has nothing to do.
	Unchanged bool

	rest rest // for Finish
}

// Match is an entry of a listing that was set aside.
type Match struct {
	Index int
	Aside
}

// Deleted is a message that the server has deleted, and the rule that asked for that.
type Deleted struct {
	Key
	Rule string // in the caller's own form
}

// Deletion is an entry of the log of deletions.
type Deletion struct {
	UniqueID string
	Rule     string
	Octets   int64    // of the message as it came; if it never came, as LIST announced them
	SHA256   [32]byte // of the message as it came; zero: unknown
	// DeliveredAt is when it was delivered, dropped or marked; zero: unknown.
	DeliveredAt time.Time
	DeletedAt   time.Time
}

// LogTime is how long an entry of the log of deletions is kept: a year.
const LogTime = 366 * 24 * time.Hour

// Move says that the message of a record is now listed under another key.
type Move struct {
	From Key
	To   Entry
}

// Changes is all that one step of a run writes. A ledger carries it out in the order of its fields:
// all of it, or nothing.
type Changes struct {
	// Replace names unique-ids. Their records, of every copy, are removed before those in Records
	// are added.
	Replace []string
	// Moves give records the keys and octets under which their messages are listed now. They count
	// as listed and not deleted; all else in them stays. Nil: none.
	//
	// It is an error if From has no record, if To has a record before the moves, or if one of them
	// is named twice.
	Moves iter.Seq[Move]
	// Records are added. A second record of a key replaces the first, DeletedAt included. A record
	// removes the Aside of its key. Nil: none.
	Records iter.Seq[Record]
	// Asides are noted. If a message is set aside already, the new Count is added to the old one,
	// Since stays if the reason does, and a zero ToldAt keeps the old time. A zero Dated or
	// Asked keeps the old time if Listed is the same. A Wanted message that is now Refused, Suspect,
	// Breaking or Chosen stays Wanted, because the target may still hold it. A zero Since or Last
	// means now.
	// AbsentAt is ignored.
	Asides []Aside
}

// Compare orders keys as stores do: by the octets of the unique-id, then by copy.
func (k Key) Compare(other Key) int {
	if order := strings.Compare(k.UniqueID, other.UniqueID); order != 0 {
		return order
	}
	return k.Copy - other.Copy
}

// Millis returns a time as stores keep it, in milliseconds since 1970; 0 stands for the zero time.
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
