package deliver

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/popfetch/popfetch/internal/escape"
	"github.com/popfetch/popfetch/internal/hosts"
)

// Protocol is how a server takes mail.
type Protocol int

// The protocols of an LMTP target.
const (
	LMTPProtocol Protocol = iota // RFC 2033: each recipient has a verdict of its own
	SMTPProtocol                 // RFC 5321, to an MTA of this machine
)

func (p Protocol) String() string {
	if p == SMTPProtocol {
		return "SMTP"
	}
	return "LMTP"
}

// ErrNotLocal means that an SMTP server is not on this machine. Mail would cross the network in
// clear.
var ErrNotLocal = errors.New("smtp is for a mail server of this machine")

// CheckSMTPAddress returns ErrNotLocal if an SMTP server is not on this machine. A Unix socket
// always is.
func CheckSMTPAddress(network, address string) error {
	if network == "unix" || hosts.IsLoopback(address) {
		return nil
	}
	return fmt.Errorf("%w: %s is not on loopback; use localhost, 127.0.0.1 or a Unix socket, or LMTP",
		ErrNotLocal, escape.Lines([]byte(address), shownCommand))
}

// LMTP gives each message to a server by LMTP or SMTP. A message is Safe when all its recipients
// have it. What a recipient's reply makes of the message:
//
//   - 2yz: the recipient has it. That is noted, so that only the other recipients get it later.
//   - 4yz, and a connection that breaks: the message is Deferred.
//   - 5yz: the message is Refused, unless it is Deferred for another recipient.
//
// A server that cannot be reached, or that refuses to greet, is ErrUnreachable. If a connection was
// idle and turns out to be closed, the message goes over a new one.
//
// An LMTP is no Finder: a server cannot be asked which messages it got. After a crash at most as many
// messages as Deliveries come twice.
//
// The recipients of a message are Recipients, or Envelope.Recipient, or the account's user. An
// address with control octets or blanks, or of more than 254 octets, counts as absent.
//
// An LMTP must not be copied after first use. Its methods may be called at the same time.
type LMTP struct {
	Protocol   Protocol
	Network    string        // "tcp" or "unix"
	Address    string        // host:port, or the path of a socket
	Recipients []string      // nil: those of the message
	MailFrom   *string       // nil: the address in Return-Path; "": the empty path <>
	Timeout    time.Duration // for one message, connecting included; zero means five minutes
	Deliveries int           // how many connections may be open at once; zero means one
	Notes      Book          // for notes on who has which message; nil keeps none
	Note       func(string)  // is told once of each thing that a person may want to know; nil: nobody

	once  sync.Once
	slots chan struct{} // holds one element for each delivery that is under way
	notes *Notes[lmtpNote]
	lines lmtpLines
	told  sync.Map // what Note was told
}

// lmtpNote is what is kept of a message that some of its recipients have.
type lmtpNote struct {
	Has []string `json:"has"` // these recipients
}

func (l *LMTP) init() {
	l.once.Do(func() {
		l.slots = make(chan struct{}, max(l.Deliveries, 1))
		if l.Notes != nil {
			l.notes = NewNotes[lmtpNote](l.Notes)
		}
	})
}

// name returns protocol and address, for messages.
func (l *LMTP) name() string {
	address := l.Address
	if l.Network == "unix" {
		address = "unix:" + address
	}
	return l.Protocol.String() + " " + escape.Lines([]byte(address), shownCommand)
}

// Limit allows one message a batch and Deliveries batches.
func (l *LMTP) Limit() Limit {
	return Limit{Messages: 1, Octets: math.MaxInt64, Batches: max(l.Deliveries, 1)}
}

// Room returns the room for the spool, at least that in memory. Nobody knows how much the server can
// take.
func (l *LMTP) Room(context.Context) (octets int64, err error) { return spoolRoom(), nil }

// Prepare connects to the server, and keeps the connection for the first message. It makes nothing.
func (l *LMTP) Prepare(ctx context.Context, _ bool) error {
	if err := l.check(); err != nil {
		return err
	}
	ctx, cancel := l.limit(ctx)
	defer cancel()
	line, err := l.lines.take(ctx, l)
	if err != nil {
		return err
	}
	l.lines.put(line)
	return nil
}

// Probe connects to the server and takes leave of it.
func (l *LMTP) Probe(ctx context.Context, _ bool) error {
	if err := l.check(); err != nil {
		return err
	}
	ctx, cancel := l.limit(ctx)
	defer cancel()
	line, err := l.dial(ctx)
	if err != nil {
		return err
	}
	line.quit()
	return nil
}

// check returns what is wrong with the target itself.
func (l *LMTP) check() error {
	l.init()
	if l.Protocol == SMTPProtocol {
		return CheckSMTPAddress(l.Network, l.Address)
	}
	return nil
}

// limit bounds the time of one message.
func (l *LMTP) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	timeout := l.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	return context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no end within %v", timeout))
}

// Disconnect ends the connections that no delivery uses. A later delivery opens a new one.
func (l *LMTP) Disconnect() { l.lines.drop() }

// Recorded forgets who has these messages.
func (l *LMTP) Recorded(tokens ...Token) {
	l.init()
	if l.notes != nil {
		l.notes.Forget(tokens...)
	}
}

// remind tells Note of a thing, unless it was told before.
func (l *LMTP) remind(text string) {
	if _, told := l.told.LoadOrStore(text, true); !told && l.Note != nil {
		l.Note(text)
	}
}

// Begin opens an empty batch.
func (l *LMTP) Begin(ctx context.Context) (Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("beginning a batch: %w", err)
	}
	if err := l.check(); err != nil {
		return nil, err
	}
	return &lmtpBatch{lmtp: l}, nil
}

// lmtpBatch holds one message, because each is recorded as soon as the server has it.
type lmtpBatch struct {
	lmtp     *LMTP
	delivery *lmtpDelivery
	finished bool
}

type lmtpDelivery struct {
	batch   *lmtpBatch
	env     Envelope
	spool   spool
	data    dataWriter
	lines   *lineWriter // measures the message; nil once closed or aborted
	came    Sum
	place   [1]Place
	verdict Verdict
}

// Create starts to spool the message of the batch.
func (b *lmtpBatch) Create(ctx context.Context, env Envelope) (Delivery, error) {
	switch {
	case b.finished:
		return nil, errFinished
	case b.delivery != nil:
		return nil, errors.New("deliver: a batch for a server holds one message")
	case ctx.Err() != nil:
		return nil, fmt.Errorf("creating a message: %w", ctx.Err())
	}
	d := &lmtpDelivery{batch: b, env: env}
	d.data.to = &d.spool
	d.lines = newLineWriter(discard{})
	b.delivery = d
	return d, nil
}

// discard is io.Discard without its pool.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func (d *lmtpDelivery) Write(p []byte) (int, error) {
	if d.lines == nil {
		return 0, errNotOpen
	}
	if err := d.data.write(p); err != nil {
		return 0, d.notSpooled(err)
	}
	return d.lines.Write(p)
}

// notSpooled is the error of a message that cannot be held until it is complete. Others may fit.
func (d *lmtpDelivery) notSpooled(err error) error {
	return &Error{Target: d.batch.lmtp.name(), Temporary: true, Status: -1, Err: err}
}

// Close completes the spooled message. Commit sends it.
func (d *lmtpDelivery) Close() error {
	if d.lines == nil {
		return errNotOpen
	}
	if d.data.err != nil {
		return errors.Join(d.notSpooled(d.data.err), d.Abort())
	}
	d.came, _ = d.lines.finish() // discard has no errors
	d.place[0].Sum = d.came
	if d.data.inLine { // the server gets the line end that it needs
		_, _ = d.lines.Write([]byte("\r\n"))
		d.place[0].Sum, _ = d.lines.finish()
	}
	d.lines.release()
	d.lines = nil
	return nil
}

func (d *lmtpDelivery) Abort() error {
	if d.lines == nil {
		return errNotOpen
	}
	d.lines.release()
	d.lines = nil
	d.batch.delivery = nil
	return d.spool.Close()
}

func (d *lmtpDelivery) Receipt() Receipt { return Receipt{d.came, d.place[:]} }

func (d *lmtpDelivery) Verdict() Verdict { return d.verdict.orUnsettled() }

// Commit sends the message. An error means that the server takes no message now.
func (b *lmtpBatch) Commit(ctx context.Context) error {
	d := b.delivery
	if err := mayCommit(b.finished, d != nil && d.lines != nil); err != nil {
		return err
	}
	b.finished = true
	if d == nil {
		return nil
	}
	defer d.spool.Close() //nolint:errcheck // the server has had it
	err := b.lmtp.deliver(ctx, d)
	if d.verdict = verdictOf(err); d.verdict.Outcome == Unknown {
		return err
	}
	return nil
}

// Discard removes the spooled message.
func (b *lmtpBatch) Discard() error {
	if b.finished {
		return errFinished
	}
	b.finished = true
	switch d := b.delivery; {
	case d == nil:
		return nil
	case d.lines != nil:
		return d.Abort()
	default:
		return d.spool.Close()
	}
}

// deliver waits for its turn, and gives a message to those of its recipients that do not have it.
func (l *LMTP) deliver(ctx context.Context, d *lmtpDelivery) error {
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-ctx.Done():
		return fmt.Errorf("waiting for another delivery to end: %w", context.Cause(ctx))
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("delivering: %w", err)
	}
	all, err := l.recipients(d.env)
	if err != nil {
		return err
	}
	has, err := l.noted(d.env.Token)
	if err != nil {
		return err
	}
	missing := slices.DeleteFunc(slices.Clone(all), func(to string) bool { return slices.Contains(has, to) })
	if len(missing) == 0 {
		return nil
	}
	limited, cancel := l.limit(ctx)
	defer cancel()
	sent, err := l.send(limited, d, missing)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return fmt.Errorf("delivering to %s: %w", l.name(), context.Cause(ctx))
	default:
		return err
	}
	taken := sent.taken()
	if len(taken) == len(missing) {
		return nil
	}
	if len(taken) > 0 && l.notes != nil {
		note := lmtpNote{Has: append(slices.Clone(has), taken...)}
		if err := l.notes.Put(map[Token]lmtpNote{d.env.Token: note}); err != nil {
			return err
		}
	}
	if ctx.Err() != nil { // then nobody knows whether the message was taken
		return fmt.Errorf("delivering to %s: %w", l.name(), context.Cause(ctx))
	}
	return sent.refusal(l.name())
}

// noted returns the recipients that have a message already.
func (l *LMTP) noted(token Token) ([]string, error) {
	if l.notes == nil {
		return nil, nil
	}
	note, _, err := l.notes.Get(token)
	return note.Has, err
}
