package deliver

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"sync"

	"github.com/popfetch/popfetch/internal/durable"
)

// mostMoved bounds how much mail is moved over a torn message.
const mostMoved = 64 << 20

// movedName is the name under which the octets are kept while others are moved over them.
const movedName = "moved"

// mend removes what an interrupted append has torn. It looks only where notes say that something
// was appended, so it usually reads nothing of the mbox.
func (m *Mbox) mend(ctx context.Context) error {
	if m.notes == nil {
		return nil
	}
	all, err := m.unmended()
	if err != nil {
		return err
	}
	aside, err := m.book.Kept(movedName)
	if err != nil || len(all) == 0 && aside == nil {
		return err
	}
	l, err := m.lock(ctx, true)
	if err != nil {
		return err
	}
	defer l.unlock()
	return m.mendNoted(l, all)
}

// mendNoted mends the locked mbox where the notes say, and notes that.
func (m *Mbox) mendNoted(l *lockedMbox, all map[Token]mboxNote) error {
	if err := m.mendLocked(l, all); err != nil {
		return fmt.Errorf("removing what an interrupted delivery has left in the mbox %s: %w",
			m.path, err)
	}
	return m.noteMended(all)
}

// unmended returns the notes of messages of which something may be torn.
func (m *Mbox) unmended() (map[Token]mboxNote, error) {
	all, err := m.notes.All()
	maps.DeleteFunc(all, func(_ Token, note mboxNote) bool { return note.Mended })
	return all, err
}

// noteMended notes that nothing of these messages is torn any more. What stands at their places
// later is somebody's mail, for example a message that a mail program has changed.
func (m *Mbox) noteMended(notes map[Token]mboxNote) error {
	if len(notes) == 0 {
		return nil
	}
	for token, note := range notes {
		note.Mended, note.Parts = true, nil
		notes[token] = note
	}
	return m.notes.Put(notes)
}

func (m *Mbox) mendLocked(l *lockedMbox, all map[Token]mboxNote) error {
	if err := m.resumeMove(l); err != nil {
		return err
	}
	var torn []span
	byPlace := func(a, b mboxNote) int { return cmp.Compare(a.At, b.At) }
	notes := slices.SortedFunc(maps.Values(all), byPlace)
	reached := make(map[int64]int64) // by Size of the batch: up to where it stands, whole or torn
	for _, note := range notes {
		before, follows := reached[note.Size]
		whole, end, err := note.stands(l, follows && before < note.At)
		if err != nil {
			return err
		}
		reached[note.Size] = end
		if !whole && end > note.At {
			torn = append(torn, span{note.At, end})
		}
	}
	// From the end, so that the offsets before stay as they are.
	slices.SortFunc(torn, func(a, b span) int { return int(b.begin - a.begin) })
	for i, s := range torn {
		if i+1 < len(torn) && torn[i+1].end >= s.begin { // both are one
			torn[i+1].end = max(torn[i+1].end, s.end)
			continue
		}
		if err := m.remove(l, s); err != nil {
			return err
		}
	}
	return nil
}

// stands returns up to where the message stands, and whether it is whole. With gap, the message
// before it does not reach so far. Then NULs in its place may be those of other mail.
func (n *mboxNote) stands(mbox io.ReaderAt, gap bool) (whole bool, end int64, err error) {
	if whole, err = n.isWhole(mbox); err != nil {
		return false, 0, err
	}
	if whole {
		last := []byte{'?'}
		if _, err := readWhole(mbox, last, n.end()-1); err != nil {
			return false, 0, err
		}
		if last[0] == '\n' || last[0] == 0 { // a power cut may have left a NUL
			return true, n.end(), nil
		}
		return true, n.end() - 1, nil // the empty line is missing
	}
	if gap {
		line := make([]byte, len(n.From))
		if _, err := readWhole(mbox, line, n.At); err != nil || string(line) != n.From {
			return false, n.At, err
		}
	}
	end, err = n.tornUntil(mbox)
	return false, end, err
}

// span is a part of a file.
type span struct{ begin, end int64 }

// tornUntil returns the end of what stands of a message that was not appended whole. If it returns
// n.At, nothing is to be removed.
//
// The From_ line and each part of the message either stand there, or a power cut has left NULs. The
// last part may be cut, by the end of the file or by other mail. A part that has any other octets
// was changed by a mail program, and then all of the message stays.
func (n *mboxNote) tornUntil(mbox io.ReaderAt) (end int64, err error) {
	end = n.At
	for part := -1; end < n.end(); part++ {
		octets, isPart := n.part(part, end)
		// The octets behind show a From_ line that begins at the end of the part.
		text := make([]byte, octets+int64(len(mboxSeparator)))
		read, err := mbox.ReadAt(text, end)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		text = text[:read]
		there := text[:min(int64(read), octets)]
		full := int64(len(there)) == octets
		switch {
		case full && isPart(there):
			end += octets
		case part < 0:
			return end + commonPrefix(text, n.From), nil
		default:
			// Other mail may have NULs of its own, so its From_ line counts first.
			until, err := n.cutIn(mbox, end, octets, full)
			others := until > n.At && until < end+octets
			if err == nil && !others && full && isDamaged(there) {
				end += octets
				continue
			}
			if err != nil || part == 0 && isMessage(there[:max(0, min(until-end, int64(len(there))))]) {
				return n.At, err
			}
			return until, nil
		}
	}
	return end, nil
}

// isMessage reports whether the text looks like a whole short message, with header and body.
func isMessage(text []byte) bool {
	return bytes.Contains(bytes.TrimRight(text, "\n"), []byte("\n\n"))
}

// part returns the size of a part, which begins at an offset, and what tells that it is unchanged.
// Part -1 is the From_ line. The last part is the line end of the empty line.
func (n *mboxNote) part(part int, at int64) (octets int64, unchanged func([]byte) bool) {
	switch {
	case part < 0:
		return int64(len(n.From)), func(p []byte) bool { return fromPrefix(p, n.From) == len(n.From) }
	case part < len(n.Parts)/crc32.Size:
		sum := n.Parts[part*crc32.Size:][:crc32.Size]
		return min(int64(partOctets(part)), n.end()-1-at), func(p []byte) bool {
			return bytes.Equal(appendSum(nil, crc32.Checksum(p, castagnoli)), sum)
		}
	default:
		return n.end() - at, func(p []byte) bool { return string(p) == "\n" }
	}
}

// isDamaged reports whether a power cut has left NULs in a part: to one side, or in between.
func isDamaged(there []byte) bool {
	return there[0] == 0 || there[len(there)-1] == 0 || bytes.Contains(there, make([]byte, 128))
}

// commonPrefix returns how many octets of a From_ line stand at the begin of text, if nothing or
// other mail follows. It returns 0 if something else stands there.
func commonPrefix(text []byte, line string) int64 {
	n := fromPrefix(text, line)
	if n == len(text) {
		return int64(n)
	}
	// The first octets of the other From_ line may be those that the line would go on with.
	for begin := n; begin > max(0, n-len(fromWord)); begin-- {
		follows := bytes.TrimLeft(text[begin:], "\n")
		if bytes.HasPrefix(follows, fromWord) {
			return int64(len(text) - len(follows))
		}
	}
	return 0
}

// fromPrefix returns how many octets of a From_ line text begins with. A power cut may have left
// NULs in their place.
func fromPrefix(text []byte, line string) int {
	n := 0
	for n < len(text) && n < len(line) && (text[n] == line[n] || text[n] == 0) {
		n++
	}
	return n
}

// anyFromLine matches a From_ line of any program.
var anyFromLine = sync.OnceValue(func() *regexp.Regexp { // hardly ever needed
	return regexp.MustCompile(
		`^From .*\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun),? .*[0-9]:[0-9][0-9].* [0-9]{4}`)
})

// cutIn returns where the message ends within a part of it, if other mail or the end of the file
// follows. Otherwise it returns n.At: a mail program has changed the message. The octets before the
// part may be the first ones of the other mail, if the message would go on with the same.
func (n *mboxNote) cutIn(mbox io.ReaderAt, part, octets int64, full bool) (until int64, err error) {
	begin := max(n.begin(), part-int64(len(fromWord)))
	text := make([]byte, part-begin+octets+int64(len(mboxSeparator)))
	read, err := mbox.ReadAt(text, begin)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	text = text[:read]
	for at := 0; ; at += len(fromWord) {
		next := bytes.Index(text[at:], fromWord)
		if next < 0 {
			break
		}
		if at += next; isQuoted(text, at) {
			continue
		}
		line := make([]byte, maxFrom)
		read, err := mbox.ReadAt(line, begin+int64(at))
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		line, _, _ = bytes.Cut(line[:read], []byte("\n"))
		if anyFromLine().Match(line) && bytes.LastIndex(line, fromWord) == 0 {
			return begin + int64(at), nil
		}
	}
	if !full {
		return begin + int64(len(text)), nil
	}
	return n.At, nil
}

// isQuoted reports whether only ">" stands between text[at] and the begin of its line or of text.
func isQuoted(text []byte, at int) bool {
	before := bytes.TrimRight(text[:at], ">")
	return len(before) < at && (len(before) == 0 || before[len(before)-1] == '\n')
}

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
