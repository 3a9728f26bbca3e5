package kerberos

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// profile has the values of each key of krb5.conf, in their order. A key stands behind its section and
// the blocks around it, joined by pathSeparator. The reader of gokrb5 refuses files that MIT Kerberos
// takes: blocks in blocks or in libdefaults, and yes or no in some words.
type profile map[string][]string

const pathSeparator = "\x00"

// deepest is how many names stand before a key that is used: a section, and perhaps a realm.
const deepest = 2

// maxIncludes limits how deep files include others.
const maxIncludes = 5

// included matches the names of files that includedir reads.
var included = regexp.MustCompile(`^([A-Za-z0-9_-]+|[^.].*\.conf)$`)

func (p profile) values(path ...string) []string { return p[strings.Join(path, pathSeparator)] }

// value returns the first value of a key of libdefaults, or "". The first counts, also of several files.
func (p profile) value(key string) string {
	if values := p.values("libdefaults", key); len(values) > 0 {
		return values[0]
	}
	return ""
}

// isYes returns what a key of libdefaults says in any of the words for yes and no.
func (p profile) isYes(key string, otherwise bool) (bool, error) {
	value := p.value(key)
	switch strings.ToLower(value) {
	case "":
		return otherwise, nil
	case "yes", "y", "true", "t", "1", "on":
		return true, nil
	case "no", "n", "false", "nil", "0", "off":
		return false, nil
	}
	return false, fmt.Errorf("%s is %s, which is neither yes nor no", key, show(value))
}

// duration returns what a key of libdefaults says, in seconds or such as 5m.
func (p profile) duration(key string, otherwise time.Duration) (time.Duration, error) {
	value := p.value(key)
	if value == "" {
		return otherwise, nil
	}
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, nil
	}
	if d, err := time.ParseDuration(value); err == nil && d >= 0 {
		return d, nil
	}
	return otherwise, nil // MIT Kerberos knows more forms than this
}

// add reads a file, and those that it includes. It skips what it does not understand, because other
// programs read the file too.
func (p profile) add(path string, depth int) error {
	octets, err := readFile(path, nil)
	if err != nil {
		return err
	}
	if depth == 0 {
		return fmt.Errorf("%s is included too deep", path)
	}
	var at []string // the section, and the blocks in it
	block := ""     // the key of a block whose brace stands on the next line
	for line := range strings.Lines(strings.TrimPrefix(string(octets), "\ufeff")) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if done, err := p.include(line, depth); done || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		key, value, isRelation := strings.Cut(line, "=")
		key, value = strings.TrimSuffix(strings.TrimSpace(key), "*"), strings.TrimSpace(value)
		switch {
		case line[0] == '[':
			name, _, _ := strings.Cut(line[1:], "]")
			at = []string{strings.TrimSpace(name)}
		case line[0] == '}' && len(at) > 1:
			at = at[:len(at)-1]
		case line == "{":
			at = append(at, block)
		case value == "{":
			at = append(at, key)
		case isRelation && value == "":
			block = key
		case isRelation && len(at) > 0 && len(at) <= deepest:
			name := strings.Join(append(at[:len(at):len(at)], key), pathSeparator)
			p[name] = append(p[name], unquoted(value))
		}
	}
	return nil
}

// include reads what a line includes. It reports whether the line does that.
func (p profile) include(line string, depth int) (done bool, err error) {
	words := strings.Fields(line)
	if len(words) != 2 {
		return false, nil
	}
	switch words[0] {
	case "include":
		return true, p.add(words[1], depth-1)
	case "includedir":
		return true, p.addFolder(words[1], depth-1)
	}
	return false, nil
}

func (p profile) addFolder(path string, depth int) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // as on a new system
	}
	if err != nil {
		return fmt.Errorf("reading an included folder: %w", err)
	}
	for _, entry := range entries {
		if !included.MatchString(entry.Name()) {
			continue
		}
		if err := p.add(filepath.Join(path, entry.Name()), depth); err != nil {
			return err
		}
	}
	return nil
}

// unquoted returns a value without its quotes and the backslashes in them.
func unquoted(value string) string {
	if !strings.HasPrefix(value, `"`) {
		return value
	}
	var text strings.Builder
	for i := 1; i < len(value) && value[i] != '"'; i++ {
		if value[i] == '\\' && i+1 < len(value) {
			i++
		}
		text.WriteByte(value[i])
	}
	return text.String()
}
