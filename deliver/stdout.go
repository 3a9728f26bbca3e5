package deliver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"time"
)

// stdout writes messages as an mbox (mboxrd) to a writer. A message is Safe as soon as its last
// octet is written, since nobody can tell what a program at the other end of a pipe does with it.
// It is no Finder.
type stdout struct {
	to io.Writer

	mu     sync.Mutex // held while messages are written
	broken error      // nothing can be written any more
}

// NewStdout returns a target that writes each message in the form of an mbox to w, usually standard
// output. If w is a regular file, it is synced after each batch. A write that waits for the reader
// of a pipe ends with the context of Commit; then the target takes no further message.
func NewStdout(w io.Writer) Target { return &stdout{to: w} }

func (s *stdout) name() string { return "standard output" }

// Prepare refuses /dev/null, because mail that is written there is lost. A program whose standard
// output is closed has it there, too. Whether somebody reads shows when a message is written.
func (s *stdout) Prepare(context.Context, bool) error {
	file, ok := s.to.(*os.File)
	if !ok {
		return nil
	}
	info, err := file.Stat()
	null, nullErr := os.Stat(os.DevNull)
	if err == nil && nullErr == nil && os.SameFile(info, null) {
		return fmt.Errorf("standard output %w: it is closed, or %s, and the mail would be lost; "+
			"lead it to a program or a file", ErrUnfit, os.DevNull)
	}
	return nil
}

// Limit allows small batches, so that messages come to the reader as they arrive.
func (s *stdout) Limit() Limit { return Limit{Messages: 64, Octets: memoryOctets, Batches: 1} }

// Room is not known.
func (s *stdout) Room(context.Context) (octets int64, err error) { return math.MaxInt64, nil }

// Begin opens an empty batch.
func (s *stdout) Begin(ctx context.Context) (Batch, error) { return beginMbox(ctx, s, 0) }

// deliver writes the messages one after the other. The first error breaks the target for good: half
// a message may be in the pipe, and another behind it would be lost in it.
func (s *stdout) deliver(ctx context.Context, b *mboxBatch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	done := make(chan error, 1)
	w := &stdoutWrite{to: s.to, messages: b.closed}
	go func() { done <- w.write() }() // the reader of a pipe may stop reading
	select {
	case err := <-done:
		if err != nil {
			s.broken = fmt.Errorf("writing to standard output: %w", err)
		}
		for i, d := range b.closed[:len(w.names)] {
			d.place[0].Name = w.names[i]
			d.verdict.Outcome = Safe
		}
	case <-ctx.Done():
		s.broken = fmt.Errorf("writing to standard output: %w", context.Cause(ctx))
		b.abandon() // it is still being written
	}
	return s.broken
}

// stdoutWrite is the writing of one batch.
type stdoutWrite struct {
	to       io.Writer
	messages []*mboxDelivery
	names    []string // of the places of those that were written whole
}

// write writes each message by itself, so that it is known which ones are whole.
func (w *stdoutWrite) write() error {
	buffer := appendBuffers.Get().(*bufio.Writer)
	buffer.Reset(w.to)
	defer appendBuffers.Put(buffer)
	now := time.Now()
	var names []string
	for _, d := range w.messages {
		line := fromLine(d.sender, now)
		if err := errors.Join(d.writeTo(buffer, line), buffer.Flush()); err != nil {
			w.names = names
			return err
		}
		names = append(names, fromName(line))
	}
	if err := syncRegular(w.to); err != nil {
		return err
	}
	w.names = names
	return nil
}

// syncRegular syncs w if it is a regular file.
func syncRegular(w io.Writer) error {
	file, ok := w.(*os.File)
	if !ok {
		return nil
	}
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	return file.Sync()
}
