package deliver

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func openMbox(t *testing.T, dir string) fixture {
	t.Helper()
	spools := filepath.Join(dir, "spools")
	if err := os.Mkdir(spools, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", spools)
	path := filepath.Join(dir, "mail", "mbox")
	return fixture{
		Target:    NewMbox(path, filepath.Join(t.TempDir(), "notes")), // its file stays open
		delivered: func(t *testing.T) []string { return readMbox(t, path) },
		leftovers: func(t *testing.T) []string {
			return slices.DeleteFunc(files(t, dir), func(f string) bool {
				return f == path
			})
		},
		spares:   true,
		endsLine: true,
	}
}

func TestMbox(t *testing.T) { testTarget(t, openMbox) }

// readMbox returns the messages of an mbox as they were delivered. It is another way to read one
// than that of the program.
func readMbox(t *testing.T, path string) []string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	messages := splitMbox(t, string(content))
	slices.Sort(messages)
	return messages
}

func splitMbox(t *testing.T, text string) (messages []string) {
	t.Helper()
	var message *strings.Builder
	add := func() {
		if message != nil {
			whole, ok := strings.CutSuffix(message.String(), "\n")
			if !ok {
				t.Errorf("a message ends without an empty line: %q", whole)
			}
			messages = append(messages, whole)
		}
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "From ") {
			add()
			message = new(strings.Builder)
			continue
		}
		if message == nil {
			t.Fatalf("the mbox begins with %q", line)
		}
		if strings.HasPrefix(strings.TrimLeft(line, ">"), "From ") {
			line = line[1:]
		}
		message.WriteString(line)
	}
	add()
	return messages
}

func openStdout(t *testing.T, dir string) fixture {
	t.Helper()
	spools := filepath.Join(dir, "spools")
	if err := os.Mkdir(spools, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", spools)
	var written bytes.Buffer
	return fixture{
		Target: NewStdout(&written),
		delivered: func(t *testing.T) []string {
			messages := splitMbox(t, written.String())
			slices.Sort(messages)
			return messages
		},
		leftovers: func(t *testing.T) []string { return files(t, spools) },
		spares:    true,
		endsLine:  true,
	}
}

func TestStdout(t *testing.T) { testTarget(t, openStdout) }

// Whatever octets a message has and however they are written, quoting is reversible, and no line
// looks like a From_ line.
func FuzzFromFilter(f *testing.F) {
	f.Add("From a\n>From b\n>>From c\nFrom", 3)
	f.Add(">\n>>>>From From From >From \nFro", 1)
	f.Add(">F", 1)
	f.Fuzz(func(t *testing.T, message string, step int) {
		step = 1 + max(0, step)%9
		through := func(text string, remove bool) string {
			var out bytes.Buffer
			var filter fromFilter
			filter.reset(&out, remove)
			for piece := range slices.Chunk([]byte(text), step) {
				if _, err := filter.Write(piece); err != nil {
					t.Fatal(err)
				}
			}
			if err := filter.finish(); err != nil {
				t.Fatal(err)
			}
			return out.String()
		}
		quoted := through(message, false)
		if strings.HasPrefix(quoted, "From ") || strings.Contains(quoted, "\nFrom ") {
			t.Errorf("%q is quoted as %q, which has a From_ line", message, quoted)
		}
		if back := through(quoted, true); back != message {
			t.Errorf("%q is quoted as %q and comes back as %q", message, quoted, back)
		}
		read, err := io.ReadAll(newUnquoted(strings.NewReader(quoted)))
		if err != nil || string(read) != message {
			t.Errorf("%q is read back as %q, %v", message, read, err)
		}
	})
}
