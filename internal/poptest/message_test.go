package poptest

import (
	"bytes"
	"errors"
	"testing"
)

func TestStuff(t *testing.T) {
	tests := []struct{ name, content, want string }{
		{"empty", "", ".\r\n"},
		{"no end", "a", "a\r\n.\r\n"},
		{"line", "a\r\n", "a\r\n.\r\n"},
		{"dot first", ".a\r\n", "..a\r\n.\r\n"},
		{"dot alone", ".", "..\r\n.\r\n"},
		{"dot line", "a\r\n.\r\nb\r\n", "a\r\n..\r\nb\r\n.\r\n"},
		{"dots", "..\r\n...\r\n", "...\r\n....\r\n.\r\n"},
		{"inner dot", "a.b\r\n", "a.b\r\n.\r\n"},
		{"bare LF", "a\n.\nb\r\n", "a\n.\nb\r\n.\r\n"},
		{"bare CR", "a\r.\r\n", "a\r.\r\n.\r\n"},
		{"CR CR LF", "a\r\r\n.b\r\n", "a\r\r\n..b\r\n.\r\n"},
		{"ends in CR", "a\r", "a\r\r\n.\r\n"},
		{"LF first", "\n.", "\n.\r\n.\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(Stuff([]byte(tt.content))); got != tt.want {
				t.Errorf("Stuff(%q) = %q, want %q", tt.content, got, tt.want)
			}
			// The result is the same if the content is written octet by octet.
			var single bytes.Buffer
			d := &dotWriter{w: &single}
			for i := range len(tt.content) {
				if _, err := d.Write([]byte{tt.content[i]}); err != nil {
					t.Fatal(err)
				}
			}
			_ = d.Close()
			if single.String() != tt.want {
				t.Errorf("octet by octet: got %q, want %q", single.String(), tt.want)
			}
		})
	}
}

func TestTopWriter(t *testing.T) {
	const message = "A: b\r\nC:\r\n\r\none\r\ntwo\r\n\r\nfour"
	tests := []struct {
		name, message string
		lines         int64
		want          string
		done          bool
	}{
		{"none", message, 0, "A: b\r\nC:\r\n\r\n", true},
		{"one", message, 1, "A: b\r\nC:\r\n\r\none\r\n", true},
		{"three", message, 3, "A: b\r\nC:\r\n\r\none\r\ntwo\r\n\r\n", true},
		{"more than there are", message, 9, message, false},
		{"no header", "\r\none\r\ntwo\r\n", 1, "\r\none\r\n", true},
		{"header only", "A: b\r\n", 5, "A: b\r\n", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got bytes.Buffer
			w := &topWriter{w: &got, lines: tt.lines, blankLine: true}
			_, err := w.Write([]byte(tt.message))
			if got.String() != tt.want || errors.Is(err, errTopDone) != tt.done {
				t.Errorf("got %q and %v, want %q and done = %v", got.String(), err, tt.want, tt.done)
			}
		})
	}
}

// A message has the number of octets that LIST announces, for any size.
func TestNumbered(t *testing.T) {
	for octets := range int64(400) {
		for i, m := range Numbered(2, octets) {
			var content bytes.Buffer
			if err := m.write(&content); err != nil {
				t.Fatal(err)
			}
			if int64(content.Len()) != m.octets() || !bytes.HasSuffix(content.Bytes(), []byte("\r\n")) {
				t.Errorf("Numbered(2, %d)[%d]: %d octets ending in %q, announced %d", octets, i, content.Len(),
					content.Bytes()[content.Len()-2:], m.octets())
			}
			if bare := bytes.Count(content.Bytes(), []byte("\r")) - bytes.Count(content.Bytes(), []byte("\r\n")); bare != 0 {
				t.Errorf("Numbered(2, %d)[%d]: %d bare CRs", octets, i, bare)
			}
		}
	}
	large := Numbered(1, 3<<20)[0]
	var count countWriter
	if err := large.write(&count); err != nil || int64(count) != 3<<20 {
		t.Errorf("a message of %d octets wrote %d, %v", 3<<20, count, err)
	}
}

type countWriter int64

func (c *countWriter) Write(p []byte) (int, error) {
	*c += countWriter(len(p))
	return len(p), nil
}
