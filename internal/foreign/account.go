package foreign

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// keyOrder has the keys of popfetch that this package uses, in the order of the manual.
var keyOrder = []string{
	"server", "tls", "connect_command", "proxy",
	"tls_ca", "tls_server_name", "tls_ca_only", "tls_min_version", "tls_legacy",
	"tls_fingerprint", "tls_cert", "tls_key",
	"user", "password_command", "oauth.token_command", "auth", "credentials_charset",
	"maildir", "mbox", "mda", "mda_argv", "lmtp", "smtp", "rcpt", "mail_from",
	deliverKey, routeKey, "envelope_header", "add_headers", "filter", "filter_headers",
	"delete", "delete.after", "delete.larger_than",
	"max_size", "max_messages", "max_octets", "session_messages", "uidl",
	"pipelining", "timeout", "interval", "pre_command", "post_command", "enabled",
}

// The values of the key tls.
const (
	implicitTLS = "implicit"
	startTLS    = "starttls"
	noTLS       = "none"
)

// draft is an account while its configuration is read. The fields of Account that finish sets are
// unset until then.
type draft struct {
	Account
	file   string
	values map[string]any
	port   string // as a number, or "" for the usual one
	line   int    // where the account begins
}

func newDraft(file string, line int) *draft {
	return &draft{file: file, line: line, values: map[string]any{}}
}

// set gives a key its value. Of several calls, the last one counts.
func (d *draft) set(key string, value any) { d.values[key] = value }

// text returns the value of a key that is text, or "".
func (d *draft) text(key string) string {
	s, _ := d.values[key].(string)
	return s
}

// note adds a Note about a line of the draft's file.
func (d *draft) note(line int, what, why, instead string) {
	d.Notes = append(d.Notes, Note{d.file, line, what, why, instead})
}

// seconds sets a key to a time. Zero and negative times do not exist in popfetch, and a time has its
// limit.
func (d *draft) seconds(key string, n int64) {
	n = min(n, 1_000_000_000)
	switch {
	case n <= 0:
	case n%3600 == 0:
		d.set(key, fmt.Sprintf("%dh", n/3600))
	case n%60 == 0 && n > 60:
		d.set(key, fmt.Sprintf("%dm", n/60))
	default:
		d.set(key, fmt.Sprintf("%ds", n))
	}
}

// limit sets max_size, or makes it smaller.
func (d *draft) limit(octets int64) {
	if old, isSet := d.values["max_size"].(int64); octets > 0 && (!isSet || octets < old) {
		d.set("max_size", octets)
	}
}

// count sets a key to a number that is positive. Such numbers have a limit.
func (d *draft) count(key string, n int64) {
	const most = 1_000_000_000
	if n > 0 {
		d.set(key, min(n, most))
	}
}

// size sets a key to octets, if it is any.
func (d *draft) size(key string, octets int64) {
	if octets > 0 {
		d.set(key, octets)
	}
}

// withoutUIDL has popfetch do without unique-ids if the server has none.
func (d *draft) withoutUIDL(line int, what string) {
	d.set("uidl", "fallback")
	d.note(line, what, "popfetch tells messages apart by their unique-ids",
		`uidl = "fallback", as written here, makes one of each header if the server has none`)
}

// noteLines notes header lines that another program puts on top of messages without being told to.
func (d *draft) noteLines(program string, words []string) {
	var quoted []string
	for _, word := range words {
		quoted = append(quoted, `"`+word+`"`)
	}
	d.note(0, "header lines on top", program+" adds them by itself, and "+octetsAsTheyCame,
		"add_headers = ["+strings.Join(quoted, ", ")+"]")
}

// discardLarger has messages of more than some octets deleted unread. Then no message is left on the
// server because of its size.
func (d *draft) discardLarger(line int, what string, octets int64) {
	d.set("filter_headers", fmt.Sprintf(`test "$POPFETCH_OCTETS" -le %d || exit 1`, octets))
	d.note(line, what, "popfetch asks filter_headers, which needs the header of each new message",
		"a server without TOP needs max_size instead, which leaves larger messages there")
}

// isFieldName reports whether a header field can have this name.
func isFieldName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' })
}

// authority sets the only authorities that are trusted. The system's own need no key.
func (d *draft) authority(path string) {
	if slices.Contains(systemAuthorities, path) {
		return
	}
	d.set("tls_ca", path)
	d.set("tls_ca_only", true)
}

// systemAuthorities are the places where systems keep their authorities.
var systemAuthorities = []string{
	"/etc/ssl/certs", "/etc/ssl/certs/", "/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem",
	"/etc/ssl/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/pki/tls/cert.pem", "/etc/pki/tls/certs", "/usr/share/ca-certificates/",
	"/etc/ca-certificates/extracted/tls-ca-bundle.pem", "/usr/local/share/certs/ca-root-nss.crt",
}

// fingerprint sets tls_fingerprint, if all values are SHA-256.
func (d *draft) fingerprint(line int, what string, values []string) {
	var pins []string
	for _, value := range values {
		digits := strings.ToLower(strings.ReplaceAll(value, ":", ""))
		if len(digits) != 64 || strings.Trim(digits, "0123456789abcdef") != "" {
			d.note(line, what, "popfetch knows fingerprints of the kind SHA-256 alone",
				"popfetch.toml(5), PINNING A CERTIFICATE, shows how to get it")
			return
		}
		pins = append(pins, digits)
	}
	if len(pins) > 0 {
		d.set("tls_fingerprint", pins)
	}
}

// secureTLS corrects the mode of TLS where the port shows that it cannot be meant.
func (d *draft) secureTLS(line int) {
	if mode := d.text("tls"); d.port == "995" && mode != implicitTLS {
		d.set("tls", implicitTLS)
		d.note(line, "port 995 with "+modeNames[mode],
			"servers speak TLS from the first octet on this port",
			`tls = "implicit", as written here; or port 110 and tls = "starttls"`)
	}
}

var modeNames = map[string]string{startTLS: "STARTTLS", noTLS: "no TLS"}

// clear sets tls to none, and says so.
func (d *draft) clear(line int, what string) {
	d.set("tls", noTLS)
	if d.port == "995" {
		return // secureTLS corrects that
	}
	d.note(line, what, "everybody on the way can read the password and the mail",
		`try tls = "implicit" or tls = "starttls", by popfetch check NAME`)
}

// usualPort returns the port of the draft's mode of TLS.
func (d *draft) usualPort() string {
	if d.text("tls") == implicitTLS {
		return "995"
	}
	return "110"
}

// finish makes an Account of the draft.
func (d *draft) finish() Account {
	mode, usual := d.text("tls"), d.usualPort()
	host := strings.Trim(d.Server, "[]")
	server := host
	if strings.Contains(host, ":") {
		server = "[" + host + "]"
	}
	if d.port != "" && d.port != usual {
		server = net.JoinHostPort(host, d.port)
	}
	d.set("server", server)
	d.set("user", d.User)
	if !isASCII(d.User) || !isASCII(d.Password) && utf8.ValidString(d.Password) {
		d.set("credentials_charset", "utf-8") // other programs send the octets of their file
	}
	d.dropNeedless(mode)
	d.plainDeletion()
	for _, key := range keyOrder {
		if value, isSet := d.values[key]; isSet {
			d.Settings = append(d.Settings, Setting{key, value})
		}
	}
	return d.Account
}

func isASCII(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r > unicode.MaxASCII }) < 0
}

// dropNeedless removes keys that popfetch refuses beside others.
func (d *draft) dropNeedless(mode string) {
	if mode == noTLS {
		for key := range d.values {
			if strings.HasPrefix(key, "tls_") {
				delete(d.values, key)
			}
		}
	}
	if d.values["tls_fingerprint"] != nil {
		delete(d.values, "tls_ca")
		delete(d.values, "tls_ca_only")
	}
	if d.values["tls_legacy"] != nil {
		delete(d.values, "tls_min_version")
	}
	if (d.values["tls_cert"] == nil) != (d.values["tls_key"] == nil) {
		// One file may have both.
		both := cmp.Or(d.text("tls_cert"), d.text("tls_key"))
		d.set("tls_cert", both)
		d.set("tls_key", both)
	}
	if d.Password != "" {
		delete(d.values, "password_command")
	}
}

// plainDeletion writes delete as a table if it has several rules, else without one.
func (d *draft) plainDeletion() {
	if d.values["delete.larger_than"] == nil {
		return
	}
	if after := d.text("delete"); after == "delivered" { // larger ones are deleted then, too
		delete(d.values, "delete.larger_than")
		return
	} else if after != "never" {
		d.set("delete.after", after)
	}
	delete(d.values, "delete")
}

// portNumber returns a port as a number. Of the names of services, only those of POP3 are known.
func portNumber(name string) (string, error) {
	switch strings.ToLower(name) {
	case "pop3", "pop-3", "pop":
		return "110", nil
	case "pop3s":
		return "995", nil
	}
	if n, err := strconv.ParseUint(name, 10, 16); err == nil && n > 0 {
		return strconv.FormatUint(n, 10), nil
	}
	return "", errors.New("the port is neither a number from 1 to 65535 nor pop3 or pop3s")
}

// finish makes the accounts of the drafts, and gives them names.
func (f *Found) finish(drafts []*draft, env Env) {
	for _, d := range drafts {
		f.Accounts = append(f.Accounts, d.finish())
	}
	f.name(env)
	f.nameTargets()
	f.shareNotes()
	f.noteMixed()
}

// noteMixed notes accounts whose state file does not tell their messages from those of another
// account. Ports and, with fdm, users and servers are not in it.
func (f *Found) noteMixed() {
	owners := map[string]*Account{} // the first account of each file and unique-id
	noted := map[string]bool{}
	for i := range f.Accounts {
		a := &f.Accounts[i]
		for _, s := range a.Seen {
			key := a.SeenFile + "\x00" + s.UniqueID
			owner := owners[key]
			if owner == nil {
				owners[key] = a
				continue
			}
			if pair := owner.Name + "\x00" + a.Name; !noted[pair] && !owner.isSameMaildrop(a) {
				noted[pair] = true
				f.Notes = append(f.Notes, Note{a.SeenFile, 0,
					"seen messages of " + owner.Name + " and " + a.Name,
					"the file does not tell which are whose, so all count as seen in both",
					"popfetch list NAME shows what counts as seen, " +
						"popfetch seen forget NAME ID has it fetched"})
			}
		}
	}
}

// isSameMaildrop reports whether two accounts have the same server, with its port, and user.
func (a *Account) isSameMaildrop(b *Account) bool {
	return a.setting("server") == b.setting("server") && a.User == b.User
}

func (a *Account) setting(key string) any {
	for _, s := range a.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return nil
}

// name makes the names of the accounts valid and unique. Accounts that want the same name are
// called user@name.
func (f *Found) name(env Env) {
	wanted := map[string]int{}
	for i := range f.Accounts {
		wanted[f.Accounts[i].Name]++
	}
	taken := map[string]bool{}
	for i := range f.Accounts {
		a := &f.Accounts[i]
		name := a.Name
		if name == "" {
			name = a.User + "@" + a.Server
		} else if wanted[name] > 1 {
			name = a.User + "@" + name
		}
		name = validName(name, env)
		a.Name = name
		for n := 2; taken[a.Name]; n++ {
			a.Name = fmt.Sprintf("%s-%d", name, n)
		}
		taken[a.Name] = true
	}
}

// validName replaces what an account's name in popfetch cannot have.
func validName(name string, env Env) string {
	name = strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("._-@+ ", r) {
			return r
		}
		return '-'
	}, strings.ToValidUTF8(name, "-"))
	name = strings.TrimSpace(strings.TrimLeft(name, "- "))
	if name == "" {
		name = "account"
	}
	if env.Reserved != nil && env.Reserved(name) {
		name += "-mail"
	}
	return name
}

// shareNotes moves a note that several accounts have in common to the notes of the whole. Such a
// note is about a line that holds for all of them.
func (f *Found) shareNotes() {
	count := map[Note]int{}
	for i := range f.Accounts {
		for _, note := range slices.Compact(f.Accounts[i].Notes) {
			count[note]++
		}
	}
	moved := map[Note]bool{}
	for i := range f.Accounts {
		a := &f.Accounts[i]
		a.Notes = slices.DeleteFunc(slices.Compact(a.Notes), func(note Note) bool {
			if count[note] < 2 {
				return false
			}
			if !moved[note] {
				moved[note] = true
				f.Notes = append(f.Notes, note)
			}
			return true
		})
	}
}
