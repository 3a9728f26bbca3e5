package deliver

import (
	"encoding/json"
	"errors"
	"io"
	"os"

	"github.com/popfetch/popfetch/internal/durable"
)

// mostMoved bounds how much mail is moved over a torn message.
const mostMoved = 64 << 20

// movedName is the name under which the octets are kept while others are moved over them.
const movedName = "moved"

// moved says what was to be removed from an mbox, while the octets behind it move over it.
type moved struct {
	Begin int64  `json:"begin"`
	End   int64  `json:"end"`
	Old   []byte `json:"old"` // all octets from Begin on
}

// remove removes a part of the mbox and syncs it. Mail that stands behind moves over the part. A
// copy of it is kept until that is done.
func (m *Mbox) remove(l *lockedMbox, s span) error {
	size, err := l.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if s.end >= size {
		return truncate(l, s.begin)
	}
	if size-s.begin > mostMoved {
		m.tell(&m.tooLong, "the mbox %s has a torn message at octet %d; it stays there, "+
			"since too much mail stands behind it", m.path, s.begin)
		return nil
	}
	old := make([]byte, size-s.begin)
	if _, err := readWhole(l, old, s.begin); err != nil {
		return err
	}
	move := &moved{s.begin, s.end, old}
	text, err := json.Marshal(move)
	if err != nil {
		return err
	}
	if err := m.book.Keep(movedName, text); err != nil {
		return err
	}
	return m.finishMove(l, move)
}

// finishMove moves the octets, which are kept aside, and then forgets them.
func (m *Mbox) finishMove(l *lockedMbox, move *moved) error {
	if err := writeAt(l, move.kept(), move.Begin); err != nil {
		return err
	}
	if err := l.Sync(); err != nil {
		return err
	}
	if err := truncate(l, move.Begin+int64(len(move.kept()))); err != nil {
		return err
	}
	return m.forgetMove()
}

// kept is the mail behind the removed part.
func (v *moved) kept() []byte { return v.Old[v.End-v.Begin:] }

func (m *Mbox) forgetMove() error { return m.book.Keep(movedName, nil) }

// resumeMove finishes a move that was interrupted. Other programs may have appended mail since.
func (m *Mbox) resumeMove(l *lockedMbox) error {
	text, err := m.book.Kept(movedName)
	if err != nil || text == nil {
		return err
	}
	var move moved
	err = json.Unmarshal(text, &move)
	if removed := move.End - move.Begin; err != nil || removed < 0 || removed > int64(len(move.Old)) {
		return m.forgetMove()
	}
	unfinished, err := move.isUnfinished(l)
	if err != nil {
		return err
	}
	if !unfinished {
		return m.forgetMove()
	}
	size, err := l.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	begin := move.Begin + int64(len(move.kept()))
	end := move.Begin + int64(len(move.Old))
	if size == end {
		return m.finishMove(l, &move)
	}
	// The mail that came since must move too.
	if err := writeAt(l, move.kept(), move.Begin); err != nil {
		return err
	}
	if err := l.Sync(); err != nil {
		return err
	}
	return m.remove(l, span{begin, end})
}

// isUnfinished reports whether the mbox is not cut yet: each octet is the old one or the new one,
// or one that a power cut has left.
func (v *moved) isUnfinished(mbox io.ReaderAt) (bool, error) {
	now := make([]byte, len(v.Old))
	if there, err := readWhole(mbox, now, v.Begin); err != nil || !there {
		return false, err
	}
	kept := v.kept()
	for i, c := range now {
		if c != v.Old[i] && c != 0 && (i >= len(kept) || c != kept[i]) {
			return false, nil
		}
	}
	return true, nil
}

// writeAt writes octets at an offset. The file appends, so another opening of it writes.
func writeAt(l *lockedMbox, p []byte, at int64) error {
	file, err := os.OpenFile(l.Name(), os.O_WRONLY|noFollow(), 0)
	if err != nil {
		return err
	}
	if _, err := file.WriteAt(p, at); err != nil {
		return errors.Join(err, file.Close())
	}
	return file.Close()
}

func truncate(l *lockedMbox, size int64) error {
	if err := durable.Uninterrupted(func() error { return l.Truncate(size) }); err != nil {
		return err
	}
	return l.Sync()
}
