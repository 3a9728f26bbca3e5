package foreign

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// pref is a value of prefs.js as text: a string, a number, true or false.
type pref struct {
	text string
	line int
}

// prefs are the values of prefs.js by their names.
type prefs struct{ values map[string]pref }

// server returns a setting of a mail server.
func (p *prefs) server(server, name string) pref {
	return p.values["mail.server."+server+"."+name]
}

// servers returns the names of the mail servers of all accounts, in the order of their numbers.
// What is left of accounts that have been removed does not count.
func (p *prefs) servers() []string {
	inUse := map[string]bool{}
	for account := range strings.SplitSeq(p.values["mail.accountmanager.accounts"].text, ",") {
		if server := p.values["mail.account."+account+".server"].text; server != "" {
			inUse[server] = true
		}
	}
	var names []string
	for key := range p.values {
		rest, found := strings.CutPrefix(key, "mail.server.")
		name, isType := strings.CutSuffix(rest, ".type")
		if found && isType && (inUse[name] || len(inUse) == 0) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(len(a)-len(b), strings.Compare(a, b))
	})
	return names
}

// parsePrefs reads lines of the form user_pref("NAME", VALUE);. Other lines are comments.
func parsePrefs(text string) (*prefs, int, error) {
	p := &prefs{values: map[string]pref{}}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		rest, found := strings.CutPrefix(line, "user_pref(")
		if !found {
			continue
		}
		name, rest, err := scriptString(rest)
		if err != nil {
			return nil, n, err
		}
		rest, found = strings.CutPrefix(strings.TrimSpace(rest), ",")
		if !found {
			return nil, n, errPrefs
		}
		rest = strings.TrimSpace(rest)
		value, after, _ := strings.Cut(rest, ")")
		if strings.HasPrefix(rest, `"`) {
			if value, after, err = scriptString(rest); err != nil {
				return nil, n, err
			}
			if after, found = strings.CutPrefix(strings.TrimSpace(after), ")"); !found {
				return nil, n, errPrefs
			}
		}
		if strings.TrimSpace(after) != ";" {
			return nil, n, errPrefs
		}
		p.values[name] = pref{value, n}
	}
	return p, 0, nil
}

var errPrefs = errors.New(`is no line of Thunderbird's settings: user_pref("NAME", VALUE);`)

// scriptString reads a string of JavaScript in double quotes.
func scriptString(text string) (value, rest string, err error) {
	if !strings.HasPrefix(text, `"`) {
		return "", "", errPrefs
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return b.String(), text[i+1:], nil
		case c != '\\':
			b.WriteByte(c)
		case i+1 == len(text):
			return "", "", errPrefs
		default:
			i++
			digits := map[byte]int{'x': 2, 'u': 4}[text[i]]
			switch {
			case digits > 0:
				if len(text) < i+1+digits {
					return "", "", errPrefs
				}
				r, err := strconv.ParseUint(text[i+1:i+1+digits], 16, 32)
				if err != nil {
					return "", "", errPrefs
				}
				b.WriteRune(rune(r))
				i += digits
			case simpleEscapes[text[i]] != 0:
				b.WriteByte(simpleEscapes[text[i]])
			default:
				b.WriteByte(text[i])
			}
		}
	}
	return "", "", errPrefs
}
