package foreign

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// readGetmail reads rc files of getmail and the files of seen messages that belong to them. An rc
// file has one account, which gets the file's name.
func readGetmail(files []string, env Env) (*Found, error) {
	if len(files) == 0 {
		var err error
		if files, err = getmailPlaces(env); err != nil {
			return nil, err
		}
	}
	found := &Found{Files: files}
	var drafts []*draft
	for _, file := range files {
		text, err := readConfig(file)
		if err != nil {
			return nil, err
		}
		config, line, err := parseIni(text)
		if err != nil {
			return nil, &Error{file, line, err}
		}
		rc := &getmailrc{file: file, env: env, config: config, used: map[string]bool{"destination": true}}
		d, err := rc.convert(found)
		if err != nil {
			return nil, err
		}
		if d != nil {
			drafts = append(drafts, d)
		}
	}
	found.finish(drafts, env)
	return found, nil
}

// getmailFolder returns the folder in which getmail keeps its files.
func getmailFolder(env Env) string {
	usual := filepath.Join(env.configHome(), "getmail")
	return cmp.Or(firstExisting(usual, filepath.Join(env.Home, ".getmail")), usual)
}

// getmailPlaces returns the rc files that getmail reads by itself: getmailrc, or else all files in
// its folder that are no files of state.
func getmailPlaces(env Env) ([]string, error) {
	folder := getmailFolder(env)
	usual := filepath.Join(folder, "getmailrc")
	if exists(usual) {
		return []string{usual}, nil
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, missing(usual)
	}
	var files []string
	for _, e := range entries {
		name := e.Name()
		other := strings.HasPrefix(name, "oldmail-") || strings.HasPrefix(name, ".") ||
			strings.HasSuffix(name, ".json")
		if !other && e.Type().IsRegular() {
			files = append(files, filepath.Join(folder, name))
		}
	}
	if len(files) == 0 {
		return nil, missing(usual)
	}
	return files, nil
}

// getmailrc is an rc file while it is converted.
type getmailrc struct {
	*draft
	file   string
	env    Env
	config *ini

	envelope    string          // the header with the recipient, or ""
	used        map[string]bool // the sections of destinations
	otherTarget bool            // the destination is one that popfetch does not have
}

// value returns an option of a section. The section DEFAULT holds for all.
func (rc *getmailrc) value(section, name string) iniValue {
	s, _ := rc.config.section(section)
	if value, found := s.options[name]; found {
		return value
	}
	defaults, _ := rc.config.section("DEFAULT")
	return defaults.options[name]
}

// fail returns an error about an option. It does not show the value.
func (rc *getmailrc) fail(value iniValue, name string, err error) error {
	return &Error{rc.file, value.line, fmt.Errorf("%s: %w", name, err)}
}

// expand replaces variables of the environment, and ~.
func (rc *getmailrc) expand(text string) string {
	text = variable.ReplaceAllStringFunc(text, func(match string) string {
		if value := rc.env.getenv(strings.Trim(match, "${}")); value != "" {
			return value
		}
		return match
	})
	if text == "~" || strings.HasPrefix(text, "~/") {
		return rc.env.Home + text[1:]
	}
	return text
}

// variable matches $NAME and ${NAME}.
var variable = regexp.MustCompile(`\$(\w+|\{\w+\})`)

// path returns the value of an option that is a path.
func (rc *getmailrc) path(section, name string) string {
	value := rc.value(section, name).text
	return rc.env.short(rc.env.expand(rc.expand(value), rc.env.Home))
}

// number returns an option that is a whole number, or 0.
func (rc *getmailrc) number(section, name string) (int64, error) {
	value := rc.value(section, name)
	if value.text == "" || value.text == "None" {
		return 0, nil
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(value.text, "_", ""), 10, 64)
	if err != nil {
		return 0, rc.fail(value, name, errors.New("is no whole number"))
	}
	return n, nil
}

// on returns an option that is true or false.
func (rc *getmailrc) on(section, name string, preset bool) (bool, error) {
	value := rc.value(section, name)
	switch strings.ToLower(value.text) {
	case "":
		return preset, nil
	case "true", "yes", "on", "1":
		return true, nil
	case "false", "no", "off", "0":
		return false, nil
	}
	return false, rc.fail(value, name, errors.New("is neither true nor false"))
}

// convert makes a draft of the file, or a note if it is no account of POP3.
func (rc *getmailrc) convert(found *Found) (*draft, error) {
	retriever, hasRetriever := rc.config.section("retriever")
	if !hasRetriever {
		return nil, &Error{File: rc.file, Err: errors.New("has no section [retriever]")}
	}
	kind := rc.value("retriever", "type")
	if kind.text == "" {
		return nil, &Error{rc.file, retriever.line, errors.New("[retriever] has no type")}
	}
	if !strings.Contains(kind.text, "POP3") && kind.text != "MultidropSDPSRetriever" {
		what, why := "the retriever", "getmail has none of this type"
		if strings.Contains(kind.text, "IMAP") {
			what, why = kind.text, "popfetch speaks POP3 alone"
		}
		found.Notes = append(found.Notes, Note{rc.file, kind.line, what, why,
			"if the server offers POP3 as well, popfetch init finds it"})
		return nil, nil
	}
	rc.draft = newDraft(rc.file, retriever.line)
	rc.Name = filepath.Base(rc.file)
	rc.Label = rc.Name
	for _, step := range []func(kind iniValue) error{
		rc.convertServer, rc.convertTrust, rc.convertLogin, rc.convertEnvelope, rc.convertDestination,
		rc.convertOptions, rc.convertFilters,
	} {
		if err := step(kind); err != nil {
			return nil, err
		}
	}
	rc.noteRest()
	return rc.draft, rc.readSeen()
}

// convertServer maps server and port. The type of the retriever says whether there is TLS.
func (rc *getmailrc) convertServer(kind iniValue) error {
	server := rc.value("retriever", "server")
	if server.text == "" {
		return &Error{rc.file, kind.line, errors.New("[retriever] has no server")}
	}
	rc.Server, rc.User = server.text, rc.value("retriever", "username").text
	port, err := rc.number("retriever", "port")
	if err != nil {
		return err
	}
	if port != 0 {
		if rc.port, err = portNumber(strconv.FormatInt(port, 10)); err != nil {
			return rc.fail(rc.value("retriever", "port"), "port", err)
		}
	}
	if strings.Contains(kind.text, "SSL") {
		rc.set("tls", implicitTLS)
	} else {
		rc.clear(kind.line, kind.text)
		rc.secureTLS(max(rc.value("retriever", "port").line, kind.line))
	}
	if strings.HasPrefix(kind.text, "BrokenUIDL") {
		rc.withoutUIDL(kind.line, kind.text)
	}
	seconds, err := rc.number("retriever", "timeout")
	rc.seconds("timeout", seconds)
	return err
}

// convertTrust maps how certificates are checked. getmail checks them only with ca_certs.
func (rc *getmailrc) convertTrust(kind iniValue) error {
	if !strings.Contains(kind.text, "SSL") {
		return nil
	}
	pins := rc.value("retriever", "ssl_fingerprints")
	if pins.text != "" {
		list, err := parseTuple(pins.text)
		if err != nil {
			return rc.fail(pins, "ssl_fingerprints", err)
		}
		rc.fingerprint(pins.line, "ssl_fingerprints", list)
	}
	ca := rc.value("retriever", "ca_certs")
	if ca.text != "" {
		rc.authority(rc.path("retriever", "ca_certs"))
	} else if pins.text == "" {
		rc.note(kind.line, "no ca_certs",
			"getmail does not check certificates then, popfetch always does", fingerprintInstead)
	}
	for name, key := range map[string]string{"certfile": "tls_cert", "keyfile": "tls_key"} {
		if rc.value("retriever", name).text != "" {
			rc.set(key, rc.path("retriever", name))
		}
	}
	if name := rc.value("retriever", "ssl_cert_hostname").text; name != "" {
		rc.set("tls_server_name", name)
	}
	version := rc.value("retriever", "ssl_version")
	switch strings.ToLower(strings.TrimPrefix(version.text, "PROTOCOL_")) {
	case "", "sslv23", "tls", "tlsv1_2", "tls_client":
	case "tlsv1_3":
		rc.set("tls_min_version", "1.3")
	default:
		rc.note(version.line, "ssl_version", "popfetch speaks TLS 1.2 and 1.3",
			"tls_legacy = true allows TLS 1.0 and 1.1")
	}
	return nil
}

// convertLogin maps user, password and mechanism.
func (rc *getmailrc) convertLogin(kind iniValue) error {
	token, err := rc.on("retriever", "use_xoauth2", false)
	if err != nil {
		return err
	}
	apop, err := rc.on("retriever", "use_apop", false)
	if err != nil {
		return err
	}
	if apop {
		rc.set("auth", "apop")
	}
	rc.Password = rc.value("retriever", "password").text
	command := rc.value("retriever", "password_command")
	if command.text != "" {
		words, err := parseTuple(command.text)
		if err != nil {
			return rc.fail(command, "password_command", err)
		}
		var quoted []string
		for _, word := range words {
			quoted = append(quoted, quote(word))
		}
		key := map[bool]string{true: "oauth.token_command", false: "password_command"}[token]
		if rc.Password != "" {
			rc.note(command.line, "password_command",
				"there is a password, too, which counts for getmail",
				"remove the password, and import again")
		} else if len(quoted) > 0 {
			rc.set(key, strings.Join(quoted, " "))
		}
	}
	if token {
		rc.set("auth", "xoauth2")
		rc.note(rc.value("retriever", "use_xoauth2").line, "use_xoauth2",
			"popfetch has its own way to sign in", "popfetch login NAME, with [account.NAME.oauth]")
	}
	if err := rc.lookUp(); err != nil {
		return err
	}
	if rc.Password == "" && command.text == "" && !token {
		rc.note(kind.line, "no password", "getmail asks the keyring, and then on the terminal",
			`if it is in the keyring: password_keyring = "`+rc.Server+`"`)
	}
	if rc.User == "" {
		return &Error{rc.file, kind.line, errors.New("[retriever] has no username")}
	}
	return nil
}

// lookUp takes user and password from the netrc file, if the options say so.
func (rc *getmailrc) lookUp() error {
	use, err := rc.on("options", "use_netrc", false)
	if err != nil || !use {
		return err
	}
	path := rc.expand(cmp.Or(rc.value("options", "netrc_file").text, "~/.netrc"))
	path = rc.env.expand(path, rc.env.Home)
	for _, entry := range netrcFile(path) {
		if strings.EqualFold(entry.machine, rc.Server) || entry.machine == "" {
			rc.User = cmp.Or(entry.user, rc.User)
			rc.Password = cmp.Or(entry.password, rc.Password)
			break
		}
	}
	return nil
}

// convertEnvelope maps the header in which a multidrop retriever finds the recipient.
func (rc *getmailrc) convertEnvelope(kind iniValue) error {
	if !strings.HasPrefix(kind.text, "Multidrop") {
		return nil
	}
	value := rc.value("retriever", "envelope_recipient")
	name, number, _ := strings.Cut(value.text, ":")
	name = strings.TrimSpace(name)
	switch {
	case !isFieldName(name): // MultidropSDPSRetriever has its own command
		rc.note(kind.line, kind.text, "popfetch knows recipients by a header alone", envelopeInstead)
	case number != "" && strings.TrimSpace(number) != "1":
		rc.note(value.line, "envelope_recipient", "popfetch reads the first field of a name", envelopeInstead)
	default:
		rc.envelope = name
		rc.set("envelope_header", []string{name})
	}
	return nil
}

// envelopeInstead is the nearest thing to another way to find the recipient.
const envelopeInstead = "envelope_header names a header in which the server writes the recipient"

// convertOptions maps the section [options].
func (rc *getmailrc) convertOptions(iniValue) error {
	deletes, err := rc.on("options", "delete", false)
	if err != nil {
		return err
	}
	all, err := rc.on("options", "read_all", true)
	if err != nil {
		return err
	}
	days, err := rc.number("options", "delete_after")
	if err != nil {
		return err
	}
	for _, each := range []struct {
		option string
		set    func(n int64)
	}{
		{"max_message_size", rc.limit},
		{"delete_bigger_than", func(n int64) { rc.size("delete.larger_than", n) }},
		{"max_messages_per_session", func(n int64) { rc.count("max_messages", n) }},
		{"max_bytes_per_session", func(n int64) { rc.size("max_octets", n) }},
	} {
		n, err := rc.number("options", each.option)
		if err != nil {
			return err
		}
		each.set(n)
	}
	switch {
	case deletes:
		rc.set("delete", "delivered")
	case days > 0:
		rc.set("delete", fmt.Sprintf("%dd", min(days, 100_000)))
	default:
		rc.set("delete", "never")
	}
	if err := rc.convertLines(); err != nil {
		return err
	}
	if all && !deletes {
		rc.note(rc.value("options", "read_all").line, "read_all", "each message is fetched once",
			"popfetch --once --all fetches all of them again")
	}
	return nil
}

// convertLines maps the header lines that getmail adds. They are added only where the file says so.
func (rc *getmailrc) convertLines() error {
	var lines, unsaid []string
	for _, each := range []struct{ option, word string }{{"received", "received"}, {"delivered_to", "delivered-to"}} {
		value := rc.value("options", each.option)
		on, err := rc.on("options", each.option, true)
		switch {
		case err != nil:
			return err
		case on && value.text != "":
			lines = append(lines, each.word)
		case on:
			unsaid = append(unsaid, each.word)
		}
	}
	if len(lines) > 0 {
		rc.set("add_headers", lines)
	}
	if len(unsaid) > 0 {
		rc.noteLines("getmail", append(lines, unsaid...))
	}
	return nil
}

// getmailDone has the options that are converted, or say what popfetch does in any case.
var getmailDone = map[string][]string{
	"retriever": strings.Fields("type server port username password password_command timeout " +
		"use_apop use_xoauth2 envelope_recipient ca_certs certfile keyfile ssl_fingerprints ssl_version ssl_cert_hostname"),
	"options": strings.Fields("read_all delete delete_after max_message_size verbose use_netrc " +
		"netrc_file to_oldmail_on_each_mail skip_imap_fetch_size fingerprint delivered_to received " +
		"delete_bigger_than max_messages_per_session max_bytes_per_session"),
	"destination": strings.Fields("type path arguments allow_root_commands ignore_stderr pipe_stdout " +
		"destinations default locals host port override"),
}

// getmailNotes has the reason and the nearest thing for options that have no key.
var getmailNotes = map[string][2]string{
	"retriever ssl_ciphers": {"popfetch chooses what it speaks by itself",
		"tls_legacy = true for old servers"},
	"retriever delete_dup_msgids": {"popfetch deletes only messages that it has delivered", ""},
	"options message_log": {"popfetch writes to standard error",
		"popfetch --verbose names each message"},
	"options message_log_verbose": {"popfetch writes to standard error", ""},
	"options message_log_syslog": {"popfetch writes to standard error",
		"start it by systemd, whose journal keeps it"},
	"options logfile": {"popfetch writes to standard error", "popfetch --verbose names each message"},
	"destination user": {"popfetch delivers as the user who starts it",
		"start popfetch as that user"},
	"destination group":    {"popfetch delivers as the user who starts it", ""},
	"destination filemode": {"popfetch makes files that only their owner can read", ""},
	"destination unixfrom": {"popfetch writes no line From_ before a message",
		`mda = "formail | PROGRAM" writes it`},
	"destination fallback": {"popfetch has no other recipient for what the server refuses",
		"the message stays on the server, and popfetch tells of it"},
	"destination locktype": {"popfetch locks an mbox by fcntl and by a dot lock", ""},
}

// noteRest notes options and sections that have no key of popfetch.
func (rc *getmailrc) noteRest() {
	for _, s := range rc.config.sections {
		kind := s.name
		if rc.used[s.name] {
			kind = "destination"
		}
		done, isKnown := getmailDone[kind]
		if !isKnown { // DEFAULT holds for the others, and filters are converted
			continue
		}
		for _, name := range s.order {
			value := s.options[name]
			note, isNoted := getmailNotes[kind+" "+name]
			isDone := slices.Contains(done, name)
			off := slices.Contains(strings.Fields("0 none false no off lockf"), strings.ToLower(value.text)) ||
				value.text == ""
			switch {
			case isDone || off:
			case kind == "destination" && rc.otherTarget: // a note tells of all of it
			case isNoted:
				rc.note(value.line, name, note[0], note[1])
			default:
				rc.note(value.line, "an option of ["+kind+"]", "getmail has no option of this name", "")
			}
		}
	}
}
