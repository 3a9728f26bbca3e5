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
// The notes are in a file, one JSON object a line. A line that a crash has cut or damaged does not
// count. Two processes may use the file one after the other: each call reads it again if another
// process has changed it. Only the process that has the account's lock may call Put or Forget; the
// other methods change nothing. The methods may be called at the same time.
type Notes[T any] struct {
	path string

	mu      sync.Mutex
	info    fs.FileInfo // of the file that entries were read from; nil: they must be read
	size    int64       // of its whole lines
	entries map[Token]note[T]
	file    *os.File // that same file, open for writing; nil until it is needed
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
	if err := n.read(); err != nil {
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
	if err := n.write(lines.Bytes(), true); err != nil {
		return fmt.Errorf("writing a note: %w", durable.ExplainFull(filepath.Dir(n.path), err))
	}
	return nil
}

// Get returns the note of a message.
func (n *Notes[T]) Get(token Token) (value T, found bool, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.read(); err != nil {
		return value, false, err
	}
	entry, found := n.entries[token]
	return entry.Value, found, nil
}

// All returns all notes.
func (n *Notes[T]) All() (map[Token]T, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.read(); err != nil {
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
	if n.read() != nil {
		return
	}
	var lines bytes.Buffer
	for _, token := range tokens {
		if _, found := n.entries[token]; found {
			delete(n.entries, token)
			_ = json.NewEncoder(&lines).Encode(note[T]{Token: token.String(), Gone: true})
		}
	}
	if lines.Len() > 0 {
		_ = n.write(lines.Bytes(), false) // a note that stays does no harm
	}
}

// Close closes the file. A later call opens it again.
func (n *Notes[T]) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.close()
}

func (n *Notes[T]) close() (err error) {
	if n.file != nil {
		err = n.file.Close()
	}
	n.file, n.info = nil, nil
	return err
}

// read reads the file, unless it is still as it was.
func (n *Notes[T]) read() error {
	info, err := os.Stat(n.path)
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !missing:
		return fmt.Errorf("reading the notes of deliveries: %w", err)
	case err == nil && n.info != nil && isUnchanged(info, n.info):
		return nil
	}
	_ = n.close() // what was written is synced, or may be lost
	n.entries, n.size = make(map[Token]note[T]), 0
	if missing {
		return nil
	}
	text, err := os.ReadFile(n.path)
	if err != nil {
		return fmt.Errorf("reading the notes of deliveries: %w", err)
	}
	n.info, n.size = info, int64(bytes.LastIndexByte(text, '\n')+1)
	n.parse(text[:n.size])
	return nil
}

func isUnchanged(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// parse reads whole lines.
func (n *Notes[T]) parse(text []byte) {
	oldest := time.Now().Add(-notesAge)
	for line := range bytes.Lines(text) {
		var entry note[T]
		if json.Unmarshal(line, &entry) != nil {
			continue
		}
		token, err := parseToken(entry.Token)
		switch {
		case err != nil:
		case entry.Gone, entry.At.Before(oldest):
			delete(n.entries, token)
		default:
			n.entries[token] = entry
		}
	}
}

// write writes lines behind the others, which were read, and syncs them if so.
func (n *Notes[T]) write(lines []byte, syncs bool) (err error) {
	defer func() {
		if err != nil {
			_ = n.close() // what the file holds now is read again
		}
	}()
	if n.size > notesOctets && n.size > 2*int64(len(n.entries))*256 {
		return n.rewrite()
	}
	if err := n.open(); err != nil {
		return err
	}
	if len(n.entries) == 0 {
		lines, n.size = nil, 0
	}
	if n.info == nil || n.info.Size() != n.size { // a line was cut there
		if err := n.file.Truncate(n.size); err != nil {
			return err
		}
	}
	if _, err := n.file.WriteAt(lines, n.size); err != nil {
		return errors.Join(err, n.file.Truncate(n.size))
	}
	n.size += int64(len(lines))
	if syncs {
		if err := n.file.Sync(); err != nil {
			return err
		}
	}
	n.info, err = n.file.Stat()
	return err
}

// rewrite replaces the file by one with only the notes that count. The next call reads it.
func (n *Notes[T]) rewrite() error {
	var lines bytes.Buffer
	for _, entry := range n.entries {
		if err := json.NewEncoder(&lines).Encode(entry); err != nil {
			return err
		}
	}
	if err := n.close(); err != nil {
		return err
	}
	return durable.Replace(n.path, lines.Bytes())
}

// open opens the file for writing. It makes a missing one, and the folder that it is in, and syncs
// the folders.
func (n *Notes[T]) open() (err error) {
	if n.file != nil {
		return nil
	}
	n.file, err = os.OpenFile(n.path, os.O_RDWR, 0)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(n.path), 0o700); err != nil {
		return err
	}
	if n.file, err = os.OpenFile(n.path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	return durable.SyncUp(filepath.Dir(n.path))
}
