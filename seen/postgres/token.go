package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// Token is where the access tokens of an account, or of the user of a mailbox, are kept. The store
// does not know what is in them: they are sealed.
//
// A provider may accept a refresh token only once, so one process at a time may refresh. That takes
// seconds, and no transaction waits for it: who refreshes has a claim on the row, with an end. If
// the claim has ended meanwhile, because the process stood still, the revision still tells whether
// another has written.
type Token struct {
	store   *Store
	account string
}

// firstRevision is the revision of a row that is made. No row before had it. Otherwise a process that
// stood still would take new tokens for those that it knows.
const firstRevision = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"

// Token returns where the tokens of an account are kept.
func (s *Store) Token(account string) *Token { return &Token{s, account} }

// Read returns what is sealed, or nil if there is none.
func (t *Token) Read(ctx context.Context) ([]byte, error) {
	var sealed []byte
	const query = "SELECT sealed FROM popfetch.token WHERE account = $1"
	err := t.store.pool.QueryRow(ctx, query, t.account).Scan(&sealed)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return sealed, wrap("reading tokens", t.store.explain(err))
}

// Write replaces what is sealed, whoever has a claim.
func (t *Token) Write(ctx context.Context, sealed []byte) error {
	_, err := t.store.pool.Exec(ctx, `
		INSERT INTO popfetch.token AS t (account, sealed, revision) VALUES ($1, $2, `+firstRevision+`)
		ON CONFLICT (account) DO UPDATE SET sealed = excluded.sealed, revision = t.revision + 1`,
		t.account, sealed)
	return wrap("keeping tokens", t.store.explain(err))
}

// TokenClaim is the right to replace tokens.
type TokenClaim struct {
	Sealed []byte // nil: there is none

	token    *Token
	id       string
	revision int64
}

// Claim returns a claim for so long, or nil if another process has one.
func (t *Token) Claim(ctx context.Context, limit time.Duration) (*TokenClaim, error) {
	c := &TokenClaim{token: t, id: rand.Text()}
	err := t.store.pool.QueryRow(ctx, `
		INSERT INTO popfetch.token AS t (account, claim, until, revision)
		VALUES ($1, $2, now() + $3 * interval '1 ms', `+firstRevision+`)
		ON CONFLICT (account) DO UPDATE SET claim = excluded.claim, until = excluded.until
		WHERE t.claim = '' OR t.until < now()
		RETURNING sealed, revision`, t.account, c.id, limit.Milliseconds()).Scan(&c.Sealed, &c.revision)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, wrap("claiming tokens", t.store.explain(err))
	}
	return c, nil
}

// Replace writes tokens and ends the claim. It writes nothing, and returns false, if another
// process has written since.
func (c *TokenClaim) Replace(ctx context.Context, sealed []byte) (written bool, err error) {
	tag, err := c.token.store.pool.Exec(ctx, `
		UPDATE popfetch.token SET sealed = $3, revision = revision + 1, claim = '', until = '-infinity'
		WHERE account = $1 AND revision = $2`, c.token.account, c.revision, sealed)
	return tag.RowsAffected() > 0, wrap("keeping tokens", c.token.store.explain(err))
}

// Remove removes the tokens and ends the claim. It returns false if another process has written
// since.
func (c *TokenClaim) Remove(ctx context.Context) (removed bool, err error) {
	tag, err := c.token.store.pool.Exec(ctx,
		"DELETE FROM popfetch.token WHERE account = $1 AND revision = $2", c.token.account, c.revision)
	return tag.RowsAffected() > 0, wrap("removing tokens", c.token.store.explain(err))
}

// Release ends a claim without a change.
func (c *TokenClaim) Release(ctx context.Context) error {
	_, err := c.token.store.pool.Exec(ctx, `
		WITH gone AS (DELETE FROM popfetch.token WHERE account = $1 AND claim = $2 AND sealed IS NULL)
		UPDATE popfetch.token SET claim = '', until = '-infinity' WHERE account = $1 AND claim = $2
			AND sealed IS NOT NULL`,
		c.token.account, c.id)
	return wrap("releasing tokens", c.token.store.explain(err))
}

// TokenNames returns the names of all accounts and users of mailboxes that have tokens.
func (s *Store) TokenNames(ctx context.Context) ([]string, error) {
	rows, err := s.pool.Query(ctx,
		"SELECT account FROM popfetch.token WHERE sealed IS NOT NULL ORDER BY account")
	if err != nil {
		return nil, wrap("reading tokens", s.explain(err))
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return names, wrap("reading tokens", s.explain(err))
}
