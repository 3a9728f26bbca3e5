package deliver

import (
	"bytes"
	"hash/crc32"
	"io"
	"strings"
	"time"
)

// fromWord begins the From_ line of each message in an mbox.
var fromWord = []byte("From ")

// fromFilter turns a message into its form in an mbox (mboxrd), or back. A line of any number of
// ">" and then "From " gets one more ">". So no line of a message looks like a From_ line, and each
// message comes back as it was.
type fromFilter struct {
	to     io.Writer
	remove bool // turns back
	start  bool // the carried octets stand at the begin of a line, or behind ">" there
	carry  []byte
	joined []byte // the carried octets and the new ones
}

// reset begins a message.
func (f *fromFilter) reset(to io.Writer, remove bool) {
	f.to, f.remove, f.start, f.carry = to, remove, true, f.carry[:0]
}

// Write passes on what is certain. A few octets that may begin such a line wait for the next call.
func (f *fromFilter) Write(p []byte) (int, error) {
	text := p
	if len(f.carry) > 0 {
		f.joined = append(append(f.joined[:0], f.carry...), p...)
		text = f.joined
	}
	begin := 0
	for at := 0; ; at += len(fromWord) {
		next := bytes.Index(text[at:], fromWord)
		if next < 0 {
			break
		}
		at += next
		if !f.atStart(text, at) || f.remove && (at == 0 || text[at-1] != '>') {
			continue
		}
		if err := f.change(text[begin:at]); err != nil {
			return 0, err
		}
		begin = at
	}
	held := f.heldAt(text[begin:], text)
	if _, err := f.to.Write(text[begin : len(text)-held]); err != nil {
		return 0, err
	}
	f.start = f.atStart(text, len(text)-held)
	f.carry = append(f.carry[:0], text[len(text)-held:]...)
	return len(p), nil
}

// change passes on what stands before "From ", with one ">" more or less.
func (f *fromFilter) change(before []byte) error {
	if f.remove {
		before = before[:len(before)-1]
	}
	_, err := f.to.Write(before)
	if err == nil && !f.remove {
		_, err = f.to.Write([]byte{'>'})
	}
	return err
}

// heldAt returns how many octets at the end of text must wait.
func (f *fromFilter) heldAt(unwritten, text []byte) int {
	for n := min(len(fromWord)-1, len(unwritten)); n >= 0; n-- {
		at := len(text) - n
		if !bytes.HasSuffix(text, fromWord[:n]) || !f.atStart(text, at) {
			continue
		}
		switch {
		case !f.remove:
			return n
		case n < len(unwritten) && text[at-1] == '>':
			return n + 1
		}
	}
	return 0
}

// atStart reports whether only ">" stands between text[at] and the begin of its line.
func (f *fromFilter) atStart(text []byte, at int) bool {
	for at > 0 && text[at-1] == '>' {
		at--
	}
	if at == 0 {
		return f.start
	}
	return text[at-1] == '\n'
}

// finish passes on what still waits.
func (f *fromFilter) finish() error {
	_, err := f.to.Write(f.carry)
	f.carry = f.carry[:0]
	return err
}

// unquoted reads a message of an mbox as it was delivered.
type unquoted struct {
	from   io.Reader
	filter fromFilter
	ready  bytes.Buffer
	buffer []byte
	err    error
}

func newUnquoted(from io.Reader) *unquoted {
	u := &unquoted{from: from, buffer: make([]byte, bufferOctets)}
	u.filter.reset(&u.ready, true)
	return u
}

func (u *unquoted) Read(p []byte) (int, error) {
	for u.ready.Len() == 0 && u.err == nil {
		var n int
		n, u.err = u.from.Read(u.buffer)
		_, _ = u.filter.Write(u.buffer[:n]) // a buffer takes all
		if u.err != nil {
			_ = u.filter.finish()
		}
	}
	if u.ready.Len() > 0 {
		return u.ready.Read(p)
	}
	return 0, u.err
}

// maxFrom bounds what is kept of a From_ line.
const maxFrom = 320

// noSender stands in a From_ line if the message has no Return-Path, or an empty one.
const noSender = "MAILER-DAEMON"

// fromLine returns the From_ line of a message: its sender, and when it was delivered, in UTC.
func fromLine(sender string, at time.Time) string {
	if sender == "" {
		sender = noSender
	}
	return "From " + sender + " " + at.UTC().Format(time.ANSIC) + "\n"
}

// fromName returns what a record keeps of a From_ line: the sender and the time.
func fromName(line string) string {
	line = strings.TrimRight(strings.TrimPrefix(line, "From "), "\r\n")
	return line[:min(len(line), maxFrom)]
}

// The parts of a message have a checksum each, so that a torn append can be told from other mail.
// The further back a part is, the larger it is.
const (
	firstPart, firstParts   = 64, 16
	secondPart, secondParts = 256, 256
	laterPart               = 16 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// partSums computes the checksums of a message's parts.
type partSums struct {
	sums   []byte
	sum    uint32
	filled int
}

// partOctets returns the size of a part.
func partOctets(part int) int {
	switch {
	case part < firstParts:
		return firstPart
	case part < firstParts+secondParts:
		return secondPart
	}
	return laterPart
}

func (s *partSums) write(p []byte) {
	for len(p) > 0 {
		size := partOctets(len(s.sums) / crc32.Size)
		n := min(size-s.filled, len(p))
		s.sum = crc32.Update(s.sum, castagnoli, p[:n])
		s.filled += n
		p = p[n:]
		if s.filled == size {
			s.end()
		}
	}
}

// end ends the part at hand.
func (s *partSums) end() {
	if s.filled > 0 {
		s.sums = appendSum(s.sums, s.sum)
		s.sum, s.filled = 0, 0
	}
}

func appendSum(sums []byte, sum uint32) []byte {
	return append(sums, byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
}
