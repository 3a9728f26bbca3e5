package content

import (
	"bytes"
	"fmt"
)

// Outline is what is kept of the octets of a message to judge whether it came whole. LIST says how many they should be; what
// looks like a reply at its ends shows where the octets of two replies are mixed up.
type Outline struct {
	Octets   int64 // that came so far
	lf, cr   int64
	begin    []byte // its first octets
	end      []byte // its last octets
	announce int64  // as LIST has it; 0: it does not
}

// maxReplyLine is how long a reply may be by the rule (RFC 2449 section 4).
const maxReplyLine = 512

// Reset makes o ready for a message of which LIST announced so many octets; 0 or less means unknown.
func (o *Outline) Reset(announced int64) {
	*o = Outline{announce: announced, begin: o.begin[:0], end: o.end[:0]}
}

// Write takes the next octets of the message; it never fails.
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

// missing returns how many octets came less than LIST announced. Servers count a line end that a message lacks at its end,
// and a lone LF as CRLF; these do not count (behaviour 38).
func (o *Outline) missing() int64 {
	if o.announce <= 0 {
		return 0
	}
	return max(0, o.announce-o.Octets-2-max(0, o.lf-o.cr))
}

// Excess returns how many octets came more than LIST announced, not counting a last line end, and not where the server
// counts each CRLF as LF.
func (o *Outline) Excess() int64 {
	more := o.Octets - o.announce
	if o.announce <= 0 || more <= 2 || more >= o.lf-2 && more <= o.lf+2 {
		return 0
	}
	return more
}

// Shortfall is the share that is missing, in thousandths, rounded up.
func (o *Outline) Shortfall() int {
	if o.missing() == 0 {
		return 0
	}
	return min(1000, int(float64(o.missing())/float64(o.announce)*1000)+1)
}

// Setting is what else counts when an outline is judged.
type Setting struct {
	Pipelined bool // other replies are due
	Gap       bool // one of the replies before, which all were due at once, was negative
	Shortfall int  // see seen.Standing
}

// Doubt says why the message may not have come whole, or may be another one; empty: nothing speaks against it.
//
// A size that LIST has too large says nothing where this server's are known to be: after a second look has found a message
// whole, no message is doubted that lacks a share of like size (up to twice as much: else each new record would cost a
// log-in). An empty message is like none. What is delivered so, though the server has cut it, would have been cut by a
// server that also estimates its sizes; none is known.
func (o *Outline) Doubt(s Setting) string {
	missing := o.missing()
	switch {
	case missing > 0 && (o.Octets == 0 || o.Shortfall() > 2*s.Shortfall):
		return fmt.Sprintf("it ended after %d octets, and LIST announced %d", o.Octets, o.announce)
	case o.announce <= 0 && o.Octets == 0:
		return "it is empty, and LIST does not tell its size"
	case looksLikeReply(o.begin):
		return "it begins like a reply"
	case s.Pipelined && o.Octets != o.announce && looksLikeReply(o.lastLine()):
		return "it ends with what looks like the next reply"
	case s.Gap && (missing > 0 || o.Excess() > 0):
		return fmt.Sprintf("it has %d octets, LIST announced %d, and a reply before it was negative", o.Octets, o.announce)
	}
	return ""
}

// lastLine returns the beginning of the last line, nil where the line is longer than a reply.
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
