// Package postgres keeps what was seen in a PostgreSQL database that many machines share, and shares
// out the accounts among them.
//
// PostgreSQL does the work: transactions, locks, and time. Only its clock counts. All is in the schema
// "popfetch". A Store is a seen.Store, and passes the suite of package seentest.
//
// # Leases
//
// Who works on an account holds a lease on it (table turn). A lease has an end, and an epoch that is
// counted with each new one. The store renews all leases of its process by one statement, whatever the
// runs do meanwhile. A run that stood still for too long does no harm:
//
//   - It looks at Hold.Err before each step that must not be made twice. By its own clock, a hold ends
//     at seven tenths of the lease, counted from before the renewal was sent.
//   - Every statement that writes for an account names the epoch, and locks the row of the lease. If
//     the epoch is another one, nothing is written (seen.ErrLost).
//   - A target that is deliver.Fenced takes nothing of an earlier epoch.
//
// No transaction lasts while a run waits for a POP3 server or a target.
//
// # Between program and server
//
// The store works behind PgBouncer in transaction mode. So it uses no statement, lock, setting or
// notification that outlives a transaction.
package postgres
