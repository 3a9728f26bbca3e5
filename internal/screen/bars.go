package screen

import (
	"fmt"
	"strings"

	ansi "github.com/jedib0t/go-pretty/v6/text"
)

// Bar is one live line that shows how far some work is.
type Bar struct {
	Name string
	Part float64 // of the work that is done, 0 to 1; negative: unknown, and no bar is shown

	Messages, Octets, Speed, Left, Waiting string
}

// The cells of a bar, in their order on the line.
const (
	share = iota
	messages
	octets
	speed
	left
	waiting
	cells
)

// dispensable has the cells in the order in which they are left out of a narrow terminal.
var dispensable = []int{share, octets, waiting, left, speed, messages}

const (
	gap         = 2  // blanks between two cells
	leastName   = 14 // a longer name is cut to this before a cell is left out
	shortName   = 5
	leastGauge  = 10 // a narrower gauge is not shown
	widestGauge = 60
)

func (b *Bar) cell(which int) string {
	if which == share && b.Part >= 0 {
		return fmt.Sprintf("%d%%", int(100*b.Part))
	}
	return [cells]string{messages: b.Messages, octets: b.Octets, speed: b.Speed, left: b.Left, waiting: b.Waiting}[which]
}

// Layout returns the lines of bars for a terminal with so many columns. The last column stays free,
// because some terminals fold a line that reaches it.
func Layout(bars []Bar, columns int) []string {
	room := columns - 1
	if room < 1 {
		return nil
	}
	var widths [cells]int
	name := 0
	for i := range bars {
		name = max(name, Width(bars[i].Name))
		for c := range widths {
			widths[c] = max(widths[c], Width(bars[i].cell(c)))
		}
	}
	used := 0
	for _, w := range widths {
		used += space(w)
	}
	least := min(name, leastName)
	for _, c := range dispensable {
		if c == messages { // rather than these, a part of the name goes
			least = min(name, shortName)
		}
		if least+used <= room {
			break
		}
		used -= space(widths[c])
		widths[c] = 0
	}
	name = min(name, max(least, room-used-space(leastGauge), min(leastName, room-used)), room)
	gauge := min(room-used-name-gap, widestGauge)
	lines := make([]string, len(bars))
	for i := range bars {
		lines[i] = bars[i].line(name, gauge, widths)
	}
	return lines
}

// space returns how many columns a cell takes besides those before it.
func space(width int) int {
	if width == 0 {
		return 0
	}
	return gap + width
}

func (b *Bar) line(name, gauge int, widths [cells]int) string {
	var line strings.Builder
	line.WriteString(ansi.AlignLeft.Apply(Cut(b.Name, name), name))
	if gauge >= leastGauge {
		line.WriteString(strings.Repeat(" ", gap) + b.gauge(gauge))
	}
	for c, width := range widths {
		if width > 0 {
			line.WriteString(ansi.AlignRight.Apply(b.cell(c), gap+width))
		}
	}
	return strings.TrimRight(line.String(), " ")
}

// gauge draws the bar itself. With NO_COLOR it has no colour.
func (b *Bar) gauge(width int) string {
	if b.Part < 0 {
		return strings.Repeat(" ", width)
	}
	full := int(b.Part * float64(width-2))
	drawn := strings.Repeat("=", full)
	if full > 0 && full < width-2 {
		drawn = drawn[1:] + ">"
	}
	return "[" + ansi.FgGreen.Sprint(drawn) + strings.Repeat(" ", width-2-full) + "]"
}
