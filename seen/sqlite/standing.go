package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/popfetch/popfetch/seen"
)

// Standing reads one row.
func (l *ledger) Standing(ctx context.Context) (seen.Standing, error) {
	var st seen.Standing
	err := l.store.view(ctx, func(tx *sql.Conn) (err error) {
		st, err = readStanding(ctx, tx, l.id)
		return err
	})
	if err != nil {
		return seen.Standing{}, fmt.Errorf("reading the account's standing: %w", err)
	}
	return st, nil
}

// ChangeStanding writes only if something has changed.
func (l *ledger) ChangeStanding(ctx context.Context, change func(*seen.Standing)) error {
	st, err := l.Standing(ctx)
	if err != nil {
		return err
	}
	before := st
	// Nearly always nothing has changed, and no transaction is needed.
	if change(&st); st.Equal(before) {
		return nil
	}
	err = l.store.update(ctx, patience, func(ctx context.Context, tx *sql.Conn) error {
		st, err := readStanding(ctx, tx, l.id)
		if err != nil {
			return err
		}
		change(&st)
		_, err = tx.ExecContext(ctx, `
			INSERT OR REPLACE INTO standing (account, refusals, credential, not_before, reason, lockstep_since, shortfall, announced, told, told_at,
				came_at, through_at, host_sessions, host_at, proven, proven_at, ran_at, held_at, origin, kept)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			l.id, st.Refusals, st.Credential, seen.Millis(st.NotBefore), st.Reason, seen.Millis(st.LockstepSince), st.Shortfall, st.Announced, st.Told, seen.Millis(st.ToldAt),
			seen.Millis(st.CameAt), seen.Millis(st.ThroughAt), st.HostSessions, seen.Millis(st.HostAt), st.Proven, seen.Millis(st.ProvenAt),
			seen.Millis(st.RanAt), seen.Millis(st.HeldAt), st.Origin, st.Kept)
		return err
	})
	if err != nil {
		return fmt.Errorf("noting the account's standing: %w", err)
	}
	return nil
}

func readStanding(ctx context.Context, q querier, account int64) (seen.Standing, error) {
	var st seen.Standing
	var notBefore, lockstepSince, toldAt, cameAt, throughAt, hostAt, provenAt, ranAt, heldAt int64
	err := q.QueryRowContext(ctx, `
		SELECT refusals, credential, not_before, reason, lockstep_since, shortfall, announced, told, told_at,
			came_at, through_at, host_sessions, host_at, proven, proven_at, ran_at, held_at, origin, kept
		FROM standing WHERE account = ?`, account).
		Scan(&st.Refusals, &st.Credential, &notBefore, &st.Reason, &lockstepSince, &st.Shortfall, &st.Announced, &st.Told, &toldAt,
			&cameAt, &throughAt, &st.HostSessions, &hostAt, &st.Proven, &provenAt, &ranAt, &heldAt, &st.Origin, &st.Kept)
	if errors.Is(err, sql.ErrNoRows) {
		return seen.Standing{}, nil
	}
	st.NotBefore, st.LockstepSince, st.ToldAt = seen.FromMillis(notBefore), seen.FromMillis(lockstepSince), seen.FromMillis(toldAt)
	st.CameAt = seen.FromMillis(cameAt)
	st.ThroughAt, st.HostAt, st.ProvenAt = seen.FromMillis(throughAt), seen.FromMillis(hostAt), seen.FromMillis(provenAt)
	st.RanAt, st.HeldAt = seen.FromMillis(ranAt), seen.FromMillis(heldAt)
	return st, err
}
