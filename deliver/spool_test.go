package deliver

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestSpool(t *testing.T) {
	for _, octets := range []int{0, 1, spoolOctets, spoolOctets + 1, 2 * spoolOctets} {
		t.Run(fmt.Sprint(octets), func(t *testing.T) { testSpool(t, strings.Repeat("x", octets)) })
	}
}

func testSpool(t *testing.T, want string) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	var s spool
	defer s.Close()
	for piece := range slices.Chunk([]byte(want), 1000) {
		if _, err := s.Write(piece); err != nil {
			t.Fatalf("Write() = %v, want no error", err)
		}
	}
	if head, err := s.head(); string(head) != want[:min(headOctets, len(want))] || err != nil {
		t.Errorf("head() = %d octets, %v, want the first %d", len(head), err, headOctets)
	}
	file, err := s.asFile()
	if err != nil {
		t.Fatalf("asFile() = %v, want no error", err)
	}
	if got := files(t, dir); len(got) != 0 {
		t.Errorf("the spool's file has a name: %q, want none", got)
	}
	name := fmt.Sprintf("/proc/self/fd/%d", file.Fd())
	if got := mode(t, name); got != 0o600 {
		t.Errorf("the spool's mode = %o, want 600", got)
	}
	if got := readAll(t, []string{name}); got[0] != want {
		t.Errorf("the spool holds %d octets, want the %d written", len(got[0]), len(want))
	}
	if got, err := io.ReadAll(file); string(got) != want || err != nil {
		t.Errorf("the program would read %d octets, %v, want %d", len(got), err, len(want))
	}
}

// If the system has no files in memory, a short message gets a file on the disk.
func TestSpool_onDisk(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	var s spool
	defer s.Close()
	if _, err := s.Write([]byte("short")); err != nil {
		t.Fatal(err)
	}
	if err := s.toFile(namelessFile); err != nil {
		t.Fatal(err)
	}
	file, err := s.asFile()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(file); string(got) != "short" || err != nil || mode(t, fmt.Sprintf("/proc/self/fd/%d", file.Fd())) != 0o600 {
		t.Errorf("the file holds %q, %v", got, err)
	}
}

// A message that does not fit into memory goes to the disk, for example if a cgroup limits memory.
func TestSpool_afterMemory(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var s spool
	defer s.Close()
	if _, err := s.Write([]byte("short")); err != nil {
		t.Fatal(err)
	}
	full := func() (*os.File, error) { return os.OpenFile("/dev/full", os.O_RDWR, 0) }
	if err := s.toFile(full); err == nil {
		t.Fatal("writing to a full device succeeded")
	}
	if err := errors.Join(s.drop(), s.toFile(namelessFile)); err != nil {
		t.Fatal(err)
	}
	file, err := s.asFile()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(file); string(got) != "short" || err != nil {
		t.Errorf("the file holds %q, %v", got, err)
	}
}
