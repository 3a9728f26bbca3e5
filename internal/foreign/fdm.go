package foreign

import (
	"cmp"
	"errors"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
)

// readFdm reads fdm's configuration and the caches of seen messages that belong to it. Of its rules,
// only match all can be carried over. fdm itself goes on to apply all others, as the MDA.
func readFdm(files []string, env Env) (*Found, error) {
	usual := filepath.Join(env.Home, ".fdm.conf")
	places := []string{usual, env.system("/etc/fdm.conf")}
	return readEach(files, places, env, func(file string, found *Found) (drafts []*draft, err error) {
		tokens, err := scanFdm(file, env)
		if err != nil {
			return nil, err
		}
		c := &fdmConfig{file: file, env: env, tokens: tokens, found: found}
		c.to, c.plain = plainRule(tokens, env)
		if err := c.read(); err != nil {
			return nil, err
		}
		c.finish(file == usual)
		for _, a := range c.accounts {
			if err := a.readSeen(env); err != nil {
				return nil, err
			}
			drafts = append(drafts, a.draft)
		}
		return drafts, nil
	})
}

// fdmConfig is fdm's configuration while it is read.
type fdmConfig struct {
	file     string
	env      Env
	tokens   []fdmToken // the last one is fdmEnd
	found    *Found
	accounts []*fdmAccount
	stdin    string // the account that reads standard input, or ""
	verifies bool
	parallel bool // several fdm may run at a time
	size     int64
	timeout  int64
	proxy    fdmToken

	to    []place // where all mail goes, if plain
	plain bool    // the rules can be carried over
	sets  fdmSettings
}

// fdmSettings are settings that matter if the rules are carried over.
type fdmSettings struct {
	purge       int64
	discards    fdmToken // delete-oversized, if it is there
	unreceived  bool
	withoutKeys []fdmToken
}

// fdmAccount is an account of POP3.
type fdmAccount struct {
	*draft
	cache string // the file of seen messages, or ""
}

func (c *fdmConfig) peek() fdmToken { return c.tokens[0] }

func (c *fdmConfig) next() fdmToken {
	t := c.tokens[0]
	if t.kind != fdmEnd {
		c.tokens = c.tokens[1:]
	}
	return t
}

// take reads the next token if it is this word or mark.
func (c *fdmConfig) take(text string) bool {
	t := c.peek()
	found := t.text == text && (t.kind == fdmWord || t.kind == fdmMark)
	if found {
		c.next()
	}
	return found
}

// fail returns an error about the line of the next token.
func (c *fdmConfig) fail(text string) error {
	return &Error{c.peek().file, c.peek().line, errors.New(text)}
}

// read reads the accounts and the settings. It passes over rules and actions.
func (c *fdmConfig) read() error {
	for c.peek().kind != fdmEnd {
		t := c.next()
		switch {
		case t.kind == fdmWord && t.text == "set":
			c.setting()
		case t.kind == fdmWord && t.text == "account" && c.begins():
			if err := c.account(t); err != nil {
				return err
			}
		}
	}
	return nil
}

// fdmTypes are the types of accounts.
var fdmTypes = strings.Fields("stdin pop3 pop3s imap imaps maildir maildirs mbox mboxes nntp nntps")

// begins reports whether the definition of an account comes next. In a rule, account is followed by
// a name, too, but by no type.
func (c *fdmConfig) begins() bool {
	rest := c.tokens[1:]
	for len(rest) > 0 && rest[0].kind != fdmEnd {
		switch t := rest[0]; {
		case t.kind == fdmWord && slices.Contains(fdmTypes, t.text):
			return true
		case t.kind == fdmWord && (t.text == "user" || t.text == "users" || t.text == "disabled"),
			t.kind == fdmMark && (t.text == "{" || t.text == "}"),
			t.kind == fdmString, t.kind == fdmNumber, t.kind == fdmUnknown, t.kind == fdmCommand:
			rest = rest[1:]
		default:
			return false
		}
	}
	return false
}

// setting reads what stands after set.
func (c *fdmConfig) setting() {
	switch name := c.next(); name.text {
	case "purge-after":
		c.sets.purge, _ = c.next().number()
	case "delete-oversized":
		c.sets.discards = name
	case "no-received":
		c.sets.unreceived = true
	case "default-user", "file-umask", "file-group", "no-create":
		c.sets.withoutKeys = append(c.sets.withoutKeys, name)
	case "lock-types":
		for c.peek().kind == fdmWord && slices.Contains([]string{"fcntl", "flock", "dotlock"}, c.peek().text) {
			if t := c.next(); t.text == "flock" {
				c.sets.withoutKeys = append(c.sets.withoutKeys, name)
			}
		}
	case "verify-certificates":
		c.verifies = true
	case "allow-multiple":
		c.parallel = true
	case "proxy":
		c.proxy = c.next()
	case "maximum-size":
		n, _ := c.next().number()
		c.size = scaled(n, map[string]int64{"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}, c.peek())
	case "timeout":
		n, _ := c.next().number()
		c.timeout = scaled(n, map[string]int64{"s": 1, "m": 60, "h": 3600, "d": 86400}, c.peek())
	}
}

// scaled multiplies a number by its unit, if the next word is one. Its first letter tells which.
func scaled(n int64, units map[string]int64, unit fdmToken) int64 {
	factor := int64(1)
	if unit.kind == fdmWord && unit.text != "" {
		factor = cmp.Or(units[strings.ToLower(unit.text[:1])], 1)
	}
	return min(max(n, 0), 1<<32) * factor
}

// account reads the definition of an account.
func (c *fdmConfig) account(start fdmToken) error {
	name := c.next()
	d := newDraft(start.file, start.line)
	for _, word := range []string{"user", "users"} {
		if c.take(word) {
			d.note(start.line, word, "popfetch delivers as the user who starts it",
				"fdm's rules can name users, too")
			for slices.Contains([]fdmKind{fdmString, fdmNumber, fdmMark, fdmUnknown}, c.peek().kind) {
				c.next()
			}
		}
	}
	if c.take("disabled") {
		d.set("enabled", false)
	}
	switch kind := c.next(); kind.text {
	case "stdin":
		c.stdin = name.text
	case "pop3", "pop3s":
		d.Label = name.text
		a := &fdmAccount{draft: d}
		c.accounts = append(c.accounts, a)
		return c.pop3(a, kind.text == "pop3s")
	default:
		c.found.Notes = append(c.found.Notes, Note{start.file, start.line,
			"an account of the type " + kind.text, "popfetch speaks POP3 alone",
			"fdm can go on to fetch it: fdm -a NAME fetch"})
	}
	return nil
}

// pop3 reads the arguments of an account of POP3.
func (c *fdmConfig) pop3(a *fdmAccount, implicit bool) error {
	d := a.draft
	switch {
	case c.take("pipe"):
		command := c.next()
		if command.kind != fdmString {
			return c.fail("pipe lacks its command in quotes")
		}
		d.Server = "localhost"
		d.set("connect_command", command.text)
		d.note(d.line, "pipe", "popfetch needs a server, for its records",
			"server is only a name beside connect_command")
	case c.take("server"):
		host := c.next()
		if host.kind != fdmString || host.text == "" {
			return &Error{host.file, host.line, errors.New("server lacks its name in quotes; an import " +
				"runs no commands and knows no macros of the command line")}
		}
		d.Server = host.text
		if c.take("port") {
			port := c.next()
			var err error
			if d.port, err = portNumber(port.text); err != nil {
				return &Error{port.file, port.line, err}
			}
		}
	default:
		return c.fail("the account has no server")
	}
	if implicit {
		d.set("tls", implicitTLS)
	} else {
		d.set("tls", noTLS)
	}
	for c.argument(a) {
	}
	switch {
	case d.text("tls") == noTLS && d.text("connect_command") == "":
		d.clear(d.line, "pop3 without starttls")
		d.secureTLS(d.line)
	case d.text("tls") == startTLS:
		d.secureTLS(d.line)
	}
	c.lookUp(a)
	return nil
}

// argument reads an optional argument of an account. It reports whether there was one.
func (c *fdmConfig) argument(a *fdmAccount) bool {
	d, t := a.draft, c.peek()
	if t.kind != fdmWord {
		return false
	}
	switch t.text {
	case "user", "pass":
		c.next()
		c.secret(d, t, c.next())
		return true
	case "new-only":
	case "old-only":
		d.note(t.line, t.text, "popfetch fetches what is new", "popfetch --once --all fetches all again")
	case "cache":
		c.next()
		a.cache = c.next().text
		return true
	case "starttls":
		d.set("tls", startTLS)
	case "no-apop": // popfetch uses APOP only if the configuration says so
	case "no-verify":
		d.note(t.line, t.text, "certificates are always checked", fingerprintInstead)
	case "no-uidl":
		d.withoutUIDL(t.line, t.text)
	case "insecure":
		d.note(t.line, t.text, "popfetch speaks TLS 1.2 and 1.3",
			"tls_legacy = true allows TLS 1.0 and 1.1")
	case "keep":
		d.set("delete", "never")
	default:
		return false
	}
	c.next()
	return true
}

// secret takes the value of user or pass.
func (c *fdmConfig) secret(d *draft, name, value fdmToken) {
	switch {
	case value.kind == fdmCommand && name.text == "pass":
		d.set("password_command", value.text)
	case value.kind != fdmString:
		d.note(name.line, name.text, "an import runs no commands and knows no macros of the command line",
			"write it into the configuration")
	case name.text == "pass":
		d.Password = value.text
	default:
		d.User = value.text
	}
}

// lookUp takes user and password from ~/.netrc.
func (c *fdmConfig) lookUp(a *fdmAccount) {
	if a.User != "" && (a.Password != "" || a.text("password_command") != "") {
		return
	}
	if entry, found := find(c.env.netrc(), a.Server, a.User); found {
		a.User = cmp.Or(a.User, entry.user)
		if a.text("password_command") == "" {
			a.Password = cmp.Or(a.Password, entry.password)
		}
	}
	if a.User == "" {
		a.User = c.env.user()
		a.note(a.line, "no user", "it is not in ~/.netrc either", "user is that of who imports")
	}
}

// finish gives all accounts what the rest of the file says.
func (c *fdmConfig) finish(isUsual bool) {
	command := "fdm"
	if !isUsual {
		command += " -f " + quote(c.file)
	}
	command += " -a " + quote(cmp.Or(c.stdin, "stdin")) + " fetch"
	for _, a := range c.accounts {
		a.seconds("timeout", c.timeout)
		c.convertSize(a)
		a.count("session_messages", c.sets.purge)
		c.setProxy(a)
		if c.plain {
			c.deliverPlainly(a)
			continue
		}
		a.set("mda", checkedFdm(command))
		why := "as an MDA, fdm ends with 0 even if it could not deliver, or if no rule takes the message"
		if a.text("delete") == "" {
			a.note(a.line, "no keep", why, `delete = "never", as written here, until you have seen it work; `+
				`then delete = "delivered"`)
		}
		a.note(a.line, "fdm as mda", why, "the mda that is written here looks at what fdm prints, and fails "+
			"if fdm has kept the message; it is then tried again")
		a.set("delete", "never")
	}
	if len(c.accounts) == 0 {
		return
	}
	if !c.plain {
		c.noteRules()
	}
	if !c.verifies {
		c.note("no verify-certificates", "fdm does not check certificates then, popfetch always does",
			fingerprintInstead)
	}
}

// convertSize maps maximum-size. Only an account that deletes what it has delivered deletes larger
// messages, too.
func (c *fdmConfig) convertSize(a *fdmAccount) {
	discards := c.sets.discards
	if discards.text != "" && c.size > 0 && c.plain && a.text("delete") == "" {
		a.discardLarger(discards.line, discards.text, c.size)
		return
	}
	a.limit(c.size)
	if discards.text != "" {
		a.note(discards.line, discards.text, `popfetch deletes nothing unread beside delete = "never"`,
			"exit status 1 of filter_headers deletes a message unread")
	}
}

// deliverPlainly has popfetch itself deliver to where the only rule of fdm says.
func (c *fdmConfig) deliverPlainly(a *fdmAccount) {
	if len(c.to) == 1 {
		a.deliver(c.to[0])
	} else {
		var names []string
		for _, to := range c.to {
			if name := a.target(to[0].Key, to); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		a.set(deliverKey, names)
	}
	if a.text("delete") == "" {
		a.set("delete", "delivered")
	}
	if !c.sets.unreceived {
		a.noteLines("fdm", []string{"received"})
	}
	for _, t := range c.sets.withoutKeys {
		a.Notes = append(a.Notes, Note{t.file, t.line, t.text, fdmReasons[t.text][0], fdmReasons[t.text][1]})
	}
}

// fdmReasons has the reason and the nearest thing for settings that matter only to actions.
var fdmReasons = map[string][2]string{
	"default-user": {"popfetch delivers as the user who starts it", "start popfetch as that user"},
	"file-umask":   {"popfetch makes files that only their owner can read", ""},
	"file-group":   {"popfetch delivers as the user who starts it", ""},
	"no-create":    {"popfetch makes a Maildir or an mbox before the first delivery", ""},
	"lock-types":   {"popfetch locks an mbox by fcntl and a dot lock", ""},
}

// checkedFdm returns a command that fails if fdm did not deliver the message.
func checkedFdm(command string) string {
	return "out=$(" + command + ` 2>&1); echo "$out"; ` +
		`case $out in *"processed (0 kept)"*) ;; *) exit 1;; esac`
}

// note adds a note about the whole file.
func (c *fdmConfig) note(what, why, instead string) {
	c.found.Notes = append(c.found.Notes, Note{File: c.file, What: what, Why: why, Instead: instead})
}

// noteRules notes what fdm's own file needs.
func (c *fdmConfig) noteRules() {
	if c.stdin == "" {
		c.note("no account for standard input", "fdm gets each message from popfetch there",
			`add this line to the file: account "stdin" stdin`)
	}
	c.note("rules", "fdm goes on to apply them, as popfetch's MDA; to them, all mail comes from the "+
		"account for standard input", "a rule that names another account does not apply; an mda "+
		"finds its name in POPFETCH_ACCOUNT")
	if len(c.accounts) > 1 && !c.parallel {
		c.note("no allow-multiple", "a second fdm refuses to run while the first one has its lock",
			"add this line to the file: set allow-multiple")
	}
}

// setProxy maps the proxy. Its password is left out: it may not stand in a file that all can read.
func (c *fdmConfig) setProxy(a *fdmAccount) {
	if c.proxy.kind != fdmString || a.text("connect_command") != "" {
		return
	}
	proxy, err := url.Parse(c.proxy.text)
	if err != nil || proxy.Hostname() == "" {
		a.Notes = append(a.Notes, Note{c.proxy.file, c.proxy.line, "proxy", "it is no address of a proxy",
			`proxy = "socks5://HOST:PORT"`})
		return
	}
	scheme, port := "http", "80"
	if strings.HasPrefix(proxy.Scheme, "socks") {
		scheme, port = "socks5", "1080"
	}
	host := proxy.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	a.set("proxy", scheme+"://"+host+":"+cmp.Or(proxy.Port(), port))
	if proxy.User != nil {
		a.Notes = append(a.Notes, Note{c.proxy.file, c.proxy.line, "user and password of the proxy",
			"an import writes no passwords into the configuration",
			`proxy = "socks5://USER:PASSWORD@HOST:PORT"; the file must then be private`})
	}
}
