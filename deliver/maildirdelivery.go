package deliver

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/durable"
)

// maildirDelivery is a message on its way into a Maildir.
type maildirDelivery struct {
	batch   *maildirBatch
	token   Token
	name    string
	file    *messageFile // nil as long as the message is in memory
	early   bool         // the file is closed already, and synced or left to SyncWhole
	held    []byte       // the whole message in the memory of the batch, if it has no file
	writer  *lineWriter  // nil once closed or aborted
	place   [1]Place
	verdict Verdict
}

// toFile writes to the file of a delivery. The first Write makes the file.
type toFile maildirDelivery

func (d *toFile) Write(p []byte) (int, error) {
	name := d.name
	for d.file == nil {
		file, err := createMessage(d.batch.tmp, name)
		if errors.Is(err, fs.ErrExist) {
			// A killed process with our number left this file. In a container, every process has
			// number 1. Another counter makes a new name. In new, the message keeps the promised
			// name.
			name = newName(d.token)
			continue
		}
		if err != nil {
			return 0, d.batch.gone(durable.ExplainFull(d.batch.tmp.Name(), err))
		}
		d.file = file
	}
	return d.file.Write(p)
}

// toMemory writes to the memory of the batch. The caller has checked that there is room.
type toMemory maildirDelivery

func (d *toMemory) Write(p []byte) (int, error) {
	b := d.batch
	begin := b.used - len(d.held)
	b.used += copy(b.memory[b.used:], p)
	d.held = b.memory[begin:b.used]
	return len(p), nil
}

// keepInMemory directs the buffered end of a message into memory. It does so only if the message
// has no file yet and if the memory has room for a whole buffer.
func (d *maildirDelivery) keepInMemory() {
	b := d.batch
	if d.file != nil {
		return
	}
	if b.memory == nil {
		b.memory = takeMemory()
	}
	if b.memory != nil && len(b.memory)-b.used > bufferOctets {
		d.writer.to = (*toMemory)(d)
	}
}

func (d *maildirDelivery) Write(p []byte) (int, error) {
	if d.writer == nil {
		return 0, errNotOpen
	}
	n, err := d.writer.Write(p)
	if err != nil {
		return n, d.failed(err)
	}
	return n, nil
}

// failed returns the error of writing the message.
func (d *maildirDelivery) failed(err error) error {
	return ofMessage("Maildir "+d.batch.maildir.path, fmt.Errorf("writing a message: %w", err))
}

// Close writes the buffered octets. After an error the message does not belong to the batch, and
// its file is removed.
func (d *maildirDelivery) Close() error {
	if d.writer == nil {
		return errNotOpen
	}
	d.keepInMemory()
	sum, err := d.writer.finish()
	d.leave()
	if err == nil && d.file != nil {
		err = d.closeEarly(len(d.batch.closed) + 1)
	}
	if err != nil {
		return errors.Join(d.failed(err), d.remove())
	}
	d.place[0] = Place{Name: withOctets(d.name, sum.Octets), Sum: sum}
	d.batch.closed = append(d.batch.closed, d)
	return nil
}

// mostOpen bounds the open files of all batches: a quarter of what the process may open, because
// popfetch needs some for other purposes, and as many as a batch holds are enough.
var mostOpen = sync.OnceValue(func() int32 {
	const enough, usual = 1000, 256
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return usual
	}
	return int32(min(uint64(limit.Cur)/4, enough)) //nolint:unconvert // its type differs between systems
})

// closeEarly closes the file of a whole message before Commit if possible. It does so if SyncWhole
// will sync the batch, whose size is messages, or if too many files are open.
func (d *maildirDelivery) closeEarly(messages int) error {
	switch b := d.batch; {
	case b.whole && messages >= syncfsFrom:
		b.early = true
	case openMessages.Load() > mostOpen():
		if err := d.file.Sync(); err != nil {
			return err
		}
	default:
		return nil
	}
	d.early = true
	return d.file.Close()
}

func (d *maildirDelivery) Abort() error {
	if d.writer == nil {
		return errNotOpen
	}
	d.leave()
	return d.remove()
}

func (d *maildirDelivery) Receipt() Receipt { return Receipt{d.place[0].Sum, d.place[:]} }

func (d *maildirDelivery) Verdict() Verdict { return d.verdict.orUnsettled() }

// leave ends the writing of d: the batch has no open delivery any more.
func (d *maildirDelivery) leave() {
	d.writer.release()
	d.writer = nil
	d.batch.open = nil
}

// remove closes the file, if it is still open, and removes it from tmp.
func (d *maildirDelivery) remove() error {
	if d.file == nil {
		return nil
	}
	err := d.file.Close()
	if errors.Is(err, fs.ErrClosed) {
		err = nil
	}
	removeErr := d.file.remove()
	if d.batch.stage != "" && isAway(removeErr) { // a later run has removed it
		removeErr = nil
	}
	if err := errors.Join(err, removeErr); err != nil {
		return fmt.Errorf("removing an unfinished message: %w", err)
	}
	d.file = nil
	return nil
}
