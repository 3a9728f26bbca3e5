package sqlite

// historyID marks a database file as a history of ours ("poph").
const historyID = 0x706f7068

// historyMigrations bring a history from version i (PRAGMA user_version) to version i+1. A released
// migration is never edited.
//
// Times are milliseconds since 1970, and 0 stands for none. Durations are milliseconds. A day is the
// number of days since 1970, in UTC. durations, sizes and errors are JSON: arrays as seen.Durations
// and seen.Sizes have them, and an object of counts by code.
var historyMigrations = []string{`
CREATE TABLE account (
	id           INTEGER PRIMARY KEY,
	name         TEXT NOT NULL UNIQUE,
	ran_at       INTEGER NOT NULL DEFAULT 0,
	succeeded_at INTEGER NOT NULL DEFAULT 0,
	error_at     INTEGER NOT NULL DEFAULT 0,
	error_since  INTEGER NOT NULL DEFAULT 0,
	error_status INTEGER NOT NULL DEFAULT 0,
	error_code   TEXT NOT NULL DEFAULT '',
	error_text   TEXT NOT NULL DEFAULT '',
	next_at      INTEGER NOT NULL DEFAULT 0,
	maildrop_at  INTEGER NOT NULL DEFAULT 0,
	listed       INTEGER NOT NULL DEFAULT 0,
	backlog      INTEGER NOT NULL DEFAULT 0,
	quarantined  INTEGER NOT NULL DEFAULT 0,
	runs         INTEGER NOT NULL DEFAULT 0,
	failed       INTEGER NOT NULL DEFAULT 0,
	delivered    INTEGER NOT NULL DEFAULT 0,
	octets       INTEGER NOT NULL DEFAULT 0,
	deleted      INTEGER NOT NULL DEFAULT 0,
	refused      INTEGER NOT NULL DEFAULT 0,
	took         INTEGER NOT NULL DEFAULT 0,
	durations    TEXT NOT NULL DEFAULT '[]'
) STRICT;

CREATE TABLE day (
	account     INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
	day         INTEGER NOT NULL,
	runs        INTEGER NOT NULL,
	failed      INTEGER NOT NULL,
	delivered   INTEGER NOT NULL,
	octets      INTEGER NOT NULL,
	deleted     INTEGER NOT NULL,
	quarantined INTEGER NOT NULL,
	largest     INTEGER NOT NULL,
	took        INTEGER NOT NULL,
	longest     INTEGER NOT NULL,
	sizes       TEXT NOT NULL,
	durations   TEXT NOT NULL,
	errors      TEXT NOT NULL,
	PRIMARY KEY (account, day)
) STRICT, WITHOUT ROWID;
`}
