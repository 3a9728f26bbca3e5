package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// These are the mistakes of a document that is not TOML. No text shows a value: it could be a
// password without quotes.
const (
	wrongItem     = "a key, table or value is written wrongly; see popfetch.toml(5) for examples"
	wrongBehind   = "there is more text behind the value; put one key on a line, and text in one pair of quotes"
	wrongValue    = `the value is missing or lacks its quotes; put text in "quotes"`
	wrongEscape   = `a backslash starts an unknown escape; write it twice, or the text in 'single quotes'`
	wrongRune     = `an escape is no character; write a backslash twice, or the text in 'single quotes'`
	wrongDigits   = `an escape lacks digits; write a backslash twice, or the text in 'single quotes'`
	wrongQuotes   = "the quotes are not closed; close them on the same line"
	wrongNumber   = `a number is written wrongly; put text in "quotes"`
	wrongRange    = `a number is too large; write a smaller one, or put text in "quotes"`
	wrongDate     = `a date is written wrongly; put text in "quotes"`
	wrongEncoding = "the file has letters in another encoding; save it as UTF-8"
	wrongControl  = "the file has control characters; remove them"
	wrongEnd      = "the file ends in the middle of a value or name; add what is missing"
)

// syntaxError returns the mistake of a document that the TOML package has refused. It uses only the
// line of the package's error. The package has no types for its mistakes, and its texts may show a
// value.
func syntaxError(path, text string, err error) *Error {
	var parse toml.ParseError
	if !errors.As(err, &parse) {
		return &Error{File: path, Err: err}
	}
	// At the very end of a file, the package may return a line that is too small by one.
	line := min(max(parse.Position.Line, 1), strings.Count(text, "\n")+1)
	return &Error{File: path, Line: line, Err: errors.New("not TOML: " + diagnose(text, line))}
}

// diagnose returns the mistake at a line of a document that is not TOML.
func diagnose(text string, line int) string {
	switch at := lineOf(text, line); {
	case !utf8.ValidString(at), strings.ContainsRune(at, 0): // UTF-16 contains many NUL
		return wrongEncoding
	case strings.ContainsFunc(strings.TrimSuffix(at, "\r"), func(r rune) bool { return r != '\t' && hasControl(string(r)) }):
		return wrongControl
	}
	mistake := ""
	s := newLineScanner(text)
	s.broken = func(m string) {
		if mistake == "" {
			mistake = m
		}
	}
	s.scalar = func(scalar string) {
		if m := wrongScalar(scalar); m != "" {
			s.broken(m)
		}
	}
	last := 0 // number of keys before the last item that begins on the line or before it; the mistake is in that item
	for s.next() && s.lineAt(s.at) <= line && mistake == "" {
		last = len(s.index)
		s.item()
		if rest := strings.TrimLeft(s.text[s.at:], " \t"); rest != "" && !strings.ContainsAny(rest[:1], "#\r\n") {
			s.broken(wrongBehind)
		}
	}
	if mistake != "" {
		return mistake
	}
	if key := definedTwice(s.index[:last], s.index[last:]); key != "" {
		return fmt.Sprintf("key '%s' has already been defined; remove or rename one of the two", key)
	}
	return wrongItem
}

// lineOf returns a line of a text, from 1.
func lineOf(text string, line int) string {
	for range line - 1 {
		_, text, _ = strings.Cut(text, "\n")
	}
	text, _, _ = strings.Cut(text, "\n")
	return text
}

// definedTwice returns the first key of an item that clashes with an earlier one, or "". Two keys
// clash if they have the same name, or if one of them has a value and the other is below it.
func definedTwice(earlier, item lineIndex) string {
	written, tables := map[string]bool{}, map[string]bool{}
	values := map[string][]string{} // paths of keys with values, by name
	for _, k := range earlier {
		written[k.name] = true
		if !k.header {
			values[k.name] = k.path
		}
		for _, table := range above(k.name) {
			tables[table] = true
		}
	}
	for _, k := range item {
		if written[k.name] || tables[k.name] && !k.header {
			return dotted(k.path...)
		}
		for _, table := range above(k.name) {
			if path := values[table]; path != nil {
				return dotted(path...)
			}
		}
		written[k.name] = true
	}
	return ""
}

// wrongScalar returns the mistake of a value that holds no others, or "".
func wrongScalar(scalar string) string {
	scalar = strings.TrimRight(scalar, " \t\r")
	var decoded struct{ V any }
	if _, err := toml.Decode("V = "+scalar, &decoded); err == nil {
		return ""
	}
	if scalar == "" {
		return wrongValue
	}
	switch scalar[0] {
	case '"', '\'':
		return wrongText(scalar)
	}
	first, _, several := strings.Cut(scalar, " ")
	switch {
	case several && (first == "true" || first == "false"):
		return wrongBehind
	case !strings.ContainsRune("+-.0123456789", rune(first[0])):
		return wrongValue
	}
	if digits := strings.TrimLeft(scalar, "0123456789"); len(scalar)-len(digits) >= 2 && strings.HasPrefix(digits, "-") ||
		strings.HasPrefix(digits, ":") {
		return wrongDate
	}
	if _, err := strconv.ParseInt(strings.ReplaceAll(scalar, "_", ""), 0, 64); errors.Is(err, strconv.ErrRange) {
		return wrongRange
	}
	return wrongNumber
}

// wrongText returns the mistake of a text in quotes, or "".
func wrongText(text string) string {
	quote := text[:1]
	triple := strings.Repeat(quote, 3)
	switch {
	case strings.HasPrefix(text, triple):
		if len(text) < 6 || !strings.HasSuffix(text, triple) {
			return wrongEnd
		}
	case len(text) < 2 || !strings.HasSuffix(text, quote) || strings.Contains(text, "\n"):
		return wrongQuotes
	}
	if quote == "'" {
		return wrongItem
	}
	for rest := text; ; {
		_, after, found := strings.Cut(rest, `\`)
		if !found {
			return wrongItem
		}
		length, mistake := escape(after)
		if mistake != "" {
			return mistake
		}
		rest = after[length:]
	}
}

// escape returns how many octets behind a backslash belong to its escape. The mistake is "" if the
// escape is correct.
func escape(text string) (length int, mistake string) {
	if text == "" || !strings.Contains("btnfreuUx\"\\\n\r \t", text[:1]) {
		return 0, wrongEscape
	}
	length = 1 + map[byte]int{'x': 2, 'u': 4, 'U': 8}[text[0]]
	if length == 1 {
		return length, ""
	}
	if len(text) < length {
		return 0, wrongDigits
	}
	code, err := strconv.ParseUint(text[1:length], 16, 32)
	switch {
	case err != nil:
		return 0, wrongDigits
	case !utf8.ValidRune(rune(code)):
		return 0, wrongRune
	}
	return length, ""
}
