package poptest

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// step is one line of a script.
type step struct {
	line    int    // line number in the script, from 1
	source  string // the line as written, for messages
	verb    string // "S", "C", "C~", "cut", "close", "reset", "stall", "chunk", "pause", "tls", "lax"
	octets  []byte // S: the octets to send; C: the expected line, with its end
	match   *regexp.Regexp
	number  int
	pause   time.Duration
	variant Variant
}

// parseScript returns the steps of each connection of a script.
func parseScript(script string) ([][]step, error) {
	connections := [][]step{nil}
	for i, source := range strings.Split(script, "\n") {
		source = strings.TrimLeft(source, " \t")
		switch {
		case strings.TrimRight(source, " \t") == "", strings.HasPrefix(source, "#"):
			continue
		case strings.TrimRight(source, " \t") == "-- connection":
			connections = append(connections, nil)
			continue
		}
		s, err := parseStep(source)
		if err != nil {
			return nil, fmt.Errorf("line %d: %q: %w", i+1, source, err)
		}
		s.line, s.source = i+1, source
		last := len(connections) - 1
		connections[last] = append(connections[last], s)
	}
	// A script may begin with the separator.
	if len(connections) > 1 && len(connections[0]) == 0 {
		connections = connections[1:]
	}
	return connections, nil
}

func parseStep(source string) (step, error) {
	if len(source) >= 2 {
		text := strings.TrimPrefix(source[2:], " ")
		switch source[:2] {
		case "S:", "S-":
			octets, err := unescape(text)
			if source[1] == ':' {
				octets = append(octets, "\r\n"...)
			}
			return step{verb: "S", octets: octets}, err
		case "C:":
			octets, err := unescape(text)
			return step{verb: "C", octets: append(octets, "\r\n"...)}, err
		case "C~":
			match, err := regexp.Compile("^(?:" + text + ")$")
			return step{verb: "C~", match: match}, err
		}
	}
	return parseDirective(strings.Fields(source))
}

func parseDirective(words []string) (step, error) {
	s := step{verb: words[0]}
	var err error
	switch {
	case len(words) == 1 && strings.Contains(" cut close reset stall lax tls ", " "+s.verb+" "):
	case len(words) == 2 && s.verb == "tls":
		s.variant = Variant(words[1])
		if !slices.Contains(variants, s.variant) {
			err = fmt.Errorf("no such certificate")
		}
	case len(words) == 2 && s.verb == "chunk":
		s.number, err = strconv.Atoi(words[1])
		if err == nil && s.number < 0 {
			err = fmt.Errorf("a negative number of octets")
		}
	case len(words) == 2 && s.verb == "pause":
		s.pause, err = time.ParseDuration(words[1])
	default:
		err = fmt.Errorf("no such directive")
	}
	return s, err
}

// unescape replaces Go's escapes. Quotes need no escape.
func unescape(text string) ([]byte, error) {
	var octets []byte
	for len(text) > 0 {
		r, multibyte, rest, err := strconv.UnquoteChar(text, 0)
		if err != nil {
			return nil, fmt.Errorf("reading the escape at %q: %w", text, err)
		}
		switch {
		case text[0] != '\\':
			// Keep it as written, even if it is not UTF-8.
			octets = append(octets, text[:len(text)-len(rest)]...)
		case multibyte:
			octets = append(octets, string(r)...)
		default:
			octets = append(octets, byte(r))
		}
		text = rest
	}
	return octets, nil
}
