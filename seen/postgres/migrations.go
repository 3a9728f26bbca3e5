package postgres

// migrations bring the schema from version i (table version) to version i+1. A released migration
// is never edited. Each only adds, so that a program of the version before goes on beside a new
// one.
//
// Of the tables of a seen-table, those times that are bigint are milliseconds since 1970, 0 for
// none, as package sqlite has them. What leases are judged by is timestamptz, and is only ever
// compared with the clock of the database.
//
// # account, seen, aside, standing, deletion, history, history_day
//
// They have what the tables of package sqlite have; see ledgerTables. A row of account whose since
// is 0 was never entered: it is only scheduled.
//
// # turn
//
// There is one row for each account: who works on it, and when it is due. It is narrow. Renewing
// changes no column that has an index, and half empty pages let such an update stay in its page.
// Releasing changes due. Claiming changes holder, which turn_held needs: a claim counts the
// accounts of each host that are at work, among however many are due. That costs 200 octets of WAL
// a turn, and saves a read of the whole table for each claim.
//
// due is infinity for an account that no worker polls. epoch counts the leases. holder is the
// worker that has the lease until then; "" is none. abandoned counts the leases in a row, before
// this one, that ended without a release: an account that kills its worker again and again is left
// alone. hold_until is until when the server refuses log-ins: Hurry makes no account due before.
// claim is the number of the claim that has the lease; 0: it was not claimed.
//
// # worker
//
// There is one row for each worker, which the worker itself updates every few seconds.
var migrations = []string{
	ledgerTables, turnTables + claimFunction, workerTables, noteTables, accountTables,
}

const turnTables = `
CREATE TABLE turn (
	account    bigint PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
	due        timestamptz NOT NULL DEFAULT 'infinity',
	epoch      bigint NOT NULL DEFAULT 0,
	holder     text NOT NULL DEFAULT '',
	process    integer NOT NULL DEFAULT 0,
	since      timestamptz NOT NULL DEFAULT '-infinity',
	until      timestamptz NOT NULL DEFAULT '-infinity',
	fruitless  integer NOT NULL DEFAULT 0,
	hold_until timestamptz NOT NULL DEFAULT '-infinity',
	abandoned  integer NOT NULL DEFAULT 0,
	host       text NOT NULL DEFAULT '',
	label      text NOT NULL DEFAULT '',
	claim      bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 70);
CREATE INDEX turn_due ON turn (due);
CREATE INDEX turn_held ON turn (host) WHERE holder <> '';
`
