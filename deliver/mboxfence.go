package deliver

import (
	"context"
	"fmt"
	"strconv"
)

// epochName is the name under which the book keeps the epoch of the latest run.
const epochName = "epoch"

// Fence keeps the epoch in the book, under the lock of the mbox. So a run of an earlier epoch that
// appends at this moment has ended before. One that comes to append later reads the epoch under the
// lock, and appends nothing. Where the book belongs to a store that knows the epochs, it takes no
// notes of an earlier one either, and nothing is appended without notes.
//
// A process that stands still while it appends still has the lock. Others wait, and then end with
// ErrBusy. On NFS this holds as far as the server keeps the locks of a client that is silent.
func (m *Mbox) Fence(ctx context.Context, _ string, epoch int64) error {
	if m.book == nil {
		return nil
	}
	if err := m.fence(ctx, epoch); err != nil {
		return fmt.Errorf("fencing the mbox %s: %w", m.path, err)
	}
	m.epoch.Store(epoch)
	return nil
}

func (m *Mbox) fence(ctx context.Context, epoch int64) error {
	l, err := m.lock(ctx, true)
	if err != nil {
		return err
	}
	defer l.unlock()
	if err := m.checkEpoch(epoch); err != nil {
		return err
	}
	if err := m.book.Keep(epochName, strconv.AppendInt(nil, epoch, 10)); err != nil {
		return fmt.Errorf("noting the run: %w", err)
	}
	// An earlier run may have appended since Prepare, and ended there.
	torn, err := m.unmended()
	if err != nil || len(torn) == 0 {
		return err
	}
	return m.mendNoted(l, torn)
}

// checkEpoch returns ErrOvertaken if a run of a later epoch is known. The caller has locked the
// mbox.
func (m *Mbox) checkEpoch(epoch int64) error {
	if epoch == 0 {
		return nil
	}
	kept, err := m.book.Kept(epochName)
	if err != nil {
		return fmt.Errorf("reading the note of the latest run: %w", err)
	}
	if latest, err := strconv.ParseInt(string(kept), 10, 64); err == nil && latest > epoch {
		return ErrOvertaken
	}
	return nil
}
