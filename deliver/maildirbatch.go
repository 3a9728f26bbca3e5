package deliver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/popfetch/popfetch/internal/durable"
)

// syncfsFrom is the smallest number of files for which one syncfs is used. So many files cannot be
// synced in parallel at once. For fewer files syncfs gains little, and it also waits for the writes
// of other programs.
const syncfsFrom = durable.AtOnce + 1

var errFinished = errors.New("deliver: the batch is finished")

// memoryOctets is how many octets of small messages a batch holds in memory until Commit. Then one
// goroutine makes the files and moves them. Two goroutines that work in tmp at the same time would
// mostly wait for each other.
const memoryOctets = 1 << 20

// memories are shared by all batches, so that many accounts do not take more memory. A batch that
// gets none makes its files as the messages arrive.
var memories = func() chan *[memoryOctets]byte {
	all := make(chan *[memoryOctets]byte, 4)
	for range cap(all) {
		all <- nil // made when it is first needed
	}
	return all
}()

// takeMemory returns nil if all memories are in use.
func takeMemory() *[memoryOctets]byte {
	select {
	case memory := <-memories:
		if memory == nil {
			memory = new([memoryOctets]byte)
		}
		return memory
	default:
		return nil
	}
}

// maildirBatch is a batch for a Maildir. It holds the files of closed deliveries open until they
// are synced. A descriptor that is opened again could miss an earlier write error.
//
// If syncfs reports such errors, only as many files stay open as can be synced one by one. If not,
// a file is synced and closed at once when all batches together hold more than mostOpen allows.
type maildirBatch struct {
	maildir  *Maildir
	stage    string // the folder in tmp that tmp is; "": tmp itself
	tmp      *os.File
	whole    bool                // SyncWhole can be relied on
	early    bool                // some files are closed but not synced, so SyncWhole must be used
	memory   *[memoryOctets]byte // nil until it is needed
	used     int                 // octets of memory in use
	open     *maildirDelivery
	closed   []*maildirDelivery
	finished bool
}

func (b *maildirBatch) path(folder, name string) string {
	return filepath.Join(b.maildir.path, folder, name)
}

// Create does no I/O. A message gets its file when it outgrows the buffer for small messages, when
// too many small ones are in memory, or in Commit.
func (b *maildirBatch) Create(ctx context.Context, env Envelope) (Delivery, error) {
	if err := mayCreate(ctx, b.finished, b.open != nil); err != nil {
		return nil, err
	}
	d := &maildirDelivery{batch: b, token: env.Token, name: newName(env.Token)}
	d.writer = newLineWriter((*toFile)(d))
	b.open = d
	return d, nil
}

// Commit writes the files of the messages that are in memory, syncs all files, renames them into
// new and syncs new, in this order. So a file in new would survive a power cut. If the disk is
// full, the first message that does not fit and all behind it are removed. If a later step fails,
// the files that were renamed before stay, and Find will return them.
func (b *maildirBatch) Commit(ctx context.Context) error {
	if err := mayCommit(b.finished, b.open != nil); err != nil {
		return err
	}
	all := b.closed
	err := b.commit(ctx)
	for _, d := range all {
		if d.verdict.Outcome != Safe {
			d.verdict.Err = err
		}
	}
	return err
}

// commit does the work of Commit. It sets the verdict of the messages that are safe.
func (b *maildirBatch) commit(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return errors.Join(fmt.Errorf("committing a batch: %w", err), b.Discard())
	}
	writeErr := b.writeHeld()
	if len(b.closed) == 0 {
		return errors.Join(writeErr, b.Discard())
	}
	if err := b.syncFiles(); err != nil {
		return errors.Join(writeErr, err, b.Discard())
	}
	into, err := openFolder(b.path("new", "")) // opened by path, so that a Maildir that was moved meanwhile gets nothing
	if err != nil {
		return errors.Join(writeErr, fmt.Errorf("committing a batch: %w", b.maildir.missing(err)), b.Discard())
	}
	defer into.Close() //nolint:errcheck // it was synced before
	b.finished = true
	defer b.release()
	moveErr := b.moveInto(into)
	if err := into.Sync(); err != nil {
		return errors.Join(writeErr, moveErr, fmt.Errorf("syncing new: %w", err))
	}
	for _, d := range b.closed {
		d.verdict.Outcome = Safe
	}
	return errors.Join(writeErr, moveErr)
}

// release closes tmp and gives the memory back.
func (b *maildirBatch) release() {
	_ = b.tmp.Close() // the file only named the folder
	if b.memory != nil {
		memories <- b.memory
		b.memory = nil
	}
}

// writeHeld writes the messages in memory to files. If the disk takes no more, it removes the
// message that was closed last from the batch and tries again. That message may have a file
// already. If no other message is left to remove, the one being written leaves the batch.
func (b *maildirBatch) writeHeld() error {
	var failure error
	for i := 0; i < len(b.closed); i++ {
		d := b.closed[i]
		if d.file != nil {
			continue
		}
		_, err := (*toFile)(d).Write(d.held)
		if err == nil {
			err = d.closeEarly(len(b.closed))
		}
		if err == nil {
			continue
		}
		failure = cmp.Or(failure, fmt.Errorf("writing message %d of %d: %w", i+1, len(b.closed), err))
		err = errors.Join(d.remove(), b.drop(max(i, len(b.closed)-1)))
		if err != nil {
			return errors.Join(failure, err, b.drop(i))
		}
		i--
	}
	return failure
}

// moveInto renames the files from tmp into new. If that fails, the message and all behind it leave
// the batch.
func (b *maildirBatch) moveInto(into *os.File) error {
	for i, d := range b.closed {
		if err := b.move(d.file.name, into, d.place[0].Name); err != nil {
			err = fmt.Errorf("moving message %d of %d into new: %w", i+1, len(b.closed), err)
			return errors.Join(err, b.drop(i))
		}
	}
	return nil
}

// drop keeps the first messages of the batch, and removes all others and their files.
func (b *maildirBatch) drop(keep int) error {
	dropped := b.closed[keep:]
	b.closed = b.closed[:keep]
	var errs []error
	for _, d := range dropped {
		errs = append(errs, d.remove())
	}
	return errors.Join(errs...)
}

// syncFiles makes the files of the batch durable and closes them. They are closed before they are
// renamed, because some network file systems report a full disk only in close.
func (b *maildirBatch) syncFiles() error {
	whole := b.early || b.whole && len(b.closed) >= syncfsFrom
	if whole {
		if err := durable.SyncWhole(b.tmp); err != nil {
			return err
		}
	}
	finish := func(d *maildirDelivery) error {
		if d.early {
			return nil
		}
		if !whole {
			if err := d.file.Sync(); err != nil {
				return fmt.Errorf("syncing a message: %w", err)
			}
		}
		if err := d.file.Close(); err != nil {
			return fmt.Errorf("closing a message: %w", err)
		}
		return nil
	}
	return durable.Each(len(b.closed), func(i int) error { return finish(b.closed[i]) })
}

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
	err = errors.Join(err, b.drop(0))
	b.release()
	return err
}
