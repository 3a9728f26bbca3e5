package deliver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"os"
	"strconv"
	"strings"
)

// mboxWindow is how much of an mbox is held while it is read.
const mboxWindow = 256 << 10

// mboxSeparator stands between the line before an empty line and the next message.
var mboxSeparator = []byte("\n\nFrom ")

// mboxEntry is a message in an mbox.
type mboxEntry struct {
	at     int64  // the offset of its From_ line
	from   string // the From_ line, or its begin
	begin  int64  // behind the From_ line
	octets int64  // as they stand, without the empty line at the end
	Sum           // as it was delivered
}

// place returns where the message is: its offset, its size there, and its From_ line.
func (e *mboxEntry) place() string { return mboxPlace(e.at, e.begin, e.octets, e.from) }

func mboxPlace(at, begin, octets int64, from string) string {
	place := strconv.AppendInt(nil, at, 10)
	place = strconv.AppendInt(append(place, '+'), begin-at, 10)
	place = strconv.AppendInt(append(place, '+'), octets, 10)
	return string(append(append(place, ' '), fromName(from)...))
}

// parsePlace is the reverse of mboxPlace.
func parsePlace(place string) (e mboxEntry, err error) {
	numbers, from, _ := strings.Cut(place, " ")
	var parsed [3]int64
	for i := range parsed {
		var text string
		text, numbers, _ = strings.Cut(numbers, "+")
		parsed[i], err = strconv.ParseInt(text, 10, 64)
		if err != nil || parsed[i] < 0 {
			return e, fmt.Errorf("place %q is none of an mbox", place)
		}
	}
	return mboxEntry{at: parsed[0], from: from, begin: parsed[0] + parsed[1], octets: parsed[2]}, nil
}

// mboxReader reads an mbox from its begin to its end, in constant memory. A message begins with a
// line "From " at the begin of the file or behind an empty line.
type mboxReader struct {
	mbox   io.Reader
	window []byte // what was read and is not passed on
	offset int64  // of the window
	buffer []byte
	ended  bool
	digest hash.Hash // nil: the sums are not wanted
	filter fromFilter
	octets int64 // of the message at hand as delivered
}

func newMboxReader(mbox io.Reader, sums bool) *mboxReader {
	r := &mboxReader{mbox: mbox, buffer: make([]byte, mboxWindow)}
	r.window = r.buffer[:0]
	if sums {
		r.digest = sha256.New()
	}
	return r
}

// Write takes the octets of a message as it was delivered.
func (r *mboxReader) Write(p []byte) (int, error) {
	r.octets += int64(len(p))
	return r.digest.Write(p)
}

// fill reads more, if the window has room.
func (r *mboxReader) fill() error {
	n := copy(r.buffer, r.window)
	for n < len(r.buffer) && !r.ended {
		m, err := r.mbox.Read(r.buffer[n:])
		n += m
		if errors.Is(err, io.EOF) {
			r.ended = true
		} else if err != nil {
			return fmt.Errorf("reading the mbox: %w", err)
		}
	}
	r.window = r.buffer[:n]
	return nil
}

// skip passes octets of the window over.
func (r *mboxReader) skip(n int) {
	r.window = r.window[n:]
	r.offset += int64(n)
}

// each calls do with each message. It stops when do returns false.
func (r *mboxReader) each(ctx context.Context, do func(*mboxEntry) bool) error {
	if err := r.fill(); err != nil {
		return err
	}
	found := bytes.HasPrefix(r.window, fromWord)
	if !found { // something else stands before the first message
		var err error
		if _, found, err = r.pass(ctx, nil); err != nil {
			return err
		}
	}
	for found {
		if len(r.window) < maxFrom && !r.ended {
			if err := r.fill(); err != nil {
				return err
			}
		}
		var err error
		e := mboxEntry{at: r.offset}
		if found, err = r.read(ctx, &e); err != nil || !do(&e) {
			return err
		}
	}
	return nil
}

// read reads a message, and reports whether another one follows.
func (r *mboxReader) read(ctx context.Context, e *mboxEntry) (more bool, err error) {
	line := r.window
	if end := bytes.IndexByte(line, '\n'); end >= 0 {
		line = line[:end+1]
	}
	e.from = string(line[:min(len(line), maxFrom)])
	e.begin = e.at + int64(len(line))
	// The line end may already belong to an empty line behind it.
	r.skip(max(0, len(line)-1))
	var content io.Writer
	if r.digest != nil {
		r.octets = 0
		r.digest.Reset()
		r.filter.reset(r, true)
		content = &r.filter
	}
	end, more, err := r.pass(ctx, content)
	if err != nil {
		return false, err
	}
	e.octets = max(0, end-e.begin)
	if r.digest != nil {
		if err := r.filter.finish(); err != nil {
			return false, err
		}
		e.Sum.Octets = r.octets
		r.digest.Sum(e.SHA256[:0])
	}
	return more, nil
}

// pass passes octets on up to the empty line before the next message, or at the end of the file.
// The first octet is that of a From_ line, and not passed on. It returns the offset where the
// message ends.
func (r *mboxReader) pass(
	ctx context.Context, content io.Writer,
) (end int64, more bool, err error) {
	first := 1
	take := func(n int) error {
		octets := r.window[:n]
		if first = min(first, n); content != nil {
			if _, err := content.Write(octets[first:]); err != nil {
				return err
			}
		}
		first = 0
		r.skip(n)
		return nil
	}
	for {
		if err := ctx.Err(); err != nil {
			return 0, false, fmt.Errorf("reading the mbox: %w", err)
		}
		if at := bytes.Index(r.window, mboxSeparator); at >= 0 {
			err := take(at + 1)
			end = r.offset
			r.skip(1)
			return end, true, err
		}
		if r.ended {
			n := len(r.window)
			if bytes.HasSuffix(r.window, []byte("\n\n")) {
				n--
			}
			err := take(n)
			return r.offset, false, err
		}
		if n := len(r.window) - len(mboxSeparator); n > 0 {
			if err := take(n); err != nil {
				return 0, false, err
			}
		}
		if err := r.fill(); err != nil {
			return 0, false, err
		}
	}
}

// eachIn reads the messages of an open mbox.
func eachIn(ctx context.Context, mbox io.ReaderAt, sums bool, do func(*mboxEntry) bool) error {
	const most = 1<<63 - 1
	return newMboxReader(io.NewSectionReader(mbox, 0, most), sums).each(ctx, do)
}

// open opens the mbox for reading. A missing one is ErrMissing.
func (m *Mbox) open() (*os.File, error) {
	file, err := os.OpenFile(m.path, os.O_RDONLY|noFollow(), 0)
	if err != nil {
		return nil, fmt.Errorf("opening the mbox: %w", m.missing(err))
	}
	return file, nil
}

// Holds counts the messages in the mbox. Nothing in it tells those of popfetch from others, so all
// count as others. A missing mbox is ErrMissing.
func (m *Mbox) Holds(ctx context.Context) (own, others int, err error) {
	file, err := m.open()
	if err != nil {
		return 0, 0, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	err = eachIn(ctx, file, false, func(*mboxEntry) bool {
		others++
		return true
	})
	return 0, others, err
}

// Places reads the mbox once, in constant memory. It does not lock the mbox: what a mail program
// rewrites meanwhile may be missed. A missing mbox is ErrMissing.
func (m *Mbox) Places(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		file, err := m.open()
		if err == nil {
			defer file.Close() //nolint:errcheck // it was only read
			enough := false
			err = eachIn(ctx, file, false, func(e *mboxEntry) bool {
				enough = !yield(e.place(), nil)
				return !enough
			})
			if enough {
				return
			}
		}
		if err != nil {
			yield("", err)
		}
	}
}

// Scan yields what a record says of each message in the mbox: the name of its place, and its Sum as
// it was delivered. The mbox is read once, in constant memory, and is locked meanwhile, so the
// caller must be quick. An error is yielded once, at the end; an mbox that others keep locked is
// ErrBusy, a missing one ErrMissing.
func (m *Mbox) Scan(ctx context.Context) iter.Seq2[Place, error] {
	return func(yield func(Place, error) bool) {
		l, err := m.lock(ctx, false)
		if err == nil {
			defer l.unlock()
			enough := false
			err = eachIn(ctx, l, true, func(e *mboxEntry) bool {
				enough = !yield(Place{Name: fromName(e.from), Sum: e.Sum}, nil)
				return !enough
			})
			if enough {
				return
			}
		}
		if err != nil {
			yield(Place{}, err)
		}
	}
}
