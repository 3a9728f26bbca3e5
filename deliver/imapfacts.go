package deliver

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"time"

	kept "github.com/popfetch/popfetch/internal/content"
)

// imapNote is what is noted of a message before it is appended.
type imapNote struct {
	Mailbox     string `json:"mailbox"`     // see IMAP.name
	UIDValidity uint32 `json:"uidvalidity"` // before the message was appended; 0: not known
	UIDNext     uint32 `json:"uidnext"`     // the smallest identifier that it may have
	MessageID   string `json:"message_id,omitempty"`
	Octets      int64  `json:"octets"` // as sent, which is its RFC822.SIZE
	Lines       int64  `json:"lines"`  // its RFC822.SIZE if the server ends each line in CRLF
	SHA256      string `json:"sha256"` // of the message; see imapForm
	Body        string `json:"body"`   // of the part behind the header
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
	header kept.Header
	form   imapForm
	octets int64
	nul    bool
}

func newIMAPFacts() *imapFacts {
	f := &imapFacts{form: imapForm{whole: sha256.New(), body: sha256.New()}}
	f.lines = newLineWriter(&f.form)
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
	sum, _ = f.lines.finish() // the form takes everything
	f.lines.release()
	id, _ := f.header.Value("message-id")
	n = imapNote{
		MessageID: id,
		Octets:    f.octets,
		Lines:     f.form.octets + f.form.lines,
		SHA256:    hex.EncodeToString(f.form.whole.Sum(nil)),
		Body:      hex.EncodeToString(f.form.body.Sum(nil)),
	}
	return sum, n, f.header.Arrived()
}

// imapForm takes a message whose lines end in LF, and digests it in a form that servers keep. Some
// show NUL as octet 0x80, and drop each CR at the end of a line.
type imapForm struct {
	whole, body   hash.Hash // of the message, and of what follows its first blank line
	octets, lines int64
	held          int  // CRs that are kept if the line goes on
	inLine        bool // in the header: something of the last line has come
	inBody        bool
	buffer        []byte
}

func (f *imapForm) Write(p []byte) (int, error) {
	n := len(p)
	if f.held > 0 || bytes.IndexByte(p, '\r') >= 0 || bytes.IndexByte(p, 0) >= 0 {
		p = f.normal(p)
	}
	f.octets += int64(len(p))
	f.lines += int64(bytes.Count(p, []byte("\n")))
	f.whole.Write(p)
	for i := 0; i < len(p) && !f.inBody; i++ {
		f.inBody = !f.inLine && p[i] == '\n'
		f.inLine = p[i] != '\n'
		if f.inBody {
			p = p[i+1:]
		}
	}
	if f.inBody {
		f.body.Write(p)
	}
	return n, nil
}

// normal returns p without the CRs at the ends of lines, and without NUL. Those at the end of p are
// held.
func (f *imapForm) normal(p []byte) []byte {
	f.buffer = f.buffer[:0]
	for _, c := range p {
		switch {
		case c == '\r':
			f.held++
			continue
		case c == '\n':
			f.held = 0
		case c == 0:
			c = 0x80
		}
		for ; f.held > 0; f.held-- {
			f.buffer = append(f.buffer, '\r')
		}
		f.buffer = append(f.buffer, c)
	}
	return f.buffer
}
