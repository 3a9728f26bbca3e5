package foreign

import (
	"cmp"
	"errors"
	"net"
	"path"
	"slices"
	"strconv"
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
	case "MultiDestination":
		return rc.convertSeveral(kind)
	case "MultiSorter":
		return rc.convertSorter(kind)
	}
	to, err := rc.place("destination")
	switch {
	case err != nil:
		return err
	case to == nil:
		rc.rejectDestination(kind, noTarget)
	case to.unfitPath():
		rc.reject(kind.line, "the path of "+kind.text, pathWhy, "")
	default:
		rc.deliver(to)
	}
	return nil
}

// noTarget is the reason of a destination that popfetch does not have.
const noTarget = "popfetch has no such target"

// rejectDestination notes a destination that cannot be carried over.
func (rc *getmailrc) rejectDestination(kind iniValue, why string) {
	what, instead := kind.text, ""
	switch what {
	case "MDA_qmaillocal":
		instead = "mda takes the words of qmail-local"
	case "MultiGuesser":
		instead = "popfetch does not guess recipients by To and Cc; [[account.NAME.route]] with header and match goes by a header"
	case "MultiDestination", "MultiSorter":
		instead = "[target.NAME] names a place, deliver and [[account.NAME.route]] say what goes there"
	default:
		what = "the type of [destination]"
	}
	rc.otherTarget = true
	rc.reject(kind.line, what, why, instead)
}

// place returns what a section of a destination becomes, or nil if popfetch has no such target.
func (rc *getmailrc) place(name string) (place, error) {
	section, _ := rc.config.section(name)
	rc.used[name] = true
	kind := rc.value(name, "type").text
	needed := map[string]string{"Maildir": "path", "Mboxrd": "path", "MDA_external": "path", "MDA_lmtp": "host"}
	option, known := needed[kind]
	if !known {
		return nil, nil
	}
	if rc.value(name, option).text == "" {
		return nil, &Error{rc.file, section.line, errors.New("a destination has no " + option)}
	}
	switch kind {
	case "Maildir":
		return place{{"maildir", rc.path(name, "path")}}, nil
	case "Mboxrd":
		return place{{"mbox", rc.path(name, "path")}}, nil
	case "MDA_lmtp":
		return rc.lmtp(name)
	}
	return rc.mda(name)
}

// lmtp returns the target for a server of LMTP.
func (rc *getmailrc) lmtp(name string) (place, error) {
	host := rc.value(name, "host").text
	port, err := rc.number(name, "port")
	if err != nil {
		return nil, err
	}
	if port < 0 || port > 1<<16-1 {
		return nil, rc.fail(rc.value(name, "port"), "port", errors.New("is no port"))
	}
	to := place{{"lmtp", "unix:" + host}}
	if !strings.HasPrefix(host, "/") {
		const usual = 2003 // of Python's smtplib
		to = place{{"lmtp", net.JoinHostPort(host, strconv.FormatInt(cmp.Or(port, usual), 10))}}
	}
	if rcpt := rc.value(name, "override").text; rcpt != "" && rcpt != "None" {
		to = append(to, Setting{"rcpt", []string{rcpt}})
	}
	return to, nil
}

// mda returns the target for a program. It needs a shell only if getmail replaces something in its
// arguments.
func (rc *getmailrc) mda(name string) (place, error) {
	words, err := rc.command(name)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(words[1:], func(word string) bool { return strings.Contains(word, "%(") }) {
		return place{{"mda_argv", words}}, nil
	}
	line := rc.value(name, "arguments").line
	return place{{"mda", rc.shell(words, line, rc.envelope != "")}}, nil
}

// command returns the words of a program with its arguments.
func (rc *getmailrc) command(name string) ([]string, error) {
	words := []string{rc.expand(rc.value(name, "path").text)}
	arguments := rc.value(name, "arguments")
	if arguments.text == "" {
		return words, nil
	}
	list, err := parseTuple(arguments.text)
	if err != nil {
		return nil, rc.fail(arguments, "arguments", err)
	}
	for _, word := range list {
		words = append(words, rc.expand(word))
	}
	return words, nil
}

// shell returns the words of a program as a command of the shell.
func (rc *getmailrc) shell(words []string, line int, knowsRecipient bool) string {
	quoted := []string{quote(words[0])}
	for _, word := range words[1:] {
		quoted = append(quoted, rc.argument(word, line, knowsRecipient))
	}
	return strings.Join(quoted, " ")
}

// argument returns an argument of a program as a word of the shell. getmail replaces %(sender) and
// the like in it.
func (rc *getmailrc) argument(word string, line int, knowsRecipient bool) string {
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
		recipient, isRecipient := recipientParts[name]
		switch {
		case closed && name == "sender":
			text.WriteString("$POPFETCH_SENDER")
		case closed && isRecipient && knowsRecipient:
			text.WriteString(recipient)
		case closed && isRecipient:
			// Without a multidrop retriever, getmail knows no recipient: then this is the user.
			local, domain := rc.recipient()
			text.WriteString(inDoubleQuotes(map[string]string{
				"recipient": strings.TrimSuffix(local+"@"+domain, "@"), "local": local, "domain": domain,
			}[name]))
			rc.note(line, "%("+name+")", "popfetch does not know the recipient of a message here",
				"the account's user stands in its place; with envelope_header, an mda finds the recipient in POPFETCH_RECIPIENT")
		case closed && name == "mailbox": // is empty for POP3
		default:
			text.WriteString("%(")
			word = rest
		}
	}
	return `"` + text.String() + `"`
}

// recipientParts are getmail's words for the recipient, as shell text inside double quotes.
var recipientParts = map[string]string{
	"recipient": "$POPFETCH_RECIPIENT", "local": "${POPFETCH_RECIPIENT%@*}", "domain": "${POPFETCH_RECIPIENT##*@}",
}

// recipient splits the account's user into its two parts.
func (rc *getmailrc) recipient() (local, domain string) {
	local, domain, _ = strings.Cut(rc.User, "@")
	return local, domain
}

// named returns what a destination becomes that is named by its section, or by a path. It has a name
// for itself, too. The place is nil if popfetch has no such target.
func (rc *getmailrc) named(item string) (to place, name string, err error) {
	item = rc.expand(item)
	if section, isSection := strings.CutPrefix(item, "["); isSection {
		section = strings.TrimSuffix(section, "]")
		if _, found := rc.config.section(section); !found {
			return nil, "", nil
		}
		to, err = rc.place(section)
		return to, section, err
	}
	if !strings.HasPrefix(item, "/") && !strings.HasPrefix(item, ".") {
		return nil, "", nil
	}
	key := "mbox"
	if strings.HasSuffix(item, "/") {
		key = "maildir"
	}
	file := rc.env.expand(item, rc.env.Home)
	return place{{key, rc.env.short(file)}}, path.Base(file), nil
}

// several returns the places of a list of destinations with their names. If one of them cannot be
// carried over, it says why.
func (rc *getmailrc) several(items []string) (places []place, names []string, why string, err error) {
	for _, item := range items {
		to, name, err := rc.named(item)
		switch {
		case err != nil:
			return nil, nil, "", err
		case to == nil:
			return nil, nil, "for one of its destinations, " + noTarget, nil
		case to.unfitPath():
			return nil, nil, "in the path of one of its destinations, " + pathWhy, nil
		}
		places, names = append(places, to), append(names, name)
	}
	return places, names, "", nil
}

// convertSeveral maps a MultiDestination.
func (rc *getmailrc) convertSeveral(kind iniValue) error {
	value := rc.value("destination", "destinations")
	list, err := parseTuple(value.text)
	if err != nil {
		return rc.fail(value, "destinations", err)
	}
	places, names, why, err := rc.several(list)
	switch {
	case err != nil:
		return err
	case len(list) == 0:
		rc.rejectDestination(kind, "it has no destinations")
	case why != "":
		rc.rejectDestination(kind, why)
	case len(places) == 1:
		rc.deliver(places[0])
	default:
		rc.set(deliverKey, rc.targets(places, names))
	}
	return nil
}

// targets adds targets, and returns each of their names once.
func (rc *getmailrc) targets(places []place, names []string) (targets []string) {
	for i, to := range places {
		if name := rc.target(names[i], to); !slices.Contains(targets, name) {
			targets = append(targets, name)
		}
	}
	return targets
}

// convertSorter maps a MultiSorter. It is carried over with all its rules, or not at all: mail that
// getmail would sort must not end where it puts the rest.
func (rc *getmailrc) convertSorter(kind iniValue) error {
	value := rc.value("destination", "locals")
	pairs, err := parsePairs(value.text)
	if err != nil {
		return rc.fail(value, "locals", err)
	}
	items := []string{rc.value("destination", "default").text}
	var globs [][]string
	for _, pair := range pairs {
		patterns, exact := globsOf(pair[0])
		if !exact || rc.envelope == "" {
			why := "a pattern of locals cannot be written with * and ?"
			if rc.envelope == "" {
				why = "the retriever names no header with the recipient that popfetch can read"
			}
			rc.rejectDestination(kind, why)
			return nil
		}
		globs, items = append(globs, patterns), append(items, pair[1])
	}
	places, names, why, err := rc.several(items)
	if err != nil {
		return err
	}
	if why != "" {
		rc.rejectDestination(kind, why)
		return nil
	}
	rc.deliver(places[0])
	targets := map[string][]string{} // by the globs
	var order [][]string
	for i, patterns := range globs {
		key := strings.Join(patterns, " ")
		if targets[key] == nil {
			order = append(order, patterns)
		}
		if name := rc.target(names[i+1], places[i+1]); !slices.Contains(targets[key], name) {
			targets[key] = append(targets[key], name)
		}
	}
	for _, patterns := range order {
		rc.route(Setting{"recipient", patterns}, targets[strings.Join(patterns, " ")]...)
	}
	if len(order) > 1 {
		rc.note(value.line, "locals", "getmail delivers to all that match, popfetch by the first route that matches",
			"if an address matches several, write a route for it above them, with all its targets in deliver")
	}
	return nil
}
