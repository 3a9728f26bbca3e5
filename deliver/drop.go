package deliver

import (
	"context"
	"fmt"
	"io"
	"math"
)

// Drop takes each message and delivers it nowhere. Its deliveries are Safe and have no places.
type Drop struct{}

// Limit allows large batches, since nothing is kept.
func (Drop) Limit() Limit { return Limit{Messages: 1000, Octets: math.MaxInt64, Batches: 2} }

// Room returns that everything fits.
func (Drop) Room(context.Context) (octets int64, err error) { return math.MaxInt64, nil }

// Prepare does nothing.
func (Drop) Prepare(context.Context, bool) error { return nil }

// Begin opens an empty batch.
func (Drop) Begin(ctx context.Context) (Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("beginning a batch: %w", err)
	}
	return new(dropBatch), nil
}

type dropBatch struct {
	order  callOrder
	closed []*dropDelivery
}

type dropDelivery struct {
	batch   *dropBatch
	writer  *lineWriter // nil once closed or aborted
	came    Sum
	verdict Verdict
}

func (b *dropBatch) Create(ctx context.Context, _ Envelope) (Delivery, error) {
	if err := b.order.create(ctx); err != nil {
		return nil, err
	}
	return &dropDelivery{batch: b, writer: newLineWriter(io.Discard)}, nil
}

func (b *dropBatch) Commit(ctx context.Context) error {
	if err := b.order.finish(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("committing a batch: %w", err)
	}
	for _, d := range b.closed {
		d.verdict.Outcome = Safe
	}
	return nil
}

func (b *dropBatch) Discard() error { return b.order.discard() }

func (d *dropDelivery) Write(p []byte) (int, error) {
	if d.writer == nil {
		return 0, errNotOpen
	}
	return d.writer.Write(p)
}

func (d *dropDelivery) Close() (err error) {
	if d.writer == nil {
		return errNotOpen
	}
	d.came, err = d.writer.finish()
	d.leave()
	d.batch.closed = append(d.batch.closed, d)
	return err
}

func (d *dropDelivery) Abort() error {
	if d.writer == nil {
		return errNotOpen
	}
	d.leave()
	return nil
}

func (d *dropDelivery) leave() {
	d.writer.release()
	d.writer = nil
	d.batch.order.open = false
}

func (d *dropDelivery) Receipt() Receipt { return Receipt{Came: d.came} }

func (d *dropDelivery) Verdict() Verdict { return d.verdict.orUnsettled() }

// callOrder checks that the methods of a batch are called in their order.
type callOrder struct {
	finished bool // by Commit or Discard
	open     bool // a delivery is open
}

// create notes that a delivery is open.
func (o *callOrder) create(ctx context.Context) error {
	if err := mayCreate(ctx, o.finished, o.open); err != nil {
		return err
	}
	o.open = true
	return nil
}

// finish notes that the batch is committed.
func (o *callOrder) finish() error {
	if err := mayCommit(o.finished, o.open); err != nil {
		return err
	}
	o.finished = true
	return nil
}

// discard notes that the batch is discarded. A delivery may be open.
func (o *callOrder) discard() error {
	if o.finished {
		return errFinished
	}
	o.finished = true
	return nil
}
