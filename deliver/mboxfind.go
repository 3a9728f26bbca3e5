package deliver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/popfetch/popfetch/internal/durable"
)

// Find looks for the messages of which there are notes: first where the notes say, then in the
// whole mbox, since a mail program may have removed what stood before them. A message that was
// changed meanwhile is not found. The mbox is locked only if there are notes of the tokens. A
// missing mbox is ErrMissing.
func (m *Mbox) Find(
	ctx context.Context, tokens iter.Seq[Token], _ time.Time,
) (map[Token][]string, error) {
	if _, err := os.Stat(m.path); err != nil {
		return nil, fmt.Errorf("finding messages: %w", m.missing(err))
	}
	wanted, err := m.noted(tokens)
	if err != nil || len(wanted) == 0 {
		return nil, err
	}
	l, err := m.lock(ctx, false)
	if err != nil {
		return nil, fmt.Errorf("finding messages: %w", err)
	}
	defer l.unlock()
	places := make(map[Token][]string)
	taken := make(map[int64]bool) // offsets
	for token, note := range wanted {
		whole, err := note.isWhole(l)
		if err != nil {
			return nil, fmt.Errorf("finding messages: %w", err)
		}
		if whole {
			places[token] = []string{mboxPlace(note.At, note.begin(), note.Octets, note.From)}
			taken[note.At] = true
			delete(wanted, token)
		}
	}
	if len(wanted) > 0 {
		err = findMoved(ctx, l, wanted, taken, places)
	}
	if err != nil {
		return nil, fmt.Errorf("finding messages: %w", err)
	}
	return places, nil
}

// noted returns the notes of the tokens.
func (m *Mbox) noted(tokens iter.Seq[Token]) (map[Token]mboxNote, error) {
	if m.notes == nil {
		return nil, nil
	}
	all, err := m.notes.All()
	if err != nil || len(all) == 0 {
		return nil, err
	}
	wanted := make(map[Token]mboxNote)
	for token := range tokens {
		if note, noted := all[token]; noted && len(note.SHA256) == sha256.Size {
			wanted[token] = note
		}
	}
	return wanted, nil
}

// findMoved looks for messages in the whole mbox, by their octets and From_ lines. If what stood
// before their batch still stands there, they are behind it.
//
// Another account may get the same message there in the same second. That one is taken for the one
// that was not appended.
func findMoved(
	ctx context.Context, mbox io.ReaderAt, wanted map[Token]mboxNote,
	taken map[int64]bool, places map[Token][]string,
) error {
	bySum := make(map[Sum][]Token)
	first := make(map[Token]int64) // where each may stand at the earliest
	for token, note := range wanted {
		bySum[note.sum()] = append(bySum[note.sum()], token)
		if note.Before == nil {
			continue
		}
		before, err := sumBefore(mbox, note.Size)
		if err != nil {
			return err
		}
		// Otherwise the same message that another account got before, in this second, would count.
		if bytes.Equal(before, note.Before) {
			first[token] = note.Size
		}
	}
	return eachIn(ctx, mbox, true, func(e *mboxEntry) bool {
		tokens := bySum[e.Sum]
		i := slices.IndexFunc(tokens, func(token Token) bool {
			return wanted[token].From == e.from && e.at >= first[token]
		})
		if i >= 0 && !taken[e.at] {
			places[tokens[i]] = []string{e.place()}
			bySum[e.Sum] = slices.Delete(tokens, i, i+1)
		}
		return true
	})
}

// isWhole reports whether the message stands where the note says, as the note says.
func (n *mboxNote) isWhole(mbox io.ReaderAt) (bool, error) {
	head := make([]byte, len(n.From))
	if stands, err := readWhole(mbox, head, n.At); err != nil || !stands || string(head) != n.From {
		return false, err
	}
	if len(n.SHA256) != sha256.Size {
		return false, nil
	}
	hash := sha256.New()
	octets, err := io.Copy(hash, newUnquoted(io.NewSectionReader(mbox, n.begin(), n.Octets)))
	return octets == n.As && bytes.Equal(hash.Sum(nil), n.SHA256), err
}

// readWhole fills p, and reports whether the file is long enough for that.
func readWhole(mbox io.ReaderAt, p []byte, at int64) (bool, error) {
	n, err := mbox.ReadAt(p, at)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n == len(p), err
}

// PlaceOf returns the sender and the time in the From_ line as the name. Its Sum is zero.
func (m *Mbox) PlaceOf(place string) Place {
	e, err := parsePlace(place)
	if err != nil {
		return Place{}
	}
	return Place{Name: e.from}
}

// Open reads back a message as it was delivered. If its From_ line stands elsewhere by now, or
// nowhere, the error is fs.ErrNotExist.
func (m *Mbox) Open(_ context.Context, place string) (io.ReadCloser, error) {
	e, err := parsePlace(place)
	if err != nil {
		return nil, fmt.Errorf("opening a message: %w", err)
	}
	file, err := m.open()
	if err != nil {
		return nil, fmt.Errorf("opening a message: %w", err)
	}
	line := make([]byte, min(e.begin-e.at, maxFrom+int64(len("From \r\n"))))
	stands, err := readWhole(file, line, e.at)
	if err == nil && (!stands || fromName(string(line)) != e.from) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening message %q: %w", place, err), file.Close())
	}
	return &openMessage{newUnquoted(io.NewSectionReader(file, e.begin, e.octets)), file}, nil
}

type openMessage struct {
	io.Reader
	file *os.File
}

func (o *openMessage) Close() error { return o.file.Close() }

// Sync syncs the mbox and its folder.
func (m *Mbox) Sync(context.Context, []string) error {
	if err := durable.Sync(m.path); err != nil {
		return fmt.Errorf("syncing messages: %w", m.missing(err))
	}
	return durable.Sync(filepath.Dir(m.path))
}
