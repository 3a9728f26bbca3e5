package pop3

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// bufferOctets is the size of the read buffer, and so the longest line that can be had whole.
const bufferOctets = 64 << 10

// errLineTooLong says that a line has not ended within its limit; the line is still buffered.
var errLineTooLong = errors.New("line too long")

// reader takes lines and dot-stuffed bodies out of a stream that it reads in large pieces.
type reader struct {
	src        io.Reader
	buf        []byte
	start, end int // buf[start:end] is what has been read from src and not been taken
}

func newReader(src io.Reader) *reader {
	return &reader{src: src, buf: make([]byte, bufferOctets)}
}

// buffered returns what has been read and not been taken, valid until the next call of line or fill.
func (r *reader) buffered() []byte { return r.buf[r.start:r.end] }

// fill reads more behind what is buffered. The buffer must not be full.
func (r *reader) fill() error {
	if r.start > 0 {
		r.end = copy(r.buf, r.buffered())
		r.start = 0
	}
	for range 100 {
		n, err := r.src.Read(r.buf[r.end:])
		r.end += n
		if n > 0 {
			return nil // an error comes again with the next read
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// line takes the next line, which may have limit octets with its end, and returns it without its end, valid until the next
// call. It ends with LF, with or without CR before it (C0005); the end of the stream is never the end of a line.
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

// cut is what the end of the stream means where more was due: never an ordinary end. No io.EOF is left in any error, not
// even as the cause that a context was given, because it would pass for the end of a message.
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

// before says how the octets in front of a position end, as far as a terminating line depends on it.
type before int

const (
	lineStart before = iota // with CRLF, or they are none: the zero value is the start of a body
	afterCR
	withinLine
)

// bodyReader takes one dot-stuffed body out of a reader (RFC 1939 section 3). Only a dot right after CRLF, or at the
// start, means something: a body may hold lone CRs and LFs (C0023).
type bodyReader struct {
	*reader
	before before
}

// next takes the next octets of the body, at most most, and returns them without stuffed dots, valid until the next call.
// It returns io.EOF, and no octets, when it has taken the terminating line.
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
		// One search for a dot at the start of a line is much faster than a look at each line.
		if i := bytes.Index(data, []byte("\r\n.")); i >= 0 {
			data = data[:i+2]
		}
		b.before = endsWith(data)
	}
	b.start += len(data)
	return data, nil
}

// takeDot takes, at the start of a line, the terminating line or a stuffed dot, if one of them is there.
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
			b.before = withinLine // what follows the dot is data, another dot, too
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
