package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/jackc/pgx/v5"

	"github.com/popfetch/popfetch/seen"
)

// Standing reads one row.
func (l *ledger) Standing(ctx context.Context) (seen.Standing, error) {
	st, _, err := l.standing(ctx)
	if err != nil {
		return seen.Standing{}, fmt.Errorf("reading the account's standing: %w", err)
	}
	return st, nil
}

// ChangeStanding writes only if something has changed. It writes only over the version that it has
// read, and otherwise begins again. Each version is another random number. So if the answer of the
// database is lost, the next version that is read tells whether this one was written, and a refusal
// is not counted twice.
func (l *ledger) ChangeStanding(ctx context.Context, change func(*seen.Standing)) error {
	if err := l.changeStanding(ctx, change); err != nil {
		return fmt.Errorf("noting the account's standing: %w", err)
	}
	return nil
}

func (l *ledger) changeStanding(ctx context.Context, change func(*seen.Standing)) error {
	next := rand.Int64N(math.MaxInt64) + 1 //nolint:gosec // only another one than before
	attempt := func() error { return l.attemptStanding(ctx, next, change) }
	if l.hold == nil {
		return attempt()
	}
	return l.store.repeated(ctx, l.hold, attempt)
}

// attemptStanding makes next the version of the changed standing. It is not called again with
// another change.
func (l *ledger) attemptStanding(
	ctx context.Context, next int64, change func(*seen.Standing),
) error {
	for {
		st, version, err := l.standing(ctx)
		if err != nil || version == next { // an attempt before has written it
			return err
		}
		before := st
		if change(&st); st.Equal(before) {
			return nil
		}
		if l.id == 0 {
			return seen.ErrUnknown
		}
		var written int
		put := putStanding(l.id, version, next, &st)
		put.affected = &written
		if l.hold != nil {
			err = l.store.fencedOnce(ctx, l.hold, put)
		} else {
			err = l.store.quick(ctx,
				func(ctx context.Context) error { return run(ctx, l.store.pool, []statement{put}) })
		}
		if err != nil || written > 0 {
			return err
		}
	}
}

// standing reads the standing and its version; 0: there is none yet.
func (l *ledger) standing(ctx context.Context) (st seen.Standing, version int64, err error) {
	var notBefore, lockstepSince, toldAt, cameAt, throughAt, hostAt, provenAt, ranAt, heldAt int64
	err = l.store.quick(ctx, func(ctx context.Context) error {
		return l.store.pool.QueryRow(ctx, `
			SELECT version, refusals, credential, not_before, reason, lockstep_since, shortfall, announced,
				told, told_at, came_at, through_at, host_sessions, host_at, proven, proven_at, ran_at, held_at,
				origin, kept
			FROM popfetch.standing WHERE account = $1`, l.id).
			Scan(&version, &st.Refusals, &st.Credential, &notBefore, &st.Reason, &lockstepSince,
				&st.Shortfall, &st.Announced, &st.Told, &toldAt, &cameAt, &throughAt, &st.HostSessions, &hostAt,
				&st.Proven, &provenAt, &ranAt, &heldAt, &st.Origin, &st.Kept)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return seen.Standing{}, 0, nil
	}
	st.NotBefore, st.LockstepSince = seen.FromMillis(notBefore), seen.FromMillis(lockstepSince)
	st.ToldAt = seen.FromMillis(toldAt)
	st.CameAt, st.ThroughAt = seen.FromMillis(cameAt), seen.FromMillis(throughAt)
	st.HostAt = seen.FromMillis(hostAt)
	st.ProvenAt, st.RanAt = seen.FromMillis(provenAt), seen.FromMillis(ranAt)
	st.HeldAt = seen.FromMillis(heldAt)
	return st, version, err
}

// putStanding writes a standing over one with that version, and gives it the next one. It changes
// no row if it has another version by now.
func putStanding(account, version, next int64, st *seen.Standing) statement {
	return statement{
		args: []any{account, version, st.Refusals, st.Credential, seen.Millis(st.NotBefore),
			storable(st.Reason), seen.Millis(st.LockstepSince), st.Shortfall, storable(st.Announced),
			storable(st.Told), seen.Millis(st.ToldAt), seen.Millis(st.CameAt), seen.Millis(st.ThroughAt),
			st.HostSessions, seen.Millis(st.HostAt), st.Proven, seen.Millis(st.ProvenAt),
			seen.Millis(st.RanAt), seen.Millis(st.HeldAt), storable(st.Origin), storable(st.Kept), next},
		sql: `
		INSERT INTO popfetch.standing AS s (account, version, refusals, credential, not_before, reason,
			lockstep_since, shortfall, announced, told, told_at, came_at, through_at, host_sessions, host_at,
			proven, proven_at, ran_at, held_at, origin, kept)
		VALUES ($1, $22, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
			$20, $21)
		ON CONFLICT (account) DO UPDATE SET version = excluded.version, refusals = excluded.refusals,
			credential = excluded.credential, not_before = excluded.not_before, reason = excluded.reason,
			lockstep_since = excluded.lockstep_since, shortfall = excluded.shortfall,
			announced = excluded.announced, told = excluded.told, told_at = excluded.told_at,
			came_at = excluded.came_at, through_at = excluded.through_at,
			host_sessions = excluded.host_sessions, host_at = excluded.host_at, proven = excluded.proven,
			proven_at = excluded.proven_at, ran_at = excluded.ran_at, held_at = excluded.held_at,
			origin = excluded.origin, kept = excluded.kept
		WHERE s.version = $2`}
}
