package screen

import (
	"os"
	"slices"
	"strings"

	ansi "github.com/jedib0t/go-pretty/v6/text"
)

// frame is live lines as they are shown. The cursor is at the start of the line below them. So a
// program that is killed leaves the cursor where a shell goes on. The cursor is never hidden.
type frame struct {
	lines   []string
	columns int
}

// newFrame returns the lines that there is room for, or nil.
func newFrame(lines []string, columns, rows int) *frame {
	if lines = lines[:max(0, min(len(lines), rows-1))]; len(lines) == 0 {
		return nil
	}
	return &frame{lines, columns}
}

func (f *frame) String() string {
	if f == nil {
		return ""
	}
	return strings.Join(f.lines, "\n") + "\n"
}

// differs reports whether drawing f in place of other would change anything.
func (f *frame) differs(other *frame) bool {
	if f == nil || other == nil {
		return f != other
	}
	return f.columns != other.columns || !slices.Equal(f.lines, other.lines)
}

// wipe returns what removes the lines from a terminal that is columns wide; 0: as wide as before. In
// a terminal that has become narrower, a line takes several rows now. The rows are erased one by one:
// some terminals keep what is erased at once, from the top of the screen to its end.
func (f *frame) wipe(columns int) string {
	if f == nil {
		return ""
	}
	rows := len(f.lines)
	for _, line := range f.lines {
		if columns > 0 && columns < f.columns && folds() {
			rows += max(0, Width(line)-1) / columns
		}
	}
	up := ansi.CursorUp.Sprintn(rows)
	return "\r" + up + strings.Repeat(ansi.EraseLine.Sprint()+"\n", rows) + up
}

// folds reports whether a terminal folds the lines that it shows when it becomes narrower. Most do.
// xterm and the console of Linux cut them.
func folds() bool { return os.Getenv("XTERM_VERSION") == "" && os.Getenv("TERM") != "linux" }

// Width returns how many columns a text takes on a terminal. Colours in it take none.
func Width(text string) int { return ansi.StringWidthWithoutEscSequences(text) }

// Cut returns the start of a text that is too wide, with an ellipsis.
func Cut(text string, columns int) string { return ansi.Snip(text, columns, "…") }
