// Package screentest shows what a terminal would show.
package screentest

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
)

// Model is a terminal that is as tall as it needs to be. It knows the few control sequences that
// popfetch may use, and panics at others. Its methods may be called at the same time.
type Model struct {
	mu       sync.Mutex
	columns  int
	rows     [][]rune // a rune of two columns is followed by a zero
	row, col int
	rest     string // the beginning of a control sequence
}

// New returns an empty terminal.
func New(columns int) *Model { return &Model{columns: columns, rows: make([][]rune, 1)} }

var sequence = regexp.MustCompile(`^\x1b\[([0-9;]*)([A-Za-z])`)

// Write shows what a program writes.
func (m *Model) Write(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	text := m.rest + string(b)
	for text != "" {
		if text[0] == '\x1b' {
			match := sequence.FindStringSubmatch(text)
			if match == nil {
				break
			}
			m.control(match[1], match[2])
			text = text[len(match[0]):]
			continue
		}
		r, size := utf8.DecodeRuneInString(text)
		m.put(r)
		text = text[size:]
	}
	m.rest = text
	return len(b), nil
}

func (m *Model) control(argument, letter string) {
	switch letter {
	case "A":
		n, _ := strconv.Atoi(argument)
		m.row = max(0, m.row-max(1, n))
	case "K":
		if len(m.rows[m.row]) > m.col {
			m.rows[m.row] = m.rows[m.row][:m.col]
		}
	case "m":
	default:
		panic(fmt.Sprintf("the terminal does not know the sequence ESC [ %s %s", argument, letter))
	}
}

func (m *Model) put(r rune) {
	switch {
	case r == '\r':
		m.col = 0
	case r == '\n':
		m.down()
	case r < ' ' || r == 0x7f:
		panic(fmt.Sprintf("the terminal does not know the octet %#x", r))
	default:
		width := runewidth.RuneWidth(r)
		if m.col+width > m.columns {
			m.down()
		}
		row := m.rows[m.row]
		for len(row) < m.col+width {
			row = append(row, ' ')
		}
		row[m.col] = r
		for i := 1; i < width; i++ {
			row[m.col+i] = 0
		}
		m.rows[m.row] = row
		m.col += width
	}
}

func (m *Model) down() {
	m.col = 0
	if m.row++; m.row == len(m.rows) {
		m.rows = append(m.rows, nil)
	}
}

// Resize changes the width. Lines that are too long are folded.
func (m *Model) Resize(columns int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.columns = columns
	var rows [][]rune
	for i, row := range m.rows {
		if i == m.row {
			m.row = len(rows)
		}
		for len(row) > columns {
			rows = append(rows, row[:columns:columns])
			row = row[columns:]
		}
		rows = append(rows, row)
		if i == len(m.rows)-1 {
			break
		}
	}
	m.rows = rows
}

// String returns the lines, without blanks at their ends and without empty lines at the end.
func (m *Model) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var text strings.Builder
	for _, row := range m.rows {
		text.WriteString(strings.TrimRight(strings.ReplaceAll(string(row), "\x00", ""), " ") + "\n")
	}
	return strings.TrimRight(text.String(), "\n") + "\n"
}
