package config

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Target says where messages go: the keys of a table [target.NAME], most of which an account may
// have too. At most one of the fields from Maildir to IMAP is set. Each other field has the zero
// value if its key is not written.
type Target struct {
	// Name is that of the table. It is empty for the target that an account itself describes.
	Name string

	Maildir string   // absolute; may have {year} and {month}, and in a table {account}
	Mbox    string   // like Maildir, or StandardOutput
	MDA     string   // for /bin/sh -c
	MDAArgv []string // the words of a command that is started without a shell
	LMTP    string   // host:port, or unix: and an absolute path
	SMTP    string   // the same; the host is this machine
	IMAP    Mailbox

	Rcpt               []string // of LMTP and SMTP; empty: the envelope header's, else the user
	MailFrom           string   // "": that of Return-Path; NullSender: none
	IMAPPassword       Secret
	IMAPOAuth          OAuth
	IMAPTLSCA          string   // absolute path, or ""
	IMAPTLSFingerprint []string // as TLSFingerprint of an account
	MDATimeout         time.Duration
	MaxDeliveries      int
}

const (
	// StandardOutput is the value of mbox for standard output.
	StandardOutput = "-"
	// NullSender is the value of mail_from for a message without a sender.
	NullSender = "<>"
)

// Route sends the messages that it matches to targets. It goes by a header, with Match or Equals, or
// by the envelope recipient.
type Route struct {
	Header    []string // names of header fields; any of them may match
	Match     string   // a regular expression (RE2)
	Equals    string
	Recipient []string // globs
	Deliver   []string // names of targets; empty: the message is dropped
}

// The groups of a target: it is in one place, and has at most one secret.
const (
	targetGroup group = iota + 100
	imapSecretGroup
)

// targetTable is the name of the tables of targets.
const targetTable = "target"

// targetKeys are the keys of a table [target.NAME]. They have no defaults: what is not written is
// taken from the account that uses the target.
var targetKeys = targetRows(targetHolder[Target]{of: func(t *Target) *Target { return t }})

// targetHolder says how a T holds a target.
type targetHolder[T any] struct {
	of func(*T) *Target
	// others, if set, reports whether a T delivers to further targets too. Every key has a meaning
	// then, as a default of theirs.
	others func(*draft[T]) bool
	// timeout and deliveries are the defaults of the keys that have one. The functions report
	// whether a T shows them.
	timeout, deliveries string
	waits, counts       func(*T) bool
	// asks, if set, reports whether a T gives headers of messages to a program.
	asks func(*draft[T]) bool
}

// targetRows returns the rows of the target of a T.
func targetRows[T any](h targetHolder[T]) table[T] {
	of := h.of
	only := func(owners ...func(*Target) any) []func(*draft[T]) string {
		return []func(*draft[T]) string{func(d *draft[T]) string {
			return misplaced(d, of(d.result), h.others, owners)
		}}
	}
	mail := only(addressLMTP, addressSMTP)
	imap := only(addressIMAP)
	return table[T]{
		{
			name: "maildir", example: `"~/Maildir"`, group: targetGroup,
			field:   fill(func(t *T) *string { return &of(t).Maildir }, text(value.pathPattern)),
			usage:   "deliver into the Maildir `DIR`",
			aliases: []string{"delivery", "destination", "path", "output", "mail_dir"},
			instead: `write maildir = "DIR", mbox = "FILE" or mda = "COMMAND"`,
		},
		{
			name: "mbox", group: targetGroup,
			field:   fill(func(t *T) *string { return &of(t).Mbox }, text(value.mbox)),
			usage:   "append each message to the mbox `FILE`, or - for standard output",
			aliases: []string{"mboxrd", "bsmtp"},
		},
		{
			name: "mda", group: targetGroup,
			field: fill(func(t *T) *string { return &of(t).MDA }, text(value.command)),
			usage: "pipe each message to `COMMAND`",
		},
		{
			name: "mda_argv", group: targetGroup,
			field:   fill(func(t *T) *[]string { return &of(t).MDAArgv }, argv),
			aliases: []string{"mda_external", "arguments"},
		},
		{
			name: "lmtp", group: targetGroup,
			field: fill(func(t *T) *string { return &of(t).LMTP }, text(value.lmtp)),
			usage: "deliver to the LMTP server at `ADDRESS` (host:port or unix:/path)",
		},
		{
			name: "smtp", group: targetGroup,
			field:   fill(func(t *T) *string { return &of(t).SMTP }, text(value.smtp)),
			usage:   "deliver to the mail server of this machine at `ADDRESS` (host:port or unix:/path)",
			aliases: []string{"smtphost", "smtp_host"},
			instead: `write smtp = "localhost:25", or lmtp = "unix:/PATH" for a server that speaks LMTP`,
		},
		{
			name: "imap", group: targetGroup,
			field: fill(func(t *T) *Mailbox { return &of(t).IMAP }, kind[Mailbox]{value.mailbox, Mailbox.toml}),
			usage: "append each message to the mailbox at `URL` (imaps://user@host/MAILBOX)",
		},
		{
			name: "rcpt", needless: mail,
			field:   fill(func(t *T) *[]string { return &of(t).Rcpt }, addresses),
			usage:   "deliver by LMTP or SMTP to `ADDRESS`",
			aliases: []string{"smtpname", "smtpaddress", "recipient", "recipients"},
			instead: `write rcpt = ["ADDRESS"], beside lmtp or smtp`,
		},
		{
			name: "mail_from", needless: mail,
			field:   fill(func(t *T) *string { return &of(t).MailFrom }, text(value.sender)),
			aliases: []string{"envelope_from", "sender"},
		},
		{
			name: "imap_password", group: imapSecretGroup, needless: imap,
			field: fill(func(t *T) *string { return &of(t).IMAPPassword.Password }, text(value.printable)),
			secret: func(t *T) []any {
				return []any{&of(t).IMAPPassword.Command, &of(t).IMAPPassword.File}
			},
		},
		{
			name: "imap_password_file", group: imapSecretGroup, needless: imap,
			field: fill(func(t *T) *string { return &of(t).IMAPPassword.File }, text(value.secretFile)),
			usage: "the password of the mailbox is the first line of `FILE`",
		},
		{
			name: "imap_password_command", group: imapSecretGroup, needless: imap,
			field: fill(func(t *T) *string { return &of(t).IMAPPassword.Command }, text(value.command)),
			usage: "the password of the mailbox is what `COMMAND` prints",
		},
		{
			name: "imap_password_credential", group: imapSecretGroup, needless: imap,
			field: fill(func(t *T) *string { return &of(t).IMAPPassword.Credential }, text(value.credential)),
		},
		{
			name: "imap_password_keyring", group: imapSecretGroup, needless: imap,
			field: fill(func(t *T) *string { return &of(t).IMAPPassword.Keyring }, text(value.printable)),
		},
		{
			name: "imap_oauth", group: imapSecretGroup, needless: imap,
			field: likeAnother(fillTable(func(t *T) *OAuth { return &of(t).IMAPOAuth }, oauthKeys)),
		},
		{
			name: "imap_tls_ca",
			needless: append(slices.Clone(imap), func(d *draft[T]) string {
				fingerprint := &of(d.result).IMAPTLSFingerprint
				if !d.has(fingerprint) {
					return ""
				}
				return "is not used together with " + d.named(fingerprint)
			}),
			field: fill(func(t *T) *string { return &of(t).IMAPTLSCA }, text(value.path)),
		},
		{
			name: "imap_tls_fingerprint", needless: imap,
			field: fill(func(t *T) *[]string { return &of(t).IMAPTLSFingerprint }, pins),
		},
		{
			name: "mda_timeout", preset: h.timeout, means: h.waits,
			field: fill(func(t *T) *time.Duration { return &of(t).MDATimeout }, duration),
		},
		{
			name: "max_deliveries", preset: h.deliveries, means: h.counts,
			needless: []func(*draft[T]) string{func(d *draft[T]) string {
				if h.asks != nil && h.asks(d) {
					return ""
				}
				return misplaced(d, of(d.result), h.others,
					[]func(*Target) any{addressMDA, addressMDAArgv, addressLMTP, addressSMTP, addressIMAP})
			}},
			field: fill(func(t *T) *int { return &of(t).MaxDeliveries }, countIfSet(1000)),
		},
	}
}

// likeAnother returns a field whose table has the keys of another one, where they are described.
func likeAnother[T any](f field[T]) field[T] {
	f.inner = nil
	return f
}

// The places of a target.

func addressMDA(t *Target) any     { return &t.MDA }
func addressMDAArgv(t *Target) any { return &t.MDAArgv }
func addressLMTP(t *Target) any    { return &t.LMTP }
func addressSMTP(t *Target) any    { return &t.SMTP }
func addressIMAP(t *Target) any    { return &t.IMAP }

// misplaced returns why a key has no meaning because the target is another place than one of owners,
// or "".
func misplaced[T any](d *draft[T], t *Target, others func(*draft[T]) bool, owners []func(*Target) any) string {
	if others != nil && others(d) {
		return ""
	}
	var names []string
	for _, owner := range owners {
		address := owner(t)
		if d.has(address) {
			return ""
		}
		names = append(names, d.named(address))
	}
	for _, r := range d.keys.members(targetGroup) {
		if d.written(r.name) {
			return "belongs to " + listed(names, "or") + ", but there is " + d.at.named(r.name)
		}
	}
	return ""
}

// key returns the key of the place where messages go: maildir, mbox and so on. It returns "" if none
// is set.
func (t *Target) key() string {
	for _, r := range targetKeys.members(targetGroup) {
		if r.toml(t) != "" {
			return r.name
		}
	}
	return ""
}

// Kind returns the key that says where messages go: "maildir", "mbox", "mda", "mda_argv", "lmtp",
// "smtp" or "imap".
func (t *Target) Kind() string { return t.key() }

// Field returns the address of the field that Kind names, for Mistake.
func (t *Target) Field() any {
	r, _ := targetKeys.row(t.key())
	if r.name == "" {
		return &t.Maildir
	}
	return r.field.address(t)
}

// Where returns the place with its kind, such as "maildir /home/alice/Maildir".
func (t *Target) Where() string {
	place := t.Maildir + t.Mbox + t.MDA + t.LMTP + t.SMTP + t.IMAP.String()
	if len(t.MDAArgv) > 0 {
		place = strings.Join(t.MDAArgv, " ")
	}
	return t.key() + " " + place
}

// ResolvePassword returns the password of the user of IMAP, as Secret.Resolve does.
func (t *Target) ResolvePassword(ctx context.Context) (string, error) {
	key := ""
	for _, r := range targetKeys.members(imapSecretGroup) {
		if r.toml(t) != "" {
			key = r.name
		}
	}
	return t.IMAPPassword.resolveOf(ctx, t.IMAP.User, key)
}

// Tokens returns where the access tokens for the user of IMAP come from. Where a provider has scopes of
// its own for IMAP, and none are written, those are asked for.
func (t *Target) Tokens() OAuth {
	o := t.IMAPOAuth
	if o.Provider == "microsoft" && len(o.Scopes) == 0 && o.Flow != flowClient {
		o.Scopes = []string{"https://outlook.office.com/IMAP.AccessAsUser.All", "offline_access"}
	}
	return o
}

// withDefaults returns the target of a table for an account: keys that it lacks are the account's.
func (t Target) withDefaults(a *Account) Target {
	own := &a.Target
	if t.IMAPPassword.IsZero() && t.IMAPOAuth.IsZero() {
		t.IMAPPassword, t.IMAPOAuth = own.IMAPPassword, own.IMAPOAuth
	}
	if t.IMAPTLSCA == "" && len(t.IMAPTLSFingerprint) == 0 {
		t.IMAPTLSCA, t.IMAPTLSFingerprint = own.IMAPTLSCA, own.IMAPTLSFingerprint
	}
	if len(t.Rcpt) == 0 {
		t.Rcpt = own.Rcpt
	}
	if t.MailFrom == "" {
		t.MailFrom = own.MailFrom
	}
	if t.MDATimeout == 0 {
		t.MDATimeout = own.MDATimeout
	}
	if t.MaxDeliveries == 0 {
		t.MaxDeliveries = own.MaxDeliveries
	}
	t.nameAccount(a.Name)
	return t
}

// nameAccount puts the account's name into the paths.
func (t *Target) nameAccount(name string) {
	for _, path := range []*string{&t.Maildir, &t.Mbox} {
		*path = strings.ReplaceAll(*path, accountMark, name)
	}
}

// namePaths puts the account's name into the paths of its target, unless the name is no name of a
// folder.
func (a *Account) namePaths() *Error {
	for _, path := range []*string{&a.Maildir, &a.Mbox} {
		if strings.Contains(*path, accountMark) && strings.Contains(a.Name, "/") {
			r, _ := accountKeys.filling(a, path)
			return &Error{Key: option(r.name), Err: fmt.Errorf("%s would be %q, which is no name of a folder; write another path", accountMark, a.Name)}
		}
	}
	a.nameAccount(a.Name)
	return nil
}

// TargetOf returns the target called name, with what it takes from the account.
func (c *Config) TargetOf(a *Account, name string) (_ Target, found bool) {
	c = c.home(a.Name)
	home, found := c.targetHomes[name]
	if !found {
		return Target{}, false
	}
	return c.Targets[home.index].withDefaults(a), true
}

// Own returns the targets of the messages that no route of the account matches: the account's own
// target, or those that it names.
func (c *Config) Own(a *Account) []Target {
	if len(a.Deliver) == 0 {
		return []Target{a.Target}
	}
	return c.named(a, a.Deliver)
}

// Uses returns each target to which messages of the account may go, once: those of Own, and then
// those of its routes.
func (c *Config) Uses(a *Account) []Target {
	targets := c.Own(a)
	for i := range a.Routes {
		for _, t := range c.named(a, a.Routes[i].Deliver) {
			known := func(other Target) bool { return other.Name == t.Name }
			if !slices.ContainsFunc(targets, known) {
				targets = append(targets, t)
			}
		}
	}
	return targets
}

// named returns the targets of the given names.
func (c *Config) named(a *Account, names []string) []Target {
	var targets []Target
	for _, name := range names {
		if t, found := c.TargetOf(a, name); found {
			targets = append(targets, t)
		}
	}
	return targets
}
