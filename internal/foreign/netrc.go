package foreign

import (
	"path/filepath"
	"strings"
)

// login is one entry of a .netrc file. machine is "" for the entry default.
type login struct{ machine, user, password string }

// netrc returns the entries of ~/.netrc. A file that cannot be read has none.
func (env Env) netrc() []login { return netrcFile(filepath.Join(env.Home, ".netrc")) }

// netrcFile returns the entries of a .netrc file. A file that cannot be read has none.
func netrcFile(path string) []login {
	if !exists(path) {
		return nil
	}
	text, err := readConfig(path)
	if err != nil {
		return nil
	}
	return parseNetrc(text)
}

// parseNetrc reads the words machine, default, login and password. A macro ends with an empty line.
func parseNetrc(text string) []login {
	var entries []login
	words := netrcWords(text)
	for i := 0; i < len(words); i++ {
		value := ""
		if i+1 < len(words) {
			value = words[i+1]
		}
		switch words[i] {
		case "machine":
			entries = append(entries, login{machine: value})
			i++
		case "default":
			entries = append(entries, login{})
		case "login", "password", "account":
			if n := len(entries); n > 0 && words[i] == "login" {
				entries[n-1].user = value
			} else if n > 0 && words[i] == "password" {
				entries[n-1].password = value
			}
			i++
		}
	}
	return entries
}

// netrcWords splits a .netrc file into words, without comments and macros. A word may be in double
// quotes, and a backslash takes the next character as it is.
func netrcWords(text string) []string {
	var words []string
	macro := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if macro {
			macro = line != ""
			continue
		}
		for line != "" && line[0] != '#' {
			var word string
			word, line = netrcWord(line)
			if word == "macdef" {
				macro = true
				break
			}
			words = append(words, word)
			line = strings.TrimLeft(line, " \t")
		}
	}
	return words
}

// netrcWord cuts the first word off a line.
func netrcWord(line string) (word, rest string) {
	var b strings.Builder
	quoted := line[0] == '"'
	i := 0
	if quoted {
		i++
	}
	for ; i < len(line); i++ {
		c := line[i]
		if quoted && c == '"' {
			return b.String(), line[i+1:]
		}
		if !quoted && (c == ' ' || c == '\t') {
			break
		}
		if c == '\\' && i+1 < len(line) {
			i++
			c = line[i]
		}
		b.WriteByte(c)
	}
	return b.String(), line[i:]
}

// find returns the first entry for a host and a user. An entry without a user fits everybody, and
// an empty user is looked for as well.
func find(entries []login, host, user string) (login, bool) {
	for _, entry := range entries {
		named := entry.machine == "" || strings.EqualFold(entry.machine, host)
		if named && (entry.user == "" || user == "" || entry.user == user) && entry.password != "" {
			return entry, true
		}
	}
	return login{}, false
}
