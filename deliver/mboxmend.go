package deliver

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"regexp"
	"slices"
	"sync"
)

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
