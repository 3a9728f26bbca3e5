package deliver

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"time"

	headers "github.com/popfetch/popfetch/internal/content"
)

// imapNote is what is noted of a message before it is appended.
type imapNote struct {
	Mailbox     string `json:"mailbox"`     // see IMAP.name
	UIDValidity uint32 `json:"uidvalidity"` // before the message was appended; 0: not known
	UIDNext     uint32 `json:"uidnext"`     // the smallest identifier that it may have
	MessageID   string `json:"message_id,omitempty"`
	Octets      int64  `json:"octets"` // as sent, which is its RFC822.SIZE
	Lines       int64  `json:"lines"`  // its RFC822.SIZE if the server ends each line in CRLF
	SHA256      string `json:"sha256"` // as it came, with lines that end in LF
	Body        string `json:"body"`   // SHA-256 of the part behind the header
}

// has reports whether the message may have this size at the server.
func (n *imapNote) has(octets int64) bool { return octets == n.Octets || octets == n.Lines }

// key is the same for a note and for a message in the mailbox, if they are of the same message.
func (n *imapNote) key() string {
	if n.MessageID == "" {
		return "octets " + n.SHA256
	}
	return "body " + n.Body + " " + n.MessageID
}

// imapFacts takes the octets of a message as they come, and finds out what is noted of it.
type imapFacts struct {
	lines  *lineWriter
	header headers.Header
	body   imapBody
	octets int64
	nul    bool
}

func newIMAPFacts() *imapFacts {
	f := &imapFacts{body: imapBody{digest: sha256.New(), blank: true}}
	f.lines = newLineWriter(&f.body)
	return f
}

func (f *imapFacts) Write(p []byte) (int, error) {
	f.octets += int64(len(p))
	f.nul = f.nul || bytes.IndexByte(p, 0) >= 0
	if !f.header.Whole() {
		_, _ = f.header.Write(p) // it never fails
	}
	return f.lines.Write(p)
}

// finish returns the sum of the whole message, the note of it, and when it arrived.
func (f *imapFacts) finish() (sum Sum, n imapNote, arrived time.Time) {
	sum, _ = f.lines.finish() // the body takes everything
	f.lines.release()
	id, _ := f.header.Value("message-id")
	n = imapNote{
		MessageID: id,
		Octets:    f.octets,
		Lines:     sum.Octets + f.body.lines,
		SHA256:    hex.EncodeToString(sum.SHA256[:]),
		Body:      hex.EncodeToString(f.body.digest.Sum(nil)),
	}
	return sum, n, f.header.Arrived()
}

// imapBody takes a message whose lines end in LF. It counts the lines, and digests the part behind
// the first blank one.
type imapBody struct {
	digest hash.Hash
	lines  int64
	blank  bool // in the header: nothing of the last line has come yet
	begun  bool
}

func (b *imapBody) Write(p []byte) (int, error) {
	n := len(p)
	b.lines += int64(bytes.Count(p, []byte("\n")))
	for i := 0; i < len(p) && !b.begun; i++ {
		b.begun = b.blank && p[i] == '\n'
		b.blank = p[i] == '\n'
		if b.begun {
			p = p[i+1:]
		}
	}
	if b.begun {
		b.digest.Write(p)
	}
	return n, nil
}
