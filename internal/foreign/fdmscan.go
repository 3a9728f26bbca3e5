package foreign

import (
	"errors"
	"path/filepath"
	"strconv"
	"strings"
)

// fdmToken is a token of fdm's configuration.
type fdmToken struct {
	kind fdmKind
	text string // the word, the mark, the string or the command
	file string
	line int
}

type fdmKind int

const (
	fdmEnd fdmKind = iota
	fdmWord
	fdmMark
	fdmString
	fdmNumber
	fdmCommand // $(…) or %(…), which an import does not run
	fdmUnknown // a macro without a value, such as one of fdm's option -D
)

// Limits of what a few octets of a configuration can grow into.
const (
	maxIncludes = 20
	maxMacro    = 1 << 16
)

// fdmScanner splits fdm's configuration into tokens. It replaces macros and reads included files.
type fdmScanner struct {
	env      Env
	main     string // the file that others are relative to
	macros   map[string]string
	tokens   []fdmToken
	depth    int // of ifdef
	skips    bool
	includes int
}

// scanFdm returns the tokens of a file, and of those that it includes.
func scanFdm(file string, env Env) ([]fdmToken, error) {
	s := &fdmScanner{env: env, main: file, macros: map[string]string{}}
	if err := s.include(file); err != nil {
		return nil, err
	}
	return append(s.tokens, fdmToken{kind: fdmEnd, file: file}), nil
}

// include appends the tokens of a file.
func (s *fdmScanner) include(file string) error {
	text, err := readConfig(file)
	if err != nil {
		return err
	}
	return s.scan(file, text)
}

// fdmReader is the rest of a file.
type fdmReader struct {
	file string
	text string
	line int
}

func (r *fdmReader) fail(text string) error { return &Error{r.file, r.line, errors.New(text)} }

// skip skips n octets, and returns them.
func (r *fdmReader) skip(n int) string {
	skipped := r.text[:n]
	r.line += strings.Count(skipped, "\n")
	r.text = r.text[n:]
	return skipped
}

func (s *fdmScanner) scan(file, text string) error {
	r := &fdmReader{file: file, text: text, line: 1}
	for {
		r.blanks()
		if r.text == "" {
			return nil
		}
		if len(s.tokens) > maxTokens {
			return r.fail("there are too many words")
		}
		line := r.line
		kind, value, err := s.token(r)
		if err != nil {
			return err
		}
		if kind == fdmWord {
			taken, err := s.directive(r, value)
			if err != nil {
				return err
			}
			if taken {
				continue
			}
		}
		if !s.skips {
			s.tokens = append(s.tokens, fdmToken{kind, value, file, line})
			s.define()
		}
	}
}

// blanks skips blanks and comments.
func (r *fdmReader) blanks() {
	for {
		r.skip(len(r.text) - len(strings.TrimLeft(r.text, " \t\n\r")))
		if !strings.HasPrefix(r.text, "#") {
			return
		}
		end := strings.IndexByte(r.text, '\n')
		if end < 0 {
			end = len(r.text)
		}
		r.skip(end)
	}
}

// token reads a token.
func (s *fdmScanner) token(r *fdmReader) (fdmKind, string, error) {
	switch c := r.text[0]; {
	case c == '"' || c == '\'':
		value, err := s.string(r)
		return fdmString, value, err
	case c == '$' || c == '%':
		if strings.HasPrefix(r.text[1:], "(") {
			command, err := s.command(r)
			return fdmCommand, command, err
		}
		return s.macro(r)
	case strings.HasPrefix(r.text, "==") || strings.HasPrefix(r.text, "!="):
		return fdmMark, r.skip(2), nil
	case strings.IndexByte("=!~+(),<>{}*", c) >= 0:
		return fdmMark, r.skip(1), nil
	case c >= '0' && c <= '9':
		return fdmNumber, r.skip(spanned(r.text, "0123456789")), nil
	case spanned(r.text, wordCharacters) > 0:
		return fdmWord, r.skip(spanned(r.text, wordCharacters)), nil
	}
	return fdmEnd, "", r.fail("this character cannot stand here; a value needs quotes")
}

const wordCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

// spanned returns how many octets at the start of text are among characters.
func spanned(text, characters string) int {
	return len(text) - len(strings.TrimLeft(text, characters))
}

// string reads a string. In double quotes, a backslash takes the next character as it is, and
// macros are replaced.
func (s *fdmScanner) string(r *fdmReader) (string, error) {
	quote := r.text[0]
	start := r.line
	r.skip(1)
	var b strings.Builder
	for {
		switch {
		case r.text == "":
			r.line = start
			return "", r.fail("a string has no closing quote")
		case b.Len() > maxMacro:
			return "", r.fail("a string is too long")
		case r.text[0] == quote:
			r.skip(1)
			return b.String(), nil
		case quote == '"' && r.text[0] == '\\' && len(r.text) > 1:
			c := r.skip(2)[1:]
			b.WriteString(strings.NewReplacer("r", "\r", "n", "\n", "t", "\t").Replace(c))
		case quote == '"' && (strings.HasPrefix(r.text, "${") || strings.HasPrefix(r.text, "%{")):
			kind, value, err := s.macro(r)
			if err != nil {
				return "", err
			}
			if kind != fdmUnknown {
				b.WriteString(value)
			}
		default:
			b.WriteString(r.skip(1))
		}
	}
}

// macro reads the name of a macro, with or without braces, and returns its value. A macro that has
// none is returned by its name, with $ or %, and so is one that is about to be defined.
func (s *fdmScanner) macro(r *fdmReader) (fdmKind, string, error) {
	kind := r.skip(1)
	braces := strings.HasPrefix(r.text, "{")
	if braces {
		r.skip(1)
	}
	name := kind + r.skip(spanned(r.text, wordCharacters))
	if len(name) == 1 {
		return fdmEnd, "", r.fail("a macro has no name")
	}
	if braces {
		if !strings.HasPrefix(r.text, "}") {
			return fdmEnd, "", r.fail("the brace after a macro is missing")
		}
		r.skip(1)
	}
	ahead := *r
	ahead.blanks()
	defines := strings.HasPrefix(ahead.text, "=") && !strings.HasPrefix(ahead.text, "==")
	value, found := s.macros[name]
	switch {
	case !braces && defines, !found:
		return fdmUnknown, name, nil
	case kind == "%":
		return fdmNumber, value, nil
	}
	return fdmString, value, nil
}

// command reads a command of the shell, up to its closing bracket.
func (s *fdmScanner) command(r *fdmReader) (string, error) {
	r.skip(2)
	var b strings.Builder
	for nesting := 0; r.text != ""; {
		switch c := r.text[0]; c {
		case '"', '\'':
			value, err := s.string(r)
			if err != nil {
				return "", err
			}
			b.WriteString(string(c) + value + string(c))
			continue
		case '(':
			nesting++
		case ')':
			if nesting == 0 {
				r.skip(1)
				return strings.TrimSpace(b.String()), nil
			}
			nesting--
		}
		b.WriteString(r.skip(1))
	}
	return "", r.fail("a command has no closing bracket")
}

// define takes the definition of a macro off the end of the tokens.
func (s *fdmScanner) define() {
	n := len(s.tokens)
	if n < 3 || s.tokens[n-3].kind != fdmUnknown || s.tokens[n-2].text != "=" ||
		s.tokens[n-2].kind != fdmMark {
		return
	}
	name, value := s.tokens[n-3].text, s.tokens[n-1]
	if value.kind == fdmString || value.kind == fdmNumber {
		s.macros[name] = value.text
	} else {
		delete(s.macros, name)
	}
	s.tokens = s.tokens[:n-3]
}

// directive obeys ifdef, ifndef, endif and include. It reports whether the word is one of them.
func (s *fdmScanner) directive(r *fdmReader, word string) (bool, error) {
	switch word {
	case "ifdef", "ifndef":
		r.blanks()
		if spanned(r.text, "$%") == 0 {
			return false, r.fail(word + " lacks the name of a macro")
		}
		kind := r.skip(1)
		brace := strings.TrimPrefix(r.text, "{")
		r.skip(len(r.text) - len(brace))
		name := kind + r.skip(spanned(r.text, wordCharacters))
		r.skip(len(r.text) - len(strings.TrimPrefix(r.text, "}")))
		_, defined := s.macros[name]
		s.skips = s.skips || defined != (word == "ifdef")
		s.depth++
	case "endif":
		if s.depth == 0 {
			return false, r.fail("endif has no ifdef before it")
		}
		s.depth--
		s.skips = s.skips && s.depth > 0
	case "include":
		return true, s.includeNext(r)
	default:
		return false, nil
	}
	return true, nil
}

// includeNext reads the file whose name comes next.
func (s *fdmScanner) includeNext(r *fdmReader) error {
	r.blanks()
	if r.text == "" || r.text[0] != '"' && r.text[0] != '\'' {
		return r.fail("include lacks the name of a file in quotes")
	}
	name, err := s.string(r)
	if err != nil || s.skips {
		return err
	}
	if s.includes++; s.includes > maxIncludes {
		return r.fail("too many files are included")
	}
	return s.include(s.env.expand(name, filepath.Dir(s.main)))
}

// number returns the value of a token that is a number.
func (t fdmToken) number() (int64, bool) {
	n, err := strconv.ParseInt(t.text, 10, 64)
	return n, err == nil && t.kind == fdmNumber
}
