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

// Book keeps across a crash what a part of an account's target must know; see Notes. It belongs to
// that part alone. Only the process that has the account's lock may call Put, Forget or Keep. The
// methods may be called at the same time. Each bounds its own waits.
//
// All types are plain, so that a store can have books without knowing this package.
type Book interface {
	// Put adds entries by their keys, or replaces them. When it returns nil, they would survive a
	// power cut. They are kept for 90 days.
	Put(entries map[string][]byte) error
	// Get returns an entry, which must not be changed.
	Get(key string) (value []byte, found bool, err error)
	// All returns all entries. The values must not be changed.
	All() (map[string][]byte, error)
	// Forget removes entries. After a crash they may be there again.
	Forget(keys ...string)
	// Keep keeps a value under a name of its own, which is a word, for ever; nil removes it. When
	// it returns nil, that would survive a power cut.
	Keep(name string, value []byte) error
	// Kept returns the value that was kept; nil: none is.
	Kept(name string) ([]byte, error)
}

const (
	// notesAge is how long a note is kept. A message that is still without a record by then has
	// left its maildrop long ago.
	notesAge = 90 * 24 * time.Hour
	// notesOctets is the size of a file of notes that is written anew, without the forgotten ones.
	notesOctets = 1 << 20
)

// FileBook is a Book in a file, one JSON object a line. A line that a crash has cut or damaged does
// not count. Two processes may use the file one after the other: each call reads it again if
// another process has changed it. What is kept by name is in files beside it.
type FileBook struct {
	path string

	mu      sync.Mutex
	info    fs.FileInfo // of the file that entries were read from; nil: they must be read
	size    int64       // of its whole lines
	entries map[string]bookLine
	file    *os.File // that same file, open for writing; nil until it is needed
}

// bookLine is one line of the file.
type bookLine struct {
	Key   string          `json:"token"`
	At    time.Time       `json:"at"`
	Gone  bool            `json:"gone,omitempty"`
	Value json.RawMessage `json:"value"`
}

// NewFileBook returns the book in the file at path, which is made by the first Put. It does no I/O.
func NewFileBook(path string) *FileBook { return &FileBook{path: path} }

// Path returns the path of the file.
func (b *FileBook) Path() string { return b.path }

// Put writes entries behind the others. The values are JSON.
func (b *FileBook) Put(entries map[string][]byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.read(); err != nil {
		return err
	}
	var lines bytes.Buffer
	now := time.Now()
	for key, value := range entries {
		line := bookLine{Key: key, At: now, Value: value}
		if err := json.NewEncoder(&lines).Encode(line); err != nil {
			return fmt.Errorf("writing a note: %w", err)
		}
		b.entries[key] = line
	}
	if err := b.write(lines.Bytes(), true); err != nil {
		return fmt.Errorf("writing a note: %w", durable.ExplainFull(filepath.Dir(b.path), err))
	}
	return nil
}

// Get returns an entry.
func (b *FileBook) Get(key string) (value []byte, found bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.read(); err != nil {
		return nil, false, err
	}
	line, found := b.entries[key]
	return line.Value, found, nil
}

// All returns all entries.
func (b *FileBook) All() (map[string][]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.read(); err != nil {
		return nil, err
	}
	all := make(map[string][]byte, len(b.entries))
	for key, line := range b.entries {
		all[key] = line.Value
	}
	return all, nil
}

// Forget removes entries. It does not sync.
func (b *FileBook) Forget(keys ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.read() != nil {
		return
	}
	var lines bytes.Buffer
	for _, key := range keys {
		if _, found := b.entries[key]; found {
			delete(b.entries, key)
			_ = json.NewEncoder(&lines).Encode(bookLine{Key: key, Gone: true})
		}
	}
	if lines.Len() > 0 {
		_ = b.write(lines.Bytes(), false) // a note that stays does no harm
	}
}

// Keep replaces a file beside that of the book, whose name ends in a dot and name.
func (b *FileBook) Keep(name string, value []byte) error {
	path := b.beside(name)
	if value == nil {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	dir := filepath.Dir(path)
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = durable.SyncUp(dir)
	}
	if err == nil {
		err = durable.Replace(path, value)
	}
	return durable.ExplainFull(dir, err)
}

// Kept reads that file.
func (b *FileBook) Kept(name string) ([]byte, error) {
	value, err := os.ReadFile(b.beside(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return value, err
}

func (b *FileBook) beside(name string) string { return b.path + "." + name }

// Close closes the file. A later call opens it again.
func (b *FileBook) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.close()
}

func (b *FileBook) close() (err error) {
	if b.file != nil {
		err = b.file.Close()
	}
	b.file, b.info = nil, nil
	return err
}

// read reads the file, unless it is still as it was.
func (b *FileBook) read() error {
	info, err := os.Stat(b.path)
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !missing:
		return fmt.Errorf("reading the notes of deliveries: %w", err)
	case err == nil && b.info != nil && isUnchanged(info, b.info):
		return nil
	}
	_ = b.close() // what was written is synced, or may be lost
	b.entries, b.size = make(map[string]bookLine), 0
	if missing {
		return nil
	}
	text, err := os.ReadFile(b.path)
	if err != nil {
		return fmt.Errorf("reading the notes of deliveries: %w", err)
	}
	b.info, b.size = info, int64(bytes.LastIndexByte(text, '\n')+1)
	b.parse(text[:b.size])
	return nil
}

func isUnchanged(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// parse reads whole lines.
func (b *FileBook) parse(text []byte) {
	oldest := time.Now().Add(-notesAge)
	for line := range bytes.Lines(text) {
		var entry bookLine
		if json.Unmarshal(line, &entry) != nil {
			continue
		}
		_, err := parseToken(entry.Key)
		switch {
		case err != nil:
		case entry.Gone, entry.At.Before(oldest):
			delete(b.entries, entry.Key)
		default:
			b.entries[entry.Key] = entry
		}
	}
}

// write writes lines behind the others, which were read, and syncs them if so.
func (b *FileBook) write(lines []byte, syncs bool) (err error) {
	defer func() {
		if err != nil {
			_ = b.close() // what the file holds now is read again
		}
	}()
	if b.size > notesOctets && b.size > 2*int64(len(b.entries))*256 {
		return b.rewrite()
	}
	if err := b.open(); err != nil {
		return err
	}
	if len(b.entries) == 0 {
		lines, b.size = nil, 0
	}
	if b.info == nil || b.info.Size() != b.size { // a line was cut there
		if err := b.file.Truncate(b.size); err != nil {
			return err
		}
	}
	if _, err := b.file.WriteAt(lines, b.size); err != nil {
		return errors.Join(err, b.file.Truncate(b.size))
	}
	b.size += int64(len(lines))
	if syncs {
		if err := b.file.Sync(); err != nil {
			return err
		}
	}
	b.info, err = b.file.Stat()
	return err
}

// rewrite replaces the file by one with only the notes that count. The next call reads it.
func (b *FileBook) rewrite() error {
	var lines bytes.Buffer
	for _, entry := range b.entries {
		if err := json.NewEncoder(&lines).Encode(entry); err != nil {
			return err
		}
	}
	if err := b.close(); err != nil {
		return err
	}
	return durable.Replace(b.path, lines.Bytes())
}

// open opens the file for writing. It makes a missing one, and the folder that it is in, and syncs
// the folders.
func (b *FileBook) open() (err error) {
	if b.file != nil {
		return nil
	}
	b.file, err = os.OpenFile(b.path, os.O_RDWR, 0)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(b.path), 0o700); err != nil {
		return err
	}
	if b.file, err = os.OpenFile(b.path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	return durable.SyncUp(filepath.Dir(b.path))
}
