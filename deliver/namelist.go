package deliver

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
)

// nameList is a list of names that a book keeps for ever, a quoted name a line. It reads the list
// each time, because another process may have added a name since. Its methods may be called at the
// same time.
type nameList struct {
	book Book
	name string // of the list

	mu sync.Mutex // held while a name is added
}

// has reports whether the list has a name.
func (l *nameList) has(name string) (bool, error) {
	names, err := l.read()
	return names[name], err
}

// add adds a name. When it returns nil, the name would survive a power cut.
func (l *nameList) add(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	names, err := l.read()
	if err != nil || names[name] {
		return err
	}
	names[name] = true
	var text bytes.Buffer
	for _, known := range slices.Sorted(maps.Keys(names)) {
		fmt.Fprintf(&text, "%q\n", known)
	}
	if err := l.book.Keep(l.name, text.Bytes()); err != nil {
		return fmt.Errorf("noting that target %s was prepared: %w", name, err)
	}
	return nil
}

func (l *nameList) read() (names map[string]bool, err error) {
	text, err := l.book.Kept(l.name)
	if err != nil {
		return nil, fmt.Errorf("reading which targets were prepared: %w", err)
	}
	names = make(map[string]bool)
	for line := range bytes.Lines(text) {
		if name, err := strconv.Unquote(string(bytes.TrimSuffix(line, []byte("\n")))); err == nil {
			names[name] = true
		}
	}
	return names, nil
}
