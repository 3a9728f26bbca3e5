package config

import (
	"strconv"
	"strings"
)

// keyLine says where a key or a table's header is written.
type keyLine struct {
	path   []string
	name   string // see place.name
	line   int    // from 1
	header bool   // of a table
}

// lineIndex lists the keys and table headers of a TOML document in the order
// they are written. The TOML package knows the lines too, but tells them only
// in syntax errors.
type lineIndex []keyLine

// indexLines makes the index of a document that the TOML package has accepted;
// of any other, the result is of no use. It holds the same paths in the same
// order as toml.MetaData.Keys, which FuzzLines checks.
func indexLines(document string) lineIndex {
	s := newLineScanner(document)
	for s.next() {
		s.item()
	}
	return s.index
}

// lines returns where everything is written, by the names of place.name. A table
// that has no line of its own, such as a in "a.b = 1", is where the first key
// below it is; nothing deeper than deepest is asked for.
func (index lineIndex) lines() map[string]int {
	lines := map[string]int{}
	add := func(name string, line int) {
		if _, found := lines[name]; !found {
			lines[name] = line
		}
	}
	for _, k := range index {
		add(k.name, k.line)
	}
	for _, k := range index {
		for _, name := range above(k.name) {
			add(name, k.line)
		}
	}
	return lines
}

// deepest is how many tables may be within each other: account.NAME.KEY and two more.
const deepest = 5

// above returns the names of the tables and lists that a name stands in, as far
// as they are not deeper than deepest.
func above(name string) []string {
	var names []string
	quoted, depth := false, 0
	for i := 0; i < len(name) && depth < deepest; i++ {
		switch c := name[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '.' || c == '#'):
			names = append(names, name[:i])
			if c == '.' {
				depth++
			}
		}
	}
	return names
}

// below returns the different names right below the table name, in the order
// they are written.
func (index lineIndex) below(table string) []string {
	var names []string
	known := map[string]bool{}
	for _, k := range index {
		if len(k.path) > 1 && k.path[0] == table && !known[k.path[1]] {
			known[k.path[1]] = true
			names = append(names, k.path[1])
		}
	}
	return names
}

// dotted returns a path as it is written in TOML, quoted where needed.
func dotted(path ...string) string {
	parts := make([]string, len(path))
	for i, part := range path {
		parts[i] = part
		if part == "" || strings.ContainsFunc(part, func(r rune) bool { return r > 0x7f || !isBare(byte(r)) }) {
			parts[i] = strconv.Quote(part)
		}
	}
	return strings.Join(parts, ".")
}

// isBare reports whether c may stand in a key without quotes.
func isBare(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}
