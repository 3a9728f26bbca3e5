package seen

import (
	"context"
	"iter"
	"time"
)

// Store keeps what is known of all accounts. Several goroutines may call its methods, and those of
// its ledgers, at the same time. Several processes may have the same store open.
type Store interface {
	// Lock takes the account for this process until the hold is released, or lost.
	// A *LockedError (ErrLocked): another process or this one has taken it already. The account need
	// not be known.
	Lock(ctx context.Context, name string) (Hold, error)
	// Enter creates the account, or notes its new server and user, and returns its ledger. The
	// caller holds the account's lock. If a killed run left a step half written, Enter first
	// completes that step or undoes it.
	//
	// Another server or user may be another maildrop, whose unique-ids mean other messages. So each
	// record then counts as one of a deleted message until Diff's caller has looked (see
	// Diff.Check). Quarantined messages are retried.
	Enter(ctx context.Context, name, server, user string) (Ledger, error)
	// Look is Enter for a caller that only reads; it writes nothing and needs no lock. The account
	// it returns has the server and user that Enter noted last, because records stay with the name.
	// An unknown account has the given server and user, and an empty ledger. ErrUnsettled: a run is
	// writing at this moment, or was killed while it wrote.
	Look(ctx context.Context, name, server, user string) (Ledger, error)
	// Accounts lists all accounts by name.
	Accounts(ctx context.Context) ([]Account, error)
	// Rename gives an account's state another name. The caller holds the locks of both names.
	// ErrUnknown: there is no such account. ErrTaken: the new name already has records. If the new
	// name has no records, a run that began before the renaming may have created it; it is removed.
	Rename(ctx context.Context, from, to string) error
	// Holder returns the process that has the account's lock; nil: none has. It takes no lock itself.
	// If a process has it, but nothing is known of it, the fields are zero.
	Holder(ctx context.Context, name string) (*LockedError, error)
	// NoteRun adds a run to the account's history. The caller holds the account's lock. Records do not
	// depend on the history: it may be lost in a power cut, and an error means no more than that the
	// run is missing in it. ErrHistoryLost: the run is noted, but earlier ones are lost.
	NoteRun(ctx context.Context, name string, run RunNote) error
	// NoteNext notes when a resident popfetch means to run the account again; zero: it does not. The
	// account's lock is not needed.
	NoteNext(ctx context.Context, name string, next time.Time) error
	// History returns the history of an account, with the last so many days up to now; 0: without
	// any. An unknown account has none.
	History(ctx context.Context, name string, days int) (History, error)
	// Close closes the store. No other method may be running or be called afterwards. Locks stay
	// until they are unlocked.
	Close() error
}

// Ledger is the part of a store that belongs to one account. The caller of a method that writes
// holds the account's lock. Only ChangeStanding may be called without it, and without Enter.
//
// An error of such a method does not mean that nothing was written, because a disk can bring back a
// write that it reported as failed. Only the next Diff shows what was written.
type Ledger interface {
	// Account returns what was known of the account when the ledger was made.
	Account() Account
	// Diff fills in Copy in listing, which must be complete, and returns what is known of each
	// message. For due see Diff.Due; the zero time asks for none, AnyTime for all. Diff writes
	// nothing.
	Diff(ctx context.Context, listing []Entry, due time.Time) (Diff, error)
	// Apply carries out changes: all of them or nothing, whatever happens. Delivered messages must
	// be durable at their target before. Apply waits for other writers while ctx lives and they
	// write, so that delivered messages get their records. If none writes for a minute, it returns
	// ErrBusy.
	Apply(ctx context.Context, changes Changes) error
	// Finish ends a run; it is called after the positive reply to QUIT. It stamps the records of
	// deleted messages and logs their deletion, and notes which messages the listing lacks. It
	// forgets messages that were absent for longer than GraceTime, and keeps digests of left for the
	// next Diff. It sorts deleted. It also ends Account.Unfinished. So a run that called Ready calls
	// Finish even if Diff.Unchanged says that there is nothing else to do.
	//
	// left is the listing that was given to Diff, in its order, without the deleted messages; at is
	// the time of the run. Of the records that diff was made from, the run may have changed only
	// two kinds: those of messages that diff names (as New, Check, Due, Likely or Aside), and those
	// of deleted ones. With the zero Diff, Finish looks at everything. If a run is killed in
	// Finish, the next Finish completes the work.
	Finish(ctx context.Context, diff Diff, left []Entry, deleted []Deleted, at time.Time) error
	// Deletions yields the log of deletions from since on, the earliest first. Entries are kept for
	// LogTime, and then removed when others are added. The stamp of a record and its entry are
	// written at once. An error is yielded once, at the end.
	Deletions(ctx context.Context, since time.Time) iter.Seq2[Deletion, error]
	// Records returns all records of the unique-ids, every copy, by unique-id and copy.
	Records(ctx context.Context, uniqueIDs []string) ([]Record, error)
	// All yields every record, by unique-id and copy. An error is yielded once, at the end.
	All(ctx context.Context) iter.Seq2[Record, error]
	// Remaining yields the records of messages that may still be in the maildrop. These are the
	// ones that the last finished run left and those made since. Absent messages belong to them
	// too, unless their deletion was confirmed. An error is yielded once, at the end.
	Remaining(ctx context.Context) iter.Seq2[Record, error]
	// Imported yields the records of imported messages that the last finished run left, or that were
	// added since. It leaves out deleted ones, and those first seen after until. AnyTime yields all.
	// An error is yielded once, at the end. It reads every row of the account.
	Imported(ctx context.Context, until time.Time) iter.Seq2[Record, error]
	// Discarded returns the unique-ids of Discarded messages whose deletion is not confirmed. It reads
	// no other rows.
	Discarded(ctx context.Context) ([]string, error)
	// Newest returns the latest time of delivery on record; zero: none is known. It reads every
	// row of the account.
	Newest(ctx context.Context) (time.Time, error)
	// CountDue counts the delivered messages that Diff would find due, as far as the last finished
	// run left them in the maildrop. It reads every row of the account.
	CountDue(ctx context.Context, due time.Time) (int, error)
	// Servers returns the servers under which the store knows an account of that user.
	Servers(ctx context.Context, user string) ([]string, error)
	// Asides returns what is set aside, by unique-id and copy. Those with an AbsentAt are no longer
	// listed. It leaves out Old messages, because there may be many.
	Asides(ctx context.Context) ([]Aside, error)
	// Old returns messages that are set aside as Old: the first ones behind a key, by unique-id and
	// copy, and limit of them at most. For Diff they are new.
	Old(ctx context.Context, behind Key, limit int) ([]Aside, error)
	// Forget removes the records of the unique-ids, or all records if none is named, and marks the
	// messages as Wanted. Refused and quarantined messages are retried as if they were new. Forget
	// returns how many records and asides it has changed, and ignores unknown unique-ids. If it
	// fails, it may have forgotten some of them.
	Forget(ctx context.Context, uniqueIDs ...string) (int, error)
	// TryAgain has the messages that were set aside for one of the reasons retried as if they were
	// new, and returns how many they are. It changes no record. If it fails, it may have done so for
	// some of them.
	TryAgain(ctx context.Context, reasons ...Reason) (int, error)
	// Standing returns the account's standing; that of an unknown account is good.
	Standing(ctx context.Context) (Standing, error)
	// ChangeStanding calls change to edit the standing of a known account, and keeps the result.
	// Changes of several processes come one after the other. change may be called twice.
	ChangeStanding(ctx context.Context, change func(*Standing)) error
	// Ready makes sure, before messages are delivered, that so many can be recorded. Otherwise a
	// message that went to a program, but could not be recorded, would go there again in each run
	// (behaviour 32). Ready notes that the run begins to deliver (Account.Unfinished).
	Ready(ctx context.Context, messages int) error
}
