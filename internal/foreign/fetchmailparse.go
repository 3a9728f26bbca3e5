package foreign

import (
	"errors"
	"slices"
	"strings"
)

// option is an option of a .fetchmailrc with its value.
type option struct {
	name string // the keyword without abbreviation; is for is and to
	off  bool   // after no
	text string
	list []string // a mapping of names, a=b, is the local one of both
	n    int64
	line int
}

// entry is a server of a .fetchmailrc, or its defaults.
type entry struct {
	name    string // "" for the defaults
	skip    bool
	line    int
	options []option
	users   []user
}

// user is an account on a server. Its options have one with the name user or is.
type user struct {
	line    int
	options []option
}

// fetchmailrc is a .fetchmailrc.
type fetchmailrc struct {
	global   []option
	defaults user // the options of the server and of the user
	entries  []entry
}

// valueKind is the form of an option's value.
type valueKind int

const (
	flagValue  valueKind = iota // no value; may follow no
	plainValue                  // no value; may not follow no
	textValue
	numberValue
	listValue
	numbersValue
	namesValue
	portValue     // a number or text
	envelopeValue // an optional number, and text; may follow no
	wordValue     // a keyword that only this option has
)

var globalOptions = map[string]valueKind{
	"logfile": textValue, "idfile": textValue, "pidfile": textValue, "postmaster": textValue,
	"properties": textValue, "daemon": numberValue, "bouncemail": flagValue,
	"spambounce": flagValue, "softbounce": flagValue, "syslog": flagValue,
	"invisible": flagValue, "showdots": flagValue,
}

var serverOptions = map[string]valueKind{
	"aka": listValue, "via": textValue, "localdomains": listValue, "protocol": wordValue,
	"principal": textValue, "esmtpname": textValue, "esmtppassword": textValue,
	"uidl": flagValue, "checkalias": flagValue, "service": portValue, "port": numberValue,
	"interval": numberValue, "auth": wordValue, "timeout": numberValue,
	"idletimeout": numberValue, "envelope": envelopeValue, "qvirtual": textValue,
	"interface": textValue, "monitor": textValue, "plugin": textValue, "plugout": textValue,
	"dns": flagValue, "tracepolls": flagValue, "bad-header": wordValue,
}

var userOptions = map[string]valueKind{
	"is": namesValue, "to": namesValue, "pass": textValue, "folder": listValue,
	"smtphost": listValue, "fetchdomains": listValue, "smtpaddress": textValue,
	"smtpname": textValue, "antispam": numbersValue, "mda": textValue, "bsmtp": textValue,
	"lmtp": plainValue, "preconnect": textValue, "postconnect": textValue, "keep": flagValue,
	"flush": flagValue, "limitflush": flagValue, "fetchall": flagValue, "rewrite": flagValue,
	"forcecr": flagValue, "stripcr": flagValue, "pass8bits": flagValue, "dropstatus": flagValue,
	"dropdelivered": flagValue, "mimedecode": flagValue, "idle": flagValue,
	"forceidle": flagValue, "ssl": flagValue, "sslcertck": flagValue, "sslkey": textValue,
	"sslcert": textValue, "sslproto": textValue, "sslcertfile": textValue,
	"sslcertpath": textValue, "sslcommonname": textValue, "sslfingerprint": textValue,
	"limit": numberValue, "warnings": numberValue, "fetchlimit": numberValue,
	"fetchsizelimit": numberValue, "fastuidl": numberValue, "batchlimit": numberValue,
	"expunge": numberValue, "properties": textValue,
}

// fetchmailParser reads tokens. Its errors show no words of the file but keywords: any other word
// may be a part of a password.
type fetchmailParser struct {
	file   string
	tokens []token // the last one is endOfFile
}

func (p *fetchmailParser) peek() token { return p.tokens[0] }

func (p *fetchmailParser) next() token {
	t := p.tokens[0]
	if t.kind != endOfFile {
		p.tokens = p.tokens[1:]
	}
	return t
}

// at reports whether the next token is this keyword.
func (p *fetchmailParser) at(word string) bool {
	return p.peek().kind == keyword && p.peek().text == word
}

// take reads the next token if it is this keyword.
func (p *fetchmailParser) take(word string) bool {
	found := p.at(word)
	if found {
		p.next()
	}
	return found
}

// fail returns an error about the line of the next token.
func (p *fetchmailParser) fail(text string) error {
	return &Error{p.file, p.peek().line, errors.New(text)}
}

// parseFetchmail reads the text of a .fetchmailrc.
func parseFetchmail(file, text string) (*fetchmailrc, error) {
	tokens, err := scanFetchmail(text)
	if err != nil {
		return nil, &Error{File: file, Err: err}
	}
	p := &fetchmailParser{file: file, tokens: tokens}
	rc := &fetchmailrc{}
	hasDefaults := false
	for p.peek().kind != endOfFile {
		start := p.peek()
		switch {
		case p.take("set"):
			o, err := p.option(globalOptions)
			if err != nil {
				return nil, err
			}
			rc.global = append(rc.global, o)
		case p.take("defaults"):
			if hasDefaults || len(rc.entries) > 0 {
				return nil, &Error{file, start.line, errors.New("defaults must come once, before all servers")}
			}
			hasDefaults = true
			e, err := p.entry(entry{line: start.line})
			if err != nil {
				return nil, err
			}
			if len(e.users) > 1 {
				return nil, &Error{file, e.users[1].line, errors.New("defaults cannot have several users")}
			}
			rc.defaults = user{start.line, slices.Concat(e.options, e.users[0].options)}
		case p.at("poll"), p.at("skip"):
			p.next()
			name := p.next()
			if name.kind != stringToken || name.text == "" {
				return nil, &Error{file, name.line, errors.New(start.text + " lacks the name of a server")}
			}
			e, err := p.entry(entry{name: name.text, skip: start.text == "skip", line: start.line})
			if err != nil {
				return nil, err
			}
			rc.entries = append(rc.entries, e)
		default:
			return nil, p.fail("this is no statement: poll, skip, defaults or set" + p.hint())
		}
	}
	return rc, nil
}

// hint says more about a token at which no statement and no option begins.
func (p *fetchmailParser) hint() string {
	t := p.peek()
	_, isServerOption := serverOptions[t.text]
	_, isUserOption := userOptions[t.text]
	switch {
	case t.kind != keyword:
		return "; a value with blanks needs quotes"
	case isServerOption:
		return `; the server option "` + t.text + `" must come before all users and their options`
	case isUserOption || t.text == "user":
		return `; "` + t.text + `" must come after a server and its options`
	}
	return ""
}

// entry reads the options and the users of a server. There is at least one user.
func (p *fetchmailParser) entry(e entry) (entry, error) {
	for p.begins(serverOptions) {
		o, err := p.option(serverOptions)
		if err != nil {
			return e, err
		}
		e.options = append(e.options, o)
	}
	if !p.at("user") { // the user of this system
		u := user{line: e.line}
		err := p.userOptions(&u)
		e.users = append(e.users, u)
		return e, err
	}
	for p.at("user") {
		u := user{line: p.next().line}
		if err := p.userName(&u); err != nil {
			return e, err
		}
		if err := p.userOptions(&u); err != nil {
			return e, err
		}
		e.users = append(e.users, u)
	}
	return e, nil
}

// begins reports whether an option of this table comes next.
func (p *fetchmailParser) begins(table map[string]valueKind) bool {
	t := p.peek()
	if p.at("no") && len(p.tokens) > 1 {
		t = p.tokens[1]
	}
	_, found := table[t.text]
	return found && t.kind == keyword
}

func (p *fetchmailParser) userOptions(u *user) error {
	for p.begins(userOptions) {
		o, err := p.option(userOptions)
		if err != nil {
			return err
		}
		u.options = append(u.options, o)
	}
	return nil
}

// userName reads what stands after user: a remote name, or local names and here.
func (p *fetchmailParser) userName(u *user) error {
	o, err := p.names("is")
	if err != nil {
		return err
	}
	switch {
	case p.take("here"):
	case len(o.list) == 1 && o.text != "":
		p.take("there")
		o = option{name: "user", text: o.text, line: o.line}
	default:
		return p.fail("several names after user need the word here; a name with blanks needs quotes")
	}
	u.options = append(u.options, o)
	return nil
}

// option reads an option.
func (p *fetchmailParser) option(table map[string]valueKind) (option, error) {
	off := p.take("no")
	t := p.next()
	kind, known := table[t.text]
	if !known || t.kind != keyword || off && kind != flagValue && kind != envelopeValue {
		return option{}, &Error{p.file, t.line, errors.New("this is no option that can stand here")}
	}
	o := option{name: t.text, off: off, line: t.line}
	if o.name == "port" {
		o.name = "service" // the last one of both counts
	}
	if off || kind == flagValue || kind == plainValue {
		return o, nil
	}
	if kind == namesValue {
		names, err := p.names(t.text)
		if err != nil {
			return o, err
		}
		if len(names.list) == 1 && names.text != "" && t.text == "is" && p.take("there") {
			return option{name: "user", text: names.text, line: t.line}, nil
		}
		p.take("here")
		return names, nil
	}
	if _, isGlobal := globalOptions[t.text]; isGlobal {
		p.take("=")
	}
	return p.value(o, kind)
}

// value reads the value of an option.
func (p *fetchmailParser) value(o option, kind valueKind) (option, error) {
	t := p.peek()
	if kind == envelopeValue && t.kind == numberToken {
		o.n = p.next().n
		t = p.peek()
	}
	prefix := map[string]string{"protocol": "protocol:", "auth": "mechanism:"}[o.name]
	switch {
	case kind == wordValue && t.kind == keyword && prefix != "" && strings.HasPrefix(t.text, prefix):
		o.text = strings.TrimPrefix(p.next().text, prefix)
	case o.name == "bad-header" && (p.at("accept") || p.at("reject")):
		o.text = p.next().text
	case (kind == numberValue || kind == portValue || kind == numbersValue) && t.kind == numberToken:
		o.text, o.n = t.text, t.n
		p.next()
		for kind == numbersValue && p.peek().kind == numberToken {
			p.next()
		}
	case kind == listValue && t.kind == stringToken:
		for p.peek().kind == stringToken {
			o.list = append(o.list, p.next().text)
		}
	case (kind == textValue || kind == portValue || kind == envelopeValue) && t.kind == stringToken:
		o.text = p.next().text
	default:
		return o, p.fail(`the option "` + o.name + `" lacks its value; a value that is a keyword ` +
			"of fetchmail needs quotes")
	}
	return o, nil
}

// names reads a list of names, each of which may be remote=local. The text of the option is the
// name if it is the only one and no pair.
func (p *fetchmailParser) names(keyword string) (option, error) {
	o := option{name: "is", line: p.peek().line}
	for p.peek().kind == stringToken {
		name := p.next().text
		o.text = name
		if p.take("=") {
			if p.peek().kind != stringToken {
				return o, p.fail("a name lacks after =")
			}
			name = name + "=" + p.next().text
			o.text = ""
		}
		o.list = append(o.list, name)
	}
	if len(o.list) == 0 {
		return o, p.fail(`a name lacks after "` + keyword + `"`)
	}
	if len(o.list) > 1 {
		o.text = ""
	}
	return o, nil
}
