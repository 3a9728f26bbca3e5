package postgres

// migrations bring the schema from version i (table version) to version i+1. A released migration is
// never edited. Each only adds, so that a program of the version before goes on beside a new one.
//
// Of the tables of a seen-table, those times that are bigint are milliseconds since 1970, 0 for none, as
// package sqlite has them. What leases are judged by is timestamptz, and is only ever compared with
// the clock of the database.
//
// # account, seen, detail, place, aside, standing, deletion
//
// They are those of package sqlite. A row of account whose since is 0 was never entered: it is only
// scheduled.
//
// # turn
//
// There is one row for each account: who works on it, and when it is due. It is narrow, and half
// empty pages let its updates stay in their page. Claiming and renewing change no column that has an
// index; releasing changes due.
//
// due is infinity for an account that no worker polls. epoch counts the leases. holder is the worker
// that has the lease until then; "" is none. left counts the leases in a row that ended without a
// release: an account that kills its worker again and again is left alone (see Claim).
var migrations = []string{ledgerTables, turnTables, noteTables, accountTables}

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
	abandoned  integer NOT NULL DEFAULT 0,
	host       text NOT NULL DEFAULT '',
	label      text NOT NULL DEFAULT ''
) WITH (fillfactor = 70);
CREATE INDEX turn_due ON turn (due);
`
