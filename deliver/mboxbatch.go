package deliver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
)

// mboxTarget is what takes whole batches of quoted messages: an Mbox, or standard output.
type mboxTarget interface {
	name() string
	// deliver appends the messages and sets their verdicts and places. Its error becomes the
	// verdict of all that have none.
	deliver(ctx context.Context, b *mboxBatch) error
}

// mboxBatch holds quoted messages until Commit: in memory, or if they are larger in a file without
// a name.
type mboxBatch struct {
	target    mboxTarget
	epoch     int64 // of the run; 0: it is not fenced
	spool     spool
	octets    int64               // in the spool
	memory    *[memoryOctets]byte // nil: all memories are in use
	open      *mboxDelivery
	closed    []*mboxDelivery
	finished  bool
	abandoned bool // the spool is still being read
}

// mboxDelivery is a message on its way into an mbox.
type mboxDelivery struct {
	batch   *mboxBatch
	token   Token
	begin   int64 // in the spool
	octets  int64 // in the spool, where it is quoted and ends in a line end
	parts   partSums
	came    Sum
	sender  string
	filter  fromFilter
	writer  *lineWriter // nil once closed or aborted
	place   [1]Place
	verdict Verdict
}

func beginMbox(ctx context.Context, target mboxTarget, epoch int64) (Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("beginning a batch: %w", err)
	}
	b := &mboxBatch{target: target, epoch: epoch, memory: takeMemory()}
	if b.memory != nil {
		b.spool.memory = *bytes.NewBuffer(b.memory[:0])
		b.spool.most = len(b.memory)
	}
	return b, nil
}

// Create starts to spool a message.
func (b *mboxBatch) Create(ctx context.Context, env Envelope) (Delivery, error) {
	if err := mayCreate(ctx, b.finished, b.open != nil); err != nil {
		return nil, err
	}
	d := &mboxDelivery{batch: b, token: env.Token, begin: b.octets}
	d.filter.reset((*toMboxSpool)(d), false)
	d.writer = newLineWriter(&d.filter)
	b.open = d
	return d, nil
}

// toMboxSpool takes the quoted octets of a delivery.
type toMboxSpool mboxDelivery

func (d *toMboxSpool) Write(p []byte) (int, error) {
	n, err := d.batch.spool.Write(p)
	d.octets += int64(n)
	if err == nil {
		d.parts.write(p)
	}
	return n, err
}

func (d *mboxDelivery) Write(p []byte) (int, error) {
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
func (d *mboxDelivery) notSpooled(err error) error {
	return &Error{Target: d.batch.target.name(), Temporary: true, Status: -1, Err: err}
}

// Close completes the spooled message. In an mbox each message ends with a line end, so one that
// has none gets it.
func (d *mboxDelivery) Close() error {
	if d.writer == nil {
		return errNotOpen
	}
	delivered, err := d.finish()
	d.leave()
	if err != nil {
		return errors.Join(d.notSpooled(err), d.remove())
	}
	d.place[0].Sum = delivered
	d.batch.octets += d.octets
	d.batch.closed = append(d.batch.closed, d)
	return nil
}

// finish writes what is still held, and returns the Sum of the message as delivered.
func (d *mboxDelivery) finish() (delivered Sum, err error) {
	d.came, err = d.writer.finish()
	if err == nil {
		err = d.filter.finish()
	}
	if err != nil {
		return Sum{}, err
	}
	last := []byte{'\n'}
	delivered = d.came
	if d.octets > 0 {
		if err := d.batch.spool.readAt(last, d.begin+d.octets-1); err != nil {
			return Sum{}, err
		}
	}
	if last[0] != '\n' {
		if _, err := (*toMboxSpool)(d).Write([]byte{'\n'}); err != nil {
			return Sum{}, err
		}
		delivered.Octets++
		d.writer.digest.Write([]byte{'\n'})
		d.writer.digest.Sum(delivered.SHA256[:0])
	}
	d.parts.end()
	d.sender, err = d.readSender()
	return delivered, err
}

// readSender returns the sender for the From_ line.
func (d *mboxDelivery) readSender() (string, error) {
	octets := min(d.octets, headOctets)
	head, held := d.batch.spool.inMemory(d.begin, octets)
	if !held {
		head = make([]byte, octets)
		if err := d.batch.spool.readAt(head, d.begin); err != nil {
			return "", err
		}
	}
	return sender(head), nil
}

// Abort takes the message out of the spool.
func (d *mboxDelivery) Abort() error {
	if d.writer == nil {
		return errNotOpen
	}
	d.leave()
	return d.remove()
}

func (d *mboxDelivery) leave() {
	d.writer.release()
	d.writer = nil
	d.batch.open = nil
}

func (d *mboxDelivery) remove() error { return d.batch.spool.truncate(d.begin) }

// Receipt returns the message as it came, and after Commit its place.
func (d *mboxDelivery) Receipt() Receipt { return Receipt{d.came, d.place[:]} }

func (d *mboxDelivery) Verdict() Verdict { return d.verdict.orUnsettled() }

// Commit appends the messages.
func (b *mboxBatch) Commit(ctx context.Context) error {
	if err := mayCommit(b.finished, b.open != nil); err != nil {
		return err
	}
	b.finished = true
	err := ctx.Err()
	switch {
	case err != nil:
		err = fmt.Errorf("committing a batch: %w", err)
	case len(b.closed) > 0:
		err = b.target.deliver(ctx, b)
	}
	for _, d := range b.closed {
		if d.verdict.Outcome == Unknown {
			d.verdict.Err = err
		}
	}
	return errors.Join(err, b.release())
}

// Discard removes the messages.
func (b *mboxBatch) Discard() error {
	if b.finished {
		return errFinished
	}
	b.finished = true
	if b.open != nil {
		b.open.leave()
	}
	return b.release()
}

// abandon leaves the spool to somebody who still reads it.
func (b *mboxBatch) abandon() {
	if b.memory != nil {
		memories <- nil // another memory is made in its place
		b.memory = nil
	}
	b.abandoned = true
}

// release removes the spool and gives the memory back.
func (b *mboxBatch) release() error {
	if b.abandoned {
		return nil
	}
	err := b.spool.Close()
	if b.memory != nil {
		memories <- b.memory
		b.memory = nil
	}
	return err
}

// writeTo writes the message with its From_ line and the empty line behind it.
func (d *mboxDelivery) writeTo(to io.Writer, from string) error {
	if _, err := io.WriteString(to, from); err != nil {
		return err
	}
	if content, held := d.batch.spool.inMemory(d.begin, d.octets); held {
		if _, err := to.Write(content); err != nil {
			return err
		}
	} else {
		content := io.NewSectionReader(d.batch.spool.file, d.begin, d.octets)
		if _, err := io.Copy(to, content); err != nil {
			return err
		}
	}
	_, err := to.Write([]byte{'\n'})
	return err
}

// entryOctets is how much the message takes in the mbox with this From_ line.
func (d *mboxDelivery) entryOctets(from string) int64 { return int64(len(from)) + d.octets + 1 }

// mboxNote says where a message was about to be appended, and how it is recognised there.
type mboxNote struct {
	At     int64  `json:"at"`     // the offset of its From_ line
	From   string `json:"from"`   // the From_ line
	Octets int64  `json:"octets"` // behind that, as they stand, without the empty line at the end
	As     int64  `json:"as"`     // octets as delivered
	SHA256 []byte `json:"sha256"`
	Parts  []byte `json:"parts"`            // the checksums of parts of the octets as they stand
	Mended bool   `json:"mended,omitempty"` // since a crash; nothing of it is torn any more
	// Size is that of the mbox before its batch. Before is the checksum of the last octets then, if
	// the mbox had just been written.
	Size   int64  `json:"size"`
	Before []byte `json:"before,omitempty"`
}

func (n *mboxNote) begin() int64 { return n.At + int64(len(n.From)) }

// end is where the next message begins.
func (n *mboxNote) end() int64 { return n.begin() + n.Octets + 1 }

func (n *mboxNote) sum() Sum { return Sum{n.As, [sha256.Size]byte(n.SHA256)} }
