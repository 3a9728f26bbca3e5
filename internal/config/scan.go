package config

import (
	"strings"

	"github.com/BurntSushi/toml"
)

// lineScanner reads a TOML document item by item. It knows only as much of TOML as it needs to tell
// keys from values. For example, a "[table]" within a text of several lines is no header.
type lineScanner struct {
	text     string
	at       int // octets read so far
	counted  int // octets whose line breaks have been counted
	line     int // the line at counted
	table    []string
	elements map[string]int // number of tables so far in each list of tables, by the list's name
	index    lineIndex

	scalar func(text string)    // is called with each value that holds no others
	broken func(mistake string) // is called with the mistake of an item
}

// newLineScanner returns a scanner at the beginning of a document.
func newLineScanner(document string) *lineScanner {
	// The TOML package skips these byte order marks.
	for _, mark := range []string{"\xff\xfe", "\xfe\xff", "\xef\xbb\xbf"} {
		if rest, found := strings.CutPrefix(document, mark); found {
			document = rest
			break
		}
	}
	return &lineScanner{
		text: document, line: 1, elements: map[string]int{},
		scalar: func(string) {}, broken: func(string) {},
	}
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

// lineAt returns the line of the octet at. It must not be called with an earlier octet later.
func (s *lineScanner) lineAt(at int) int {
	s.line += strings.Count(s.text[s.counted:at], "\n")
	s.counted = at
	return s.line
}

// record adds path to the index. It begins at the octet at.
func (s *lineScanner) record(path []string, at int, header bool) {
	s.index = append(s.index, keyLine{path, s.name(path), s.lineAt(at), header})
}

// name returns the name of a path in the index. If a part of it is a list of tables, the name has
// the number of the last table so far. Parts deeper than deepest get no number.
func (s *lineScanner) name(path []string) string {
	name := ""
	for i, part := range path {
		if i > deepest {
			return name + "." + dotted(path[i:]...)
		}
		name = joinName(name, part)
		if n := s.elements[name]; n > 0 {
			name = elementName(name, n)
		}
	}
	return name
}

// listName returns the name in the index of a path that is a list of tables.
func (s *lineScanner) listName(path []string) string {
	last := len(path) - 1
	return joinName(s.name(path[:last]), path[last])
}

// next moves to the next item, and reports whether there is one.
func (s *lineScanner) next() bool {
	s.skipBlank()
	return s.at < len(s.text)
}

// item reads a table's header, or a key with its value.
func (s *lineScanner) item() {
	if s.peek() != '[' {
		s.pair(s.table)
		return
	}
	at := s.at
	s.skip("[")
	isList := s.at-at > 1
	s.table = s.key(nil)
	if isList {
		s.elements[s.listName(s.table)]++
	}
	s.record(s.table, at, true)
	if s.peek() != ']' {
		s.broken(wrongItem)
	}
	s.skip("] \t")
}

// pair reads "key = value" in the table that prefix names.
func (s *lineScanner) pair(prefix []string) {
	at := s.at
	path := s.key(prefix)
	s.record(path, at, false)
	if s.peek() == '=' {
		s.at++
	} else {
		s.broken(wrongItem)
	}
	s.skip(" \t")
	s.value(path)
	if s.at == at {
		s.at++ // this is no TOML; the scanner must still come to an end
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
		// The TOML package decodes the escapes in a quoted key.
		var decoded struct{ Part string }
		if _, err := toml.Decode("Part = "+s.text[start:s.at], &decoded); err != nil {
			s.broken(wrongText(s.text[start:s.at]))
			return s.text[start:s.at]
		}
		return decoded.Part
	}
	for isBare(s.peek()) {
		s.at++
	}
	if s.at == start {
		s.broken(wrongItem)
	}
	return s.text[start:s.at]
}

// value moves past a value of the key path, and records the keys within it.
func (s *lineScanner) value(path []string) {
	start := s.at
	switch s.peek() {
	case '"', '\'':
		if triple := strings.Repeat(string(s.peek()), 3); strings.HasPrefix(s.text[s.at:], triple) {
			s.multiline()
		} else {
			s.quoted()
		}
		s.scalar(s.text[start:s.at])
	case '[':
		s.at++
		for s.skipBlank(); s.at < len(s.text) && s.peek() != ']'; s.skipBlank() {
			before := s.at
			if s.peek() == '{' {
				s.elements[s.listName(path)]++
			}
			s.value(path)
			if s.at == before {
				s.at++
			}
		}
		s.closing()
	case '{':
		s.at++
		for s.skipBlank(); s.at < len(s.text) && s.peek() != '}'; s.skipBlank() {
			s.pair(path)
		}
		s.closing()
	default:
		s.skipTo(",]}#\r\n")
		s.scalar(s.text[start:s.at])
	}
}

// closing moves past the bracket that closes a list or a table.
func (s *lineScanner) closing() {
	if s.at == len(s.text) {
		s.broken(wrongEnd)
	}
	s.skipOne()
}

// skipOne moves past one octet, if there is one.
func (s *lineScanner) skipOne() {
	s.at = min(s.at+1, len(s.text))
}

// quoted moves past a text of one line, in single or double quotes.
func (s *lineScanner) quoted() {
	quote := s.peek()
	s.at++
	for s.at < len(s.text) && s.peek() != quote {
		s.skipEscape(quote)
		s.skipOne()
	}
	s.skipOne()
}

// multiline moves past a text in three quotes. One or two more quotes may stand before the closing
// three, so the text ends with a run of quotes.
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

// skipEscape moves past a backslash and the octet that it escapes.
func (s *lineScanner) skipEscape(quote byte) {
	if quote == '"' && s.peek() == '\\' {
		s.at++
	}
}
