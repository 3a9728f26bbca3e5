// Package deliver hands messages to their final place, and says when they are safe there.
//
// A Target is a place: a Maildir, or a program (MDA) that takes messages on its standard input. Messages are written
// into a Batch, one after the other, as they come from the wire, with lines that end in CRLF (RFC 1939 section 3, RFC
// 5322 section 2.3). They are delivered with lines that end in LF, and otherwise unchanged to the octet: a CR or an LF
// alone, NUL and 8-bit octets stay.
//
// The promise is Batch.Commit's: it returns nil only when every message of the batch is in its place and would survive a
// power cut; until it is called nothing can be seen of them. A message of any size takes constant memory.
//
// After a crash a Maildir can be asked, by Find, which messages it holds: each file's name carries the Token of its
// message. A program cannot be asked, so the message on its way may come to it twice.
package deliver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
)

// Target is a place where messages go. Its methods may be called at the same time.
type Target interface {
	// Prepare makes the target ready before anything is retrieved. With create, what is missing is made (nothing was
	// ever delivered here); without, a missing target is ErrMissing: a disk that is not mounted must not be filled anew.
	Prepare(ctx context.Context, create bool) error
	// Begin opens an empty batch.
	Begin(ctx context.Context) (Batch, error)
	// Limit says what one batch may hold and how many may be committed at once.
	Limit() Limit
	// Room tells how many octets of messages there is room for at this moment, the most there can be where nothing tells. A quota
	// does not show in it, so a write may fail all the same.
	Room(ctx context.Context) (octets int64, err error)
	// Find tells which messages the target already holds whole, and their places (several where it holds copies); deep also looks
	// where somebody may have filed them (Maildir++ folders). A target that cannot know returns nil.
	Find(ctx context.Context, tokens iter.Seq[Token], deep bool) (map[Token][]string, error)
	// Holds counts the messages that the target holds: those that popfetch has delivered, for whatever account, and others. A
	// target that cannot know returns zeros.
	Holds(ctx context.Context) (own, others int, err error)
	// Open reads back a message that Find found.
	Open(ctx context.Context, place string) (io.ReadCloser, error)
	// Sync returns nil only when the messages at places, which Find found, would survive a power cut.
	Sync(ctx context.Context, places []string) error
}

// Batch is a group of messages that becomes durable and visible together. It is not safe for concurrent use.
type Batch interface {
	// Create starts one message. One Delivery is open at a time.
	Create(ctx context.Context, env Envelope) (Delivery, error)
	// Commit returns nil only when every closed Delivery is in its place and would survive a power cut. With an error, the first
	// safe of them do so nevertheless, in the order in which they were closed. It is called once.
	Commit(ctx context.Context) (safe int, err error)
	// Discard leaves no trace; never after Commit was tried.
	Discard() error
}

// Delivery is one message on its way: write it, then either Close or Abort it, once.
// What is written are the octets of the wire, dots removed, lines ended by CRLF; the target turns CRLF into LF and changes nothing else.
type Delivery interface {
	io.Writer
	Close() error
	Abort() error
	// Receipt tells, after Close, what was written.
	Receipt() Receipt
}

// Receipt says what a Delivery has written: the octets as delivered, and where they will be once the batch is committed.
type Receipt struct {
	Place  string // the file's name without folder and info (":2,"), empty for a program
	Octets int64
	SHA256 [sha256.Size]byte
}

// Envelope is what is known of a message before its first octet.
type Envelope struct {
	Token    Token
	Account  string
	User     string
	Server   string
	UniqueID string
	Octets   int64 // as LIST announced them, 0: unknown
}

// Limit bounds one batch, and how many batches may be in Commit at the same time.
type Limit struct {
	Messages int
	Octets   int64
	Batches  int
}

// Token names a message: 128 bits of SHA-256 over user, server, unique-id, copy and LIST octets, joined by NUL.
// It is part of the Maildir file's name.
type Token [16]byte

// NewToken makes the token of a message.
func NewToken(user, server, uniqueID string, copy int, octets int64) Token {
	text := make([]byte, 0, 256) // usually enough, and then it costs nothing
	text = append(append(text, user...), 0)
	text = append(append(text, server...), 0)
	text = append(append(text, uniqueID...), 0)
	text = append(strconv.AppendInt(text, int64(copy), 10), 0)
	sum := sha256.Sum256(strconv.AppendInt(text, octets, 10))
	return Token(sum[:16])
}

// String returns the token as 32 lower-case hexadecimal digits.
func (t Token) String() string { return hex.EncodeToString(t[:]) }

// ErrMissing says that the target is not there and may not be, or could not be, made.
var ErrMissing = errors.New("deliver: the target is missing")

// Error says that the target did not take one message; the message stays unseen and others may be tried.
// Any other error of a batch concerns the target as a whole (a full disk).
type Error struct {
	Target    string
	Temporary bool
	Status    int    // the program's exit status, -1 where it has none
	Output    string // what the program printed, escaped and cut
	Err       error
}

// maxShownOutput bounds, in octets, what Error's text repeats of Output.
const maxShownOutput = 256

// Error names the target, what went wrong, and the beginning of what the program printed.
func (e *Error) Error() string {
	text := fmt.Sprintf("delivering to %s: %v", e.Target, e.Err)
	if e.Output == "" {
		return text
	}
	return text + ": " + cut(e.Output, maxShownOutput)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
