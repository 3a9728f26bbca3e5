package deliver

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/popfetch/popfetch/internal/durable"
)

// nameList is a list of names in a file, a quoted name a line. It is kept for ever. Its methods may
// be called at the same time.
type nameList struct {
	path string

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
	dir := filepath.Dir(l.path)
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = durable.SyncUp(dir)
	}
	if err == nil {
		err = durable.Replace(l.path, text.Bytes())
	}
	if err != nil {
		return fmt.Errorf("noting that target %s was prepared: %w", name, durable.ExplainFull(dir, err))
	}
	l.names[name] = true
	return nil
}

func (l *nameList) read() error {
	if l.names != nil {
		return nil
	}
	text, err := os.ReadFile(l.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
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
