package deliver

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestSpool(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	var s spool
	defer s.Close()
	want := strings.Repeat("0123456789", spoolOctets/10*2)
	for piece := range slices.Chunk([]byte(want), 1000) {
		if _, err := s.Write(piece); err != nil {
			t.Fatalf("Write() = %v, want no error", err)
		}
	}
	if got := files(t, dir); len(got) != 0 {
		t.Errorf("the spool's file has a name: %q, want none", got)
	}
	if head, err := s.head(); string(head) != want[:headOctets] || err != nil {
		t.Errorf("head() = %d octets, %v, want the first %d", len(head), err, headOctets)
	}
	file, err := s.asFile()
	if err != nil {
		t.Fatalf("asFile() = %v, want no error", err)
	}
	if got := mode(t, fmt.Sprintf("/proc/self/fd/%d", file.Fd())); got != 0o600 {
		t.Errorf("the spool's mode = %o, want 600", got)
	}
	if got := readAll(t, []string{fmt.Sprintf("/proc/self/fd/%d", file.Fd())}); got[0] != want {
		t.Errorf("the spool holds %d octets, want the %d written", len(got[0]), len(want))
	}
}
