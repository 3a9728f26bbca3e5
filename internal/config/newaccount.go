package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// NewAccount is an account that Append adds to a configuration file.
type NewAccount struct {
	Name     string
	Comments []string // lines of comment above the table, without "#"
	Settings []Setting
	Targets  []NewTarget // tables of their own, which the account names
	// Password goes into a file of its own, which password_file names. "" means none. The table
	// cannot have it.
	Password string
}

// NewTarget is a table [target.NAME] that is added with an account.
type NewTarget struct {
	Name     string
	Settings []Setting
}

// Setting is a key of an account with its value. The value is a string, a bool, an int, an int64, a
// []string, a []Setting for a table, or a [][]Setting for a list of tables.
type Setting struct {
	Key   string
	Value any
}

// TOML returns the account as a table of the configuration file. The settings keep their order, but
// tables stand behind all other keys, as TOML demands. It refuses a secret, and a value that TOML
// cannot hold.
func (n *NewAccount) TOML() (string, error) {
	var b strings.Builder
	for _, comment := range n.Comments {
		for line := range strings.Lines(comment) {
			b.WriteString(strings.TrimRight("# "+harmless(strings.TrimSuffix(line, "\n")), " ") + "\n")
		}
	}
	settings := n.Settings
	if n.Password != "" {
		if err := checkSecret(n.Password, "the password"); err != nil {
			return "", err
		}
		a := new(Account)
		file, _ := accountKeys.filling(a, &a.Password.File)
		settings = append(settings[:len(settings):len(settings)], Setting{file.name, passwordName(n.Name)})
	}
	for _, t := range n.Targets {
		if err := writeTable(&b, []string{targetTable, t.Name}, t.Settings, "[%s]\n"); err != nil {
			return "", err
		}
		b.WriteString("\n")
	}
	err := writeTable(&b, []string{accountTable, n.Name}, settings, "[%s]\n")
	return b.String(), err
}

// writeTable writes a table and the tables within it. The header is that of a table, or of one in a
// list.
func writeTable(b *strings.Builder, path []string, settings []Setting, header string) error {
	fmt.Fprintf(b, header, dottedTOML(path...))
	secrets := accountKeys.secrets()
	var tables []Setting
	for _, s := range settings {
		key := append(path[:len(path):len(path)], s.Key)
		if instead := secrets[dotted(key[2:]...)]; instead != nil {
			return fmt.Errorf("%s would be readable in the file; write %s", s.Key, listed(instead, "or"))
		}
		switch s.Value.(type) {
		case []Setting, [][]Setting:
			tables = append(tables, s)
			continue
		}
		text, err := valueTOML(s.Value)
		if err != nil {
			return fmt.Errorf("%s %w", dotted(key[2:]...), err)
		}
		fmt.Fprintf(b, "%s = %s\n", dottedTOML(s.Key), text)
	}
	for _, t := range tables {
		key := append(path[:len(path):len(path)], t.Key)
		elements, header := [][]Setting{}, "[[%s]]\n"
		switch value := t.Value.(type) {
		case []Setting:
			elements, header = [][]Setting{value}, "[%s]\n"
		case [][]Setting:
			elements = value
		}
		for _, settings := range elements {
			b.WriteString("\n")
			if err := writeTable(b, key, settings, header); err != nil {
				return err
			}
		}
	}
	return nil
}

// valueTOML returns a value of a Setting as TOML.
func valueTOML(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return quoteChecked(v)
	case []string:
		var quoted []string
		for _, s := range v {
			text, err := quoteChecked(s)
			if err != nil {
				return "", err
			}
			quoted = append(quoted, text)
		}
		return "[" + strings.Join(quoted, ", ") + "]", nil
	case bool:
		return strconv.FormatBool(v), nil
	case int:
		return strconv.Itoa(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	}
	return "", fmt.Errorf("has a value of type %T, which no key takes", v)
}

// quoteChecked is quote for a text that TOML can hold.
func quoteChecked(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", errors.New("holds octets that are no UTF-8, and TOML cannot hold them; write the text as UTF-8")
	}
	return quote(s), nil
}

// harmless returns a line of a comment without what TOML refuses there, or a terminal obeys.
func harmless(s string) string {
	quoted := quote(strings.ToValidUTF8(s, "\uFFFD"))
	return strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(quoted[1 : len(quoted)-1])
}
