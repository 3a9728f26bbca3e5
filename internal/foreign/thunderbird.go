package foreign

import (
	"cmp"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
)

// thunderbirdFolders are the places of Thunderbird's folder, below the home folder.
var thunderbirdFolders = []string{
	".thunderbird", "snap/thunderbird/common/.thunderbird",
	".var/app/org.mozilla.Thunderbird/.thunderbird", ".icedove",
}

// readThunderbird reads profiles of Thunderbird. A profile is a folder; its file prefs.js may be
// named, too.
func readThunderbird(profiles []string, env Env) (*Found, error) {
	found := &Found{}
	if len(profiles) == 0 {
		var err error
		if profiles, err = thunderbirdProfiles(env, found); err != nil {
			return nil, err
		}
	}
	var drafts []*draft
	for _, profile := range profiles {
		profile = strings.TrimSuffix(profile, "/prefs.js")
		file := filepath.Join(profile, "prefs.js")
		found.Files = append(found.Files, file)
		text, err := readConfig(file)
		if err != nil {
			return nil, err
		}
		prefs, line, err := parsePrefs(text)
		if err != nil {
			return nil, &Error{file, line, err}
		}
		for _, server := range prefs.servers() {
			a := &thunderbirdAccount{newDraft(file, 0), prefs, server, profile}
			if a.value("type").text != "pop3" {
				if kind := a.value("type"); kind.text == "imap" {
					found.Notes = append(found.Notes, Note{file, kind.line, "an account of IMAP",
						"popfetch speaks POP3 alone",
						"if the server offers POP3 as well, popfetch init finds it"})
				}
				continue
			}
			if err := a.convert(env); err != nil {
				return nil, err
			}
			drafts = append(drafts, a.draft)
		}
	}
	found.finish(drafts, env)
	return found, nil
}

// thunderbirdProfiles returns the profile that Thunderbird opens. The others are noted.
func thunderbirdProfiles(env Env, found *Found) ([]string, error) {
	for _, folder := range thunderbirdFolders {
		folder = filepath.Join(env.Home, folder)
		file := filepath.Join(folder, "profiles.ini")
		if !exists(file) {
			continue
		}
		text, err := readConfig(file)
		if err != nil {
			return nil, err
		}
		config, line, err := parseIni(text)
		if err != nil {
			return nil, &Error{file, line, err}
		}
		chosen, others := chooseProfile(config)
		if chosen == "" {
			return nil, &Error{File: file, Err: errors.New("names no profile")}
		}
		for _, other := range others {
			found.Notes = append(found.Notes, Note{file, 0, "another profile",
				"Thunderbird does not open it by itself", "name its folder: " + env.expand(other, folder)})
		}
		return []string{env.expand(chosen, folder)}, nil
	}
	return nil, missing(filepath.Join(env.Home, thunderbirdFolders[0], "profiles.ini"))
}

// chooseProfile returns the path of the profile that an installation opens, or the default one, or
// the first one.
func chooseProfile(config *ini) (chosen string, others []string) {
	rank := 0
	paths := map[string]bool{}
	var order []string
	for _, s := range config.sections {
		path, found := s.options["path"]
		this := 0
		switch {
		case strings.HasPrefix(s.name, "Install"):
			path, found = s.options["default"]
			this = 3
		case strings.HasPrefix(s.name, "Profile"):
			this = 1
			if s.options["default"].text == "1" {
				this = 2
			}
		}
		if !found || this == 0 {
			continue
		}
		if !paths[path.text] {
			order = append(order, path.text)
			paths[path.text] = true
		}
		if this > rank {
			chosen, rank = path.text, this
		}
	}
	for _, path := range order {
		if path != chosen {
			others = append(others, path)
		}
	}
	return chosen, others
}

// thunderbirdAccount is a server of a profile while it is converted.
type thunderbirdAccount struct {
	*draft
	prefs   *prefs
	server  string // such as server2
	profile string
}

// value returns a setting of the server.
func (a *thunderbirdAccount) value(name string) pref { return a.prefs.server(a.server, name) }

// convert fills the draft.
func (a *thunderbirdAccount) convert(env Env) error {
	host := a.value("hostname")
	if real := a.value("realhostname"); real.text != "" {
		host = real
	}
	if host.text == "" {
		return &Error{a.file, a.value("type").line, errors.New("an account of POP3 has no hostname")}
	}
	a.Server = host.text
	a.User = cmp.Or(a.value("realuserName").text, a.value("userName").text)
	a.line, a.Label = host.line, a.value("name").text
	if port := a.value("port"); port.text != "" {
		var err error
		if a.port, err = portNumber(port.text); err != nil {
			return &Error{a.file, port.line, err}
		}
	}
	if a.User == "" {
		return &Error{a.file, host.line, errors.New("an account of POP3 has no userName")}
	}
	a.convertTLS()
	a.convertAuth()
	a.set("maildir", "~/Maildir")
	a.note(a.line, "the folders of Thunderbird",
		"popfetch does not write into files that Thunderbird has an index of",
		`maildir = "~/Maildir" is a proposal; what Thunderbird has stays there`)
	a.convertKeeping()
	if n, isSet := a.number("check_time"); isSet && a.value("check_new_mail").text == "true" {
		a.seconds("interval", min(n, 1<<20)*60)
	}
	limited := a.value("limit_offline_message_size").text == "true"
	if n, isSet := a.number("max_size"); isSet && limited {
		a.limit(min(n, 1<<32) * 1024)
	}
	if a.value("headers_only").text == "true" {
		a.note(a.value("headers_only").line, "headers_only", "popfetch fetches whole messages",
			"max_size leaves large ones on the server")
	}
	return a.readSeen(env)
}

// convertTLS maps socketType.
func (a *thunderbirdAccount) convertTLS() {
	kind := a.value("socketType")
	line := max(kind.line, a.line)
	switch kind.text {
	case "3":
		a.set("tls", implicitTLS)
	case "2":
		a.set("tls", startTLS)
	case "1":
		a.set("tls", startTLS)
		a.note(line, "socketType 1",
			"it goes on in clear if the server offers no STARTTLS, popfetch never does",
			`tls = "starttls", as written here`)
	default:
		a.clear(line, "no encryption")
	}
	a.secureTLS(line)
}

// convertAuth maps authMethod. Passwords are encrypted, so none is read.
func (a *thunderbirdAccount) convertAuth() {
	method := a.value("authMethod")
	switch method.text {
	case "", "3": // the password, in clear inside of TLS
	case "4":
		a.set("auth", []string{"scram-sha-256", "scram-sha-1", "cram-md5"})
	case "5":
		a.set("auth", "gssapi")
		return
	case "6":
		a.set("auth", "ntlm")
	case "7":
		a.set("auth", "external")
		a.note(method.line, "a client certificate", "it is in Thunderbird's store",
			"tls_cert and tls_key, with files that Thunderbird exports")
		return
	case "10":
		a.note(method.line, "OAuth2", "Thunderbird signs in by a client of its own",
			"[account.NAME.oauth], and then popfetch login NAME; docs/providers.md")
		return
	default:
		a.note(method.line, "authMethod", "popfetch does not know it", `auth = "auto"`)
	}
	a.note(a.line, "the password", "Thunderbird keeps it encrypted",
		"it shows saved passwords in its settings; put it into a file of mode 600 for password_file")
}

// convertKeeping maps when messages are deleted on the server.
func (a *thunderbirdAccount) convertKeeping() {
	leaves := a.value("leave_on_server").text == "true"
	byAge := a.value("delete_by_age_from_server").text == "true"
	days, isSet := a.number("num_days_to_leave_on_server")
	if !isSet {
		days = 7
	}
	switch {
	case !leaves:
		a.set("delete", "delivered")
	case byAge && days > 0:
		a.set("delete", strconv.FormatInt(min(days, 100_000), 10)+"d")
	default:
		a.set("delete", "never")
	}
	if until := a.value("delete_mail_left_on_server"); until.text == "true" && leaves {
		a.note(until.line, "delete_mail_left_on_server",
			"popfetch does not see what is deleted in Thunderbird",
			"delete = {removed = true} deletes what you remove from the Maildir")
	}
}

// number returns a setting of the server that is a number, and whether it is set.
func (a *thunderbirdAccount) number(name string) (int64, bool) {
	n, err := strconv.ParseInt(a.value(name).text, 10, 64)
	return n, err == nil
}

// folder returns the folder of the account's mail.
func (a *thunderbirdAccount) folder() string {
	if relative, found := strings.CutPrefix(a.value("directory-rel").text, "[ProfD]"); found {
		return filepath.Join(a.profile, filepath.FromSlash(relative))
	}
	if folder := a.value("directory").text; filepath.IsAbs(folder) && exists(folder) {
		return folder
	}
	return filepath.Join(a.profile, "Mail", a.value("hostname").text)
}
