-- A database as the seventh version of the schema left it (sqlite3 .dump).
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
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
, unfinished INTEGER NOT NULL DEFAULT 0, finished_at INTEGER NOT NULL DEFAULT 0, staged INTEGER NOT NULL DEFAULT 0, left_since INTEGER NOT NULL DEFAULT 0, left_at INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO account VALUES(1,'work','pop.example.org:995','alice',1709208000000,1,3,4,X'9ec759ff569c8dc9a79ba96fe97d1d6c056c61726765',1709208000000,0,1709208000000,0,0,0);
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
	absent_at INTEGER NOT NULL DEFAULT 0, told_at INTEGER NOT NULL DEFAULT 0, max_size INTEGER NOT NULL DEFAULT 0, dated INTEGER NOT NULL DEFAULT 0, asked INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (account, unique_id, copy)
) STRICT, WITHOUT ROWID;
INSERT INTO aside VALUES(1,X'6c61726765',0,2,1000,0,1709208000000,1709208000000,'1000 octets are more than max_size',0,0,500,0,0);
CREATE TABLE detail (
	id     INTEGER PRIMARY KEY,
	octets INTEGER NOT NULL,
	digest BLOB NOT NULL,
	sha256 BLOB NOT NULL) STRICT;
INSERT INTO detail VALUES(1,990,X'01020100000000000000000000000000',X'0304010000000000000000000000000000000000000000000000000000000000');
INSERT INTO detail VALUES(2,990,X'01020200000000000000000000000000',X'0304020000000000000000000000000000000000000000000000000000000000');
INSERT INTO detail VALUES(3,990,X'01020300000000000000000000000000',X'0304030000000000000000000000000000000000000000000000000000000000');
CREATE TABLE place (
	detail INTEGER NOT NULL,
	number INTEGER NOT NULL,
	target TEXT NOT NULL,
	name   TEXT NOT NULL,
	octets INTEGER,
	sha256 BLOB,
	PRIMARY KEY (detail, number)
) STRICT, WITHOUT ROWID;
INSERT INTO place VALUES(1,0,'','new/1',NULL,NULL);
INSERT INTO place VALUES(2,0,'','new/2',NULL,NULL);
INSERT INTO place VALUES(3,0,'','new/3',NULL,NULL);
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
INSERT INTO seen VALUES(1,X'61',0,1,1000,1709208000000,0,0,1);
INSERT INTO seen VALUES(1,X'78',0,1,1000,1709208000000,0,0,2);
INSERT INTO seen VALUES(1,X'78',1,1,1000,1709208000000,0,0,3);
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
	max_size  INTEGER NOT NULL DEFAULT 0, dated INTEGER NOT NULL DEFAULT 0, asked INTEGER NOT NULL DEFAULT 0,
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
CREATE TABLE staged_removal (
	account   INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
	unique_id BLOB NOT NULL,
	copy      INTEGER NOT NULL,
	PRIMARY KEY (account, unique_id, copy)
) STRICT, WITHOUT ROWID;
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
, announced TEXT NOT NULL DEFAULT '', came_at INTEGER NOT NULL DEFAULT 0, through_at INTEGER NOT NULL DEFAULT 0, host_sessions INTEGER NOT NULL DEFAULT 0, host_at INTEGER NOT NULL DEFAULT 0, proven BLOB, proven_at INTEGER NOT NULL DEFAULT 0, ran_at INTEGER NOT NULL DEFAULT 0, held_at INTEGER NOT NULL DEFAULT 0, origin TEXT NOT NULL DEFAULT '', kept TEXT NOT NULL DEFAULT '') STRICT;
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
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('account',1);
CREATE INDEX seen_copies ON seen (account, unique_id) WHERE copy > 0;
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
CREATE TRIGGER account_left AFTER UPDATE OF server, user ON account BEGIN
	DELETE FROM standing WHERE account = NEW.id;
END;
CREATE INDEX account_maildrop ON account (server, user);
CREATE INDEX seen_absent ON seen (account, absent_at) WHERE absent_at > 0;
CREATE TRIGGER detail_removed AFTER DELETE ON detail BEGIN
	DELETE FROM place WHERE detail = OLD.id;
END;
CREATE TRIGGER staged_record_replaced AFTER UPDATE OF detail ON staged_record WHEN OLD.detail <> NEW.detail BEGIN
	DELETE FROM detail WHERE id = OLD.detail;
END;
CREATE INDEX deletion_at ON deletion (account, deleted_at);
CREATE INDEX seen_discarded ON seen (account) WHERE kind = 6 AND deleted_at = 0;
COMMIT;
PRAGMA application_id = 1886351462;
PRAGMA user_version = 7;
