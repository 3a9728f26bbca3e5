package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/popfetch/popfetch/seen"
)

// part is a group of changes that are applied together.
type part struct {
	replace []string
	moves   []seen.Move
	records []seen.Record
	asides  []seen.Aside
}

func (p *part) rows() int { return len(p.replace) + len(p.moves) + len(p.records) + len(p.asides) }

// parts splits changes into parts of so many rows, in the order in which they are carried out.
func parts(c seen.Changes, rows int) iter.Seq[*part] {
	return func(yield func(*part) bool) {
		p, stopped := &part{}, false
		// add returns false when the caller wants no more parts.
		add := func(put func(*part)) bool {
			put(p)
			if p.rows() >= rows {
				stopped = !yield(p)
				p = &part{}
			}
			return !stopped
		}
		for _, id := range c.Replace {
			if !add(func(p *part) { p.replace = append(p.replace, id) }) {
				return
			}
		}
		if c.Moves != nil {
			c.Moves(func(m seen.Move) bool { return add(func(p *part) { p.moves = append(p.moves, m) }) })
		}
		if c.Records != nil && !stopped {
			p.records = make([]seen.Record, 0, min(rows, rowsAtOnce)) // as many as most steps have
			c.Records(func(r seen.Record) bool { return add(func(p *part) { p.records = append(p.records, r) }) })
		}
		if stopped {
			return
		}
		for _, a := range c.Asides {
			if !add(func(p *part) { p.asides = append(p.asides, a) }) {
				return
			}
		}
		if p.rows() > 0 {
			yield(p)
		}
	}
}

// errMany says that a part needs more than one transaction.
var errMany = errors.New("too many rows for one transaction")

// Apply writes in one transaction. Changes are staged only if they are too many for one.
func (l *ledger) Apply(ctx context.Context, changes seen.Changes) error {
	if err := l.apply(ctx, changes); err != nil {
		return fmt.Errorf("recording messages: %w", err)
	}
	return nil
}

func (l *ledger) apply(ctx context.Context, changes seen.Changes) error {
	var first *part
	staging := false
	for p := range parts(changes, l.store.partRows) {
		if first == nil {
			first = p
			continue
		}
		if !staging {
			l.mu.Lock()
			defer l.mu.Unlock()
			staging = true
			if err := l.stage(ctx, first, true); err != nil {
				return err
			}
		}
		if err := l.stage(ctx, p, false); err != nil {
			return err
		}
	}
	if staging {
		return l.carryOut(ctx)
	}
	if first == nil {
		return nil
	}
	err := l.applyAtOnce(ctx, first)
	if !errors.Is(err, errMany) {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.stage(ctx, first, true); err != nil {
		return err
	}
	return l.carryOut(ctx)
}

// applyAtOnce applies a part that holds all the changes, in one transaction.
func (l *ledger) applyAtOnce(ctx context.Context, p *part) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.update(ctx, forever, func(ctx context.Context, tx *sql.Conn) error {
		if err := l.remove(ctx, tx, p); err != nil {
			return err
		}
		if err := move(ctx, tx, l.id, p.moves); err != nil {
			return err
		}
		if err := insert(ctx, tx, l.id, p.records); err != nil {
			return err
		}
		return l.store.setAside(ctx, tx, "aside", l.id, p.asides)
	})
}

// remove removes the records of the ids in p.replace. It returns errMany if these are too many
// rows.
func (l *ledger) remove(ctx context.Context, tx *sql.Conn, p *part) error {
	rows := p.rows() - len(p.replace)
	for chunk := range slices.Chunk(p.replace, lookupChunk) {
		where, args := whereIDs(l.id, chunk)
		result, err := tx.ExecContext(ctx, fmt.Sprintf("DELETE FROM seen WHERE account = ? AND (unique_id, copy) IN (SELECT unique_id, copy FROM seen%s LIMIT %d)",
			where, l.store.partRows+1), slices.Concat([]any{l.id}, args)...)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return err
		}
		if rows += int(n); rows > l.store.partRows {
			return errMany
		}
	}
	return nil
}

// move moves records within one transaction.
func move(ctx context.Context, tx *sql.Conn, account int64, moves []seen.Move) error {
	if len(moves) == 0 {
		return nil
	}
	for _, m := range moves {
		if err := stageMove(ctx, tx, account, m); err != nil {
			return err
		}
	}
	from := position{id: []byte{}, copy: -1}
	to, _, err := endOfPart(ctx, tx, stagedMoves.name, account, from, len(moves))
	if err != nil {
		return err
	}
	return execAll(stagedMoves.statements())(ctx, tx, []any{account, from.id, from.copy, to.id, to.copy})
}

// stage writes a part into the staged tables. After an error nothing is staged, or the staged rows
// do not count.
func (l *ledger) stage(ctx context.Context, p *part, first bool) error {
	s := l.store
	if first {
		if err := l.clear(ctx, forever); err != nil {
			return err
		}
	}
	err := ctx.Err()
	if err == nil {
		err = s.update(ctx, forever, func(ctx context.Context, tx *sql.Conn) error { return s.stage(ctx, tx, l.id, p) })
	}
	if err != nil && ctx.Err() == nil {
		_ = s.drop(ctx, patience, l.id) // if it fails, the next Enter does it
	}
	return err
}

// carryOut makes the staged changes count, and carries them out.
func (l *ledger) carryOut(ctx context.Context) error {
	err := l.store.update(ctx, forever, func(ctx context.Context, tx *sql.Conn) error { return completeStaged(ctx, tx, l.id) })
	if err != nil {
		return err
	}
	return l.store.settle(ctx, forever, l.id)
}

// clear carries out, or drops, what an earlier step or run left staged.
func (l *ledger) clear(ctx context.Context, wait waiting) error {
	var state int
	err := l.store.view(ctx, func(tx *sql.Conn) (err error) {
		state, err = stagedState(ctx, tx, l.id)
		return err
	})
	switch {
	case err != nil:
		return err
	case state == staging:
		return l.store.drop(ctx, wait, l.id)
	case state == complete:
		return l.store.settle(ctx, wait, l.id)
	}
	return nil
}
