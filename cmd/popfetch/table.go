package main

import (
	"strings"

	"github.com/popfetch/popfetch/internal/screen"
)

// tableRows is how many rows decide the widths of a table. The rows behind them are cut to these.
const tableRows = 1000

// leastColumn is the width below which no column is cut.
const leastColumn = 4

// table prints rows of cells: on a terminal as a table with a head that fits the width, elsewhere
// separated by tabs, without a head and uncut.
type table struct {
	term   *terminal
	head   []string
	rows   [][]string
	widths []int // set with the first rows that are printed
}

func (t *terminal) table(head ...string) *table { return &table{term: t, head: head} }

// row prints a row, or keeps it until the widths are known. Its last cells may be left out.
func (t *table) row(cells ...string) error {
	if t.term.columns > 0 {
		if t.rows = append(t.rows, cells); len(t.rows) < tableRows {
			return nil
		}
		return t.flush()
	}
	return t.term.printf("%s\n", strings.Join(cells, "\t"))
}

// flush prints the rows that are kept. It is called at the end.
func (t *table) flush() error {
	rows := t.rows
	if len(rows) == 0 {
		return nil
	}
	if t.widths == nil {
		rows = append([][]string{t.head}, rows...)
		t.widths = fit(rows, t.term.columns)
	}
	t.rows = t.rows[:0]
	var text strings.Builder
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			cell = screen.Cut(cell, t.widths[i])
			line += cell + strings.Repeat(" ", t.widths[i]-screen.Width(cell)+2)
		}
		text.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return t.term.printf("%s", text.String())
}

// fit returns the widths of columns, which are two blanks apart, so that a line fits. The widest
// columns are cut.
func fit(rows [][]string, columns int) []int {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], screen.Width(cell))
		}
	}
	for {
		total, widest := -2, 0
		for i, w := range widths {
			if w > 0 { // an empty column takes no room
				total += w + 2
			}
			if w > widths[widest] {
				widest = i
			}
		}
		if total <= columns || widths[widest] <= leastColumn {
			return widths
		}
		widths[widest]--
	}
}
