package deliver

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"sync"
)

// bufferOctets is how much is gathered before it is written to the file. A write for each line
// would cost three times as much.
const bufferOctets = 64 << 10

var errNotOpen = errors.New("deliver: the delivery is not open")

// lineWriter turns CRLF into LF. It changes nothing else: a CR alone, an LF alone, NUL and 8-bit
// octets stay. It counts and digests the octets that it writes. After an error of the writer below,
// every later call returns the same error.
type lineWriter struct {
	to     io.Writer
	digest hash.Hash
	octets int64
	heldCR bool // the last octet was a CR; the next octet decides whether it is kept
	err    error
	filled int
	buffer [bufferOctets]byte
}

// lineWriters is a pool: the messages of a batch, and the batches of all accounts, share buffers.
var lineWriters = sync.Pool{New: func() any { return &lineWriter{digest: sha256.New()} }}

func newLineWriter(to io.Writer) *lineWriter {
	w := lineWriters.Get().(*lineWriter)
	w.to, w.octets, w.heldCR, w.err, w.filled = to, 0, false, nil, 0
	w.digest.Reset()
	return w
}

// release gives the buffer back. Afterwards w must not be used.
func (w *lineWriter) release() {
	w.to = nil
	lineWriters.Put(w)
}

// Write never keeps p and never allocates.
func (w *lineWriter) Write(p []byte) (int, error) {
	unread := p
	for len(unread) > 0 && w.err == nil {
		if w.heldCR {
			w.heldCR = false
			if unread[0] != '\n' {
				w.put([]byte{'\r'})
			}
		}
		cr := bytes.IndexByte(unread, '\r')
		if cr < 0 {
			w.put(unread)
			break
		}
		w.put(unread[:cr])
		w.heldCR = true
		unread = unread[cr+1:]
	}
	if w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// Measure reads a message, as it comes from the wire, to its end. It returns the Sum that the
// Receipt of a delivery would have as Came.
func Measure(message io.Reader) (Sum, error) {
	w := newLineWriter(io.Discard)
	defer w.release()
	if _, err := io.Copy(w, message); err != nil {
		return Sum{}, err
	}
	return w.finish()
}

// finish writes the octets that are still held, such as a CR at the very end. It returns the sum of
// the whole message.
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
