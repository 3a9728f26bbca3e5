package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/popfetch/popfetch/seen"
)

// noteTables have what targets must know across a crash of messages that have no record yet; see
// Book.
//
// target is the part of the account's target that has the book. An entry that is kept for ever has
// "infinity" as its time.
const noteTables = `
CREATE TABLE note (
	account bigint NOT NULL REFERENCES account (id) ON DELETE CASCADE,
	target  text NOT NULL,
	token   text NOT NULL,
	at      timestamptz NOT NULL,
	value   bytea NOT NULL,
	PRIMARY KEY (account, target, token)
);
`

// Book is what a part of an account's target must know across a crash. It is a deliver.Book, whose
// methods have plain types, so that a store need not know the targets.
//
// Every write names the epoch of the lease that this process has on the account, and locks its row.
// So a process that was overtaken writes nothing: seen.ErrLost. Under one lease nobody else writes,
// and the entries are read once. Without a lease they are read again after bookAge.
type Book struct {
	store           *Store
	account, target string

	mu      sync.Mutex
	epoch   int64     // that the entries were read under; 0: without a lease
	read    time.Time // zero: they must be read
	entries map[string][]byte
	kept    map[string][]byte
}

// bookAge is how old the entries may become that are read without a lease.
const bookAge = time.Second

// Book returns the book of a part of an account's target. It does no I/O.
func (s *Store) Book(account, target string) *Book {
	return &Book{store: s, account: account, target: target}
}

// held returns the lease of this process on the account, and a context that ends when it is lost.
// nil: there is none.
func (b *Book) held() (h *hold, ctx context.Context, end func()) {
	b.store.mu.Lock()
	h = b.store.holds[b.account]
	b.store.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	if h == nil {
		return nil, ctx, cancel
	}
	ctx, lose := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		select {
		case <-h.Lost():
			lose(seen.ErrLost)
		case <-done:
		}
	}()
	return h, ctx, func() {
		close(done)
		cancel()
	}
}

// load reads the entries, unless they are known. The caller holds b.mu.
func (b *Book) load(ctx context.Context, h *hold) error {
	epoch := int64(0)
	if h != nil {
		epoch = h.epoch
	}
	if !b.read.IsZero() && b.epoch == epoch && (epoch > 0 || time.Since(b.read) < bookAge) {
		return nil
	}
	began := time.Now()
	rows, err := b.store.pool.Query(ctx, `
		SELECT token, value, at = 'infinity' FROM popfetch.note
		WHERE account = (SELECT id FROM popfetch.account WHERE name = $1) AND target = $2
			AND at > now() - interval '90 days'`, b.account, b.target)
	if err != nil {
		return b.failed(ctx, "reading", err)
	}
	entries, kept := make(map[string][]byte), make(map[string][]byte)
	var token string
	var value []byte
	var forEver bool
	_, err = pgx.ForEachRow(rows, []any{&token, &value, &forEver}, func() error {
		into := entries
		if forEver {
			into = kept
		}
		into[token], value = value, nil
		return nil
	})
	if err != nil {
		return b.failed(ctx, "reading", err)
	}
	b.epoch, b.read, b.entries, b.kept = epoch, began, entries, kept
	return nil
}

func (b *Book) failed(ctx context.Context, doing string, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, seen.ErrLost) {
		return fmt.Errorf("%s the notes of account %q: %w", doing, b.account, cause)
	}
	return fmt.Errorf("%s the notes of account %q: %w", doing, b.account, b.store.explain(err))
}

// fence finds the account if this process still has the lease. It locks the row of the lease.
const fence = `WITH held AS (
	SELECT t.account FROM popfetch.turn AS t WHERE t.account = $1 AND t.epoch = $2 AND t.holder <> '' FOR SHARE
)`

// change writes by one statement behind fence, which returns the account if it did. Then it changes
// what is known of the entries.
func (b *Book) change(statement string, args []any, known func()) error {
	h, ctx, end := b.held()
	defer end()
	if h == nil {
		return fmt.Errorf("writing the notes of account %q: %w", b.account, seen.ErrLost)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.load(ctx, h); err != nil {
		return err
	}
	var account int64
	err := b.store.pool.QueryRow(ctx, fence+statement+" SELECT account FROM held", append([]any{h.id, h.epoch, b.target}, args...)...).Scan(&account)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("writing the notes of account %q: %w", b.account, seen.ErrLost)
	case err != nil:
		b.read = time.Time{} // whether it was written is not known
		return b.failed(ctx, "writing", err)
	}
	known()
	return nil
}

// Put adds entries, or replaces them, and removes those that are older than 90 days.
func (b *Book) Put(entries map[string][]byte) error {
	tokens, values := make([]string, 0, len(entries)), make([][]byte, 0, len(entries))
	for token, value := range entries {
		tokens, values = append(tokens, token), append(values, value)
	}
	return b.change(`, old AS (
			DELETE FROM popfetch.note AS n USING held
			WHERE n.account = held.account AND n.target = $3 AND n.at < now() - interval '90 days' AND n.token <> ALL ($4::text[])
		), put AS (
			INSERT INTO popfetch.note (account, target, token, at, value)
			SELECT held.account, $3, e.token, now(), e.value FROM held, unnest($4::text[], $5::bytea[]) AS e (token, value)
			ON CONFLICT (account, target, token) DO UPDATE SET at = excluded.at, value = excluded.value
		)`, []any{tokens, values}, func() { maps.Copy(b.entries, entries) })
}

// Get returns an entry.
func (b *Book) Get(token string) (value []byte, found bool, err error) {
	err = b.look(func() { value, found = b.entries[token] })
	return value, found, err
}

// All returns all entries.
func (b *Book) All() (all map[string][]byte, err error) {
	err = b.look(func() { all = maps.Clone(b.entries) })
	return all, err
}

// Kept returns the value that was kept under a name; nil: none is.
func (b *Book) Kept(name string) (value []byte, err error) {
	err = b.look(func() { value = b.kept[name] })
	return value, err
}

// look calls do when the entries are known.
func (b *Book) look(do func()) error {
	h, ctx, end := b.held()
	defer end()
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.load(ctx, h); err != nil {
		return err
	}
	do()
	return nil
}

// Forget removes entries. Those that stay do no harm.
func (b *Book) Forget(tokens ...string) {
	known := 0
	_ = b.look(func() {
		for _, token := range tokens {
			if _, found := b.entries[token]; found {
				known++
			}
		}
	})
	if known == 0 {
		return
	}
	_ = b.change(`, gone AS (
			DELETE FROM popfetch.note AS n USING held
			WHERE n.account = held.account AND n.target = $3 AND n.token = ANY ($4::text[]) AND n.at < 'infinity'
		)`, []any{tokens}, func() {
		for _, token := range tokens {
			delete(b.entries, token)
		}
	})
}

// Keep keeps a value under a name for ever; nil removes it.
func (b *Book) Keep(name string, value []byte) error {
	if value == nil {
		return b.change(`, gone AS (
				DELETE FROM popfetch.note AS n USING held WHERE n.account = held.account AND n.target = $3 AND n.token = $4
			)`, []any{name}, func() { delete(b.kept, name) })
	}
	return b.change(`, kept AS (
			INSERT INTO popfetch.note (account, target, token, at, value) SELECT held.account, $3, $4, 'infinity', $5::bytea FROM held
			ON CONFLICT (account, target, token) DO UPDATE SET at = excluded.at, value = excluded.value
		)`, []any{name, value}, func() { b.kept[name] = value })
}
