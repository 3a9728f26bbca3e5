// Package deliver brings messages to their final place, and reports when they are safe there.
//
// A Target is a place: a Maildir, an mbox, a program (MDA) that reads a message from its standard
// input, or a server that takes mail by LMTP or SMTP.
// Messages are written into a Batch, one after the other, as they come from the wire. There their
// lines end in CRLF (RFC 1939 section 3, RFC 5322 section 2.3). They are delivered with lines that
// end in LF. Nothing else is changed: a CR or LF alone, NUL and 8-bit octets stay.
//
// Batch.Commit settles the batch. Afterwards each Delivery has a Verdict. Safe means that the
// message is in its place and would survive a power cut. Before Commit nobody can see any message
// of the batch. A message of any size takes constant memory.
//
// After a crash, a target that is a Finder can be asked which messages it holds. A Maildir is a
// Finder: the name of each file carries the Token of its message. An mbox is one by the Notes that
// are made before messages are appended. A program is no Finder, so after a crash it may get a
// message twice.
package deliver

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"syscall"
	"time"

	"github.com/popfetch/popfetch/internal/escape"
)

// Target is a place where messages go. Its methods may be called at the same time.
// Some targets are also a Finder; see AsFinder.
type Target interface {
	// Prepare makes the target ready before anything is retrieved. If create is set, nothing was
	// ever delivered here, and Prepare makes what is missing. Otherwise a missing target is
	// ErrMissing. The reason: the folder of a disk that is not mounted must not be filled.
	Prepare(ctx context.Context, create bool) error
	// Limit returns what one batch may hold and how many batches may be committed at once.
	Limit() Limit
	// Room returns how many octets of messages fit now. If that is not known, it returns
	// math.MaxInt64. A quota does not count here, so a write may still fail.
	Room(ctx context.Context) (octets int64, err error)
	// Begin opens an empty batch.
	Begin(ctx context.Context) (Batch, error)
}

// Finder is a Target that can be asked what it holds.
type Finder interface {
	// Find returns the places of those messages that the target already holds whole. A message has
	// several places if the target holds several copies of it.
	//
	// A Maildir++ folder is one into which somebody may have filed mail. The target searches it
	// only if it changed at or after since. Clocks may differ by an hour. The zero time searches
	// all folders. The target's own new and cur are always searched.
	Find(ctx context.Context, tokens iter.Seq[Token], since time.Time) (map[Token][]string, error)
	// Holds counts the messages in the target. The own messages came from popfetch, for any
	// account. The others came from elsewhere.
	Holds(ctx context.Context) (own, others int, err error)
	// Places yields the place of each message in the target, wherever it came from. An error is
	// yielded once, at the end.
	Places(ctx context.Context) iter.Seq2[string, error]
	// PlaceOf returns what a record says of a message at a place that Find returned: the name of the
	// target, and the name that stays the same wherever a mail program moves the message.
	PlaceOf(place string) Place
	// Open reads back a message at a place that Find returned.
	Open(ctx context.Context, place string) (io.ReadCloser, error)
	// Sync makes the messages at places durable. The places come from Find. Only if Sync returns
	// nil would the messages survive a power cut.
	Sync(ctx context.Context, places []string) error
}

// Altering is a Finder that changes the octets of messages, such as a filter.
type Altering interface {
	// CameAs returns the Sum that a message had as it came. The place is one that Find returned.
	// Without known, the target cannot tell, and the place proves nothing.
	CameAs(ctx context.Context, place string) (came Sum, known bool, err error)
}

// Recorder is a Target that keeps notes of messages which have no record yet; see Notes.
type Recorder interface {
	// Recorded tells the target that these messages have their records now, so that it may forget
	// its notes of them. If this is lost in a crash, the notes stay, and do no harm.
	Recorded(tokens ...Token)
}

// AsFinder returns target as a Finder, and reports whether it is one.
func AsFinder(target Target) (Finder, bool) {
	finder, ok := target.(Finder)
	return finder, ok
}

// Prober is a Target that can tell, without making anything, that it would take no message.
type Prober interface {
	// Probe returns the error that Prepare would return, as far as that can be found out.
	Probe(ctx context.Context, create bool) error
}

// Batch is a group of messages that share the waits for the disk. Each has its own Verdict. A Batch
// is not safe for concurrent use.
type Batch interface {
	// Create starts one message. One Delivery is open at a time.
	Create(ctx context.Context, env Envelope) (Delivery, error)
	// Commit settles every closed Delivery: afterwards each has its Verdict. An error means that
	// the target as a whole is broken, for example because the disk is full. Messages whose Verdict
	// is Safe are safe even then. Commit is called once.
	Commit(ctx context.Context) error
	// Discard removes all that the batch has written. It is not allowed after Commit.
	Discard() error
}

// Delivery is one message on its way. The caller writes it, and then calls Close or Abort once. It
// is written as it came from the server, without the added dots and with lines that end in CRLF.
type Delivery interface {
	// Write returns an *Error if the target refuses this message. The caller then calls Abort.
	io.Writer
	// Close ends a whole message. After an error the message does not belong to the batch. As in
	// Write, an *Error means that others may be tried.
	Close() error
	// Abort takes the message out of the batch.
	Abort() error
	// Receipt returns, after Close, what was written. Its Places are complete only after Commit.
	Receipt() Receipt
	// Verdict returns, after Commit, what became of the message. Before, it is Unknown.
	Verdict() Verdict
}

// Outcome is what became of a message.
type Outcome int

// The outcomes of a delivery.
const (
	Unknown  Outcome = iota // it may or may not have been delivered, for example because Commit failed
	Safe                    // it is in its place and would survive a power cut
	Refused                 // the target refused this message for good
	Deferred                // the target refused this message for now
)

// Verdict is what became of one message, and why.
type Verdict struct {
	Outcome Outcome
	Err     error // nil only if Outcome is Safe; an *Error if Outcome is Refused or Deferred
}

// errUnsettled is the reason for Unknown before the batch is committed.
var errUnsettled = errors.New("deliver: the message is not committed")

// orUnsettled returns v. Before Commit it returns Unknown with errUnsettled.
func (v Verdict) orUnsettled() Verdict {
	if v.Outcome == Unknown && v.Err == nil {
		v.Err = errUnsettled
	}
	return v
}

// verdictOf returns what an error of delivering one message says: nil is Safe, and any error but an
// *Error leaves the outcome unknown.
func verdictOf(err error) Verdict {
	var refusal *Error
	switch {
	case err == nil:
		return Verdict{Outcome: Safe}
	case !errors.As(err, &refusal):
		return Verdict{Err: err}
	case refusal.Temporary:
		return Verdict{Deferred, err}
	}
	return Verdict{Refused, err}
}

// mayCreate returns an error if a batch must not create a message now.
func mayCreate(ctx context.Context, finished, open bool) error {
	switch {
	case finished:
		return errFinished
	case open:
		return errors.New("deliver: the previous delivery is still open")
	case ctx.Err() != nil:
		return fmt.Errorf("creating a message: %w", ctx.Err())
	}
	return nil
}

// mayCommit returns an error if a batch must not be committed now.
func mayCommit(finished, open bool) error {
	switch {
	case finished:
		return errFinished
	case open:
		return errors.New("deliver: a delivery is still open")
	}
	return nil
}

// Receipt describes a message that was written to a Delivery, and its places after Commit.
type Receipt struct {
	Came Sum // the message as it came, before any filter or added line
	// Places must not be changed. A message that is Safe and has no place was dropped: somebody
	// wants it delivered nowhere.
	Places []Place
}

// Sum measures a message whose lines end in LF.
type Sum struct {
	Octets int64
	SHA256 [sha256.Size]byte
}

// Place is one place of a message, and the size and SHA-256 of the message as delivered there.
type Place struct {
	Target string // the name of the target; empty for the account's own
	// Name is the file name in a Maildir, without folder and info (":2,"), or the sender and the time
	// in the From_ line of an mbox. It is empty for a program.
	Name string
	Sum
}

// Envelope is the information about a message before its first octet.
type Envelope struct {
	Token    Token
	Account  string
	User     string
	Server   string
	UniqueID string
	Octets   int64 // as LIST announced them; 0 if unknown
	// Recipient is the envelope recipient of the message, which a target has read in its header;
	// "": unknown. It is never guessed from To and Cc.
	Recipient string
	// Has are the places where the message lies as it was delivered, if it is delivered once more because
	// it is missing elsewhere. A fan does not give it to these targets again. Else it is nil.
	Has []Place

	// earlier has what a filter made of this same message in earlier runs; nil: nothing.
	earlier *[]Sum
}

// Limit bounds one batch, and how many batches may be in Commit at the same time.
type Limit struct {
	Messages int
	Octets   int64
	Batches  int
}

// Token names a message. It is 128 bits of SHA-256 over user, server, unique-id, copy and LIST
// octets, separated by NUL. It is a part of the message's file name in a Maildir.
type Token [16]byte

// NewToken makes the token of a message.
func NewToken(user, server, uniqueID string, copy int, octets int64) Token {
	text := make([]byte, 0, 256) // usually large enough, and then it needs no allocation
	text = append(append(text, user...), 0)
	text = append(append(text, server...), 0)
	text = append(append(text, uniqueID...), 0)
	text = append(strconv.AppendInt(text, int64(copy), 10), 0)
	sum := sha256.Sum256(strconv.AppendInt(text, octets, 10))
	return Token(sum[:16])
}

// String returns the token as 32 lower-case hexadecimal digits.
func (t Token) String() string { return hex.EncodeToString(t[:]) }

// parseToken is the reverse of Token.String.
func parseToken(text string) (token Token, err error) {
	if len(text) != 2*len(token) {
		return token, fmt.Errorf("%q is no token", text)
	}
	_, err = hex.Decode(token[:], []byte(text))
	return token, err
}

// These errors say what is wrong with a target before anything is delivered.
var (
	// ErrMissing means that the target is not there, and that it may not be made.
	ErrMissing = errors.New("deliver: the target is missing")
	// ErrCreate means that the target is not there and could not be made.
	ErrCreate = errors.New("cannot be made")
	// ErrUnfit means that something else is in the target's place.
	ErrUnfit = errors.New("cannot be used")
)

// Error means that the target refused one message; other messages may be tried. Any other error of
// a batch concerns the target as a whole, for example a full disk.
type Error struct {
	Doing     string // what was done with the target; empty: delivering to it
	Target    string
	Temporary bool
	Status    int    // the program's exit status; -1 if it has none
	Output    string // the program's output or the server's replies, escaped and cut
	Err       error
}

// maxShownOutput is how much of Output the text of an Error repeats, in octets.
const maxShownOutput = 256

// Cause names the target and the cause. For the same fault it is the same text each time. What the
// program prints may name times and processes.
func (e *Error) Cause() string {
	return fmt.Sprintf("%s %s: %v", cmp.Or(e.Doing, "delivering to"), e.Target, e.Err)
}

// Error is Cause, and then the beginning of the program's output.
func (e *Error) Error() string {
	if e.Output == "" {
		return e.Cause()
	}
	return e.Cause() + ": " + escape.Text([]byte(e.Output), maxShownOutput)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ofMessage returns err as an *Error if it concerns only the message that was written, because a
// file may not become so large. A smaller message may be delivered.
func ofMessage(target string, err error) error {
	if !errors.Is(err, syscall.EFBIG) {
		return err
	}
	return &Error{Target: target, Temporary: true, Status: -1,
		Err: fmt.Errorf("%w; the size of files is limited here (ulimit -f, or by the file system)", err)}
}
