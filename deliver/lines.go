package deliver

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"sync"
)

// bufferOctets is what is gathered before it goes to the file: a write for each line would cost three times as much.
const bufferOctets = 64 << 10

var errNotOpen = errors.New("deliver: the delivery is not open")

// lineWriter turns CRLF into LF and changes nothing else: a CR alone, an LF alone, NUL and 8-bit octets stay. What it
// hands on it counts and digests. An error of the writer below is kept and returned again by everything that follows.
type lineWriter struct {
	to     io.Writer
	digest hash.Hash
	octets int64
	heldCR bool // the last octet was a CR; what becomes of it depends on the next one
	err    error
	filled int
	buffer [bufferOctets]byte
}

// lineWriters lets messages share buffers: one after the other in a batch, and among the batches of all accounts.
var lineWriters = sync.Pool{New: func() any { return &lineWriter{digest: sha256.New()} }}

func newLineWriter(to io.Writer) *lineWriter {
	w := lineWriters.Get().(*lineWriter)
	w.to, w.octets, w.heldCR, w.err, w.filled = to, 0, false, nil, 0
	w.digest.Reset()
	return w
}

// release gives the buffer back; w must not be used any more.
func (w *lineWriter) release() {
	w.to = nil
	lineWriters.Put(w)
}

// Write never keeps p and never allocates.
func (w *lineWriter) Write(p []byte) (int, error) {
	rest := p
	for len(rest) > 0 && w.err == nil {
		if w.heldCR {
			w.heldCR = false
			if rest[0] != '\n' {
				w.put([]byte{'\r'})
			}
		}
		cr := bytes.IndexByte(rest, '\r')
		if cr < 0 {
			w.put(rest)
			break
		}
		w.put(rest[:cr])
		w.heldCR = true
		rest = rest[cr+1:]
	}
	if w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// Measure reads a message, as it comes from the wire, to its end. It returns what the Receipt of
// its delivery would say of the message as it came.
func Measure(message io.Reader) (Sum, error) {
	w := newLineWriter(io.Discard)
	defer w.release()
	if _, err := io.Copy(w, message); err != nil {
		return Sum{}, err
	}
	return w.finish()
}

// finish hands on what is still held, such as a CR at the very end, and returns the sum of all.
func (w *lineWriter) finish() (sum Sum, err error) {
	if w.heldCR {
		w.heldCR = false
		w.put([]byte{'\r'})
	}
	w.flush()
	sum.Octets = w.octets
	w.digest.Sum(sum.SHA256[:0])
	return sum, w.err
}

func (w *lineWriter) put(p []byte) {
	for len(p) > 0 {
		n := copy(w.buffer[w.filled:], p)
		w.filled += n
		p = p[n:]
		if w.filled == len(w.buffer) {
			w.flush()
		}
	}
}

func (w *lineWriter) flush() {
	full := w.buffer[:w.filled]
	w.filled = 0
	if w.err != nil || len(full) == 0 {
		return
	}
	if _, w.err = w.to.Write(full); w.err != nil {
		return
	}
	w.digest.Write(full)
	w.octets += int64(len(full))
}
