package foreign

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// errLiteral is the error of a value that is no tuple of strings.
var errLiteral = errors.New(`is no tuple of strings, such as ("a", "b",)`)

// parseTuple reads a Python tuple of strings: ("a", 'b', r"c",). A tuple of one needs its comma, as
// in Python.
func parseTuple(text string) ([]string, error) {
	p := literal{text: text}
	p.blanks()
	list, err := p.tuple()
	if err != nil {
		return nil, err
	}
	p.blanks()
	if p.text != "" {
		return nil, errLiteral
	}
	return list, nil
}

// parsePairs reads a Python tuple of tuples of two strings. A pair alone counts as a tuple of one.
func parsePairs(text string) (pairs [][2]string, err error) {
	p := literal{text: text}
	p.blanks()
	if p.text == "" {
		return nil, nil
	}
	if whole := p; whole.take("(") {
		if whole.blanks(); !strings.HasPrefix(whole.text, "(") {
			list, err := parseTuple(text)
			if err != nil || len(list) != 0 && len(list) != 2 {
				return nil, errPairs
			}
			if len(list) == 2 {
				pairs = append(pairs, [2]string(list))
			}
			return pairs, nil
		}
	}
	if !p.take("(") {
		return nil, errPairs
	}
	comma := true
	for p.blanks(); !p.take(")"); p.blanks() {
		list, err := p.tuple()
		if err != nil || len(list) != 2 || !comma {
			return nil, errPairs
		}
		pairs = append(pairs, [2]string(list))
		p.blanks()
		comma = p.take(",")
	}
	if p.blanks(); p.text != "" {
		return nil, errPairs
	}
	return pairs, nil
}

// errPairs is the error of a value that is no tuple of pairs.
var errPairs = errors.New(`is no tuple of pairs of strings, such as (("a", "b"), ("c", "d"))`)

// tuple reads a tuple of strings.
func (p *literal) tuple() (list []string, err error) {
	if !p.take("(") {
		return nil, errLiteral
	}
	comma := true
	for p.blanks(); !p.take(")"); p.blanks() {
		if !comma || p.text == "" {
			return nil, errLiteral
		}
		word, err := p.strings()
		if err != nil {
			return nil, err
		}
		list = append(list, word)
		p.blanks()
		comma = p.take(",")
	}
	if len(list) == 1 && !comma {
		return nil, errLiteral
	}
	return list, nil
}

// literal is the rest of a Python literal.
type literal struct{ text string }

// blanks skips blanks, ends of lines, joined lines and comments.
func (p *literal) blanks() {
	for {
		p.text = strings.TrimLeft(p.text, " \t\r\n")
		if p.take("\\\n") {
			continue
		}
		if !strings.HasPrefix(p.text, "#") {
			return
		}
		_, p.text, _ = strings.Cut(p.text, "\n")
	}
}

func (p *literal) take(mark string) bool {
	rest, found := strings.CutPrefix(p.text, mark)
	if found {
		p.text = rest
	}
	return found
}

// strings reads one or more strings that follow each other. Python joins them. A number counts as
// its text.
func (p *literal) strings() (string, error) {
	if end := strings.IndexFunc(p.text, func(r rune) bool { return r < '0' || r > '9' }); end > 0 {
		number := p.text[:end]
		p.text = p.text[end:]
		return number, nil
	}
	var b strings.Builder
	for n := 0; ; n++ {
		raw, isString := p.begin()
		if !isString && n == 0 {
			return "", errLiteral
		}
		if !isString {
			return b.String(), nil
		}
		if err := p.string(&b, raw); err != nil {
			return "", err
		}
		p.blanks()
	}
}

// begin skips the prefix of a string. Of the prefixes, only r changes its meaning; f and b are
// refused.
func (p *literal) begin() (raw, isString bool) {
	if p.text == "" {
		return false, false
	}
	rest := p.text
	switch rest[0] {
	case 'r', 'R':
		raw = true
		rest = rest[1:]
	case 'u', 'U':
		rest = rest[1:]
	}
	if rest == "" || rest[0] != '"' && rest[0] != '\'' {
		return false, false
	}
	p.text = rest
	return raw, true
}

// string reads a string from its quote on.
func (p *literal) string(b *strings.Builder, raw bool) error {
	quote := p.text[:1]
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(p.text, triple) {
		quote = triple
	}
	p.text = p.text[len(quote):]
	for !p.take(quote) {
		if p.text == "" || len(quote) == 1 && p.text[0] == '\n' {
			return errLiteral
		}
		if p.text[0] != '\\' {
			b.WriteByte(p.text[0])
			p.text = p.text[1:]
			continue
		}
		if len(p.text) < 2 {
			return errLiteral
		}
		if raw {
			b.WriteString(p.text[:2])
			p.text = p.text[2:]
			continue
		}
		if err := p.escape(b); err != nil {
			return err
		}
	}
	return nil
}

// pythonEscapes are the escape sequences of one character. A backslash before another character
// stays.
var pythonEscapes = map[byte]string{
	'\n': "", '\\': `\`, '\'': "'", '"': `"`, 'a': "\a", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r",
	't': "\t", 'v': "\v",
}

// escape reads an escape sequence.
func (p *literal) escape(b *strings.Builder) error {
	c := p.text[1]
	if value, known := pythonEscapes[c]; known {
		b.WriteString(value)
		p.text = p.text[2:]
		return nil
	}
	length, base := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c], 16
	start := 2
	if c >= '0' && c <= '7' {
		start, base = 1, 8
		for length = 1; length < 3 && 1+length < len(p.text) && isOctal(p.text[1+length]); {
			length++
		}
	}
	if length == 0 {
		b.WriteString(p.text[:2])
		p.text = p.text[2:]
		return nil
	}
	if len(p.text) < start+length {
		return errLiteral
	}
	value, err := strconv.ParseUint(p.text[start:start+length], base, 32)
	if err != nil || value > utf8.MaxRune {
		return errLiteral
	}
	b.WriteRune(rune(value))
	p.text = p.text[start+length:]
	return nil
}

func isOctal(c byte) bool { return c >= '0' && c <= '7' }
