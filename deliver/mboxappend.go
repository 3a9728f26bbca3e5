package deliver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/popfetch/popfetch/internal/durable"
)

// mostTooLarge bounds how many messages of a batch are tried one by one after the size of the file
// was at its limit.
const mostTooLarge = 8

// deliver appends the messages under the lock. If the disk is full, or anything else fails, the
// mbox is cut back to its length before. A message for which the file may not grow is Deferred
// alone.
func (m *Mbox) deliver(ctx context.Context, b *mboxBatch) error {
	l, err := m.lock(ctx, true)
	if err != nil {
		return err
	}
	defer l.unlock()
	if err := m.checkEpoch(b.epoch); err != nil {
		return err
	}
	rest := b.closed
	for tries := 0; len(rest) > 0; tries++ {
		safe, err := m.append(l, rest)
		rest = rest[safe:]
		refusal := ofMessage(m.name(), err)
		if err == nil || !errors.As(refusal, new(*Error)) {
			return err
		}
		deferred := 1
		if tries == mostTooLarge {
			deferred = len(rest)
		}
		for _, d := range rest[:deferred] {
			d.verdict = Verdict{Deferred, refusal}
		}
		rest = rest[deferred:]
	}
	return nil
}

// append appends messages, syncs the mbox, and sets the verdict of those that are safe. These come
// first.
func (m *Mbox) append(l *lockedMbox, messages []*mboxDelivery) (safe int, err error) {
	size, err := l.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, fmt.Errorf("appending to the mbox: %w", err)
	}
	lead, err := missingLines(l, size)
	if err != nil {
		return 0, fmt.Errorf("appending to the mbox: %w", err)
	}
	now := time.Now()
	before, err := l.sumIfJustWritten(size, now)
	if err != nil {
		return 0, fmt.Errorf("appending to the mbox: %w", err)
	}
	a := &appended{
		size: size, before: before, lead: lead, messages: messages,
		lines: make([]string, len(messages)),
	}
	for i, d := range messages {
		a.lines[i] = fromLine(d.sender, now)
	}
	if err := m.note(a); err != nil {
		return 0, err
	}
	whole, err := a.write(l)
	if err != nil {
		err = fmt.Errorf("appending to the mbox: %w", durable.ExplainFull(filepath.Dir(m.path), err))
		if !errors.Is(err, syscall.EFBIG) {
			whole = 0
		}
		if cutErr := a.cut(l, whole); cutErr != nil {
			return 0, errors.Join(err, cutErr)
		}
		m.Recorded(tokensOf(messages[whole:])...) // nothing of them is there, so nobody need look
	}
	if syncErr := l.Sync(); syncErr != nil {
		// What the disk has is not known, so it must not stay and look delivered.
		return 0, errors.Join(err, fmt.Errorf("syncing the mbox: %w", syncErr), a.cut(l, 0))
	}
	for i, d := range messages[:whole] {
		d.place[0].Name = fromName(a.lines[i])
		d.verdict.Outcome = Safe
	}
	return whole, err
}

func tokensOf(messages []*mboxDelivery) []Token {
	tokens := make([]Token, len(messages))
	for i, d := range messages {
		tokens[i] = d.token
	}
	return tokens
}

// appended is what is being appended to an mbox.
type appended struct {
	size     int64  // of the mbox before
	before   []byte // see sumIfJustWritten
	lead     string // line ends that must come first
	messages []*mboxDelivery
	lines    []string // the From_ lines
}

// missingLines returns the line ends that an mbox lacks at its end, so that an empty line comes
// before the next From_ line.
func missingLines(mbox io.ReaderAt, size int64) (string, error) {
	last := make([]byte, min(size, 2))
	if _, err := mbox.ReadAt(last, size-int64(len(last))); err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	switch {
	case size == 0 || string(last) == "\n\n":
		return "", nil
	case last[len(last)-1] == '\n':
		return "\n", nil
	default:
		return "\n\n", nil
	}
}

// mostBefore is how many octets before an append its note has the checksum of.
const mostBefore = 512

// sumIfJustWritten returns sumBefore of the whole mbox, if somebody has written to it in this
// second; otherwise nil. A From_ line tells the second. So only then may there be the same message
// with the same From_ line already.
func (l *lockedMbox) sumIfJustWritten(size int64, now time.Time) ([]byte, error) {
	const coarse = 10 * time.Millisecond // the system's time of a file may be behind by less
	info, err := l.Stat()
	if err != nil || info.ModTime().Before(now.Truncate(time.Second).Add(-coarse)) {
		return nil, err
	}
	return sumBefore(l, size)
}

// sumBefore returns the checksum of the last octets before an offset; nil: there are not so many.
func sumBefore(mbox io.ReaderAt, at int64) ([]byte, error) {
	last := make([]byte, min(at, mostBefore))
	there, err := readWhole(mbox, last, at-int64(len(last)))
	if err != nil || !there {
		return nil, err
	}
	return appendSum(nil, crc32.Checksum(last, castagnoli)), nil
}

// note makes notes of the messages durable.
func (m *Mbox) note(a *appended) error {
	if m.notes == nil {
		return nil
	}
	at := a.size + int64(len(a.lead))
	notes := make(map[Token]mboxNote, len(a.messages))
	for i, d := range a.messages {
		notes[d.token] = mboxNote{
			At: at, From: a.lines[i], Octets: d.octets,
			As: d.place[0].Octets, SHA256: d.place[0].SHA256[:], Parts: d.parts.sums,
			Size: a.size, Before: a.before,
		}
		at += d.entryOctets(a.lines[i])
	}
	return m.notes.Put(notes)
}

// appendBuffers hold what is written at once.
var appendBuffers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, bufferOctets) }}

// counter counts what a writer has taken.
type counter struct {
	io.Writer
	taken int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.taken += int64(n)
	return n, err
}

// write writes the messages. It returns how many stand there whole.
func (a *appended) write(to io.Writer) (whole int, err error) {
	count := &counter{Writer: to}
	buffer := appendBuffers.Get().(*bufio.Writer)
	buffer.Reset(count)
	_, err = buffer.WriteString(a.lead)
	for i, d := range a.messages {
		if err == nil {
			err = d.writeTo(buffer, a.lines[i])
		}
	}
	if err == nil {
		err = buffer.Flush()
	}
	buffer.Reset(nil)
	appendBuffers.Put(buffer)
	for end := int64(len(a.lead)); whole < len(a.messages); whole++ {
		if end += a.messages[whole].entryOctets(a.lines[whole]); end > count.taken {
			break
		}
	}
	return whole, err
}

// cut cuts the mbox back to the first messages, if nobody has appended to it in spite of the lock.
func (a *appended) cut(l *lockedMbox, keep int) error {
	begin := a.size
	for i, d := range a.messages[:keep] {
		begin += d.entryOctets(a.lines[i])
	}
	if keep > 0 {
		begin += int64(len(a.lead))
	}
	most := a.size + int64(len(a.lead))
	for i, d := range a.messages {
		most += d.entryOctets(a.lines[i])
	}
	size, err := l.Seek(0, io.SeekEnd)
	if err == nil && size > most {
		return fmt.Errorf("cutting the mbox back: it has %d octets, more than were appended", size)
	}
	if err == nil && size > begin {
		err = durable.Uninterrupted(func() error { return l.Truncate(begin) })
	}
	if err == nil {
		err = l.Sync()
	}
	if err != nil {
		return fmt.Errorf("cutting the mbox back: %w", err)
	}
	return nil
}
