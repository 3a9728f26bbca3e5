package deliver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/popfetch/popfetch/internal/program"
)

// filterBatch is a batch of a filter. It holds the messages as they came until Commit.
type filterBatch struct {
	filter  *filter
	section section
	order   callOrder
	open    *filterDelivery
	closed  []*filterDelivery
}

// filterDelivery is one message on its way to the filter.
type filterDelivery struct {
	batch   *filterBatch
	env     Envelope
	spool   spool
	lines   lineEnds    // of the message, as the filter gets it
	writer  *lineWriter // nil once closed or aborted
	came    Sum
	part    *part   // what the filter has printed, at inner; nil: nothing is
	left    Sum     // what inner may have although it did not take it whole; zero: nothing
	verdict Verdict // if part is nil
}

// Create starts to spool a message.
func (b *filterBatch) Create(ctx context.Context, env Envelope) (Delivery, error) {
	if err := b.order.create(ctx); err != nil {
		return nil, err
	}
	d := &filterDelivery{batch: b, env: env}
	d.writer = newLineWriter((*toFilterSpool)(d))
	b.open = d
	return d, nil
}

// toFilterSpool writes to the spool of a delivery, and looks at the ends of the lines.
type toFilterSpool filterDelivery

func (d *toFilterSpool) Write(p []byte) (int, error) {
	d.lines.look(p)
	return d.spool.Write(p)
}

func (d *filterDelivery) Write(p []byte) (int, error) {
	if d.writer == nil {
		return 0, errNotOpen
	}
	n, err := d.writer.Write(p)
	if err != nil {
		return n, d.refuse(true, err)
	}
	return n, nil
}

// refuse returns the error of a message that the filter does not take.
func (d *filterDelivery) refuse(temporary bool, err error) *Error {
	return &Error{Target: d.batch.filter.name(), Temporary: temporary, Status: -1, Err: err}
}

// Close completes the spooled message. The filter runs in Commit.
func (d *filterDelivery) Close() (err error) {
	if d.writer == nil {
		return errNotOpen
	}
	d.came, err = d.writer.finish()
	if err != nil {
		return errors.Join(d.refuse(true, err), d.Abort())
	}
	d.leave()
	d.batch.closed = append(d.batch.closed, d)
	return nil
}

// Abort removes the spooled message.
func (d *filterDelivery) Abort() error {
	if d.writer == nil {
		return errNotOpen
	}
	d.leave()
	return d.spool.Close()
}

func (d *filterDelivery) leave() {
	d.writer.release()
	d.writer = nil
	d.batch.open = nil
	d.batch.order.open = false
}

// Receipt has the message as it came, and the places of inner.
func (d *filterDelivery) Receipt() Receipt {
	r := Receipt{Came: d.came}
	if d.part != nil {
		r.Places = d.part.Receipt().Places
	}
	return r
}

// Verdict returns that of inner, unless the filter has decided.
func (d *filterDelivery) Verdict() Verdict {
	if d.part != nil {
		return d.part.Verdict()
	}
	return d.verdict.orUnsettled()
}

// Discard removes the spooled messages. The filter was not asked.
func (b *filterBatch) Discard() error {
	if err := b.order.discard(); err != nil {
		return err
	}
	errs := []error{b.section.discard(), b.drop()}
	if b.open != nil {
		errs = append(errs, b.open.Abort())
	}
	return errors.Join(errs...)
}

// drop removes the spooled messages that are closed.
func (b *filterBatch) drop() error {
	var errs []error
	for _, d := range b.closed {
		errs = append(errs, d.spool.Close())
	}
	return errors.Join(errs...)
}

// Commit runs the filter for each message, and writes what it prints into the batch of inner. It
// notes that, and only then commits the batch of inner.
func (b *filterBatch) Commit(ctx context.Context) error {
	if err := b.order.finish(); err != nil {
		return err
	}
	defer b.drop() //nolint:errcheck // the filter has had them
	if err := ctx.Err(); err != nil {
		return errors.Join(fmt.Errorf("committing a batch: %w", err), b.section.discard())
	}
	notes := make(map[Token]filterNote)
	failure := b.runAll(ctx, notes)
	if len(notes) > 0 {
		if err := b.filter.notes.Put(notes); err != nil {
			return errors.Join(failure, err, b.section.discard())
		}
	}
	return errors.Join(failure, b.section.commit(ctx, func(*subBatch) error { return nil }))
}

// runAll runs the filter for each message until the filter or inner turns out to be broken.
func (b *filterBatch) runAll(ctx context.Context, notes map[Token]filterNote) error {
	var failure error
	for _, d := range b.closed {
		if failure != nil {
			d.verdict = Verdict{Err: failure}
			continue
		}
		earlier, err := b.filter.earlier(d.env.Token, d.came)
		if err == nil {
			d.env.earlier = earlier
			err = d.filter(ctx)
		}
		switch {
		case err == nil && d.part != nil:
			notes[d.env.Token] = filterNoteOf(d.came, d.part.Receipt().Came, earlier)
		case err == nil:
			d.verdict.Outcome = Safe // it is dropped
		default:
			if d.left != (Sum{}) {
				notes[d.env.Token] = filterNoteOf(d.came, d.left, earlier)
			}
			var ofMessage bool
			d.verdict, ofMessage = refused(err)
			if !ofMessage {
				failure = err
			}
			if refusal := (*Error)(nil); errors.As(err, &refusal) && refusal.cannotRun() {
				failure = fmt.Errorf("%w: %w", ErrCannotRun, err)
			}
		}
	}
	return failure
}

// filter runs the filter, and writes what it has printed to inner. If it drops the message, part
// stays nil.
func (d *filterDelivery) filter(ctx context.Context) error {
	output := printed{limit: mostOutput + 4*d.came.Octets}
	defer output.Close() //nolint:errcheck // inner has had it
	err := d.run(ctx, &output)
	switch refusal := (*Error)(nil); {
	case errors.As(err, &refusal) && refusal.Status == exitDrop:
		return nil
	case err != nil:
		return err
	case output.octets == 0:
		return d.refuse(false, errors.New("it ended with status 0 and printed nothing; to drop a message, it must end with 99"))
	}
	p, err := d.batch.section.create(ctx, d.env)
	if err != nil {
		return err
	}
	// A filter that changes nothing must not change lines that end in CR CRLF on the wire.
	isCRLF := output.lines.isCRLF() && !d.lines.isCRLF()
	err = output.writeTo(p, isCRLF)
	if err == nil && d.lines.last == '\n' && output.lines.last != '\n' {
		// Otherwise an mbox would have other octets than a program, and seem to have another message.
		_, err = p.Write([]byte("\r\n"))
	}
	if err != nil {
		return errors.Join(err, p.Abort())
	}
	if err := p.Close(); err != nil {
		d.left = p.Receipt().Came // one member of a fan may have it by now
		return err
	}
	d.part = p
	return nil
}

// run runs the filter. It ends the filter if it prints too much.
func (d *filterDelivery) run(ctx context.Context, output *printed) error {
	head, err := d.spool.head()
	if err != nil {
		return err
	}
	stdin, err := d.spool.asFile()
	if err != nil {
		return d.refuse(true, err)
	}
	from, to, err := os.Pipe()
	if err != nil {
		return d.refuse(true, fmt.Errorf("making a pipe: %w", err))
	}
	defer from.Close() //nolint:errcheck // it was only read
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	read := make(chan error, 1)
	go func() {
		_, err := io.Copy(output, from)
		if err != nil {
			stop(err)
		}
		read <- err
	}()
	by := commandRun{
		what: d.batch.filter.name(), timeout: d.batch.filter.by.Timeout,
		environment: environment(d.env, head, d.came.Octets), stdin: stdin, stdout: to,
		start: func(prepare func(*exec.Cmd)) (*exec.Cmd, error) {
			return program.Start(d.batch.filter.by.Command, prepare)
		},
	}
	err = by.run(ctx)
	_ = to.Close() // the program had it
	if err != nil {
		_ = from.Close() // a process that was left behind may never end
		if readErr := <-read; errors.Is(readErr, errTooMuch) || errors.Is(readErr, errNotKept) {
			return d.refuse(errors.Is(readErr, errNotKept), readErr)
		}
		return err
	}
	return d.awaitOutput(read)
}

// awaitOutput waits for the end of the output. What a process that the filter left behind still
// prints may belong to the message.
func (d *filterDelivery) awaitOutput(read <-chan error) error {
	timer := time.NewTimer(d.batch.filter.patience)
	defer timer.Stop()
	select {
	case err := <-read:
		if err != nil {
			return d.refuse(!errors.Is(err, errTooMuch), err)
		}
		return nil
	case <-timer.C:
		return d.refuse(true, errors.New("a process that it left behind keeps its output open; start that with >/dev/null"))
	}
}

var (
	errTooMuch = errors.New("it printed too much")
	errNotKept = errors.New("what it prints cannot be kept")
)

// printed is what a filter has printed.
type printed struct {
	spool  spool
	octets int64
	limit  int64
	lines  lineEnds
}

// Write keeps what the filter prints, up to the limit.
func (o *printed) Write(p []byte) (int, error) {
	o.octets += int64(len(p))
	if o.octets > o.limit {
		return 0, fmt.Errorf("%w: more than %d octets", errTooMuch, o.limit)
	}
	o.lines.look(p)
	if _, err := o.spool.Write(p); err != nil {
		return 0, fmt.Errorf("%w: %w", errNotKept, err)
	}
	return len(p), nil
}

// writeTo writes it with lines that end in CRLF.
func (o *printed) writeTo(w io.Writer, isCRLF bool) error {
	from, err := o.spool.reader()
	if err != nil {
		return err
	}
	buffer := make([]byte, min(o.octets, bufferOctets))
	for {
		n, err := from.Read(buffer)
		part := buffer[:n]
		if !isCRLF {
			part = bytes.ReplaceAll(part, []byte("\n"), []byte("\r\n"))
		}
		if _, err := w.Write(part); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading what the filter has printed: %w", err)
		}
	}
}

func (o *printed) Close() error { return o.spool.Close() }

// lineEnds says how the lines of a text end.
type lineEnds struct {
	crlf, lf int64 // how many end in CRLF, and how many in LF alone
	last     byte
}

// look looks at the next octets.
func (l *lineEnds) look(p []byte) {
	for len(p) > 0 {
		n := bytes.IndexByte(p, '\n')
		if n < 0 {
			l.last = p[len(p)-1]
			return
		}
		if n > 0 {
			l.last = p[n-1]
		}
		if l.last == '\r' {
			l.crlf++
		} else {
			l.lf++
		}
		l.last = '\n'
		p = p[n+1:]
	}
}

// isCRLF reports whether all lines end in CRLF.
func (l *lineEnds) isCRLF() bool { return l.crlf > 0 && l.lf == 0 }
