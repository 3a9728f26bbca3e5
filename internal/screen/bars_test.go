package screen_test

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	ansi "github.com/jedib0t/go-pretty/v6/text"

	"github.com/popfetch/popfetch/internal/screen"
)

var bars = []screen.Bar{
	{Name: "work", Part: 0.48, Messages: "4812/10000", Octets: "19.7/41.0 MB", Speed: "9.3 MB/s", Left: "0:02 left", Waiting: "120 waiting"},
	{Name: "an account with a long name", Part: 0, Messages: "0/3", Octets: "0/812 B", Speed: "0 B/s"},
	{Name: "日本語のアカウント", Part: 1, Messages: "7/7", Octets: "1.2/1.2 GB", Speed: "12.3 MB/s", Waiting: "7 waiting"},
	{Name: "slow", Part: -1, Messages: "looking"},
	{Name: "3/7 accounts", Part: 0.731, Messages: "4819/10010", Octets: "1.2/1.2 GB", Speed: "21.6 MB/s", Left: "1:02:03 left", Waiting: "127 waiting"},
}

// TestLayout compares the lines for several widths with golden files, without colours. None is too
// wide, for any width.
func TestLayout(t *testing.T) {
	ansi.DisableColors()
	defer ansi.EnableColors()
	for _, columns := range []int{200, 120, 80, 60, 40, 20} {
		got := ""
		for _, line := range screen.Layout(bars, columns) {
			got += line + "\n"
		}
		file := "testdata/layout-" + strconv.Itoa(columns) + ".txt"
		if os.Getenv("POPFETCH_GOLDEN") == "write" {
			if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("with %d columns the bars are\n%swant\n%s", columns, got, want)
		}
	}
	for columns := range 300 {
		lines := screen.Layout(bars, columns)
		if slices.ContainsFunc(lines, func(line string) bool { return screen.Width(line) >= columns }) || len(lines) < len(bars) && columns > 1 {
			t.Errorf("with %d columns the bars are %q", columns, lines)
		}
	}
}

// Colours change nothing but the colours.
func TestLayout_colours(t *testing.T) {
	ansi.DisableColors()
	plain := strings.Join(screen.Layout(bars, 100), "\n")
	ansi.EnableColors()
	coloured := strings.Join(screen.Layout(bars, 100), "\n")
	if got := ansi.StripEscape(coloured); got != plain || coloured == plain {
		t.Errorf("with colours the bars are %q, want colours and %q", coloured, plain)
	}
}
