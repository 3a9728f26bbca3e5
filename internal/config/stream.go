package config

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/term"
)

// stdin is the path of standard input. It is read without being opened, which sockets do not allow.
const stdin = "/dev/stdin"

// streams has the first lines of what can be read only once: standard input, pipes and devices. A
// password is asked for at each log-in, and several accounts may have one source.
var streams onceRead

// onceRead keeps the first line of each stream.
type onceRead struct {
	mu    sync.Mutex
	lines map[streamID]string
}

// streamID identifies a stream, whatever path leads to it.
type streamID struct{ device, inode uint64 }

// line returns the first line of f. It reads f at the first call only.
func (o *onceRead) line(f *os.File) (string, error) {
	if term.IsTerminal(int(f.Fd())) { // somebody would have to type it, for all to see
		return "", errors.New("a password typed into it would be shown; without this key, popfetch asks for it")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	var stat syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &stat); err != nil {
		return "", err
	}
	id := streamID{uint64(stat.Dev), stat.Ino} //nolint:unconvert // their types differ between systems
	if line, known := o.lines[id]; known {
		return line, nil
	}
	line, err := readFirst(f)
	if err != nil {
		return "", err
	}
	keepFromPrograms(f.Name())
	if o.lines == nil {
		o.lines = make(map[streamID]string)
	}
	o.lines[id] = line
	return line, nil
}

// keepFromPrograms closes the descriptor of a path such as /dev/fd/63 in the programs that popfetch
// starts. A shell has opened it for popfetch alone, and it may still hold a part of the secret.
func keepFromPrograms(path string) {
	for _, folder := range []string{"/dev/fd/", "/proc/self/fd/"} {
		number, found := strings.CutPrefix(path, folder)
		if fd, err := strconv.Atoi(number); found && err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
}
