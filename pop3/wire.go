package pop3

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// bufferOctets is the size of the read buffer. No line can be longer than that.
const bufferOctets = 64 << 10

// errLineTooLong says that a line did not end within its limit. The line is still in the buffer.
var errLineTooLong = errors.New("line too long")

// reader takes lines and dot-stuffed bodies out of a stream. It reads the stream in large pieces.
type reader struct {
	src        io.Reader
	buf        []byte
	start, end int // buf[start:end] has been read from src but not been taken
}

func newReader(src io.Reader) *reader {
	return &reader{src: src, buf: make([]byte, bufferOctets)}
}

// buffered returns the octets that have been read but not been taken. They are valid until the next
// call of line or fill.
func (r *reader) buffered() []byte { return r.buf[r.start:r.end] }

// fill reads more octets into the buffer. The buffer must not be full.
func (r *reader) fill() error {
	if r.start > 0 {
		r.end = copy(r.buf, r.buffered())
		r.start = 0
	}
	for range 100 {
		n, err := r.src.Read(r.buf[r.end:])
		r.end += n
		if n > 0 {
			return nil // the next read returns the error again
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// line takes the next line and returns it without its end. The line, its end included, has at most
// limit octets. It is valid until the next call. A line ends with LF, with or without CR before it
// (C0005). The end of the stream never ends a line.
func (r *reader) line(limit int) ([]byte, error) {
	searched := 0
	for {
		data := r.buffered()
		data = data[:min(len(data), limit)]
		if i := bytes.IndexByte(data[searched:], '\n'); i >= 0 {
			line := data[:searched+i]
			r.start += len(line) + 1
			return bytes.TrimSuffix(line, []byte("\r")), nil
		}
		if len(data) == limit {
			return nil, errLineTooLong
		}
		searched = len(data)
		if err := r.fill(); err != nil {
			return nil, cut(err, searched)
		}
	}
}

// cut returns the error for the end of the stream where more octets were due. It never wraps
// io.EOF, because io.EOF would mean the end of a message. This also holds for a context whose cause
// is io.EOF.
func cut(err error, begun int) error {
	switch {
	case !errors.Is(err, io.EOF):
		return err
	case begun > 0:
		return fmt.Errorf("connection closed inside a reply: %w", io.ErrUnexpectedEOF)
	default:
		return fmt.Errorf("connection closed before a reply: %w", io.ErrUnexpectedEOF)
	}
}

// before says how the octets before a position end, as far as it matters for a terminating line.
type before int

const (
	lineStart before = iota // they end with CRLF, or there are none, as at the start of a body
	afterCR
	withinLine
)

// bodyReader takes one dot-stuffed body out of a reader (RFC 1939 section 3). Only a dot right
// after CRLF, or at the start, has a meaning. A body may hold lone CRs and LFs (C0023).
type bodyReader struct {
	*reader
	before before
}

// next takes the next octets of the body, not more than most, and returns them without stuffed
// dots. They are valid until the next call. After the terminating line it returns io.EOF and no
// octets.
func (b *bodyReader) next(most int) ([]byte, error) {
	if b.before == lineStart {
		ended, err := b.takeDot()
		if err != nil {
			return nil, err
		}
		if ended {
			return nil, io.EOF
		}
	}
	if len(b.buffered()) == 0 {
		if err := b.fill(); err != nil {
			return nil, cut(err, 1)
		}
	}
	data := b.buffered()
	data = data[:min(len(data), most)]
	switch {
	case b.before == afterCR && data[0] == '\n':
		data = data[:1]
		b.before = lineStart
	default:
		// One search for a dot at the start of a line is much faster than a check of each line.
		if i := bytes.Index(data, []byte("\r\n.")); i >= 0 {
			data = data[:i+2]
		}
		b.before = endsWith(data)
	}
	b.start += len(data)
	return data, nil
}

// takeDot is called at the start of a line. It takes the terminating line or a stuffed dot, if one
// of them is there.
func (b *bodyReader) takeDot() (ended bool, err error) {
	for {
		data := b.buffered()
		switch {
		case len(data) > 0 && data[0] != '.':
			return false, nil
		case bytes.HasPrefix(data, []byte(".\r\n")):
			b.start += 3
			return true, nil
		case len(data) >= 3 || len(data) == 2 && data[1] != '\r':
			b.start++
			b.before = withinLine // the octets after the dot are data, even another dot
			return false, nil
		}
		if err := b.fill(); err != nil {
			return false, cut(err, 1)
		}
	}
}

func endsWith(data []byte) before {
	switch {
	case bytes.HasSuffix(data, []byte("\r\n")):
		return lineStart
	case data[len(data)-1] == '\r':
		return afterCR
	default:
		return withinLine
	}
}
