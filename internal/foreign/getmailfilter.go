package foreign

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// convertFilters maps the filter of an account. popfetch has one.
func (rc *getmailrc) convertFilters(iniValue) error {
	var filters []iniSection
	for _, s := range rc.config.sections {
		if strings.HasPrefix(strings.ToLower(s.name), "filter") {
			filters = append(filters, s)
		}
	}
	if len(filters) != 1 {
		for _, s := range filters {
			rc.note(s.line, "a filter of several", "popfetch runs one program for each message",
				"filter takes a program that runs them one after the other")
		}
		return nil
	}
	s := filters[0]
	kind := rc.value(s.name, "type").text
	switch {
	case kind == "Filter_classifier":
		rc.note(s.line, kind, "popfetch takes the whole message that a filter prints",
			`filter takes a program that adds its lines itself: filter = "bogofilter -p -e"`)
		return nil
	case kind == "Filter_TMDA":
		rc.note(s.line, kind, "popfetch does not know how it is called", "filter takes the words of tmda-filter")
		return nil
	case kind != "Filter_external":
		rc.note(s.line, "a filter", "getmail has none of this type", "filter takes a program")
		return nil
	case rc.value(s.name, "path").text == "":
		return &Error{rc.file, s.line, errors.New("a filter has no path")}
	}
	return rc.convertFilter(s)
}

// convertFilter maps a Filter_external.
func (rc *getmailrc) convertFilter(s iniSection) error {
	for _, name := range []string{"unixfrom", "user", "group"} {
		if value := rc.value(s.name, name); !slices.Contains([]string{"", "0", "none", "false", "no", "off"}, strings.ToLower(value.text)) {
			note := getmailNotes["destination "+name]
			rc.note(value.line, "a filter with "+name, note[0], "filter takes a program, and runs it as popfetch's user")
			return nil
		}
	}
	words, err := rc.command(s.name)
	if err != nil {
		return err
	}
	keep, err := rc.codes(s.name, "exitcodes_keep", "0")
	if err != nil {
		return err
	}
	drop, err := rc.codes(s.name, "exitcodes_drop", "99", "100")
	if err != nil {
		return err
	}
	command := rc.shell(words, rc.value(s.name, "arguments").line, rc.envelope != "")
	rc.set("filter", command+translated(keep, drop))
	return nil
}

// codes returns exit codes.
func (rc *getmailrc) codes(section, name string, preset ...string) ([]string, error) {
	value := rc.value(section, name)
	if value.text == "" {
		return preset, nil
	}
	list, err := parseTuple(value.text)
	if err != nil {
		return nil, rc.fail(value, name, err)
	}
	for i, code := range list {
		n, err := strconv.ParseUint(strings.TrimSpace(code), 10, 8)
		if err != nil {
			return nil, rc.fail(value, name, errors.New("has a value that is no exit code"))
		}
		list[i] = strconv.FormatUint(n, 10)
	}
	return list, nil
}

// translated returns shell text that makes popfetch's exit codes of others: 0 takes the message, 99
// drops it, and 75 is a failure.
func translated(keep, drop []string) string {
	var cases []string
	add := func(codes []string, own string) {
		if len(codes) > 0 && !slices.Equal(codes, []string{own}) {
			cases = append(cases, strings.Join(codes, "|")+") s="+own+";;")
		}
	}
	add(keep, "0")
	add(drop, "99")
	if !slices.Contains(keep, "0") && !slices.Contains(drop, "0") {
		cases = append(cases, "0) s=75;;")
	}
	if !slices.Contains(drop, "99") && !slices.Contains(keep, "99") {
		cases = append(cases, "99) s=75;;")
	}
	if len(cases) == 0 {
		return ""
	}
	return "; s=$?; case $s in " + strings.Join(cases, " ") + " esac; exit $s"
}
