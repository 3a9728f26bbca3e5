package foreign

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strconv"
	"strings"
)

// mpopValue is the argument of a command of mpop.
type mpopValue struct {
	text string
	line int
}

// mpopAccount is a section of mpop's configuration.
type mpopAccount struct {
	name      string
	line      int
	values    map[string]mpopValue // with those of the defaults and of other accounts
	own       map[string]mpopValue // without those of the defaults
	alias     string               // the account that this is only another name of, or ""
	evaluates []int                // lines with the command eval
}

// mpopCommands are all commands of mpop but those that begin a section.
var mpopCommands = keywords("host port source_ip proxy_host proxy_port socket timeout "+
	"pipelining auth user password passwordeval ntlmdomain tls tls_starttls tls_trust_file "+
	"tls_crl_file tls_fingerprint tls_key_file tls_cert_file tls_certcheck tls_force_sslv3 "+
	"tls_min_dh_prime_bits tls_priorities tls_host_override delivery uidls_file only_new keep "+
	"killsize skipsize filter received_header", "")

// readMpop reads mpop's configuration and the files of seen messages that belong to it.
func readMpop(files []string, env Env) (*Found, error) {
	places := []string{
		filepath.Join(env.Home, ".mpoprc"), filepath.Join(env.configHome(), "mpop", "config"), env.system("/etc/mpoprc"),
	}
	return readEach(files, places, env, func(file string, found *Found) (drafts []*draft, err error) {
		text, err := readConfig(file)
		if err != nil {
			return nil, err
		}
		accounts, err := parseMpop(file, text)
		if err != nil {
			return nil, err
		}
		for _, a := range accounts {
			d, err := a.convert(file, env, found)
			if err != nil {
				return nil, err
			}
			if d != nil {
				drafts = append(drafts, d)
			}
		}
		return drafts, nil
	})
}

// parseMpop reads the sections of a configuration.
func parseMpop(file, text string) ([]*mpopAccount, error) {
	var accounts []*mpopAccount
	defaults := &mpopAccount{own: map[string]mpopValue{}}
	var current *mpopAccount
	line := 0
	fail := func(text string) error { return &Error{file, line, errors.New(text)} }
	for each := range strings.Lines(text) {
		line++
		command, argument := splitMpop(each)
		switch {
		case command == "" || command[0] == '#':
		case command == "defaults":
			current = defaults
		case command == "account":
			if len(accounts) == maxAccounts {
				return nil, fail("there are too many accounts")
			}
			a, err := beginMpop(argument, line, defaults, accounts)
			if err != nil {
				return nil, fail(err.Error())
			}
			accounts = append(accounts, a)
			current = a
		case current == nil:
			return nil, fail("the first command must be account or defaults")
		case command == "eval":
			current.alias = ""
			current.evaluates = append(current.evaluates, line)
		case mpopCommands[command] == "":
			return nil, fail("the line does not begin with a command of mpop")
		default:
			current.alias = ""
			current.own[command] = mpopValue{argument, line}
		}
	}
	for _, a := range accounts {
		maps.Copy(a.values, a.own)
	}
	return accounts, nil
}

// maxAccounts bounds what a file can make of a few octets.
const maxAccounts = 10_000

// splitMpop splits a line into its command and the argument, which may be in double quotes.
func splitMpop(line string) (command, argument string) {
	line = strings.Trim(strings.TrimRight(line, "\r\n"), " \t")
	n := strings.IndexAny(line, " \t")
	if n < 0 {
		return line, ""
	}
	return line[:n], unquoteMpop(line[n:])
}

func unquoteMpop(text string) string {
	text = strings.Trim(text, " \t")
	if len(text) >= 2 && text[0] == '"' && text[len(text)-1] == '"' {
		return text[1 : len(text)-1]
	}
	return text
}

// beginMpop begins the section of an account. It starts with the defaults as they are now, and with
// what the accounts after the colon have.
func beginMpop(
	argument string, line int, defaults *mpopAccount, before []*mpopAccount,
) (*mpopAccount, error) {
	name, parents, inherits := strings.Cut(argument, ":")
	a := &mpopAccount{
		name: unquoteMpop(name), line: line,
		values: maps.Clone(defaults.own), own: map[string]mpopValue{},
		evaluates: append([]int(nil), defaults.evaluates...),
	}
	if a.name == "" {
		return nil, errors.New("the account has no name")
	}
	for _, other := range before {
		if other.name == a.name {
			return nil, fmt.Errorf("the account was begun in line %d already", other.line)
		}
	}
	if !inherits {
		return a, nil
	}
	list := strings.Split(parents, ",")
	for _, parent := range list {
		parent = unquoteMpop(parent)
		found := false
		for _, other := range before {
			if other.name == parent {
				maps.Copy(a.own, other.own)
				a.evaluates = append(a.evaluates, other.evaluates...)
				found = true
			}
		}
		if !found {
			return nil, errors.New("an account after the colon is not defined before this line")
		}
	}
	if len(list) == 1 {
		a.alias = unquoteMpop(parents)
	}
	if len(a.evaluates) > maxAccounts {
		return nil, errors.New("there are too many eval commands")
	}
	return a, nil
}

// text returns the argument of a command, or "".
func (a *mpopAccount) text(command string) string { return a.values[command].text }

// on returns whether a switch is on. An argument that is missing means on.
func (a *mpopAccount) on(command string, preset bool) bool {
	value, found := a.values[command]
	return !found && preset || found && value.text != "off"
}

// convert makes a draft of an account, or a note if it is none.
func (a *mpopAccount) convert(file string, env Env, found *Found) (*draft, error) {
	skip := func(why, instead string) (*draft, error) {
		found.Notes = append(found.Notes, Note{file, a.line, `account "` + a.name + `"`, why, instead})
		return nil, nil
	}
	if a.alias != "" {
		return skip("it is only another name of an account", "use the other account")
	}
	if a.text("host") == "" && a.text("socket") == "" {
		return skip("it has no host", "an account that only others inherit from is not needed")
	}
	d := newDraft(file, a.line)
	d.Label = a.name
	d.Server, d.User = cmp.Or(a.text("host"), "localhost"), a.text("user")
	for _, line := range a.evaluates {
		d.note(line, "eval", "an import runs no commands of the file, so what this one prints is missing",
			"write the value into the configuration, or password_command for a password")
	}
	if port := a.values["port"]; port.text != "" {
		var err error
		if d.port, err = portNumber(port.text); err != nil {
			return nil, &Error{file, port.line, err}
		}
	}
	a.convertTLS(d, env)
	a.convertLogin(d, env)
	a.convertDelivery(d, env)
	if err := a.convertLimits(d); err != nil {
		return nil, err
	}
	a.convertWay(d)
	a.noteRest(d)
	return d, a.readSeen(d, env)
}

// convertTLS maps the commands of TLS. It is off unless it is switched on, and then means STARTTLS
// unless that is switched off.
func (a *mpopAccount) convertTLS(d *draft, env Env) {
	line := max(a.values["tls"].line, a.values["tls_starttls"].line, a.values["port"].line, a.line)
	switch {
	case !a.on("tls", false):
		d.clear(line, "no tls")
	case a.on("tls_starttls", true):
		d.set("tls", startTLS)
	default:
		d.set("tls", implicitTLS)
	}
	d.secureTLS(line)
	path := func(command string) string {
		return env.short(env.expand(a.text(command), env.Home))
	}
	if trust, found := a.values["tls_trust_file"]; found && trust.text != "system" {
		if trust.text == "" {
			d.note(trust.line, "tls_trust_file", "certificates are always checked", fingerprintInstead)
		} else {
			d.authority(path("tls_trust_file"))
		}
	}
	if value := a.values["tls_certcheck"]; !a.on("tls_certcheck", true) {
		d.note(value.line, "tls_certcheck off", "certificates are always checked", fingerprintInstead)
	} else if value := a.values["tls_fingerprint"]; value.text != "" {
		d.fingerprint(value.line, "tls_fingerprint", []string{value.text})
	}
	files := map[string]string{"tls_cert_file": "tls_cert", "tls_key_file": "tls_key"}
	for command, key := range files {
		if value := a.values[command]; strings.HasPrefix(value.text, "pkcs11:") {
			d.note(value.line, command, "popfetch reads keys from files alone", "")
		} else if value.text != "" {
			d.set(key, path(command))
		}
	}
	if name := a.text("tls_host_override"); name != "" {
		d.set("tls_server_name", name)
	}
}

// fingerprintInstead is the nearest thing to not checking a certificate.
const fingerprintInstead = "tls_fingerprint or tls_ca trusts one that the system does not trust"

// convertLogin maps user, password and mechanism.
func (a *mpopAccount) convertLogin(d *draft, env Env) {
	auth := a.values["auth"]
	token := auth.text == "oauthbearer" || auth.text == "xoauth2"
	switch auth.text {
	case "", "on":
	case "digest-md5", "scram-sha-1-plus", "scram-sha-256-plus":
		d.note(auth.line, "auth "+auth.text, "popfetch does not have this mechanism by this name",
			`auth = "auto" takes the strongest that the server offers`)
	case "user", "plain", "login", "ntlm", "cram-md5", "apop", "scram-sha-1", "scram-sha-256",
		"oauthbearer", "xoauth2", "external", "gssapi":
		d.set("auth", auth.text)
	default:
		d.note(auth.line, "auth", "popfetch does not know this mechanism", `auth = "auto"`)
	}
	d.Password = a.text("password")
	if value := a.values["passwordeval"]; value.text != "" && d.Password != "" {
		d.note(value.line, "passwordeval", "there is a password, too, which counts for mpop",
			"remove the password, and import again")
	}
	if command := a.text("passwordeval"); command != "" && d.Password == "" {
		d.set(map[bool]string{true: "oauth.token_command", false: "password_command"}[token], command)
	} else if token {
		d.note(auth.line, "auth "+auth.text, "a token is valid for an hour or so",
			"oauth.token_command is a command that prints one; popfetch login NAME obtains them")
	}
	noSecret := d.Password == "" && a.text("passwordeval") == "" && !token
	if noSecret && auth.text != "external" && auth.text != "gssapi" {
		a.lookUp(d, env)
	}
	if d.User == "" {
		d.User = env.user()
		d.note(a.line, "no user", "mpop asks for it", "user is that of who imports")
	}
}

// lookUp takes user and password from the netrc files.
func (a *mpopAccount) lookUp(d *draft, env Env) {
	entries := append(env.netrc(), netrcFile(env.system("/etc/netrc"))...)
	if entry, found := find(entries, d.Server, d.User); found {
		d.User = cmp.Or(d.User, entry.user)
		d.Password = entry.password
		return
	}
	command := "secret-tool lookup host " + quote(d.Server) + " service pop3 user " + quote(d.User)
	d.note(a.line, "no password", "mpop asks the keyring, and then on the terminal",
		"if it is in the keyring: password_command = "+inTOML(command))
}

// convertDelivery maps delivery.
func (a *mpopAccount) convertDelivery(d *draft, env Env) {
	delivery := a.values["delivery"]
	method, argument := splitMpop(delivery.text)
	switch {
	case method == "maildir" && argument != "":
		d.set("maildir", env.short(env.expand(argument, env.Home)))
	case method == "mda" && argument != "":
		d.set("mda", splice(argument, map[string]string{"%F": "${POPFETCH_SENDER:-MAILER-DAEMON}"}))
	case method == "mbox" && argument != "":
		d.set("mbox", env.short(env.expand(argument, env.Home)))
	default:
		line := cmp.Or(delivery.line, a.line)
		if method == "exchange" {
			d.reject(line, "delivery exchange", "popfetch writes no files for Exchange", "mda takes a program that does")
		} else {
			d.reject(line, "no delivery", "mpop does not run without it", "")
		}
	}
	if to := (place{{"maildir", d.text("maildir")}, {"mbox", d.text("mbox")}}); to.unfitPath() {
		delete(d.values, "mbox")
		d.reject(delivery.line, "the path of delivery "+method, pathWhy, "")
	}
}

// convertLimits maps sizes, deletion and time.
func (a *mpopAccount) convertLimits(d *draft) error {
	d.set("delete", "delivered")
	keeps := a.on("keep", false)
	if keeps {
		d.set("delete", "never")
	}
	kill, err := a.size(d, "killsize")
	if err != nil {
		return err
	}
	skip, err := a.size(d, "skipsize")
	if err != nil {
		return err
	}
	a.convertFilter(d, kill, skip, keeps)
	if value := a.values["timeout"]; value.text == "off" {
		d.note(value.line, "timeout off", "popfetch never waits for ever",
			"timeout is 60s without the key")
	} else if value.text != "" {
		n, err := strconv.ParseInt(value.text, 0, 32)
		if err != nil || n < 1 {
			return &Error{d.file, value.line, errors.New("timeout is no number of seconds")}
		}
		d.seconds("timeout", n)
	}
	return nil
}

// size returns a size in octets, or 0 if there is none. A size of 0, which holds for all messages, is
// noted.
func (a *mpopAccount) size(d *draft, command string) (int64, error) {
	value := a.values[command]
	if value.text == "" || value.text == "off" {
		return 0, nil
	}
	size, err := mpopSize(value.text)
	if err != nil {
		return 0, &Error{d.file, value.line, errors.New(command + " " + err.Error())}
	}
	if size == 0 {
		d.note(value.line, command+" 0", "popfetch has no such limit",
			"popfetch seen mark --all NAME marks all messages as seen")
	}
	return size, nil
}

// convertFilter maps what mpop decides before it retrieves a message: by killsize, then by skipsize,
// then by the filter. With keep, mpop deletes nothing.
func (a *mpopAccount) convertFilter(d *draft, kill, skip int64, keeps bool) {
	filter := splice(a.text("filter"), map[string]string{
		"%F": "${POPFETCH_SENDER:-MAILER-DAEMON}", "%S": "${POPFETCH_OCTETS}",
	})
	if filter != "" && keeps {
		filter = "sh -c " + quote(filter) + "; s=$?; [ $s = 1 ] && s=2; exit $s"
	}
	if filter != "" {
		d.set("filter_headers", filter)
	}
	if kill == 0 || keeps {
		d.limit(kill)
		d.limit(skip)
		return
	}
	d.discardLarger(a.values["killsize"].line, "killsize", kill)
	command := d.text("filter_headers")
	if skip > 0 && skip < kill {
		command += fmt.Sprintf(`; test "$POPFETCH_OCTETS" -le %d || exit 2`, skip)
	}
	if filter != "" {
		command += "; " + filter
	}
	d.set("filter_headers", command)
}

// mpopSize reads a number of octets, which may end in k or m.
func mpopSize(text string) (int64, error) {
	factor := int64(1)
	if digits, found := strings.CutSuffix(text, "k"); found {
		text, factor = digits, 1<<10
	} else if digits, found := strings.CutSuffix(text, "m"); found {
		text, factor = digits, 1<<20
	}
	n, err := strconv.ParseInt(text, 0, 42)
	if err != nil || n < 0 {
		return 0, errors.New("is no size")
	}
	return n * factor, nil
}

// convertWay maps the ways to reach the server other than TCP.
func (a *mpopAccount) convertWay(d *draft) {
	proxy, socket := a.text("proxy_host"), a.text("socket")
	switch {
	case socket != "":
		d.set("connect_command", "socat - "+quote("UNIX-CONNECT:"+socket))
	case proxy != "":
		port := cmp.Or(a.text("proxy_port"), "1080")
		if strings.Contains(proxy, ":") {
			proxy = "[" + strings.Trim(proxy, "[]") + "]"
		}
		d.set("proxy", "socks5://"+proxy+":"+port)
	}
	if a.text("pipelining") == "off" {
		d.set("pipelining", "never")
	}
}

// noteRest notes the commands that have no key of popfetch.
func (a *mpopAccount) noteRest(d *draft) {
	for _, n := range []struct{ command, why, instead string }{
		{"source_ip", "popfetch does not choose the address that it connects from",
			`connect_command = "socat - TCP:HOST:PORT,bind=ADDRESS"`},
		{"ntlmdomain", "the domain is a part of the name", `user = 'DOMAIN\NAME'`},
		{"tls_crl_file", "popfetch reads no lists of revoked certificates", ""},
		{"tls_priorities", "popfetch chooses what it speaks by itself",
			`tls_min_version = "1.3", or tls_legacy = true for old servers`},
		{"tls_min_dh_prime_bits", "popfetch chooses what it speaks by itself", ""},
		{"tls_force_sslv3", "SSL 3 is broken", "tls_legacy = true allows TLS 1.0"},
	} {
		if value := a.values[n.command]; value.text != "" {
			d.note(value.line, n.command, n.why, n.instead)
		}
	}
	if _, found := a.values["received_header"]; !found {
		d.noteLines("mpop", []string{"received"})
	} else if a.on("received_header", true) {
		d.set("add_headers", []string{"received"})
	}
	if value := a.values["only_new"]; !a.on("only_new", true) {
		d.note(value.line, "only_new off", "each message is fetched once",
			"popfetch --once --all fetches all of them again")
	}
}
