package config

import (
	"strconv"
	"strings"
)

// keyLine is the place of a key or of a table's header.
type keyLine struct {
	path   []string
	name   string // see place.name
	line   int    // from 1
	header bool   // it is a table's header
}

// lineIndex lists the keys and table headers of a TOML document, in the order of the document. The
// TOML package knows the lines too, but reports them only in syntax errors.
type lineIndex []keyLine

// indexLines makes the index of a document that the TOML package has accepted. For any other
// document the result is meaningless. FuzzLines checks that the paths and their order are those of
// toml.MetaData.Keys.
func indexLines(document string) lineIndex {
	s := newLineScanner(document)
	for s.next() {
		s.item()
	}
	return s.index
}

// lines returns all line numbers, by the names of place.name. A table may have no line of its own,
// such as a in "a.b = 1". It then has the line of the first key below it. Nothing deeper than
// deepest is asked for.
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

// deepest is how many parts a name may have: account.NAME.KEY and two more.
const deepest = 5

// above returns the names of the tables and lists around a name, down to the depth of deepest.
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

// below returns the different names directly below a table, in the order of the document.
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
