package foreign

import (
	"errors"
	"strings"
)

// iniValue is an option of an ini file. Its text has the lines of the file.
type iniValue struct {
	text string
	line int
}

// ini is a file as Python's RawConfigParser reads it: sections of options. Nothing is interpolated.
type ini struct{ sections []iniSection }

// iniSection is a section of an ini file.
type iniSection struct {
	name    string
	line    int
	options map[string]iniValue // by the name in lower case
	order   []string
}

// section returns a section, and whether it is there.
func (f *ini) section(name string) (iniSection, bool) {
	for _, s := range f.sections {
		if s.name == name {
			return s, true
		}
	}
	return iniSection{}, false
}

// parseIni reads an ini file. Options end at the end of the line, unless the next line is indented
// deeper than they are. A comment is a line of its own.
func parseIni(text string) (*ini, int, error) {
	p := iniParser{file: &ini{}, known: map[string]bool{}}
	n := 0
	for line := range strings.Lines(text) {
		n++
		if err := p.line(n, line); err != nil {
			return nil, n, err
		}
	}
	p.end()
	return p.file, 0, nil
}

type iniParser struct {
	file    *ini
	known   map[string]bool // sections that have been
	section *iniSection     // nil before the first one
	indent  int             // of the last option
	option  string
	at      int // the option's line
	values  []string
}

// line reads a line.
func (p *iniParser) line(n int, line string) error {
	text := strings.TrimSpace(line)
	if strings.HasPrefix(text, "#") || strings.HasPrefix(text, ";") {
		return nil
	}
	if text == "" {
		if p.option != "" {
			p.values = append(p.values, "")
		}
		return nil
	}
	indent := len(line) - len(strings.TrimLeft(line, " \t\f\v\r"))
	if p.option != "" && indent > p.indent {
		p.values = append(p.values, text)
		return nil
	}
	p.end()
	if strings.HasPrefix(text, "[") {
		end := strings.LastIndexByte(text, ']')
		if end <= 1 {
			return errors.New("is no head of a section")
		}
		return p.begin(n, text[1:end])
	}
	if p.section == nil {
		return errors.New("stands before the first section, such as [retriever]")
	}
	mark := strings.IndexAny(text, "=:")
	if mark < 0 {
		return errors.New("is neither an option, NAME = VALUE, nor the indented rest of one")
	}
	p.option = strings.ToLower(strings.TrimRight(text[:mark], " \t"))
	if p.option == "" {
		return errors.New("has a mark = or : with no name of an option before it")
	}
	if _, twice := p.section.options[p.option]; twice {
		return errors.New("is the second option of this name in its section")
	}
	p.indent, p.at = indent, n
	p.values = append(p.values[:0], strings.TrimSpace(text[mark+1:]))
	return nil
}

// begin begins a section.
func (p *iniParser) begin(n int, name string) error {
	if p.known[name] && name != "DEFAULT" {
		return errors.New("begins a section that was there before")
	}
	p.known[name] = true
	p.file.sections = append(p.file.sections,
		iniSection{name: name, line: n, options: map[string]iniValue{}})
	p.section = &p.file.sections[len(p.file.sections)-1]
	return nil
}

// end ends an option.
func (p *iniParser) end() {
	if p.option == "" {
		return
	}
	value := strings.TrimRight(strings.Join(p.values, "\n"), "\n \t")
	p.section.options[p.option] = iniValue{value, p.at}
	p.section.order = append(p.section.order, p.option)
	p.option = ""
}
