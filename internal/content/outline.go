package content

import (
	"bytes"
	"fmt"
	"math"
)

// Outline holds the facts that decide whether a message came whole. LIST says how many octets it
// should have. Text that looks like a reply, at its start or end, is a sign that the octets of two
// replies are mixed up.
type Outline struct {
	Octets   int64 // number of octets that came so far
	lf, cr   int64
	begin    []byte // its first octets
	end      []byte // its last octets
	announce int64  // the size that LIST announced; 0: unknown
}

// maxReplyLine is the longest line that RFC 2449 section 4 allows for a reply.
const maxReplyLine = 512

// Reset prepares o for the next message. The argument announced is its size in LIST, in octets; 0
// or less means unknown.
func (o *Outline) Reset(announced int64) {
	*o = Outline{announce: announced, begin: o.begin[:0], end: o.end[:0]}
}

// Write takes the next octets of the message. It never fails.
func (o *Outline) Write(p []byte) (int, error) {
	o.Octets += int64(len(p))
	o.lf += int64(bytes.Count(p, []byte{'\n'}))
	o.cr += int64(bytes.Count(p, []byte{'\r'}))
	if room := len("-ERR") - len(o.begin); room > 0 {
		o.begin = append(o.begin, p[:min(room, len(p))]...)
	}
	const kept = maxReplyLine + len("\n")
	if len(p) >= kept {
		o.end = append(o.end[:0], p[len(p)-kept:]...)
		return len(p), nil
	}
	if over := len(o.end) + len(p) - kept; over > 0 {
		o.end = append(o.end[:0], o.end[over:]...)
	}
	o.end = append(o.end, p...)
	return len(p), nil
}

// missing returns how many octets fewer came than LIST announced. Servers count a missing line end
// at the end of a message, and count a lone LF as CRLF. Such octets do not count as missing
// (behaviour 38).
func (o *Outline) missing() int64 {
	if o.announce <= 0 {
		return 0
	}
	return max(0, o.announce-o.Octets-2-max(0, o.lf-o.cr))
}

// Excess returns how many octets more came than LIST announced. A final line end does not count.
// The result is 0 if the server counts each CRLF as LF.
func (o *Outline) Excess() int64 {
	more := o.Octets - o.announce
	if o.announce <= 0 || more <= 2 || more >= o.lf-2 && more <= o.lf+2 {
		return 0
	}
	return more
}

// Shortfall returns the missing share of the message in thousandths, rounded up.
func (o *Outline) Shortfall() int {
	if o.missing() == 0 {
		return 0
	}
	return min(1000, int(float64(o.missing())/float64(o.announce)*1000)+1)
}

// Extent is the size of a message in octets: as LIST announced it, and as it came.
type Extent struct{ Announced, Came int64 }

// Extent returns the size of the message so far.
func (o *Outline) Extent() Extent { return Extent{o.announce, o.Octets} }

// Overstated reports whether LIST announced clearly more than came. An empty message does not count,
// because it may be all that came of one that was cut.
func (e Extent) Overstated() bool { return e.Came > 0 && e.Announced > e.Came+2 }

// SameFactor reports whether LIST overstates two messages of different sizes by the same factor: the
// sizes fit to half a per cent, which leaves room for a last line end and for rounding.
func (e Extent) SameFactor(other Extent) bool {
	if !e.Overstated() || !other.Overstated() || e.Came == other.Came {
		return false
	}
	one, two := float64(e.Announced)*float64(other.Came), float64(other.Announced)*float64(e.Came)
	return math.Abs(one-two) <= max(one, two)/200
}

// Setting holds the other facts that count when an outline is judged.
type Setting struct {
	Pipelined bool // replies to other commands are due
	Gap       bool // a reply was negative, and replies have been outstanding ever since
	Shortfall int  // see seen.Standing
}

// Doubt says why the message may be cut or may be another one. It is empty if there is no sign of
// that.
//
// A size in LIST that is too large is no sign if this server is known for such sizes. This is so
// after a second look has found a message whole. From then on, a message is not in doubt if it
// lacks up to twice the share that was missing there. The factor is there because otherwise each
// new record would cost a log-in. This rule does not cover an empty message.
//
// The price: a server that estimates its sizes could also cut a message, and the cut message would
// be delivered. No such server is known. The same holds for sizes that are known to be too large by
// two messages of one factor, where no second look proves anything (see Extent).
func (o *Outline) Doubt(s Setting) string {
	missing := o.missing()
	switch {
	case missing > 0 && (o.Octets == 0 || o.Shortfall() > 2*s.Shortfall):
		return fmt.Sprintf("it ended after %d octets, and LIST announced %d", o.Octets, o.announce)
	case o.announce <= 0 && o.Octets == 0:
		return "it is empty, and LIST did not give its size"
	case looksLikeReply(o.begin):
		return "it begins like a reply"
	case s.Pipelined && o.Octets != o.announce && looksLikeReply(o.lastLine()):
		return "it ends with what looks like the next reply"
	case s.Gap && (missing > 0 || o.Excess() > 0):
		return fmt.Sprintf("it has %d octets, LIST announced %d, and a reply before it was negative", o.Octets, o.announce)
	}
	return ""
}

// lastLine returns the beginning of the last line. It returns nil if the line is longer than a
// reply.
func (o *Outline) lastLine() []byte {
	text := bytes.TrimRight(o.end, "\r\n")
	i := bytes.LastIndexByte(text, '\n')
	if i < 0 && o.Octets > int64(len(o.end)) {
		return nil
	}
	return text[i+1:]
}

func looksLikeReply(line []byte) bool {
	return bytes.HasPrefix(line, []byte("+OK")) || bytes.HasPrefix(line, []byte("-ERR"))
}
