// Package postgres keeps what was seen in a PostgreSQL database that many machines share, and
// shares out the accounts among them.
//
// PostgreSQL does the work: transactions, locks, and time. Only its clock counts. All is in the
// schema "popfetch". A Store is a seen.Store, and passes the suite of package seentest.
//
// # Leases
//
// Who works on an account holds a lease on it (table turn). A lease has an end, and an epoch that
// is counted with each new one. The store renews all leases of its process by one statement,
// whatever the runs do meanwhile. A run that stood still for too long does no harm:
//
//   - It looks at Hold.Err before each step that must not be made twice. By its own clock, a hold
//     ends at seven tenths of the lease, counted from before the renewal was sent.
//   - Every statement that writes for an account names the epoch, and locks the row of the lease.
//     If the epoch is another one, nothing is written (seen.ErrLost).
//   - A target that is deliver.Fenced takes nothing of an earlier epoch.
//
// No transaction lasts while a run waits for a POP3 server or a target.
//
// # Steps
//
// All that a method of a ledger writes is one step (step.go): a batch that is sent at once, and is
// one transaction. A step of more rows than are sent in one round trip is a transaction of several.
// If the database goes away, the step is tried again while the hold lasts. It has a number, so it
// is carried out once even if its answer was lost. An Apply of several round trips, which only an
// import makes, is not tried again. Nor are Forget, TryAgain and ChangeStanding: their callers need
// to know what was there before.
//
// A poll without news costs one statement each for Claim, Enter, Standing, Diff and Turn.End, and
// five in two round trips for NoteRun. Diff is one statement unless something is set aside or has
// copies. TestStatements and TestTurn_statements count them.
//
// # Errors
//
// ErrAway may pass by itself. ErrURL, ErrInsecure and ErrRefused need somebody who changes the URL,
// the password, or the rights of the role. No error shows the password.
//
// # Between program and server
//
// The store works behind PgBouncer in transaction mode. So it uses no statement, lock, setting or
// notification that outlives a transaction.
package postgres
