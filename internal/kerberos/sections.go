package kerberos

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// sections has the lines of each section of krb5.conf. gokrb5 reads only the last of several sections
// with one name, and no lines with include.
type sections map[string]string

// maxIncludes limits how deep files include others.
const maxIncludes = 5

// included matches the names of files that includedir reads.
var included = regexp.MustCompile(`^([A-Za-z0-9_-]+|[^.].*\.conf)$`)

// add reads a file, and those that it includes.
func (s sections) add(path string, depth int) error {
	octets, err := readFile(path, nil)
	if err != nil {
		return err
	}
	if depth == 0 {
		return fmt.Errorf("%s is included too deep", path)
	}
	section := ""
	for line := range strings.Lines(string(octets) + "\n") {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case strings.HasPrefix(words[0], "["):
			section, _, _ = strings.Cut(words[0][1:], "]")
		case len(words) == 2 && words[0] == "include":
			err = s.add(words[1], depth-1)
		case len(words) == 2 && words[0] == "includedir":
			err = s.addFolder(words[1], depth-1)
		default:
			s[section] += line
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s sections) addFolder(path string, depth int) error {
	entries, err := os.ReadDir(path)
	if os.IsNotExist(err) {
		return nil // as on a new system
	}
	if err != nil {
		return fmt.Errorf("reading an included folder: %w", err)
	}
	for _, entry := range entries {
		if !included.MatchString(entry.Name()) {
			continue
		}
		if err := s.add(filepath.Join(path, entry.Name()), depth); err != nil {
			return err
		}
	}
	return nil
}

// text returns the sections that gokrb5 reads.
func (s sections) text() string {
	var text strings.Builder
	for _, name := range []string{"libdefaults", "realms", "domain_realm"} {
		text.WriteString("[" + name + "]\n" + s[name])
	}
	return text.String()
}
