package config

import (
	"fmt"
	"strconv"
	"strings"
)

// source is the file or the command line that settings come from.
type source struct {
	file   string         // "" for the command line
	folder string         // where relative paths start
	lines  map[string]int // the lines of the file, by place.name

	unlined bool // mistakes do not show lines, since it is no file that a person has
}

// place is the place of a key or a table.
type place struct {
	source *source
	path   []string // as shown to a person
	name   string   // as in the index: dotted, and the tables of a list are numbered
}

// key returns the place of a key in the table at p.
func (p place) key(names ...string) place {
	for _, name := range names {
		p.path = append(p.path[:len(p.path):len(p.path)], name)
		p.name = joinName(p.name, name)
	}
	return p
}

// element returns the place of the nth table in the list at p, from 1.
func (p place) element(n int) place {
	p.name = elementName(p.name, n)
	return p
}

// joinName returns the name in the index of a key below a table.
func joinName(table, key string) string {
	if table == "" {
		return dotted(key)
	}
	return table + "." + dotted(key)
}

// elementName returns the name in the index of a table in a list. No key can have this name,
// because dotted quotes a key with a "#".
func elementName(list string, n int) string { return list + "#" + strconv.Itoa(n) }

// isFile reports whether the place is in a file.
func (p place) isFile() bool { return p.source.file != "" }

// line returns the line in the file, or 0.
func (p place) line() int { return p.source.lines[p.name] }

// String returns the file and the line, as "FILE:LINE".
func (p place) String() string { return fmt.Sprintf("%s:%d", p.source.file, p.line()) }

// mistake returns err as a mistake of the key or table at p.
func (p place) mistake(err error) *Error {
	if !p.isFile() {
		return &Error{Key: option(strings.Join(p.path, ".")), Err: err}
	}
	line := p.line()
	if p.source.unlined {
		line = 0
	}
	return &Error{File: p.source.file, Line: line, Key: dotted(p.path...), Err: err}
}

// named returns the key called name as it is written in the same source.
func (p place) named(name string) string {
	if !p.isFile() {
		return option(name)
	}
	return name
}

// option returns the option of the command line for a key.
func option(key string) string {
	return "--" + strings.ReplaceAll(key, "_", "-")
}
