package deliver

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"
)

// nameList is a list of names that a book keeps for ever, a quoted name a line. Its methods may be
// called at the same time.
type nameList struct {
	book Book
	name string // of the list

	mu    sync.Mutex
	names map[string]bool // nil: not read yet
}

// has reports whether the list has a name.
func (l *nameList) has(name string) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.read(); err != nil {
		return false, err
	}
	return l.names[name], nil
}

// add adds a name. When it returns nil, the name would survive a power cut.
func (l *nameList) add(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.read(); err != nil || l.names[name] {
		return err
	}
	var text bytes.Buffer
	for known := range l.names {
		fmt.Fprintf(&text, "%q\n", known)
	}
	fmt.Fprintf(&text, "%q\n", name)
	if err := l.book.Keep(l.name, text.Bytes()); err != nil {
		return fmt.Errorf("noting that target %s was prepared: %w", name, err)
	}
	l.names[name] = true
	return nil
}

func (l *nameList) read() error {
	if l.names != nil {
		return nil
	}
	text, err := l.book.Kept(l.name)
	if err != nil {
		return fmt.Errorf("reading which targets were prepared: %w", err)
	}
	l.names = make(map[string]bool)
	for line := range bytes.Lines(text) {
		if name, err := strconv.Unquote(string(bytes.TrimSuffix(line, []byte("\n")))); err == nil {
			l.names[name] = true
		}
	}
	return nil
}
