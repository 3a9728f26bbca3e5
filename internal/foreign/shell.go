package foreign

import (
	"strconv"
	"strings"
)

// inTOML returns text as a value of TOML.
func inTOML(text string) string {
	if strings.ContainsAny(text, `"\`) && !strings.ContainsAny(text, "'\n\r\x7f") {
		return "'" + text + "'"
	}
	return strconv.Quote(text)
}

// quote returns a word as /bin/sh reads it back. A word of harmless characters stays as it is.
func quote(word string) string {
	if word != "" && strings.Trim(word, plainCharacters) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

const plainCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/.,:@%+-="

// splice replaces placeholders in a command of /bin/sh. A value of replace is shell text that
// stands inside double quotes, such as $USER. It gets the quotes that it needs where it stands, if
// any.
func splice(command string, replace map[string]string) string {
	var out []byte
	var open byte // the quote that is open, or 0
	for i := 0; i < len(command); {
		key, value := placeholder(command[i:], replace)
		if key != "" {
			i += len(key)
			plain := value != "" && strings.Trim(value, plainCharacters) == ""
			alone := open == '\'' && out[len(out)-1] == open && i < len(command) && command[i] == open
			switch {
			case plain:
				out = append(out, value...)
			case alone: // '%F'
				out = append(out[:len(out)-1], `"`+value+`"`...)
				open = 0
				i++
			case open == '\'':
				out = append(out, `'"`+value+`"'`...)
			case open == '"':
				out = append(out, value...)
			default:
				out = append(out, `"`+value+`"`...)
			}
			continue
		}
		c := command[i]
		switch {
		case c == '\\' && open != '\'' && i+1 < len(command):
			out = append(out, c)
			i++
			c = command[i]
		case open != 0 && c == open:
			open = 0
		case open == 0 && (c == '"' || c == '\''):
			open = c
		}
		out = append(out, c)
		i++
	}
	return string(out)
}

// placeholder returns the placeholder that text begins with, and what replaces it.
func placeholder(text string, replace map[string]string) (key, value string) {
	for key, value := range replace {
		if strings.HasPrefix(text, key) {
			return key, value
		}
	}
	return "", ""
}

// inDoubleQuotes returns literal text as shell text that stands inside double quotes.
func inDoubleQuotes(text string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(text)
}
