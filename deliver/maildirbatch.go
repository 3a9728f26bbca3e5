package deliver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// syncfsFrom is the number of files from which on one syncfs is used: more than can be synced in parallel at once. For
// fewer it gains little, and it also waits for what other programs have written.
const syncfsFrom = syncsAtOnce + 1

var errFinished = errors.New("deliver: the batch is finished")

// maildirBatch holds the files of closed deliveries open until they are synced: a descriptor opened again could miss a
// write error that happened in between.
type maildirBatch struct {
	maildir  *Maildir
	tmp      *os.File
	open     *maildirDelivery
	closed   []*maildirDelivery
	finished bool
}

type maildirDelivery struct {
	batch   *maildirBatch
	name    string
	file    *messageFile
	writer  *lineWriter // nil once closed or aborted
	receipt Receipt
}

func (b *maildirBatch) path(folder, name string) string {
	return filepath.Join(b.maildir.path, folder, name)
}

// Create opens the message's file in tmp.
func (b *maildirBatch) Create(ctx context.Context, env Envelope) (Delivery, error) {
	switch {
	case b.finished:
		return nil, errFinished
	case b.open != nil:
		return nil, errors.New("deliver: the delivery before is still open")
	case ctx.Err() != nil:
		return nil, fmt.Errorf("creating a message: %w", ctx.Err())
	}
	for {
		name := newName(env.Token)
		file, err := createMessage(b.tmp, name)
		if errors.Is(err, fs.ErrExist) {
			// A killed process that had our number left it there (in a container every process is number 1); the counter
			// makes the next name differ.
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("creating a message: %w", missing(err))
		}
		b.open = &maildirDelivery{batch: b, name: name, file: file, writer: newLineWriter(file)}
		return b.open, nil
	}
}

func (d *maildirDelivery) Write(p []byte) (int, error) {
	if d.writer == nil {
		return 0, errNotOpen
	}
	n, err := d.writer.Write(p)
	if err != nil {
		return n, fmt.Errorf("writing a message: %w", err)
	}
	return n, nil
}

// Close hands the rest to the file. After an error the message does not belong to the batch and its file is gone.
func (d *maildirDelivery) Close() error {
	if d.writer == nil {
		return errNotOpen
	}
	octets, digest, err := d.writer.finish()
	d.leave()
	if err != nil {
		return errors.Join(fmt.Errorf("writing a message: %w", err), d.remove())
	}
	d.receipt = Receipt{Place: withOctets(d.name, octets), Octets: octets, SHA256: digest}
	d.batch.closed = append(d.batch.closed, d)
	return nil
}

func (d *maildirDelivery) Abort() error {
	if d.writer == nil {
		return errNotOpen
	}
	d.leave()
	return d.remove()
}

func (d *maildirDelivery) Receipt() Receipt { return d.receipt }

// leave ends the time in which d is the batch's open delivery.
func (d *maildirDelivery) leave() {
	d.writer.release()
	d.writer = nil
	d.batch.open = nil
}

// remove closes the file, if it still is open, and takes it out of tmp.
func (d *maildirDelivery) remove() error {
	err := d.file.Close()
	if errors.Is(err, fs.ErrClosed) {
		err = nil
	}
	if err := errors.Join(err, os.Remove(d.batch.path("tmp", d.name))); err != nil {
		return fmt.Errorf("removing an unfinished message: %w", err)
	}
	return nil
}

// Commit syncs all files, renames them into new and syncs new, in this order: a file is seen only when it would survive
// a power cut. If it fails before the first rename, nothing is left; if it fails later, what was renamed stays, and
// Find will know it.
func (b *maildirBatch) Commit(ctx context.Context) error {
	switch {
	case b.finished:
		return errFinished
	case b.open != nil:
		return errors.New("deliver: a delivery is still open")
	case ctx.Err() != nil:
		return errors.Join(fmt.Errorf("committing a batch: %w", ctx.Err()), b.Discard())
	}
	if err := b.syncFiles(); err != nil {
		return errors.Join(err, b.Discard())
	}
	into, err := os.Open(b.path("new", "")) // by its path, so that a Maildir that was moved meanwhile gets nothing
	if err != nil {
		return errors.Join(fmt.Errorf("committing a batch: %w", missing(err)), b.Discard())
	}
	defer into.Close() //nolint:errcheck // it is synced by then
	b.finished = true
	defer b.tmp.Close() //nolint:errcheck // it only names the folder
	for i, d := range b.closed {
		if err := rename(b.tmp, d.name, into, d.receipt.Place); err != nil {
			err = fmt.Errorf("moving message %d of %d into new: %w", i+1, len(b.closed), err)
			return errors.Join(err, removeAll(b.closed[i:]))
		}
	}
	if err := into.Sync(); err != nil {
		return fmt.Errorf("syncing new: %w", err)
	}
	return nil
}

// syncFiles makes the files of the batch durable and closes them. They are closed before they are renamed, because some
// network file systems report a full disk only then.
func (b *maildirBatch) syncFiles() error {
	var done bool
	if len(b.closed) >= syncfsFrom {
		var err error
		if done, err = syncWhole(b.tmp); err != nil {
			return err
		}
	}
	finish := func(d *maildirDelivery) error {
		if !done {
			if err := d.file.Sync(); err != nil {
				return fmt.Errorf("syncing a message: %w", err)
			}
		}
		if err := d.file.Close(); err != nil {
			return fmt.Errorf("closing a message: %w", err)
		}
		return nil
	}
	// Where a sync costs nothing, as on a RAM disk, goroutines would cost more.
	files := b.closed
	for len(files) > 0 {
		began := time.Now()
		if err := finish(files[0]); err != nil {
			return err
		}
		files = files[1:]
		if time.Since(began) > cheapSync {
			break
		}
	}
	return inParallel(len(files), func(i int) error { return finish(files[i]) })
}

// cheapSync is how long one sync and close may take for the next one to be done without the help of others.
const cheapSync = 100 * time.Microsecond

// Discard removes all files of the batch.
func (b *maildirBatch) Discard() error {
	if b.finished {
		return errFinished
	}
	b.finished = true
	var err error
	if b.open != nil {
		err = b.open.Abort()
	}
	return errors.Join(err, removeAll(b.closed), b.tmp.Close())
}

func removeAll(deliveries []*maildirDelivery) error {
	var errs []error
	for _, d := range deliveries {
		errs = append(errs, d.remove())
	}
	return errors.Join(errs...)
}
