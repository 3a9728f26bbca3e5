package pop3

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReaderLine(t *testing.T) {
	tests := []struct {
		name, stream string
		limit        int
		want         []string
		err          error // returned after these lines
	}{
		{"C0005/crlf", "+OK\r\n+OK two\r\n", 80, []string{"+OK", "+OK two"}, io.ErrUnexpectedEOF},
		{"C0005/lone-lf", "+OK\n+OK two\n", 80, []string{"+OK", "+OK two"}, io.ErrUnexpectedEOF},
		{"C0005/lone-cr", "+OK\rmore\r\n", 80, []string{"+OK\rmore"}, io.ErrUnexpectedEOF},
		{"C0005/cr-cr-lf", "+OK\r\r\n", 80, []string{"+OK\r"}, io.ErrUnexpectedEOF},
		{"C0005/cut", "+OK\r\n+O", 80, []string{"+OK"}, io.ErrUnexpectedEOF},
		{"C0005/cut-after-cr", "+OK\r", 80, nil, io.ErrUnexpectedEOF},
		{"C0005/empty", "\r\n\n", 80, []string{"", ""}, io.ErrUnexpectedEOF},
		{"C0005/nothing", "", 80, nil, io.ErrUnexpectedEOF},
		{"R2449-7/limit", "123456\r\n", 8, []string{"123456"}, io.ErrUnexpectedEOF},
		{"R2449-7/above-limit", "1234567\r\n", 8, nil, errLineTooLong},
		{"R2449-7/never-ends", strings.Repeat("x", 9000), 8192, nil, errLineTooLong},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, split := range splits {
				r := newReader(split.of(strings.NewReader(tt.stream)))
				for _, want := range tt.want {
					got, err := r.line(tt.limit)
					if string(got) != want || err != nil {
						t.Fatalf("%s: line() = %q, %v, want %q", split.name, got, err, want)
					}
				}
				if got, err := r.line(tt.limit); !errors.Is(err, tt.err) {
					t.Errorf("%s: line() = %q, %v, want %v", split.name, got, err, tt.err)
				}
			}
		})
	}
}

// splits has the ways in which a stream may come in pieces.
var splits = []struct {
	name string
	of   func(io.Reader) io.Reader
}{
	{"whole", func(r io.Reader) io.Reader { return r }},
	{"octets", iotest.OneByteReader},
	{"halves", iotest.HalfReader},
	{"with-error", iotest.DataErrReader},
}

func TestCut_says_where(t *testing.T) {
	for stream, want := range map[string]string{
		"+O": "connection closed inside a reply: unexpected EOF",
		"":   "connection closed before a reply: unexpected EOF",
	} {
		_, err := newReader(strings.NewReader(stream)).line(80)
		if err == nil || err.Error() != want {
			t.Errorf("C0005: line() of %q: %v, want %v", stream, err, want)
		}
	}
}

func TestBodyReader(t *testing.T) {
	border := strings.Repeat("x", bufferOctets-3)
	tests := []struct{ name, stream, want, rest string }{
		{"C0023/rfc", "one\r\ntwo\r\n.\r\n+OK", "one\r\ntwo\r\n", "+OK"},
		{"C0023/empty", ".\r\n", "", ""},
		{"C0023/empty-line", "\r\n.\r\n", "\r\n", ""},
		{"C0023/nul-and-8-bit", "\x00\xff\x80\r\n.\r\n", "\x00\xff\x80\r\n", ""},
		{"C0023/bare-lf", "a\nb\n\r\n.\r\n", "a\nb\n\r\n", ""},
		{"C0023/bare-cr", "a\rb\r\r\n.\r\n", "a\rb\r\r\n", ""},
		{"C0023/cr-cr-lf", "a\r\r\n\r\r\n.\r\n", "a\r\r\n\r\r\n", ""},
		{"V0002/stuffed", "..\r\n.\r\n", ".\r\n", ""},
		{"V0002/two-dots", "...\r\n..x\r\n.\r\n", "..\r\n.x\r\n", ""},
		{"V0002/dot-and-data", ".x\r\n.\r\n", "x\r\n", ""},
		{"V0002/dot-inside", "a.\r\n.\r\n", "a.\r\n", ""},
		{"V0002/lf-dot-lf", "a\n.\nb\r\n.\r\n", "a\n.\nb\r\n", ""},
		{"V0002/lf-dot-crlf", "a\n.\r\nb\r\n.\r\n", "a\n.\r\nb\r\n", ""},
		{"V0002/cr-dot", "a\r.\r\n.\r\n", "a\r.\r\n", ""},
		{"V0002/dot-lf", ".\nb\r\n.\r\n", "\nb\r\n", ""},
		{"V0002/dot-cr", ".\rb\r\n.\r\n", "\rb\r\n", ""},
		{"V0002/dot-cr-cr-lf", ".\r\r\n.\r\n", "\r\r\n", ""},
		{"V0002/next-reply", ".\r\n.\r\n", "", ".\r\n"},
		{"V0002/border", border + "\r\n..y\r\n.\r\n", border + "\r\n.y\r\n", ""},
		{"V0002/border-of-end", border + "x\r\n.\r\n", border + "x\r\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, split := range splits {
				b := bodyReader{reader: newReader(split.of(strings.NewReader(tt.stream)))}
				for _, most := range []int{1, 2, 3, 7, bufferOctets} {
					b = bodyReader{reader: newReader(split.of(strings.NewReader(tt.stream)))}
					got, err := readBody(&b, most)
					if !errors.Is(err, io.EOF) || got != tt.want {
						t.Fatalf("%s, %d octets at most: %.80q, %v, want %.80q, EOF", split.name, most, got, err, tt.want)
					}
				}
				rest, _ := io.ReadAll(io.MultiReader(bytes.NewReader(b.buffered()), b.src))
				if string(rest) != tt.rest {
					t.Errorf("%s: %q is left, want %q", split.name, rest, tt.rest)
				}
			}
		})
	}
}

// readBody reads a body to its end. It gets io.EOF only if the terminating line came.
func readBody(b *bodyReader, most int) (string, error) {
	var all []byte
	for {
		octets, err := b.next(most)
		all = append(all, octets...)
		if err != nil {
			return string(all), err
		}
	}
}

func TestBodyReader_cut(t *testing.T) {
	const stream = "From: a\r\n\r\n..\r\n.x\r\nend\r\n.\r\n"
	for n := range len(stream) {
		for _, split := range splits {
			b := bodyReader{reader: newReader(split.of(strings.NewReader(stream[:n])))}
			if got, err := readBody(&b, 5); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("C0006/%d/%s: %q, %v, want %v", n, split.name, got, err, io.ErrUnexpectedEOF)
			}
		}
	}
}

// endless is a body that repeats a line without end.
type endless struct{ line, rest []byte }

func (e *endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if len(e.rest) == 0 {
			e.rest = e.line
		}
		copied := copy(p[n:], e.rest)
		e.rest = e.rest[copied:]
		n += copied
	}
	return n, nil
}

func TestBodyReader_allocations(t *testing.T) {
	for name, line := range map[string]string{
		"C0022/lines":    "a line of ordinary length, as most mail has them\r\n",
		"C0022/dots":     "..\r\n",
		"C0022/no-lines": strings.Repeat("x", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			b := bodyReader{reader: newReader(&endless{line: []byte(line)})}
			got := testing.AllocsPerRun(10, func() {
				for range 50 {
					if _, err := b.next(bufferOctets); err != nil {
						t.Fatal(err)
					}
				}
			})
			if got != 0 {
				t.Errorf("%v allocations for a body, want 0", got)
			}
		})
	}
}

func BenchmarkBodyReader(b *testing.B) {
	for name, line := range map[string]string{
		"lines": "a line of seventy-two octets, which is about what most mail has, no more\r\n",
		"dots":  "..\r\n",
	} {
		b.Run(name, func(b *testing.B) {
			body := bodyReader{reader: newReader(&endless{line: []byte(line)})}
			b.ReportAllocs()
			octets := int64(0)
			for b.Loop() {
				chunk, err := body.next(bufferOctets)
				if err != nil {
					b.Fatal(err)
				}
				octets += int64(len(chunk))
			}
			b.ReportMetric(float64(octets)/1e6/b.Elapsed().Seconds(), "MB/s")
		})
	}
}

func TestParseListing_allocations(t *testing.T) {
	var ids idStore
	scan, uid := []byte("123456 4096"), []byte("123456 0001e2405b3f5c9d")
	got := testing.AllocsPerRun(10_000, func() {
		_, ok := parseScanListing(scan)
		_, id, known := parseUniqueIDListing(uid)
		if !ok || !known {
			t.Fatal("not parsed")
		}
		ids.keep(id)
	})
	if got != 0 { // a thousand ids share a piece of memory
		t.Errorf("%v allocations for a line of LIST and one of UIDL, want 0", got)
	}
}

func BenchmarkParseListing(b *testing.B) {
	b.Run("LIST", func(b *testing.B) {
		line := []byte("123456 4096")
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := parseScanListing(line); !ok {
				b.Fatal("not parsed")
			}
		}
	})
	b.Run("UIDL", func(b *testing.B) {
		line := []byte("123456 0001e2405b3f5c9d")
		var ids idStore
		b.ReportAllocs()
		for b.Loop() {
			_, id, ok := parseUniqueIDListing(line)
			if !ok {
				b.Fatal("not parsed")
			}
			ids.keep(id)
		}
	})
}
