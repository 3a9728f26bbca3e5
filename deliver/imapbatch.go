package deliver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/popfetch/popfetch/internal/imapbox"
)

// imapBatch spools messages until they are appended.
type imapBatch struct {
	imap     *IMAP
	open     *imapDelivery
	closed   []*imapDelivery
	finished bool
}

// imapDelivery is a message on its way to an IMAP server.
type imapDelivery struct {
	batch   *imapBatch
	token   Token
	spool   spool
	facts   *imapFacts // nil once closed or aborted
	failed  error      // why it could not be spooled
	came    Sum
	note    imapNote
	nul     bool
	arrived time.Time
	place   [1]Place
	verdict Verdict
}

// Create starts to spool a message.
func (b *imapBatch) Create(ctx context.Context, env Envelope) (Delivery, error) {
	if err := mayCreate(ctx, b.finished, b.open != nil); err != nil {
		return nil, err
	}
	b.open = &imapDelivery{batch: b, token: env.Token, facts: newIMAPFacts()}
	return b.open, nil
}

func (d *imapDelivery) Write(p []byte) (int, error) {
	if d.facts == nil {
		return 0, errNotOpen
	}
	if d.failed == nil {
		_, d.failed = d.spool.Write(p)
	}
	if d.failed != nil {
		return 0, d.refused(true, d.failed)
	}
	return d.facts.Write(p)
}

// refused is the error of one message. Others may be taken.
func (d *imapDelivery) refused(temporary bool, err error) *Error {
	return &Error{Target: d.batch.imap.name(), Temporary: temporary, Status: -1, Err: err}
}

// Close completes the spooled message. Commit sends it.
func (d *imapDelivery) Close() error {
	if d.facts == nil {
		return errNotOpen
	}
	if d.failed != nil {
		return errors.Join(d.refused(true, d.failed), d.Abort())
	}
	d.nul = d.facts.nul
	d.came, d.note, d.arrived = d.facts.finish()
	d.place[0].Sum = d.came
	d.facts, d.batch.open = nil, nil
	d.batch.closed = append(d.batch.closed, d)
	return nil
}

// Abort drops the spooled message.
func (d *imapDelivery) Abort() error {
	if d.facts == nil {
		return errNotOpen
	}
	d.facts.lines.release()
	d.facts, d.batch.open = nil, nil
	return d.spool.Close()
}

func (d *imapDelivery) Receipt() Receipt { return Receipt{d.came, d.place[:]} }

func (d *imapDelivery) Verdict() Verdict { return d.verdict.orUnsettled() }

// Discard drops the messages. The server has got none of them.
func (b *imapBatch) Discard() error {
	if b.finished {
		return errFinished
	}
	b.finished = true
	var err error
	if b.open != nil {
		err = b.open.Abort()
	}
	return errors.Join(err, b.drop())
}

// drop removes the spooled messages.
func (b *imapBatch) drop() error {
	var all []error
	for _, d := range b.closed {
		all = append(all, d.spool.Close())
	}
	return errors.Join(all...)
}

// Commit notes the messages and then appends them. If the session breaks, a message that the server
// has not answered for stays Unknown. The next run looks for it.
func (b *imapBatch) Commit(ctx context.Context) error {
	if err := mayCommit(b.finished, b.open != nil); err != nil {
		return err
	}
	b.finished = true
	defer b.drop() //nolint:errcheck // the server has had them
	if len(b.closed) == 0 {
		return nil
	}
	err := b.commit(ctx)
	for _, d := range b.closed {
		if d.verdict.Outcome == Unknown {
			d.verdict.Err = err
		}
	}
	return err
}

func (b *imapBatch) commit(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("appending messages: %w", err)
	}
	m := b.imap
	release, err := m.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	session, err := m.session(ctx)
	if err != nil {
		return err
	}
	if err := b.send(ctx, session); err != nil {
		session.Close()
		return m.failed(ctx, err)
	}
	m.keep(session)
	return nil
}

// send notes and appends the messages that the server may take.
func (b *imapBatch) send(ctx context.Context, session *imapbox.Appender) error {
	var sent []*imapDelivery
	var messages []*imapbox.Message
	for _, d := range b.closed {
		message := d.message(session)
		if err := session.Fits(message); err != nil {
			d.verdict = Verdict{Refused, d.refused(false, err)}
			continue
		}
		sent, messages = append(sent, d), append(messages, message)
	}
	if len(sent) == 0 {
		return nil
	}
	mark, err := session.Mark(ctx)
	if err != nil {
		return err
	}
	if err := b.imap.putNotes(sent, mark); err != nil {
		return err
	}
	results, err := session.Append(ctx, messages)
	var absent []Token
	for i, result := range results {
		if d := sent[i]; result.Settled {
			d.settle(result)
			if d.verdict.Outcome != Safe {
				absent = append(absent, d.token)
			}
		}
	}
	b.imap.settled(absent)
	return err
}

// message returns the message as it is to be sent.
func (d *imapDelivery) message(session *imapbox.Appender) *imapbox.Message {
	message := &imapbox.Message{Octets: d.note.Octets, NUL: d.nul, Date: d.arrived, Open: d.spool.reader}
	if message.Octets == 0 && session.Several() {
		const line = "\r\n"
		message.Octets, d.note.Octets, d.note.Lines = int64(len(line)), int64(len(line)), int64(len(line))
		message.Open = func() (io.Reader, error) { return strings.NewReader(line), nil }
		d.place[0].Sum = Sum{1, sha256.Sum256([]byte("\n"))}
		d.note.SHA256 = hex.EncodeToString(d.place[0].SHA256[:])
	}
	return message
}

// settle turns the server's answer into the verdict.
func (d *imapDelivery) settle(result imapbox.Result) {
	var reply *imapbox.Reply
	switch {
	case result.Err == nil:
		d.verdict = Verdict{Outcome: Safe}
		if result.At.UIDNext > 0 {
			d.place[0].Name = imapPlace(result.At.UIDValidity, result.At.UIDNext)
		}
	case errors.As(result.Err, &reply) && reply.ForGood():
		d.verdict = Verdict{Refused, d.refused(false, result.Err)}
	default:
		d.verdict = Verdict{Deferred, d.refused(true, result.Err)}
	}
}

// imapPlace names the place of a message in a mailbox. An identifier counts only with the validity.
func imapPlace(validity, uid uint32) string {
	return strconv.FormatUint(uint64(validity), 10) + ":" + strconv.FormatUint(uint64(uid), 10)
}

// putNotes notes messages durably before they are sent.
func (m *IMAP) putNotes(sent []*imapDelivery, mark imapbox.Mark) error {
	notes := make(map[Token]imapNote, len(sent))
	for _, d := range sent {
		d.note.Mailbox, d.note.UIDValidity, d.note.UIDNext = m.name(), mark.UIDValidity, mark.UIDNext
		notes[d.token] = d.note
	}
	m.mu.Lock()
	m.sending++
	m.mu.Unlock()
	err := m.notes.Put(notes)
	if err != nil {
		m.settled(nil)
	}
	return err
}

// settled ends the sending of a batch. The server has refused the messages that are absent.
func (m *IMAP) settled(absent []Token) {
	m.notes.Forget(absent...)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sending--
	m.forget()
}

// Recorded removes the notes of messages that have their records.
//
// Two messages may have the same octets. A note that is kept says which of the copies in the mailbox
// is that of a recorded message. So the notes stay as long as another batch is being sent.
func (m *IMAP) Recorded(tokens ...Token) {
	m.begin()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.recorded = append(m.recorded, tokens...)
	m.forget()
}

// forget removes the notes of recorded messages if nothing is being sent. The caller holds m.mu.
func (m *IMAP) forget() {
	if m.sending == 0 && len(m.recorded) > 0 {
		m.notes.Forget(m.recorded...)
		m.recorded = nil
	}
}
