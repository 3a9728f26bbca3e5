package seen

import (
	"context"
	"iter"
	"time"
)

// ReadOnly returns a ledger that reads from another one, and ignores what is written. The account's
// standing is the exception: every refused log-in counts.
func ReadOnly(ledger Ledger) Ledger { return readOnly{ledger} }

// readOnly writes each method out, so that a new one does not write by mistake.
type readOnly struct{ ledger Ledger }

func (r readOnly) Account() Account { return r.ledger.Account() }

func (r readOnly) Diff(ctx context.Context, listing []Entry, due time.Time) (Diff, error) {
	return r.ledger.Diff(ctx, listing, due)
}

func (r readOnly) Records(ctx context.Context, uniqueIDs []string) ([]Record, error) {
	return r.ledger.Records(ctx, uniqueIDs)
}

func (r readOnly) All(ctx context.Context) iter.Seq2[Record, error] { return r.ledger.All(ctx) }

func (r readOnly) Remaining(ctx context.Context) iter.Seq2[Record, error] {
	return r.ledger.Remaining(ctx)
}

func (r readOnly) Imported(ctx context.Context, until time.Time) iter.Seq2[Record, error] {
	return r.ledger.Imported(ctx, until)
}

func (r readOnly) Discarded(ctx context.Context) ([]string, error) { return r.ledger.Discarded(ctx) }

func (r readOnly) Deletions(ctx context.Context, since time.Time) iter.Seq2[Deletion, error] {
	return r.ledger.Deletions(ctx, since)
}

func (r readOnly) Newest(ctx context.Context) (time.Time, error) { return r.ledger.Newest(ctx) }

func (r readOnly) CountDue(ctx context.Context, due time.Time) (int, error) {
	return r.ledger.CountDue(ctx, due)
}

func (r readOnly) Servers(ctx context.Context, user string) ([]string, error) {
	return r.ledger.Servers(ctx, user)
}

func (r readOnly) Asides(ctx context.Context) ([]Aside, error) { return r.ledger.Asides(ctx) }

func (r readOnly) Old(ctx context.Context, behind Key, limit int) ([]Aside, error) {
	return r.ledger.Old(ctx, behind, limit)
}

func (r readOnly) Standing(ctx context.Context) (Standing, error) {
	return r.ledger.Standing(ctx)
}

func (r readOnly) ChangeStanding(ctx context.Context, change func(*Standing)) error {
	return r.ledger.ChangeStanding(ctx, change)
}

func (readOnly) Apply(context.Context, Changes) error { return nil }

func (readOnly) Finish(context.Context, Diff, []Entry, []Deleted, time.Time) error {
	return nil
}

func (readOnly) Forget(context.Context, ...string) (int, error) { return 0, nil }

func (readOnly) TryAgain(context.Context, ...Reason) (int, error) { return 0, nil }

func (readOnly) Ready(context.Context, int) error { return nil }
