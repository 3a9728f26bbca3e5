package deliver

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
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
	file, err := s.asFile()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(file); string(got) != "short" || err != nil {
		t.Errorf("the file holds %q, %v", got, err)
	}
}

// If the folder for temporary files is missing, a message up to 16 MiB goes to memory. For a larger
// one, the error names the variable.
func TestSpool_noTempDir(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	t.Setenv("TMPDIR", missing)
	for _, octets := range []int{1, spoolOctets + 1, spareOctets} {
		t.Run(fmt.Sprint(octets), func(t *testing.T) {
			var s spool
			defer s.Close()
			want := strings.Repeat("0123456789abcde\n", octets/16+1)[:octets]
			for piece := range slices.Chunk([]byte(want), 100_000) {
				if _, err := s.Write(piece); err != nil {
					t.Fatalf("Write() = %v, want no error", err)
				}
			}
			checkSpooled(t, &s, want)
		})
	}
	t.Run("too large", func(t *testing.T) {
		var s spool
		defer s.Close()
		_, err := s.Write(make([]byte, spareOctets))
		if err != nil {
			t.Fatalf("Write() = %v, want no error", err)
		}
		if _, err = s.Write([]byte("x")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "TMPDIR") || !strings.Contains(err.Error(), missing) {
			t.Errorf("Write() = %v, want one that names TMPDIR and %s", err, missing)
		}
	})
}

// If the folder for temporary files fills up, the message goes on in memory.
func TestSpool_fullTempDir(t *testing.T) {
	var s spool
	defer s.Close()
	t.Setenv("TMPDIR", t.TempDir())
	begin, rest := strings.Repeat("begin", spoolOctets), strings.Repeat("rest", 1000)
	if _, err := s.Write([]byte(begin)); err != nil {
		t.Fatal(err)
	}
	// A file that can only be read takes no more octets, like one on a full disk.
	full, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", s.file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	_ = s.file.Close()
	s.file = full
	if n, err := s.Write([]byte(rest)); n != len(rest) || err != nil {
		t.Fatalf("Write() = %d, %v, want %d octets in memory", n, err, len(rest))
	}
	checkSpooled(t, &s, begin+rest)
}

func checkSpooled(t *testing.T, s *spool, want string) {
	t.Helper()
	file, err := s.asFile()
	if err != nil {
		t.Fatalf("asFile() = %v, want no error", err)
	}
	if got, err := io.ReadAll(file); string(got) != want || err != nil {
		t.Errorf("the program would read %d octets, %v, want the %d written", len(got), err, len(want))
	}
}

// The room for messages does not depend on the folder for temporary files as far as they fit into
// memory, and a message that does not fit is refused alone.
func TestMDA_noTempDir(t *testing.T) {
	m := openMDA(t, t.TempDir()).Target.(*MDA)
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "missing"))
	m.Command = `cat > "$OUT/message"`
	if room, err := m.Room(t.Context()); room < spareOctets || err != nil {
		t.Errorf("Room() = %d, %v, want room for what fits into memory", room, err)
	}
	if err := pipe(t, t.Context(), m, Envelope{}, strings.Repeat("line\r\n", spoolOctets)); err != nil {
		t.Errorf("the message is refused: %v", err)
	}
	d, err := begin(t, m).Create(t.Context(), Envelope{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Write(make([]byte, spareOctets+(1<<20)))
	var refusal *Error
	if !errors.As(err, &refusal) || !refusal.Temporary || !strings.Contains(err.Error(), "TMPDIR") {
		t.Errorf("Write() of a message too large = %v, want a refusal for now that names TMPDIR", err)
	}
}
