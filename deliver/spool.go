package deliver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// spoolOctets is how much of a message is held in memory; a longer one goes to a file.
const spoolOctets = 256 << 10

// headOctets is how far into a message its header fields are looked for.
const headOctets = 64 << 10

// spool holds a message until it is complete: in memory, or if it is long in a file in the folder for temporary files
// ($TMPDIR) that has no name, so that nothing is left of it whatever happens.
type spool struct {
	memory bytes.Buffer
	file   *os.File
}

func (s *spool) Write(p []byte) (int, error) {
	if s.file == nil && s.memory.Len()+len(p) <= spoolOctets {
		return s.memory.Write(p)
	}
	if s.file == nil {
		if err := s.toFile(namelessFile); err != nil {
			return 0, err
		}
	}
	return s.file.Write(p)
}

// namelessFile makes a file on the disk.
func namelessFile() (*os.File, error) {
	file, err := os.CreateTemp("", "popfetch-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// toFile moves what is in memory to a file that create makes.
func (s *spool) toFile(create func() (*os.File, error)) (err error) {
	if s.file, err = create(); err != nil {
		return err
	}
	if _, err := s.file.Write(s.memory.Bytes()); err != nil {
		return err
	}
	s.memory = bytes.Buffer{}
	return nil
}

// asFile returns the message as a file to be read from its beginning. A short one, too, is made one now, in memory where that is
// possible: if it went through a pipe and we were killed, the program would take what came until then for the whole message.
func (s *spool) asFile() (*os.File, error) {
	if s.file == nil {
		if s.toFile(memoryFile) == nil {
			return s.file, s.rewind()
		}
		if err := errors.Join(s.drop(), s.toFile(namelessFile)); err != nil {
			return nil, fmt.Errorf("spooling a message: %w", err)
		}
	}
	return s.file, s.rewind()
}

func (s *spool) rewind() error {
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("reading the spooled message: %w", err)
	}
	return nil
}

// drop lets go of the file, if there is one.
func (s *spool) drop() (err error) {
	if s.file != nil {
		err = s.file.Close()
		s.file = nil
	}
	return err
}

// head returns the first octets of the message, at most headOctets.
func (s *spool) head() ([]byte, error) {
	if s.file == nil {
		return s.memory.Bytes()[:min(s.memory.Len(), headOctets)], nil
	}
	head := make([]byte, headOctets)
	n, err := s.file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading the spooled message: %w", err)
	}
	return head[:n], nil
}

func (s *spool) Close() error {
	s.memory = bytes.Buffer{}
	return s.drop()
}
