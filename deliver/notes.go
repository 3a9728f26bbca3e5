package deliver

import (
	"encoding/json"
	"fmt"
	"io"
)

// Notes keep across a crash what a target must know of messages that have no record yet: for
// example, how long an mbox was before they were appended. There is one note for each message.
//
// Only the process that has the account's lock may call Put or Forget; the other methods change
// nothing. The methods may be called at the same time.
type Notes[T any] struct{ book Book }

// NewNotes returns the notes in a book. It does no I/O.
func NewNotes[T any](book Book) *Notes[T] { return &Notes[T]{book} }

// Put adds notes, or replaces those of the same messages. When it returns nil, they would survive a
// power cut.
func (n *Notes[T]) Put(values map[Token]T) error {
	entries := make(map[string][]byte, len(values))
	for token, value := range values {
		text, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("writing a note: %w", err)
		}
		entries[token.String()] = text
	}
	return n.book.Put(entries)
}

// Get returns the note of a message.
func (n *Notes[T]) Get(token Token) (value T, found bool, err error) {
	text, found, err := n.book.Get(token.String())
	if err != nil || !found {
		return value, false, err
	}
	if json.Unmarshal(text, &value) != nil { // damaged, or of another version
		return *new(T), false, nil
	}
	return value, true, nil
}

// All returns all notes.
func (n *Notes[T]) All() (map[Token]T, error) {
	entries, err := n.book.All()
	if err != nil {
		return nil, err
	}
	all := make(map[Token]T, len(entries))
	for key, text := range entries {
		var value T
		if token, err := parseToken(key); err == nil && json.Unmarshal(text, &value) == nil {
			all[token] = value
		}
	}
	return all, nil
}

// Forget removes the notes of messages. After a crash they may be there again.
func (n *Notes[T]) Forget(tokens ...Token) {
	keys := make([]string, len(tokens))
	for i, token := range tokens {
		keys[i] = token.String()
	}
	n.book.Forget(keys...)
}

// Close closes a book that is open. A later call opens it again.
func (n *Notes[T]) Close() error {
	if open, ok := n.book.(io.Closer); ok {
		return open.Close()
	}
	return nil
}
