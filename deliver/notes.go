package deliver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/popfetch/popfetch/internal/durable"
)

const (
	// notesAge is how long a note is kept. A message that is still without a record by then has
	// left its maildrop long ago.
	notesAge = 90 * 24 * time.Hour
	// notesOctets is the size of a file of notes that is written anew, without the forgotten ones.
	notesOctets = 1 << 20
)

// Notes keep across a crash what a target must know of messages that have no record yet: for
// example, how long an mbox was before they were appended. There is one note for each message.
//
// The notes are in a file, one JSON object a line. A line that a crash has cut does not count. The
// file must not be used by two processes at the same time; the lock of the account sees to that.
// The methods may be called at the same time.
type Notes[T any] struct {
	path string

	mu      sync.Mutex
	file    *os.File // nil until it is needed
	size    int64
	entries map[Token]note[T]
}

// note is one line of the file.
type note[T any] struct {
	Token string    `json:"token"`
	At    time.Time `json:"at"`
	Gone  bool      `json:"gone,omitempty"`
	Value T         `json:"value"`
}

// NewNotes returns the notes in the file at path, which is made by the first Put. It does no I/O.
func NewNotes[T any](path string) *Notes[T] { return &Notes[T]{path: path} }

// Put adds notes, or replaces those of the same messages. When it returns nil, they would survive a
// power cut.
func (n *Notes[T]) Put(values map[Token]T) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.open(true); err != nil {
		return err
	}
	var lines bytes.Buffer
	now := time.Now()
	for token, value := range values {
		entry := note[T]{Token: token.String(), At: now, Value: value}
		if err := json.NewEncoder(&lines).Encode(entry); err != nil {
			return fmt.Errorf("writing a note: %w", err)
		}
		n.entries[token] = entry
	}
	err := n.append(lines.Bytes())
	if err == nil {
		err = n.file.Sync()
	}
	if err != nil {
		for token := range values {
			delete(n.entries, token)
		}
		return fmt.Errorf("writing a note: %w", durable.ExplainFull(filepath.Dir(n.path), err))
	}
	return nil
}

// Get returns the note of a message.
func (n *Notes[T]) Get(token Token) (value T, found bool, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.open(false); err != nil {
		return value, false, err
	}
	entry, found := n.entries[token]
	return entry.Value, found, nil
}

// All returns all notes.
func (n *Notes[T]) All() (map[Token]T, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.open(false); err != nil {
		return nil, err
	}
	all := make(map[Token]T, len(n.entries))
	for token, entry := range n.entries {
		all[token] = entry.Value
	}
	return all, nil
}

// Forget removes the notes of messages. It does not sync: after a crash they may be there again.
func (n *Notes[T]) Forget(tokens ...Token) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.open(false) != nil || n.file == nil {
		return
	}
	var lines bytes.Buffer
	for _, token := range tokens {
		if _, found := n.entries[token]; found {
			delete(n.entries, token)
			_ = json.NewEncoder(&lines).Encode(note[T]{Token: token.String(), Gone: true})
		}
	}
	if lines.Len() == 0 {
		return
	}
	if len(n.entries) == 0 {
		if n.file.Truncate(0) == nil {
			n.size = 0
		}
		return
	}
	_ = n.append(lines.Bytes()) // a note that stays does no harm
}

// Close closes the file. A later call opens it again.
func (n *Notes[T]) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.file == nil {
		return nil
	}
	err := n.file.Close()
	n.file, n.entries = nil, nil
	return err
}

// append writes lines behind the others. The caller syncs.
func (n *Notes[T]) append(lines []byte) error {
	if n.size > notesOctets && n.size > 2*int64(len(n.entries))*256 {
		return n.rewrite()
	}
	written, err := n.file.WriteAt(lines, n.size)
	if err != nil {
		_ = n.file.Truncate(n.size) // what stands behind would be read as a line
		return err
	}
	n.size += int64(written)
	return nil
}

// rewrite replaces the file by one with only the notes that count.
func (n *Notes[T]) rewrite() error {
	var lines bytes.Buffer
	for _, entry := range n.entries {
		if err := json.NewEncoder(&lines).Encode(entry); err != nil {
			return err
		}
	}
	if err := durable.Replace(n.path, lines.Bytes()); err != nil {
		return err
	}
	_ = n.file.Close() // it is removed
	file, err := os.OpenFile(n.path, os.O_RDWR, 0)
	if err != nil {
		n.file, n.entries = nil, nil
		return err
	}
	n.file, n.size = file, int64(lines.Len())
	return nil
}

// open reads the file if that has not been done yet. If create is set, it makes a missing one.
func (n *Notes[T]) open(create bool) error {
	if n.file != nil {
		return nil
	}
	n.entries = make(map[Token]note[T])
	file, err := os.OpenFile(n.path, os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !create:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		file, err = n.create()
	}
	if err != nil {
		return fmt.Errorf("opening the notes of deliveries: %w", err)
	}
	n.file = file
	if err := n.read(); err != nil {
		n.file = nil
		return errors.Join(fmt.Errorf("reading the notes of deliveries: %w", err), file.Close())
	}
	return nil
}

// create makes the file and the folder that it is in, and syncs the folders.
func (n *Notes[T]) create() (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(n.path), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(n.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := durable.SyncUp(filepath.Dir(n.path)); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// read reads the lines up to one that is cut, and removes that one.
func (n *Notes[T]) read() error {
	text, err := os.ReadFile(n.path)
	if err != nil {
		return err
	}
	oldest := time.Now().Add(-notesAge)
	n.size = 0
	for line := range bytes.Lines(text) {
		var entry note[T]
		if !bytes.HasSuffix(line, []byte("\n")) || json.Unmarshal(line, &entry) != nil {
			break
		}
		token, err := parseToken(entry.Token)
		if err != nil {
			break
		}
		n.size += int64(len(line))
		if entry.Gone || entry.At.Before(oldest) {
			delete(n.entries, token)
		} else {
			n.entries[token] = entry
		}
	}
	return n.file.Truncate(n.size)
}
