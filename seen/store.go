package seen

import (
	"context"
	"iter"
	"time"
)

// Store keeps what is known of all accounts. Its methods, and those of its ledgers, may be called by several goroutines at the
// same time, and several processes may have the same store open.
type Store interface {
	// Lock takes the account for this process, until unlock is called or the process dies. ErrLocked: it is taken already, by
	// another process or by this one. The account need not be known.
	Lock(name string) (unlock func() error, err error)
	// Enter makes the account or notes its new server and user, and returns its ledger. The caller has the account's lock.
	// Enter completes what a run that was killed had begun to write, or takes it back, before it returns.
	//
	// With another server or user it may be another maildrop, whose unique-ids mean other messages. So each record then counts
	// as one of a deleted message until Diff's caller has looked (see Diff.Check), and what was quarantined is tried again.
	Enter(ctx context.Context, name, server, user string) (Ledger, error)
	// Look is Enter that writes nothing, and needs no lock. A known account has the server and user that Enter noted last:
	// records stay with the name. An unknown one has the server and user asked for, and a ledger that knows nothing.
	// ErrUnsettled: a run writes at this moment, or was killed while it wrote.
	Look(ctx context.Context, name, server, user string) (Ledger, error)
	// Accounts lists all accounts by name.
	Accounts(ctx context.Context) ([]Account, error)
	// Rename gives an account's state to another name. ErrUnknown: there is no such account. ErrTaken: the new name has records
	// itself; a name without, made by a run that began before the renaming, gives way. The caller holds the locks of both.
	Rename(ctx context.Context, from, to string) error
	// Close closes the store. No other method may be at work or be called afterwards; locks stay until they are unlocked.
	Close() error
}

// Ledger is the part of a store that one account has. Who calls a method that writes has the account's lock.
//
// An error of such a method does not say that nothing was written: a disk can bring back what it reported as failed.
// Only the next Diff tells.
type Ledger interface {
	// Account tells what was known of the account when the ledger was made.
	Account() Account
	// Diff fills in Copy in listing, which must be complete, and tells what is known of each message. due: see Diff.Due; the zero
	// time asks for none. Diff writes nothing.
	Diff(ctx context.Context, listing []Entry, due time.Time) (Diff, error)
	// Apply carries out changes: all of them or nothing, whatever happens. Delivered messages must be durable at their target by
	// then. Apply waits for other writers as long as ctx lives, so that what is delivered gets its record.
	Apply(ctx context.Context, changes Changes) error
	// Finish is called after the positive reply to QUIT. It stamps the records of deleted messages, notes what the listing lacks,
	// forgets what has been absent for longer than GraceTime, and keeps digests of left for the next Diff. It ends
	// Account.Unfinished, so a run that called Ready calls it even if Diff.Unchanged says that there is nothing else to do.
	//
	// left is the listing of which Diff told diff, without the deleted messages, in its order; at is the time of the run. Records
	// that were changed since Diff must be those of messages that diff names (as New, Check, Due, Likely or Aside) or that are
	// deleted. With the zero Diff everything is looked at. A run that is killed in Finish leaves a part of its work undone,
	// which the next Finish does.
	Finish(ctx context.Context, diff Diff, left []Entry, deleted []Key, at time.Time) error
	// Records returns all records of the unique-ids, every copy, by unique-id and copy.
	Records(ctx context.Context, uniqueIDs []string) ([]Record, error)
	// All yields every record, by unique-id and copy. An error is yielded once, at the end.
	All(ctx context.Context) iter.Seq2[Record, error]
	// Remaining yields the records of messages that may still be in the maildrop: those that the last finished run left, those
	// made since, and those that listings have lacked although no deletion was confirmed. An error is yielded once, at the end.
	Remaining(ctx context.Context) iter.Seq2[Record, error]
	// Asides returns what is set aside, by unique-id and copy; those with an AbsentAt are not listed any more.
	Asides(ctx context.Context) ([]Aside, error)
	// Forget removes the records of the unique-ids (none named: all) and marks them as Wanted; what was refused or quarantined is
	// tried as if it never was. It returns how many of both there were. Unknown unique-ids are passed over. An error may leave
	// some forgotten and others not.
	Forget(ctx context.Context, uniqueIDs ...string) (int, error)
	// Standing returns the account's standing; that of an unknown one is good.
	Standing(ctx context.Context) (Standing, error)
	// ChangeStanding lets change edit the standing of a known account, and keeps what it has become. Changes of several processes
	// come one after the other. change may be called twice.
	ChangeStanding(ctx context.Context, change func(*Standing)) error
	// Ready makes sure, before messages are delivered, that so many can be recorded: a message that goes to a program and cannot
	// be recorded would go there again in each run (behaviour 32). It notes that the run begins to deliver (Account.Unfinished).
	Ready(ctx context.Context, messages int) error
}
