package config

import (
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// keyLine says where a key or a table's header is written.
type keyLine struct {
	path []string
	line int // from 1
}

// lineIndex lists the keys and table headers of a TOML document in the order
// they are written. The TOML package knows the lines too, but tells them only
// in syntax errors.
type lineIndex []keyLine

// indexLines makes the index of a document that the TOML package has accepted;
// of any other, the result is of no use. It holds the same paths in the same
// order as toml.MetaData.Keys, which FuzzLines checks.
func indexLines(document string) lineIndex {
	// The TOML package passes over these byte order marks.
	for _, mark := range []string{"\xff\xfe", "\xfe\xff", "\xef\xbb\xbf"} {
		if rest, found := strings.CutPrefix(document, mark); found {
			document = rest
			break
		}
	}
	s := lineScanner{text: document, line: 1}
	s.document()
	return s.index
}

// lines returns where each path is written, by its dotted name. A table that
// has no line of its own, such as a in "a.b = 1", is where the first key below
// it is; nothing deeper than account.NAME.key is asked for.
func (index lineIndex) lines() map[string]int {
	lines := map[string]int{}
	add := func(path []string, line int) {
		name := dotted(path...)
		if _, found := lines[name]; !found {
			lines[name] = line
		}
	}
	for _, k := range index {
		add(k.path, k.line)
	}
	for _, k := range index {
		for depth := 1; depth < min(len(k.path), 4); depth++ {
			add(k.path[:depth], k.line)
		}
	}
	return lines
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

// lineScanner walks over a TOML document. It knows just enough to tell keys
// from values: a "[table]" within a text of several lines is no header.
type lineScanner struct {
	text    string
	at      int // octets read
	counted int // octets in which line breaks have been counted
	line    int // the line at counted
	index   lineIndex
}

// peek returns the next octet, or 0 at the end.
func (s *lineScanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

// skip moves past the octets that are in set.
func (s *lineScanner) skip(set string) {
	for s.at < len(s.text) && strings.IndexByte(set, s.text[s.at]) >= 0 {
		s.at++
	}
}

// skipTo moves up to the next octet that is in set.
func (s *lineScanner) skipTo(set string) {
	length := strings.IndexAny(s.text[s.at:], set)
	if length < 0 {
		length = len(s.text) - s.at
	}
	s.at += length
}

// skipBlank moves past blanks, line breaks, commas and comments.
func (s *lineScanner) skipBlank() {
	for s.skip(" \t\r\n,"); s.peek() == '#'; s.skip(" \t\r\n,") {
		s.skipTo("\n")
	}
}

// record adds path, which is written at the octet at.
func (s *lineScanner) record(path []string, at int) {
	s.line += strings.Count(s.text[s.counted:at], "\n")
	s.counted = at
	s.index = append(s.index, keyLine{path, s.line})
}

func (s *lineScanner) document() {
	var table []string
	for s.skipBlank(); s.at < len(s.text); s.skipBlank() {
		if s.peek() != '[' {
			s.pair(table)
			continue
		}
		at := s.at
		s.skip("[")
		table = s.key(nil)
		s.record(table, at)
		s.skip("] \t")
	}
}

// pair reads "key = value" in the table that prefix names.
func (s *lineScanner) pair(prefix []string) {
	at := s.at
	path := s.key(prefix)
	s.record(path, at)
	s.skip("= \t")
	s.value(path)
	if s.at == at {
		s.at++ // no TOML; go on in order to come to an end
	}
}

// key reads a key of one or more parts and returns it below prefix.
func (s *lineScanner) key(prefix []string) []string {
	path := append([]string(nil), prefix...)
	for {
		s.skip(" \t")
		path = append(path, s.keyPart())
		s.skip(" \t")
		if s.peek() != '.' {
			return path
		}
		s.at++
	}
}

func (s *lineScanner) keyPart() string {
	start := s.at
	switch s.peek() {
	case '"', '\'':
		s.quoted()
		// The TOML package shall say what the escapes in a quoted key mean.
		var decoded struct{ Part string }
		if _, err := toml.Decode("Part = "+s.text[start:s.at], &decoded); err != nil {
			return s.text[start:s.at]
		}
		return decoded.Part
	}
	for isBare(s.peek()) {
		s.at++
	}
	return s.text[start:s.at]
}

// value moves past a value of the key path and records the keys within it.
func (s *lineScanner) value(path []string) {
	switch s.peek() {
	case '"', '\'':
		if triple := strings.Repeat(string(s.peek()), 3); strings.HasPrefix(s.text[s.at:], triple) {
			s.multiline()
		} else {
			s.quoted()
		}
	case '[':
		s.at++
		for s.skipBlank(); s.at < len(s.text) && s.peek() != ']'; s.skipBlank() {
			before := s.at
			s.value(path)
			if s.at == before {
				s.at++
			}
		}
		s.skipOne()
	case '{':
		s.at++
		for s.skipBlank(); s.at < len(s.text) && s.peek() != '}'; s.skipBlank() {
			s.pair(path)
		}
		s.skipOne()
	default:
		s.skipTo(",]}#\r\n")
	}
}

// skipOne moves past one octet, if there is one.
func (s *lineScanner) skipOne() {
	s.at = min(s.at+1, len(s.text))
}

// quoted moves past a text of one line in either sort of quotes.
func (s *lineScanner) quoted() {
	quote := s.peek()
	s.at++
	for s.at < len(s.text) && s.peek() != quote {
		s.skipEscape(quote)
		s.skipOne()
	}
	s.skipOne()
}

// multiline moves past a text in three quotes. Up to two quotes may stand
// before the closing three, so it ends with a run of quotes.
func (s *lineScanner) multiline() {
	quote := s.peek()
	s.at += 3
	for s.at < len(s.text) {
		start := s.at
		s.skip(string(quote))
		if s.at-start >= 3 {
			return
		}
		if s.peek() != quote {
			s.skipEscape(quote)
			s.skipOne()
		}
	}
}

// skipEscape moves past a backslash that makes the next octet lose its meaning.
func (s *lineScanner) skipEscape(quote byte) {
	if quote == '"' && s.peek() == '\\' {
		s.at++
	}
}
