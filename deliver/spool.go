package deliver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// spoolOctets is the size of the largest message that is held in memory. A longer one goes to a
// file.
const spoolOctets = 256 << 10

// headOctets is the size of the part of a message that is searched for header fields.
const headOctets = 64 << 10

// spool holds a message until it is complete. A short message is in memory. A long one is in a file
// in the folder for temporary files ($TMPDIR). The file has no name, so a crash leaves nothing
// behind.
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

// namelessFile makes a file on the disk and removes its name.
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

// toFile moves the message from memory to a file that create makes.
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

// asFile returns the message as a file, to be read from its beginning. A short message is moved to
// a file too, which is in memory if possible. A pipe would not do: if we were killed, the program
// would take the part that it got for the whole message.
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

// drop closes the file, if there is one.
func (s *spool) drop() (err error) {
	if s.file != nil {
		err = s.file.Close()
		s.file = nil
	}
	return err
}

// head returns the beginning of the message, at most headOctets.
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
