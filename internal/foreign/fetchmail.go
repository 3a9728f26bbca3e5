package foreign

import (
	"cmp"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// fetchmailPlaces returns where fetchmail looks for its configuration.
func fetchmailPlaces(env Env) []string {
	return []string{env.fetchmailHome("fetchmailrc", ".fetchmailrc"), env.system("/etc/fetchmailrc")}
}

// fetchmailHome returns the place of a file in fetchmail's home. Its name depends on whether the
// variable FETCHMAILHOME is set.
func (env Env) fetchmailHome(named, usual string) string {
	if dir := env.getenv("FETCHMAILHOME"); dir != "" {
		return filepath.Join(dir, named)
	}
	return filepath.Join(cmp.Or(env.getenv("HOME_ETC"), env.Home), usual)
}

// readFetchmail reads .fetchmailrc files and the files of seen messages that belong to them.
func readFetchmail(files []string, env Env) (*Found, error) {
	return readEach(files, fetchmailPlaces(env), env, func(file string, found *Found) ([]*draft, error) {
		text, err := readConfig(file)
		if err != nil {
			return nil, err
		}
		rc, err := parseFetchmail(file, text)
		if err != nil {
			return nil, err
		}
		return rc.accounts(file, env, found)
	})
}

// readEach reads each of the files; without any, the first of the default places that exists.
func readEach(files, places []string, env Env, read func(string, *Found) ([]*draft, error)) (*Found, error) {
	if len(files) == 0 {
		place := firstExisting(places...)
		if place == "" {
			return nil, missing(places[0])
		}
		files = []string{place}
	}
	found := &Found{Files: files}
	var drafts []*draft
	for _, file := range files {
		more, err := read(file, found)
		if err != nil {
			return nil, err
		}
		drafts = append(drafts, more...)
	}
	found.finish(drafts, env)
	return found, nil
}

// missing is the error if the default places have no configuration.
func missing(place string) error { return &Error{File: place, Err: fs.ErrNotExist} }

// accounts returns the POP3 accounts of a .fetchmailrc, with what has been seen of them.
func (rc *fetchmailrc) accounts(file string, env Env, found *Found) ([]*draft, error) {
	rc.noteGlobal(file, found)
	var drafts []*draft
	for _, e := range rc.entries {
		for _, u := range e.users {
			a := &fetchmailAccount{
				draft:    newDraft(file, u.line),
				entry:    e,
				options:  slices.Concat(e.options, u.options),
				defaults: rc.defaults.options,
				env:      env,

				postmaster: cmp.Or(rc.text("postmaster"), env.user()),
				invisible:  rc.isOn("invisible"),
			}
			if what, why := a.otherProtocol(); what != "" {
				found.Notes = append(found.Notes, Note{file, e.line, what, why,
					"if the server offers POP3 as well, popfetch init finds it"})
				continue
			}
			a.convert(rc.interval())
			drafts = append(drafts, a.draft)
		}
	}
	return drafts, rc.readSeen(file, drafts, env)
}

// text returns what set says, or "".
func (rc *fetchmailrc) text(name string) string {
	o, _ := last(rc.global, name)
	return o.text
}

// isOn returns whether set switches something on.
func (rc *fetchmailrc) isOn(name string) bool {
	o, found := last(rc.global, name)
	return found && !o.off
}

// interval returns the seconds between two polls, or 0 if fetchmail polls once.
func (rc *fetchmailrc) interval() int64 {
	o, _ := last(rc.global, "daemon")
	return o.n
}

// last returns the last option of a name. That one counts.
func last(options []option, name string) (option, bool) {
	for i := len(options) - 1; i >= 0; i-- {
		if options[i].name == name {
			return options[i], true
		}
	}
	return option{}, false
}

// noteGlobal notes what set says and popfetch does not have.
func (rc *fetchmailrc) noteGlobal(file string, found *Found) {
	for _, o := range rc.global {
		note, isNoted := fetchmailGlobalNotes[o.name]
		if !isNoted || o.off {
			continue
		}
		found.Notes = append(found.Notes, Note{file, o.line, "set " + o.name, note[0], note[1]})
	}
}

// fetchmailGlobalNotes has the reason and the nearest thing for each global option without a key.
// daemon and idfile are used.
var fetchmailGlobalNotes = map[string][2]string{
	"logfile": {"popfetch writes to standard error",
		"start it by systemd, whose journal keeps it, or redirect it: popfetch 2>>FILE"},
	"syslog": {"popfetch writes to standard error", "start it by systemd, whose journal keeps it"},
	"pidfile": {"popfetch writes no such file; a second one on the same state says who is at it",
		"popfetch status"},
	"postmaster": {"popfetch sends no mail; a message that cannot be delivered stays on the server",
		"on_error runs a command, and popfetch status shows it"},
	"bouncemail": {"popfetch sends no mail; a message that cannot be delivered stays on the server",
		""},
	"spambounce": {"popfetch sends no mail; a message that is refused stays on the server", ""},
	"softbounce": {"a message that is refused stays on the server in any case",
		"quarantine_after says when it is no longer tried"},
	"properties": {"it is for other programs", ""},
	"showdots":   {"popfetch shows no dots", "popfetch --verbose names each message"},
}

// fetchmailAccount is a user of a server while it is converted.
type fetchmailAccount struct {
	*draft
	entry    entry
	options  []option
	defaults []option
	env      Env

	postmaster string // who gets mail whose recipient is not known
	invisible  bool   // no line Received is added
}

// option returns the option that counts: the account's last one, or that of the defaults. For some
// options, fetchmail cannot tell "any" or 0 from nothing.
func (a *fetchmailAccount) option(name string) (option, bool) {
	own, found := last(a.options, name)
	nothing := name == "auth" && own.text == "any" ||
		(name == "timeout" || name == "interval") && own.n == 0
	if found && !nothing {
		return own, true
	}
	if preset, isSet := last(a.defaults, name); isSet {
		return preset, true
	}
	return own, found
}

// text returns the value of an option that is text.
func (a *fetchmailAccount) value(name string) string {
	o, _ := a.option(name)
	return o.text
}

// flag returns whether an option is on.
func (a *fetchmailAccount) flag(name string, preset bool) bool {
	o, found := a.option(name)
	return !found && preset || found && !o.off
}

// names returns the local names. Those of the defaults count only if the account has none.
func (a *fetchmailAccount) names() []string {
	for _, options := range [][]option{a.options, a.defaults} {
		var names []string
		for _, o := range options {
			if o.name == "is" {
				names = append(names, o.list...)
			}
		}
		if len(names) > 0 {
			return names
		}
	}
	return nil
}

// protocol returns the protocol, auto if there is none.
func (a *fetchmailAccount) protocol() string { return cmp.Or(a.value("protocol"), "auto") }

// otherProtocol says why the server cannot be carried over, if it is not one of POP3.
func (a *fetchmailAccount) otherProtocol() (what, why string) {
	protocol := strings.ToUpper(a.protocol())
	switch protocol {
	case "IMAP", "ETRN", "ODMR", "POP2", "RPOP", "KPOP":
		return `poll "` + a.entry.name + `" by ` + protocol, "popfetch speaks POP3 alone"
	}
	return "", ""
}

// convert fills the draft.
func (a *fetchmailAccount) convert(daemon int64) {
	a.Name, a.Label = a.entry.name, a.entry.name
	a.Server = cmp.Or(a.value("via"), a.entry.name)
	a.User = cmp.Or(a.value("user"), a.env.user())
	if _, named := a.option("user"); !named {
		a.note(a.line, "no user", "fetchmail then logs in as the user who starts it",
			"user is that of who imports")
	}
	a.convertTLS()
	a.convertPassword()
	a.convertAuth()
	a.convertTarget()
	a.noteHosts()
	a.set("delete", "delivered")
	if a.flag("keep", false) {
		a.set("delete", "never")
	}
	a.convertLimits()
	a.convertCommands()
	if o, found := a.option("timeout"); found {
		a.seconds("timeout", o.n)
	}
	if o, found := a.option("interval"); found && o.n > 1 && daemon == 0 {
		a.note(o.line, "interval", "without set daemon, there are no polls to count", `interval = "5m"`)
	} else if found && o.n > 1 {
		daemon = min(daemon, 1_000_000) * min(o.n, 1_000_000)
	}
	a.seconds("interval", daemon)
	if a.entry.skip {
		a.set("enabled", false)
	}
	a.convertPlugin()
	a.noteRest()
}

// convertLimits maps how many messages a poll takes, and how large they may be.
func (a *fetchmailAccount) convertLimits() {
	limit, _ := a.option("limit")
	flush, _ := a.option("limitflush")
	switch flushes := a.flag("limitflush", false); {
	case flushes && limit.n > 0 && !a.flag("keep", false):
		a.discardLarger(flush.line, "limitflush", limit.n)
	case flushes:
		a.note(flush.line, "limitflush", "popfetch deletes nothing unread with keep, or without limit",
			"exit status 1 of filter_headers deletes a message unread")
		a.limit(limit.n)
	default:
		a.limit(limit.n)
	}
	for name, key := range map[string]string{"fetchlimit": "max_messages", "expunge": "session_messages"} {
		o, _ := a.option(name)
		a.count(key, o.n)
	}
}

// convertCommands maps the commands before and after a poll, and the lines on top of messages.
func (a *fetchmailAccount) convertCommands() {
	for name, key := range map[string]string{"preconnect": "pre_command", "postconnect": "post_command"} {
		if command := a.value(name); strings.TrimSpace(command) != "" {
			a.set(key, command)
		}
	}
	lines := []string{"received"}
	if a.flag("tracepolls", false) {
		a.set("add_headers", []string{"popfetch"})
		lines = append(lines, "popfetch")
	}
	if !a.invisible {
		a.noteLines("fetchmail", lines)
	}
}

// convertTLS maps ssl and its companions. Without ssl, fetchmail 6.4 demands STARTTLS, unless
// sslproto is empty.
func (a *fetchmailAccount) convertTLS() {
	service, isSet := a.option("service")
	if isSet {
		port, err := portNumber(service.text)
		if err != nil {
			a.note(service.line, "service", err.Error(), "correct the port in server")
		}
		a.port = port
	}
	proto, hasProto := a.option("sslproto")
	version := strings.ToLower(strings.TrimPrefix(strings.ToLower(proto.text), "tlsv"))
	version = strings.TrimPrefix(version, "tls")
	switch {
	case a.flag("ssl", false):
		a.set("tls", implicitTLS)
	case hasProto && proto.text == "":
		a.clear(proto.line, "sslproto ''")
	default:
		a.set("tls", startTLS)
	}
	a.secureTLS(max(service.line, a.entry.line))
	switch version {
	case "1.3", "1.3+":
		a.set("tls_min_version", "1.3")
	case "1", "1.1", "ssl2", "ssl3", "ssl3+":
		a.set("tls_legacy", true)
		a.note(proto.line, "sslproto", "it demands a version of TLS that is no longer safe",
			"tls_legacy = true allows TLS 1.0 and 1.1; try without it")
	}
	a.convertTrust()
}

// convertTrust maps how certificates are checked.
func (a *fetchmailAccount) convertTrust() {
	folder := filepath.Dir(a.file)
	path := func(name string) string { return a.env.short(a.env.expand(a.value(name), folder)) }
	if o, found := a.option("sslcertck"); found && o.off {
		a.note(o.line, "no sslcertck", "certificates are always checked",
			"tls_fingerprint or tls_ca trusts one that the system does not trust")
	}
	if o, found := a.option("sslfingerprint"); found {
		a.fingerprint(o.line, "sslfingerprint", []string{o.text})
	}
	if _, found := a.option("sslcertfile"); found {
		a.authority(path("sslcertfile"))
	}
	if o, found := a.option("sslcertpath"); found && !slices.Contains(systemAuthorities, o.text) {
		a.note(o.line, "sslcertpath", "popfetch reads no folders of certificates",
			"tls_ca takes one file with all of them; the system's are trusted anyway")
	}
	if o, found := a.option("sslcommonname"); found {
		a.set("tls_server_name", o.text)
	}
	for name, key := range map[string]string{"sslcert": "tls_cert", "sslkey": "tls_key"} {
		if _, found := a.option(name); found {
			a.set(key, path(name))
		}
	}
}

// convertPassword takes the password, or that of ~/.netrc.
func (a *fetchmailAccount) convertPassword() {
	if o, found := a.option("pass"); found {
		a.Password = o.text
		return
	}
	if mechanism := a.value("auth"); mechanism == "gssapi" || mechanism == "external" {
		return
	}
	entries := a.env.netrc()
	for _, host := range []string{a.entry.name, a.Server} {
		if entry, found := find(entries, host, a.User); found {
			a.Password = entry.password
			return
		}
	}
}

// convertAuth maps the mechanism of the log-in.
func (a *fetchmailAccount) convertAuth() {
	if a.protocol() == "apop" {
		a.set("auth", "apop")
	}
	o, found := a.option("auth")
	if !found {
		return
	}
	switch o.text {
	case "any":
	case "password":
		a.set("auth", "user")
	case "cram-md5", "ntlm", "gssapi", "external":
		a.set("auth", o.text)
	case "kerberos_v5":
		a.set("auth", "gssapi")
	default: // kerberos_v4 otp msn ssh implicit
		a.note(o.line, "auth "+o.text, "popfetch does not have this mechanism",
			`auth = "auto" takes the strongest that the server offers`)
	}
}

// localName returns a local name as shell text inside double quotes.
func localName(name string) string {
	if name == "" {
		return "$(id -un)"
	}
	return inDoubleQuotes(strings.ReplaceAll(name, "'", ""))
}

// convertPlugin maps plugin. fetchmail splits it at blanks and starts it without a shell.
func (a *fetchmailAccount) convertPlugin() {
	o, found := a.option("plugin")
	if !found {
		return
	}
	port := cmp.Or(a.port, a.usualPort())
	var words []string
	for _, word := range strings.Fields(o.text) {
		switch word {
		case "%h":
			word = a.Server
		case "%p":
			word = port
		}
		words = append(words, quote(word))
	}
	if len(words) > 0 {
		a.set("connect_command", strings.Join(words, " "))
	}
}

// noteRest notes all options that have no key of popfetch.
func (a *fetchmailAccount) noteRest() {
	if a.protocol() == "auto" {
		a.note(a.entry.line, "no protocol", "fetchmail then tries IMAP before POP3",
			"popfetch check shows whether the server offers POP3")
	}
	for _, options := range [][]option{a.options, a.defaults} {
		for _, o := range options {
			if effective, _ := a.option(o.name); effective.line != o.line || o.off {
				continue // another one counts
			}
			note, isNoted := fetchmailNotes[o.name]
			if !isNoted || note.unless != "" && a.flag(note.unless, false) {
				continue
			}
			what := o.name
			if o.n != 0 {
				what += " " + o.text
			}
			a.note(o.line, what, note.why, note.instead)
		}
	}
}
