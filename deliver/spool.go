package deliver

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
)

// spoolOctets is the size of the largest message that is held in memory. A longer one goes to a
// file in the folder for temporary files ($TMPDIR).
const spoolOctets = 256 << 10

// spareOctets is the size of the largest message that goes to a file in memory if the folder for
// temporary files takes none.
const spareOctets = 16 << 20

// headOctets is the size of the part of a message that is searched for header fields.
const headOctets = 64 << 10

// spool holds a message until it is complete. A short message is in memory. A long one is in a file
// without a name, so that a crash leaves nothing behind.
type spool struct {
	most   int // the largest size in memory; 0 means spoolOctets
	memory bytes.Buffer
	file   *os.File
	octets int64 // in the file
	broken error // why the folder for temporary files takes no message, or nil
}

func (s *spool) Write(p []byte) (int, error) {
	if s.file == nil && s.memory.Len()+len(p) <= cmp.Or(s.most, spoolOctets) {
		return s.memory.Write(p)
	}
	if s.file == nil {
		if err := s.toFile(namelessFile); err != nil {
			return s.spare(p, err)
		}
	}
	if s.broken != nil && s.octets+int64(len(p)) > spareOctets {
		return 0, s.broken
	}
	n, err := s.file.Write(p)
	if err != nil && s.broken == nil {
		return s.spare(p, err)
	}
	s.octets += int64(n)
	return n, err
}

// spare writes p, and moves the message before it, to a file in memory, because the folder for
// temporary files is missing or full.
func (s *spool) spare(p []byte, cause error) (int, error) {
	s.broken = ofTempDir(cause)
	if s.octets+int64(len(p)) > spareOctets {
		return 0, s.broken
	}
	onDisk := s.file
	s.file = nil
	if onDisk == nil {
		if s.toFile(memoryFile) != nil {
			return 0, s.broken
		}
		return s.Write(p)
	}
	defer onDisk.Close() //nolint:errcheck // the file is of no use any more
	file, err := memoryFile()
	if err != nil {
		return 0, s.broken
	}
	s.file = file
	if _, err := io.Copy(file, io.NewSectionReader(onDisk, 0, s.octets)); err != nil {
		return 0, s.broken
	}
	return s.Write(p)
}

// ofTempDir names the folder for temporary files in an error, and the variable that sets it.
func ofTempDir(err error) error {
	return fmt.Errorf("the folder for temporary files (TMPDIR), %s, takes no file: %w", os.TempDir(), err)
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
	file, err := create()
	if err != nil {
		return err
	}
	n, err := file.Write(s.memory.Bytes())
	if err != nil {
		return errors.Join(err, file.Close())
	}
	s.file, s.octets, s.memory = file, int64(n), bytes.Buffer{}
	return nil
}

// asFile returns the message as a file, to be read from its beginning. A short message is moved to
// a file too, which is in memory if possible. A pipe would not do: if we were killed, the program
// would take the part that it got for the whole message.
func (s *spool) asFile() (*os.File, error) {
	if s.file == nil && s.toFile(memoryFile) != nil {
		if err := s.toFile(namelessFile); err != nil {
			return nil, ofTempDir(err)
		}
	}
	return s.file, s.rewind()
}

// reader returns a reader of the message from its beginning. Nothing may be written meanwhile.
func (s *spool) reader() (io.Reader, error) {
	if s.file == nil {
		return bytes.NewReader(s.memory.Bytes()), nil
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

// inMemory returns octets from a position on, if they are in memory. They are valid until the next
// call.
func (s *spool) inMemory(at, octets int64) (content []byte, held bool) {
	if s.file != nil {
		return nil, false
	}
	return s.memory.Bytes()[at : at+octets], true
}

// readAt fills p with the octets from a position on.
func (s *spool) readAt(p []byte, at int64) error {
	if content, held := s.inMemory(at, int64(len(p))); held {
		copy(p, content)
		return nil
	}
	if _, err := s.file.ReadAt(p, at); err != nil {
		return fmt.Errorf("reading the spooled message: %w", err)
	}
	return nil
}

// truncate removes all octets from a position on.
func (s *spool) truncate(at int64) error {
	if s.file == nil {
		s.memory.Truncate(int(at))
		return nil
	}
	s.octets = at
	_, err := s.file.Seek(at, io.SeekStart)
	if err == nil {
		err = s.file.Truncate(at)
	}
	if err != nil {
		return fmt.Errorf("removing a message from the spool: %w", err)
	}
	return nil
}

func (s *spool) Close() error {
	s.memory = bytes.Buffer{}
	return s.drop()
}
