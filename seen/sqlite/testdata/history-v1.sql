-- A history as the first version of its schema left it (sqlite3 .dump).
BEGIN TRANSACTION;
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
INSERT INTO "account" VALUES(1,'work',1709208000000,1709208000000,1709208000000,1709208000000,77,'login/refused','wrong password',0,0,0,0,0,2,1,1,10,0,1,2000,'[0,0,2,0,0,0,0,0,0,0,0,0]');
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
INSERT INTO "day" VALUES(1,19782,2,1,1,10,0,0,0,2000,1000,'[0,0,0,0,1]','[0,0,2,0,0,0,0,0,0,0,0,0]','{"login/refused":1}');
COMMIT;
PRAGMA application_id = 1886351464;
PRAGMA user_version = 1;
