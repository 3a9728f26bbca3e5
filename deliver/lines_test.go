package deliver

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"testing"
)

// toLF is the reference that lineWriter is compared with.
func toLF(wire []byte) []byte { return bytes.ReplaceAll(wire, []byte("\r\n"), []byte("\n")) }

func runLineWriter(t testing.TB, wire []byte, cuts ...int) []byte {
	t.Helper()
	var got bytes.Buffer
	w := newLineWriter(&got)
	defer w.release()
	from := 0
	for _, to := range append(cuts, len(wire)) {
		if n, err := w.Write(wire[from:to]); n != to-from || err != nil {
			t.Fatalf("Write() of %d octets = %d, %v, want all", to-from, n, err)
		}
		from = to
	}
	sum, err := w.finish()
	if err != nil {
		t.Fatalf("finish() = %v, want no error", err)
	}
	if want := (Sum{int64(got.Len()), sha256.Sum256(got.Bytes())}); sum != want {
		t.Errorf("finish() = %+v, want that of the octets written, %+v", sum, want)
	}
	return got.Bytes()
}

// C0023: the test writes every text of length 5 over the octets that matter, cut at every two
// places.
func TestLineWriter(t *testing.T) {
	const alphabet, length = "\r\na", 5
	wire := make([]byte, length)
	for code := range 3 * 3 * 3 * 3 * 3 {
		for i := range wire {
			wire[i] = alphabet[code%3]
			code /= 3
		}
		for first := range length + 1 {
			for second := first; second <= length; second++ {
				if got, want := runLineWriter(t, wire, first, second), toLF(wire); !bytes.Equal(got, want) {
					t.Errorf("%q cut at %d and %d arrives as %q, want %q", wire, first, second, got, want)
				}
			}
		}
	}
}

// C0023: a CR and the octet behind it lie on both sides of the buffer's end.
func TestLineWriter_bufferEnd(t *testing.T) {
	for _, tail := range []string{"\r", "\r\n", "\r\r\n", "\n\r", "\r\n\r\n", "\ra"} {
		for before := bufferOctets - 4; before <= bufferOctets+1; before++ {
			wire := []byte(strings.Repeat("x", before) + tail)
			if got, want := runLineWriter(t, wire), toLF(wire); !bytes.Equal(got, want) {
				t.Errorf("%d octets and %q arrive as …%q, want …%q", before, tail, got[before:], want[before:])
			}
		}
	}
}

// FuzzLineWriter compares lineWriter with the reference, for any octets and any cut.
func FuzzLineWriter(f *testing.F) {
	f.Add([]byte("a\r\r\nb\r"), 3)
	f.Fuzz(func(t *testing.T, wire []byte, cut int) {
		if cut < 0 || cut > len(wire) {
			cut = 0
		}
		if got, want := runLineWriter(t, wire, cut), toLF(wire); !bytes.Equal(got, want) {
			t.Errorf("%q cut at %d arrives as %q, want %q", wire, cut, got, want)
		}
	})
}

type fullWriter struct{ room int }

var errFull = errors.New("full")

func (w *fullWriter) Write(p []byte) (int, error) {
	if len(p) > w.room {
		return 0, errFull
	}
	w.room -= len(p)
	return len(p), nil
}

func TestLineWriter_error(t *testing.T) {
	w := newLineWriter(&fullWriter{room: bufferOctets})
	defer w.release()
	large := make([]byte, 3*bufferOctets)
	if n, err := w.Write(large); n != 0 || !errors.Is(err, errFull) {
		t.Errorf("Write() beyond what there is room for = %d, %v, want 0, %v", n, err, errFull)
	}
	if _, err := w.Write([]byte("x")); !errors.Is(err, errFull) {
		t.Errorf("Write() after an error = %v, want it again", err)
	}
	if _, err := w.finish(); !errors.Is(err, errFull) {
		t.Errorf("finish() after an error = %v, want it again", err)
	}
}

func TestLineWriter_allocations(t *testing.T) {
	w := newLineWriter(io.Discard)
	defer w.release()
	line := []byte("a line as mail has them, of some seventy octets, ended by CR and LF\r\n")
	if got := testing.AllocsPerRun(10_000, func() { _, _ = w.Write(line) }); got != 0 {
		t.Errorf("Write() allocates %v times, want 0", got)
	}
}

func BenchmarkLineWriter(b *testing.B) {
	w := newLineWriter(io.Discard)
	defer w.release()
	line := []byte("a line as mail has them, of some seventy octets, ended by CR and LF\r\n")
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		_, _ = w.Write(line)
	}
}
