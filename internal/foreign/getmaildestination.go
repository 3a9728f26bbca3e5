package foreign

import (
	"errors"
	"strings"
)

// convertDestination maps the section [destination].
func (rc *getmailrc) convertDestination(iniValue) error {
	section, found := rc.config.section("destination")
	if !found {
		return &Error{File: rc.file, Err: errors.New("has no section [destination]")}
	}
	kind := rc.value("destination", "type")
	switch kind.text {
	case "":
		return &Error{rc.file, section.line, errors.New("[destination] has no type")}
	case "Maildir":
		if rc.value("destination", "path").text == "" {
			return &Error{rc.file, section.line, errors.New("[destination] has no path")}
		}
		rc.set("maildir", rc.path("destination", "path"))
		return nil
	case "MDA_external":
		return rc.convertMDA(section)
	case "MultiDestination":
		if name, ok := rc.onlyDestination(); ok {
			return rc.useDestination(name)
		}
	}
	rc.otherTarget = true
	rc.set("maildir", "~/Maildir")
	instead := "an mda can do that, such as maildrop or procmail"
	switch kind.text {
	case "Mboxrd":
		instead = mboxInstead
	case "MDA_lmtp":
		instead = "an mda that hands mail on by LMTP, such as dovecot-lda in place of a server"
	case "MDA_qmaillocal":
		instead = "qmail-local as mda"
	}
	what := kind.text
	if !getmailDestinations[what] {
		what = "the type of [destination]"
	}
	rc.note(kind.line, what, "popfetch delivers to one Maildir or MDA",
		`maildir = "~/Maildir" is a proposal; `+instead)
	return nil
}

// getmailDestinations are the types of destinations that are named in notes.
var getmailDestinations = map[string]bool{
	"Mboxrd": true, "MDA_lmtp": true, "MDA_qmaillocal": true, "MultiDestination": true,
	"MultiSorter": true, "MultiGuesser": true,
}

// convertMDA maps a program with its arguments to a command of the shell.
func (rc *getmailrc) convertMDA(section iniSection) error {
	path := rc.value("destination", "path")
	if path.text == "" {
		return &Error{rc.file, section.line, errors.New("[destination] has no path")}
	}
	words := []string{quote(rc.expand(path.text))}
	arguments := rc.value("destination", "arguments")
	if arguments.text != "" {
		list, err := parseTuple(arguments.text)
		if err != nil {
			return rc.fail(arguments, "arguments", err)
		}
		for _, word := range list {
			words = append(words, rc.argument(word, arguments.line))
		}
	}
	rc.set("mda", strings.Join(words, " "))
	return nil
}

// argument returns an argument of an MDA as a word of the shell. getmail replaces %(sender) and the
// like in it.
func (rc *getmailrc) argument(word string, line int) string {
	word = rc.expand(word)
	if !strings.Contains(word, "%(") {
		return quote(word)
	}
	var text strings.Builder
	for word != "" {
		before, rest, _ := strings.Cut(word, "%(")
		text.WriteString(inDoubleQuotes(before))
		if before == word {
			break
		}
		name, after, closed := strings.Cut(rest, ")")
		word = after
		switch {
		case closed && name == "sender":
			text.WriteString("$POPFETCH_SENDER")
		case closed && (name == "recipient" || name == "local" || name == "domain"):
			// Without a multidrop retriever, getmail knows no recipient: then this is the user.
			local, domain := rc.recipient()
			text.WriteString(inDoubleQuotes(map[string]string{
				"recipient": strings.TrimSuffix(local+"@"+domain, "@"), "local": local, "domain": domain,
			}[name]))
			rc.note(line, "%("+name+")", "popfetch does not know the recipient of a message",
				"the account's user stands in its place; "+mdaSorts)
		case closed && name == "mailbox": // is empty for POP3
		default:
			text.WriteString("%(")
			word = rest
		}
	}
	return `"` + text.String() + `"`
}

// recipient splits the account's user into its two parts.
func (rc *getmailrc) recipient() (local, domain string) {
	local, domain, _ = strings.Cut(rc.User, "@")
	return local, domain
}

// onlyDestination returns the section of the only destination of a MultiDestination.
func (rc *getmailrc) onlyDestination() (string, bool) {
	list, err := parseTuple(rc.value("destination", "destinations").text)
	if err != nil || len(list) != 1 || len(list[0]) < 3 || list[0][0] != '[' {
		return "", false
	}
	name := strings.Trim(list[0], "[]")
	_, found := rc.config.section(name)
	return name, found && name != "destination" && rc.value(name, "type").text != "MultiDestination"
}

// useDestination converts another section as if it were [destination].
func (rc *getmailrc) useDestination(name string) error {
	for i := range rc.config.sections {
		switch s := &rc.config.sections[i]; s.name {
		case "destination":
			s.name = "the list of destinations"
		case name:
			s.name = "destination"
		}
	}
	return rc.convertDestination(iniValue{})
}
