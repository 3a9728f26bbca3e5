package deliver

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/popfetch/popfetch/internal/program"
)

// MDA pipes each message to a command, which runs as by /bin/sh -c, or to a program that is started
// without a shell. The program is started only when the message is complete. Its exit status is the verdict:
//
//   - Status 0 is Safe.
//   - Status 71, 73, 74, 75 and death by a signal are Deferred.
//   - Status 126 and 127 are Deferred too: a shell could not run the command, so nobody judged the
//     message. Commit returns ErrCannotRun, because no other message would fare better.
//   - Any other status is Refused.
//
// An MDA is no Finder: a program cannot be asked whether it got a message. After a crash at most as
// many messages as Deliveries come twice.
//
// An MDA must not be copied after first use. Its methods may be called at the same time.
type MDA struct {
	Command    string        // as the shell reads it; it never contains data of a message or server
	Argv       []string      // instead of Command: a program and its words, started without a shell
	Timeout    time.Duration // for one message; zero means five minutes
	Deliveries int           // how many programs may run at once; zero means one

	once  sync.Once
	slots chan struct{} // holds one element for each program that runs
}

// Limit allows one message a batch and Deliveries batches.
func (m *MDA) Limit() Limit {
	return Limit{Messages: 1, Octets: math.MaxInt64, Batches: max(m.Deliveries, 1)}
}

// Room returns the room for the spool, at least that in memory. If the folder for temporary files is
// missing, only a message too large for the memory is refused, when it comes. Nobody knows where the
// program writes.
func (m *MDA) Room(context.Context) (octets int64, err error) {
	return spoolRoom(), nil
}

// Prepare checks the command and makes nothing. ErrMissing means that there is no shell,
// ErrCannotRun that the shell does not know the program or may not run it. An empty command is an
// error, because a shell would run it with success.
func (m *MDA) Prepare(ctx context.Context, _ bool) error {
	if m.isEmpty() {
		return errEmptyCommand
	}
	if _, err := os.Stat(program.Shell); err != nil && len(m.Argv) == 0 {
		return fmt.Errorf("looking for the shell: %w: %w", ErrMissing, err)
	}
	return m.Probe(ctx, false)
}

// isEmpty reports whether there is nothing to run.
func (m *MDA) isEmpty() bool {
	if len(m.Argv) > 0 {
		return m.Argv[0] == ""
	}
	return strings.TrimSpace(m.Command) == ""
}

var errEmptyCommand = errors.New("deliver: the MDA's command is empty")

// Begin opens an empty batch.
func (m *MDA) Begin(ctx context.Context) (Batch, error) {
	if m.isEmpty() {
		return nil, errEmptyCommand
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("beginning a batch: %w", err)
	}
	return &mdaBatch{mda: m}, nil
}

// acquire waits until fewer than Deliveries programs run.
func (m *MDA) acquire(ctx context.Context) (release func(), err error) {
	m.once.Do(func() { m.slots = make(chan struct{}, max(m.Deliveries, 1)) })
	select {
	case m.slots <- struct{}{}:
		return func() { <-m.slots }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for another MDA to end: %w", context.Cause(ctx))
	}
}

// mdaBatch holds one message, because a program judges one message.
type mdaBatch struct {
	mda      *MDA
	delivery *mdaDelivery
	finished bool
}

type mdaDelivery struct {
	batch   *mdaBatch
	env     Envelope
	spool   spool
	writer  *lineWriter // nil once closed or aborted
	place   [1]Place
	verdict Verdict
}

// Create starts to spool the message of the batch.
func (b *mdaBatch) Create(ctx context.Context, env Envelope) (Delivery, error) {
	switch {
	case b.finished:
		return nil, errFinished
	case b.delivery != nil:
		return nil, errors.New("deliver: a batch for an MDA holds one message")
	case ctx.Err() != nil:
		return nil, fmt.Errorf("creating a message: %w", ctx.Err())
	}
	d := &mdaDelivery{batch: b, env: env}
	d.writer = newLineWriter(&d.spool)
	b.delivery = d
	return d, nil
}

func (d *mdaDelivery) Write(p []byte) (int, error) {
	if d.writer == nil {
		return 0, errNotOpen
	}
	n, err := d.writer.Write(p)
	if err != nil {
		return n, d.notSpooled(err)
	}
	return n, nil
}

// notSpooled is the error of a message that cannot be held until it is complete. Others may fit.
func (d *mdaDelivery) notSpooled(err error) error {
	return &Error{Target: "MDA " + d.batch.mda.name(), Temporary: true, Status: -1, Err: err}
}

// Close completes the spooled message. Commit starts the program.
func (d *mdaDelivery) Close() error {
	if d.writer == nil {
		return errNotOpen
	}
	sum, err := d.writer.finish()
	if err != nil {
		return errors.Join(d.notSpooled(err), d.Abort())
	}
	d.place[0].Sum = sum
	d.writer.release()
	d.writer = nil
	return nil
}

func (d *mdaDelivery) Abort() error {
	if d.writer == nil {
		return errNotOpen
	}
	d.writer.release()
	d.writer = nil
	d.batch.delivery = nil
	return d.spool.Close()
}

func (d *mdaDelivery) Receipt() Receipt { return Receipt{d.place[0].Sum, d.place[:]} }

func (d *mdaDelivery) Verdict() Verdict { return d.verdict.orUnsettled() }

// Commit runs the program. An error means that the program could not be run.
func (b *mdaBatch) Commit(ctx context.Context) error {
	d := b.delivery
	if err := mayCommit(b.finished, d != nil && d.writer != nil); err != nil {
		return err
	}
	b.finished = true
	if d == nil {
		return nil
	}
	defer d.spool.Close() //nolint:errcheck // the program has had it
	err := b.runInTurn(ctx, d)
	d.verdict = verdictOf(err)
	var refusal *Error
	switch {
	case d.verdict.Outcome == Unknown:
		return err
	case errors.As(err, &refusal) && refusal.cannotRun():
		return fmt.Errorf("%w: %w", ErrCannotRun, err)
	}
	return nil
}

// runInTurn waits for its turn and runs the program.
func (b *mdaBatch) runInTurn(ctx context.Context, d *mdaDelivery) error {
	release, err := b.mda.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	return b.mda.run(ctx, d)
}

// Discard removes the spooled message.
func (b *mdaBatch) Discard() error {
	if b.finished {
		return errFinished
	}
	b.finished = true
	switch d := b.delivery; {
	case d == nil:
		return nil
	case d.writer != nil:
		return d.Abort()
	default:
		return d.spool.Close()
	}
}
