package sqlite

// applicationID marks a database file as ours ("popf"), so that the file of another program is
// never taken for an empty one of ours.
const applicationID = 0x706f7066

// migrations bring a database from version i (PRAGMA user_version) to version i+1. A released
// migration is never edited.
//
// Times are milliseconds since 1970; 0 stands for none. Unique-ids are BLOBs. SQLite compares these
// octet by octet, as Go compares strings, so a listing and the table can be merged in one order.
// The merge reads only seen; everything else is in detail, which keeps the rows of seen small.
//
// account.digest holds sections as section.go packs them. They cover the first account.listed
// entries of the listing that the last finished run left. As long as the digest exists, each of
// these is seen without doubt or set aside. The triggers remove it with every change that could
// make that untrue.
//
// detail.octets and detail.sha256 are those of the message as it came. place holds the places that
// it was delivered to. octets and sha256 are NULL there if it was delivered as it came.
//
// The staged tables hold what Apply writes in several transactions, see staging. account.staged
// says how far that is.
//
// account.records is the number of rows in seen. The code that adds rows counts them, because a
// trigger would make adding a row half as expensive again.
var migrations = []string{`
CREATE TABLE account (
	id        INTEGER PRIMARY KEY AUTOINCREMENT,
	name      TEXT NOT NULL UNIQUE,
	server    TEXT NOT NULL,
	user      TEXT NOT NULL,
	since     INTEGER NOT NULL,
	delivered INTEGER NOT NULL DEFAULT 0,
	records   INTEGER NOT NULL DEFAULT 0,
	listed    INTEGER NOT NULL DEFAULT 0,
	digest    BLOB,
	oldest    INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE seen (
	account      INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
	unique_id    BLOB NOT NULL,
	copy         INTEGER NOT NULL,
	kind         INTEGER NOT NULL,
	listed       INTEGER NOT NULL,
	delivered_at INTEGER NOT NULL,
	absent_at    INTEGER NOT NULL DEFAULT 0,
	deleted_at   INTEGER NOT NULL DEFAULT 0,
	detail       INTEGER NOT NULL,
	PRIMARY KEY (account, unique_id, copy)
) STRICT, WITHOUT ROWID;

CREATE INDEX seen_copies ON seen (account, unique_id) WHERE copy > 0;

CREATE TABLE detail (
	id     INTEGER PRIMARY KEY,
	octets INTEGER NOT NULL,
	digest BLOB NOT NULL,
	sha256 BLOB NOT NULL,
	place  TEXT NOT NULL
) STRICT;

CREATE TABLE aside (
	account   INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
	unique_id BLOB NOT NULL,
	copy      INTEGER NOT NULL,
	reason    INTEGER NOT NULL,
	listed    INTEGER NOT NULL,
	count     INTEGER NOT NULL,
	since     INTEGER NOT NULL,
	last      INTEGER NOT NULL,
	text      TEXT NOT NULL,
	absent_at INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (account, unique_id, copy)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER seen_added AFTER INSERT ON seen BEGIN
	UPDATE account SET records = records + 1 WHERE id = NEW.account;
END;
CREATE TRIGGER seen_removed AFTER DELETE ON seen BEGIN
	DELETE FROM detail WHERE id = OLD.detail;
	UPDATE account SET records = records - 1, digest = NULL WHERE id = OLD.account;
END;
CREATE TRIGGER seen_changed
AFTER UPDATE OF account, unique_id, copy, kind, listed, delivered_at, deleted_at ON seen BEGIN
	UPDATE account SET digest = NULL WHERE id IN (OLD.account, NEW.account);
END;
CREATE TRIGGER seen_replaced AFTER UPDATE OF detail ON seen WHEN OLD.detail <> NEW.detail BEGIN
	DELETE FROM detail WHERE id = OLD.detail;
END;
CREATE TRIGGER aside_removed AFTER DELETE ON aside BEGIN
	UPDATE account SET digest = NULL WHERE id = OLD.account;
END;
CREATE TRIGGER aside_changed AFTER UPDATE OF account, unique_id, copy ON aside BEGIN
	UPDATE account SET digest = NULL WHERE id IN (OLD.account, NEW.account);
END;
CREATE TRIGGER account_moved AFTER UPDATE OF server, user ON account BEGIN
	UPDATE account SET digest = NULL WHERE id = NEW.id;
END;
`, `
DROP TRIGGER seen_added;

CREATE TABLE standing (
	account        INTEGER PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
	refusals       INTEGER NOT NULL,
	credential     BLOB,
	not_before     INTEGER NOT NULL,
	reason         TEXT NOT NULL,
	lockstep_since INTEGER NOT NULL,
	shortfall      INTEGER NOT NULL,
	told           TEXT NOT NULL,
	told_at        INTEGER NOT NULL
) STRICT;

CREATE TRIGGER account_left AFTER UPDATE OF server, user ON account BEGIN
	DELETE FROM standing WHERE account = NEW.id;
END;

ALTER TABLE aside ADD COLUMN told_at INTEGER NOT NULL DEFAULT 0;
`, `
CREATE INDEX seen_absent ON seen (account, absent_at) WHERE absent_at > 0;

ALTER TABLE standing ADD COLUMN announced TEXT NOT NULL DEFAULT '';
`, `
-- It was one digest over all, and now it is sections, of which an empty maildrop has none. Besides, it says that a run was finished.
UPDATE account SET digest = iif(listed = 0, x'', NULL) WHERE digest IS NOT NULL;
`, `
CREATE TABLE place (
	detail INTEGER NOT NULL,
	number INTEGER NOT NULL,
	target TEXT NOT NULL,
	name   TEXT NOT NULL,
	octets INTEGER,
	sha256 BLOB,
	PRIMARY KEY (detail, number)
) STRICT, WITHOUT ROWID;
-- What was only marked went to no place. Its SHA-256 is not known.
INSERT INTO place SELECT id, 0, '', place, NULL, NULL FROM detail WHERE place <> '' OR sha256 <> zeroblob(32) ORDER BY id;
ALTER TABLE detail DROP COLUMN place;
CREATE TRIGGER detail_removed AFTER DELETE ON detail BEGIN
	DELETE FROM place WHERE detail = OLD.id;
END;

ALTER TABLE aside ADD COLUMN max_size INTEGER NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN unfinished INTEGER NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN finished_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN staged INTEGER NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN left_since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN left_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX account_maildrop ON account (server, user);

CREATE TABLE staged_removal (
	account   INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
	unique_id BLOB NOT NULL,
	copy      INTEGER NOT NULL,
	PRIMARY KEY (account, unique_id, copy)
) STRICT, WITHOUT ROWID;
CREATE TABLE staged_move (
	account   INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
	unique_id BLOB NOT NULL,
	copy      INTEGER NOT NULL,
	to_id     BLOB NOT NULL,
	to_copy   INTEGER NOT NULL,
	listed    INTEGER NOT NULL,
	PRIMARY KEY (account, unique_id, copy),
	UNIQUE (account, to_id, to_copy)
) STRICT, WITHOUT ROWID;
CREATE TABLE staged_record (
	account      INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
	unique_id    BLOB NOT NULL,
	copy         INTEGER NOT NULL,
	kind         INTEGER NOT NULL,
	listed       INTEGER NOT NULL,
	delivered_at INTEGER NOT NULL,
	absent_at    INTEGER NOT NULL DEFAULT 0,
	deleted_at   INTEGER NOT NULL DEFAULT 0,
	detail       INTEGER NOT NULL,
	PRIMARY KEY (account, unique_id, copy)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER staged_record_replaced AFTER UPDATE OF detail ON staged_record WHEN OLD.detail <> NEW.detail BEGIN
	DELETE FROM detail WHERE id = OLD.detail;
END;
CREATE TABLE staged_aside (
	account   INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
	unique_id BLOB NOT NULL,
	copy      INTEGER NOT NULL,
	reason    INTEGER NOT NULL,
	listed    INTEGER NOT NULL,
	count     INTEGER NOT NULL,
	since     INTEGER NOT NULL,
	last      INTEGER NOT NULL,
	text      TEXT NOT NULL,
	absent_at INTEGER NOT NULL DEFAULT 0,
	told_at   INTEGER NOT NULL DEFAULT 0,
	max_size  INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (account, unique_id, copy)
) STRICT, WITHOUT ROWID;
`, `
ALTER TABLE standing ADD COLUMN came_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE standing ADD COLUMN through_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE standing ADD COLUMN host_sessions INTEGER NOT NULL DEFAULT 0;
ALTER TABLE standing ADD COLUMN host_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE standing ADD COLUMN proven BLOB;
ALTER TABLE standing ADD COLUMN proven_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE standing ADD COLUMN ran_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE standing ADD COLUMN held_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE standing ADD COLUMN origin TEXT NOT NULL DEFAULT '';
`, `
ALTER TABLE aside ADD COLUMN dated INTEGER NOT NULL DEFAULT 0;
ALTER TABLE staged_aside ADD COLUMN dated INTEGER NOT NULL DEFAULT 0;
CREATE TABLE deletion (
	id           INTEGER PRIMARY KEY,
	account      INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
	unique_id    BLOB NOT NULL,
	octets       INTEGER NOT NULL,
	sha256       BLOB NOT NULL,
	rule         TEXT NOT NULL,
	delivered_at INTEGER NOT NULL,
	deleted_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX deletion_at ON deletion (account, deleted_at);
CREATE INDEX seen_discarded ON seen (account) WHERE kind = 6 AND deleted_at = 0;
ALTER TABLE standing ADD COLUMN kept TEXT NOT NULL DEFAULT '';
ALTER TABLE aside ADD COLUMN asked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE staged_aside ADD COLUMN asked INTEGER NOT NULL DEFAULT 0;
`}
