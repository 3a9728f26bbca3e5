package seen

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Standing is what lasts from run to run of an account's dealings with its server, besides its messages. The zero value
// is a good standing. Another server or user (see Enter) brings it back.
type Standing struct {
	Refusals   int    // log-ins refused in a row
	Credential []byte // by which the caller tells whether what was refused has changed since; nil: none
	// NotBefore is when the next log-in may be, and Reason why not earlier; zero: at any time.
	NotBefore time.Time
	Reason    string
	// LockstepSince is when the server was found to break pipelining, so that it gets one command at a time; zero: never.
	LockstepSince time.Time
	// Shortfall is the largest share, in thousandths, of what LIST announced that a message lacked which was whole all the
	// same.
	Shortfall int
	// Announced is what the server announced at the last log-in, in the caller's words; empty: nothing that is worth keeping.
	Announced string
	// Told is what a person was told of and lasts, in the caller's words, and ToldAt since when; empty: nothing.
	Told   string
	ToldAt time.Time
}

// Standing returns the standing of an account; that of an unknown one (ID 0) is good.
func (s *Store) Standing(ctx context.Context, account int64) (Standing, error) {
	var st Standing
	err := s.view(ctx, func(tx *sql.Conn) (err error) {
		st, err = readStanding(ctx, tx, account)
		return err
	})
	if err != nil {
		return Standing{}, fmt.Errorf("reading the account's standing: %w", err)
	}
	return st, nil
}

// ChangeStanding lets change edit the standing of a known account, and keeps what it has become. Changes of several
// processes come one after the other. change may be called twice.
func (s *Store) ChangeStanding(ctx context.Context, account int64, change func(*Standing)) error {
	st, err := s.Standing(ctx, account)
	if err != nil {
		return err
	}
	before := st
	if change(&st); st.Equal(before) { // as nearly always; then no transaction is needed
		return nil
	}
	err = s.update(ctx, func(ctx context.Context, tx *sql.Conn) error {
		st, err := readStanding(ctx, tx, account)
		if err != nil {
			return err
		}
		change(&st)
		_, err = tx.ExecContext(ctx, `
			INSERT OR REPLACE INTO standing (account, refusals, credential, not_before, reason, lockstep_since, shortfall, announced, told, told_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			account, st.Refusals, st.Credential, toMillis(st.NotBefore), st.Reason, toMillis(st.LockstepSince), st.Shortfall, st.Announced, st.Told, toMillis(st.ToldAt))
		return err
	})
	if err != nil {
		return fmt.Errorf("noting the account's standing: %w", err)
	}
	return nil
}

func readStanding(ctx context.Context, q querier, account int64) (Standing, error) {
	var st Standing
	var notBefore, lockstepSince, toldAt int64
	err := q.QueryRowContext(ctx, `
		SELECT refusals, credential, not_before, reason, lockstep_since, shortfall, announced, told, told_at FROM standing WHERE account = ?`, account).
		Scan(&st.Refusals, &st.Credential, &notBefore, &st.Reason, &lockstepSince, &st.Shortfall, &st.Announced, &st.Told, &toldAt)
	if errors.Is(err, sql.ErrNoRows) {
		return Standing{}, nil
	}
	st.NotBefore, st.LockstepSince, st.ToldAt = fromMillis(notBefore), fromMillis(lockstepSince), fromMillis(toldAt)
	return st, err
}

// Equal compares as the store keeps it.
func (st Standing) Equal(other Standing) bool {
	return st.Refusals == other.Refusals && string(st.Credential) == string(other.Credential) &&
		toMillis(st.NotBefore) == toMillis(other.NotBefore) && st.Reason == other.Reason &&
		toMillis(st.LockstepSince) == toMillis(other.LockstepSince) && st.Shortfall == other.Shortfall &&
		st.Announced == other.Announced && st.Told == other.Told && toMillis(st.ToldAt) == toMillis(other.ToldAt)
}
