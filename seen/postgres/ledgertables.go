package postgres

// ledgerTables are those of package sqlite.
const ledgerTables = `
CREATE TABLE account (
	id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name        text NOT NULL UNIQUE,
	server      text NOT NULL DEFAULT '',
	username    text NOT NULL DEFAULT '',
	since       bigint NOT NULL DEFAULT 0,
	delivered   boolean NOT NULL DEFAULT false,
	records     bigint NOT NULL DEFAULT 0,
	listed      bigint NOT NULL DEFAULT 0,
	digest      bytea,
	oldest      bigint NOT NULL DEFAULT 0,
	unfinished  boolean NOT NULL DEFAULT false,
	finished_at bigint NOT NULL DEFAULT 0,
	left_since  bigint NOT NULL DEFAULT 0,
	left_at     bigint NOT NULL DEFAULT 0
);
CREATE INDEX account_maildrop ON account (server, username);
`
