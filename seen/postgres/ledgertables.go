package postgres

// ledgerTables are those of accounts, their records and their history.
//
// A row of seen is one record, with all that is known of it. place is the name that the account's
// own target gave the message, if it went there as it came, and nowhere else. Otherwise places has
// the places as JSON; "" is none. digest and sha256 are empty if they are unknown.
//
// account.digest, listed and oldest are seen.Finished. Triggers count account.records, and remove
// the digest with every change of a record except of absent_at, and when a record or an aside goes.
// They run once for each statement, however many rows it changes.
//
// step is called first, and fence last, in every transaction that writes under a lease. A step has
// a number, which is counted in its epoch: so one that is sent again, because its answer was lost,
// is carried out once. fence locks the row of the lease until the transaction has ended. It does so
// at the end, because a renewal has to wait for that lock.
//
// seen has no foreign key, because a check of each row would cost as much as adding it. Its rows go
// with the account's by a trigger. Nobody can add some then: step locks the row of the account.
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
	left_at     bigint NOT NULL DEFAULT 0,
	step_epoch  bigint NOT NULL DEFAULT 0,
	step        bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 80);
CREATE INDEX account_maildrop ON account (username, server);

CREATE TABLE seen (
	account      bigint NOT NULL,
	listed       bigint NOT NULL,
	delivered_at bigint NOT NULL,
	deleted_at   bigint NOT NULL,
	absent_at    bigint NOT NULL DEFAULT 0,
	octets       bigint NOT NULL,
	copy         integer NOT NULL,
	kind         smallint NOT NULL,
	unique_id    bytea NOT NULL,
	digest       bytea NOT NULL,
	sha256       bytea NOT NULL,
	place        bytea,
	places       text NOT NULL,
	PRIMARY KEY (account, unique_id, copy)
);
CREATE INDEX seen_copies ON seen (account, unique_id) WHERE copy > 0;
CREATE INDEX seen_absent ON seen (account, absent_at) WHERE absent_at > 0;
CREATE INDEX seen_discarded ON seen (account) WHERE kind = 6 AND deleted_at = 0;

CREATE TABLE aside (
	account   bigint NOT NULL REFERENCES account (id) ON DELETE CASCADE,
	unique_id bytea NOT NULL,
	copy      integer NOT NULL,
	reason    smallint NOT NULL,
	listed    bigint NOT NULL,
	count     bigint NOT NULL,
	since     bigint NOT NULL,
	last      bigint NOT NULL,
	text      text NOT NULL,
	told_at   bigint NOT NULL DEFAULT 0,
	absent_at bigint NOT NULL DEFAULT 0,
	max_size  bigint NOT NULL DEFAULT 0,
	dated     bigint NOT NULL DEFAULT 0,
	asked     bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (account, unique_id, copy)
);

CREATE TABLE deletion (
	id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	account      bigint NOT NULL REFERENCES account (id) ON DELETE CASCADE,
	octets       bigint NOT NULL,
	delivered_at bigint NOT NULL,
	deleted_at   bigint NOT NULL,
	unique_id    bytea NOT NULL,
	sha256       bytea NOT NULL,
	rule         text NOT NULL
);
CREATE INDEX deletion_at ON deletion (account, deleted_at, id);

CREATE TABLE standing (
	account        bigint PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
	version        bigint NOT NULL,
	refusals       bigint NOT NULL,
	credential     bytea,
	proven         bytea,
	proven_at      bigint NOT NULL,
	not_before     bigint NOT NULL,
	reason         text NOT NULL,
	lockstep_since bigint NOT NULL,
	came_at        bigint NOT NULL,
	through_at     bigint NOT NULL,
	host_sessions  bigint NOT NULL,
	host_at        bigint NOT NULL,
	ran_at         bigint NOT NULL,
	held_at        bigint NOT NULL,
	kept           text NOT NULL,
	origin         text NOT NULL,
	shortfall      bigint NOT NULL,
	announced      text NOT NULL,
	told           text NOT NULL,
	told_at        bigint NOT NULL
) WITH (fillfactor = 80);

CREATE FUNCTION seen_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE popfetch.account AS a SET records = a.records + n.records,
		delivered = a.delivered OR n.delivered
	FROM (
		SELECT account, count(*) AS records, bool_or(kind = 1) AS delivered FROM added GROUP BY account
	) AS n
	WHERE a.id = n.account;
	RETURN NULL;
END $$;
CREATE TRIGGER seen_added AFTER INSERT ON seen
	REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION seen_added();

CREATE FUNCTION seen_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE popfetch.account AS a SET records = a.records - n.records, digest = NULL
	FROM (SELECT account, count(*) AS records FROM removed GROUP BY account) AS n
	WHERE a.id = n.account;
	RETURN NULL;
END $$;
CREATE TRIGGER seen_removed AFTER DELETE ON seen
	REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION seen_removed();

CREATE FUNCTION seen_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE popfetch.account AS a SET records = a.records + n.records,
		delivered = a.delivered OR n.delivered, digest = NULL
	FROM (
		SELECT account, sum(rows) AS records, bool_or(delivered) AS delivered FROM (
			SELECT account, 1 AS rows, kind = 1 AS delivered FROM new_rows
			UNION ALL SELECT account, -1, false FROM old_rows
		) AS all_rows GROUP BY account
	) AS n
	WHERE a.id = n.account AND a.id IN (
		SELECT account FROM (
			(SELECT account, unique_id, copy, kind, listed, delivered_at, deleted_at,
				octets, digest, sha256, place, places FROM new_rows
			EXCEPT SELECT account, unique_id, copy, kind, listed, delivered_at, deleted_at,
				octets, digest, sha256, place, places FROM old_rows)
			UNION ALL
			(SELECT account, unique_id, copy, kind, listed, delivered_at, deleted_at,
				octets, digest, sha256, place, places FROM old_rows
			EXCEPT SELECT account, unique_id, copy, kind, listed, delivered_at, deleted_at,
				octets, digest, sha256, place, places FROM new_rows)
		) AS changed);
	RETURN NULL;
END $$;
CREATE TRIGGER seen_changed AFTER UPDATE ON seen
	REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION seen_changed();

CREATE FUNCTION aside_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE popfetch.account SET digest = NULL WHERE digest IS NOT NULL
		AND id IN (SELECT account FROM removed);
	RETURN NULL;
END $$;
CREATE TRIGGER aside_removed AFTER DELETE ON aside
	REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION aside_removed();

CREATE FUNCTION aside_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE popfetch.account SET digest = NULL WHERE digest IS NOT NULL AND id IN (
		SELECT account FROM (
			SELECT account, unique_id, copy FROM new_rows
			EXCEPT SELECT account, unique_id, copy FROM old_rows
		) AS n
		UNION
		SELECT account FROM (
			SELECT account, unique_id, copy FROM old_rows
			EXCEPT SELECT account, unique_id, copy FROM new_rows
		) AS o);
	RETURN NULL;
END $$;
CREATE TRIGGER aside_changed AFTER UPDATE ON aside
	REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION aside_changed();

CREATE FUNCTION account_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM popfetch.seen WHERE account = OLD.id;
	RETURN NULL;
END $$;
CREATE TRIGGER account_removed AFTER DELETE ON account
	FOR EACH ROW EXECUTE FUNCTION account_removed();

CREATE FUNCTION step(of_account bigint, its_epoch bigint, number bigint)
	RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM FROM popfetch.turn WHERE account = of_account AND epoch = its_epoch AND holder <> '';
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the lease was lost' USING ERRCODE = 'PF001';
	END IF;
	UPDATE popfetch.account SET step_epoch = its_epoch, step = number
	WHERE id = of_account AND (step_epoch, step) < (its_epoch, number);
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the step was carried out before' USING ERRCODE = 'PF002';
	END IF;
END $$;

CREATE FUNCTION fence(of_account bigint, its_epoch bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM FROM popfetch.turn
	WHERE account = of_account AND epoch = its_epoch AND holder <> '' FOR SHARE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the lease was lost' USING ERRCODE = 'PF001';
	END IF;
END $$;

CREATE FUNCTION demand(ok boolean, otherwise text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF ok IS NOT TRUE THEN
		RAISE EXCEPTION '%', otherwise USING ERRCODE = 'PF003';
	END IF;
END $$;
` + historyTables

// historyTables hold seen.History. A day is the number of days since 1970, in UTC, and durations
// are milliseconds. durations, sizes and errors are JSON.
const historyTables = `
CREATE TABLE history (
	account      bigint PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
	ran_at       bigint NOT NULL DEFAULT 0,
	succeeded_at bigint NOT NULL DEFAULT 0,
	error_at     bigint NOT NULL DEFAULT 0,
	error_since  bigint NOT NULL DEFAULT 0,
	error_status integer NOT NULL DEFAULT 0,
	error_code   text NOT NULL DEFAULT '',
	error_text   text NOT NULL DEFAULT '',
	next_at      bigint NOT NULL DEFAULT 0,
	maildrop_at  bigint NOT NULL DEFAULT 0,
	listed       bigint NOT NULL DEFAULT 0,
	backlog      bigint NOT NULL DEFAULT 0,
	quarantined  bigint NOT NULL DEFAULT 0,
	runs         bigint NOT NULL DEFAULT 0,
	failed       bigint NOT NULL DEFAULT 0,
	delivered    bigint NOT NULL DEFAULT 0,
	octets       bigint NOT NULL DEFAULT 0,
	deleted      bigint NOT NULL DEFAULT 0,
	refused      bigint NOT NULL DEFAULT 0,
	took         bigint NOT NULL DEFAULT 0,
	durations    text NOT NULL DEFAULT '[]'
) WITH (fillfactor = 60);

CREATE TABLE history_day (
	account     bigint NOT NULL REFERENCES account (id) ON DELETE CASCADE,
	day         bigint NOT NULL,
	runs        bigint NOT NULL,
	failed      bigint NOT NULL,
	delivered   bigint NOT NULL,
	octets      bigint NOT NULL,
	deleted     bigint NOT NULL,
	quarantined bigint NOT NULL,
	largest     bigint NOT NULL,
	took        bigint NOT NULL,
	longest     bigint NOT NULL,
	sizes       text NOT NULL,
	durations   text NOT NULL,
	errors      text NOT NULL,
	PRIMARY KEY (account, day)
) WITH (fillfactor = 60);
`
