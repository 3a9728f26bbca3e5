package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/durable"
	"github.com/popfetch/popfetch/internal/login"
)

// assembly makes the targets of one account out of its configuration. The engine sees one target:
// a filter, then routes, then added headers, then the places.
type assembly struct {
	p       *program
	s       *setting
	account *config.Account
	trusted authorities
	made    map[string]deliver.Target // the places, by the names of their tables; "": the account's own
	fans    *deliver.Fans
}

// target returns the target of an account. It contacts no server. An error is a *config.Error.
func (p *program) target(ctx context.Context, s *setting, a *config.Account, trusted authorities) (deliver.Target, error) {
	m := &assembly{p: p, s: s, account: a, trusted: trusted, made: make(map[string]deliver.Target)}
	m.fans = deliver.NewFans(m.notes("fan"))
	if err := m.mayUseStdout(); err != nil {
		return nil, err
	}
	used := s.Uses(a)
	for i := range used {
		t := &used[i]
		place, err := m.open(ctx, t)
		if err != nil {
			return nil, err
		}
		m.made[t.Name] = place
	}
	target := m.headed(m.own())
	if len(a.Routes) > 0 || len(a.EnvelopeHeader) > 0 {
		target = deliver.NewRoute(deliver.Routing{Envelope: a.EnvelopeHeader, Rules: m.rules(), Otherwise: target})
	}
	if a.Filter != "" {
		f := deliver.Filter{Command: a.Filter, Timeout: a.MDATimeout, Notes: m.notes("filter")}
		target = deliver.NewFilter(f, target)
		if len(a.EnvelopeHeader) > 0 { // the filter is told the recipient, too
			target = deliver.NewRoute(deliver.Routing{Envelope: a.EnvelopeHeader, Otherwise: target})
		}
	}
	return target, nil
}

// mayUseStdout refuses standard output as a target where it has messages of another kind, or where
// nobody would read it.
func (m *assembly) mayUseStdout() error {
	used := m.s.Uses(m.account)
	for i := range used {
		t := &used[i]
		if t.Mbox != config.StandardOutput || m.p.command != "" && m.p.command != workerCommand || m.p.dryRun {
			continue
		}
		switch {
		case m.p.view.json:
			return usagef("--json contradicts mbox = \"-\" of %s: both write to standard output", m.account.Name)
		case !m.p.once && m.s.oneShot:
			return usagef("--mbox -: works only with --once, since standard output has an end")
		case !m.p.once:
			return m.mistake(t, errors.New("is standard output, which works only with --once; write the path of a file, or add --once"))
		}
	}
	return nil
}

// mistake returns err as a mistake of the key that says where a target is.
func (m *assembly) mistake(t *config.Target, err error) *config.Error {
	return m.s.TargetMistake(m.account, t, func(t *config.Target) any { return t.Field() }, err)
}

// own returns the target of what no route matches. A program or server beside routes gets a fan of its
// own, whose notes allow batches of several messages.
func (m *assembly) own() deliver.Target {
	if len(m.account.Deliver) > 0 {
		return m.fan(m.account.Deliver)
	}
	own := m.made[""]
	if _, isFinder := deliver.AsFinder(own); isFinder || len(m.account.Routes) == 0 {
		return own
	}
	return m.fan([]string{""})
}

// fan returns a target for several places that have tables of their own. A single one is a fan too:
// records then have its name.
func (m *assembly) fan(names []string) deliver.Target {
	var members []deliver.Member
	for _, name := range names {
		members = append(members, deliver.Member{Name: name, Target: m.made[name]})
	}
	return m.fans.Of(members)
}

// headed returns a target that puts the configured header lines on top.
func (m *assembly) headed(t deliver.Target) deliver.Target {
	if len(m.account.AddHeaders) == 0 {
		return t
	}
	return deliver.NewHeaders(m.account.AddHeaders, t)
}

// rules returns the rules of the routes. Several patterns for recipients are several rules.
func (m *assembly) rules() []deliver.Rule {
	var rules []deliver.Rule
	for i := range m.account.Routes {
		route := &m.account.Routes[i]
		rule := deliver.Rule{Headers: route.Header, Equals: route.Equals, Target: deliver.Drop{}}
		if route.Match != "" {
			rule.Match = regexp.MustCompile(route.Match) // the configuration has compiled it once
		}
		if len(route.Deliver) > 0 {
			rule.Target = m.headed(m.fan(route.Deliver))
		}
		if len(route.Recipient) == 0 {
			rules = append(rules, rule)
		}
		for _, glob := range route.Recipient {
			rule.Recipient = glob
			rules = append(rules, rule)
		}
	}
	return rules
}

// open returns the place of a target.
func (m *assembly) open(ctx context.Context, t *config.Target) (deliver.Target, error) {
	switch {
	case t.Maildir != "":
		return dated(t.Maildir, func(path string) deliver.Target { return deliver.NewMaildir(path) }), nil
	case t.Mbox == config.StandardOutput:
		return m.p.stdout(), nil
	case t.Mbox != "":
		return dated(t.Mbox, func(path string) deliver.Target {
			mbox := deliver.NewMbox(path, m.notes("mbox", t.Name, path))
			mbox.Note = func(text string) { m.p.term.sayf(caution, "%s: %s", m.account.Name, text) }
			return mbox
		}), nil
	case t.MDA != "" || len(t.MDAArgv) > 0:
		return &deliver.MDA{Command: t.MDA, Argv: t.MDAArgv, Timeout: t.MDATimeout, Deliveries: t.MaxDeliveries}, nil
	case t.LMTP != "":
		return m.lmtp(t, deliver.LMTPProtocol, t.LMTP), nil
	case t.SMTP != "":
		return m.lmtp(t, deliver.SMTPProtocol, t.SMTP), nil
	}
	return m.imap(ctx, t)
}

// dated returns the place at a path, which may have marks for the time of delivery.
func dated(path string, open func(path string) deliver.Target) deliver.Target {
	if strings.Contains(path, "{") {
		return deliver.NewDated(path, open)
	}
	return open(path)
}

// lmtp returns a server that takes mail at an address.
func (m *assembly) lmtp(t *config.Target, protocol deliver.Protocol, address string) deliver.Target {
	target := &deliver.LMTP{
		Protocol: protocol, Network: "tcp", Address: address, Recipients: t.Rcpt,
		Timeout: t.MDATimeout, Deliveries: t.MaxDeliveries, Notes: m.notes(t.Kind(), t.Name, t.Where()),
		Note: func(text string) { m.p.term.sayf(caution, "%s: %s", m.account.Name, text) },
	}
	if path, isUnix := strings.CutPrefix(address, "unix:"); isUnix {
		target.Network, target.Address = "unix", path
	}
	switch t.MailFrom {
	case "":
	case config.NullSender:
		target.MailFrom = new(string)
	default:
		target.MailFrom = &t.MailFrom
	}
	return target
}

// imap returns a mailbox.
func (m *assembly) imap(ctx context.Context, t *config.Target) (deliver.Target, error) {
	user := mailboxUser(t)
	tlsConfig, field, err := tlsConfig(user, m.trusted)
	if err != nil {
		return nil, m.s.TargetMistake(m.account, t, func(t *config.Target) any {
			if field == &user.TLSCA {
				return &t.IMAPTLSCA
			}
			return &t.IMAP
		}, err)
	}
	target := &deliver.IMAP{
		Address: t.IMAP.Server, StartTLS: t.IMAP.Plain, TLSConfig: tlsConfig, User: t.IMAP.User, Mailbox: t.IMAP.Name,
		Timeout: t.MDATimeout, Deliveries: t.MaxDeliveries, Notes: m.notes(t.Kind(), t.Name, t.Where()),
	}
	if t.IMAPOAuth.IsZero() {
		target.Password = t.ResolvePassword
		return target, m.readable(ctx, t)
	}
	return target, m.useTokens(target, user)
}

// useTokens makes a mailbox log in by access tokens.
func (m *assembly) useTokens(target *deliver.IMAP, user *config.Account) error {
	var c login.Credentials
	if err := m.s.useTokens(&c, user, m.account.Name, m.trusted); err != nil {
		return err
	}
	target.Token, target.Renew = c.Password, c.Renew
	return nil
}

// readable checks that a file with the password of a mailbox can be read, before a server is contacted.
func (m *assembly) readable(ctx context.Context, t *config.Target) error {
	if t.IMAPPassword.File == "" && t.IMAPPassword.Credential == "" {
		return nil
	}
	_, err := t.ResolvePassword(ctx)
	var secret *config.SecretError
	if errors.As(err, &secret) {
		err = secret.Err // the mistake names the key already
	}
	if err == nil {
		return nil
	}
	return m.s.TargetMistake(m.account, t, func(t *config.Target) any {
		if t.IMAPPassword.Credential != "" {
			return &t.IMAPPassword.Credential
		}
		return &t.IMAPPassword.File
	}, err)
}

// notes returns the book of what a part of the target notes about messages without a record. Another
// table has another book, even for the same place, and so has another place.
func (m *assembly) notes(part string, of ...string) deliver.Book {
	state := m.account.Name
	if m.s.oneShot {
		state = stateName(m.account)
	}
	sum := sha256.Sum256([]byte(strings.Join(of, "\x00")))
	return m.book(state, fmt.Sprintf("%s-%x", part, sum[:8]))
}

// book returns a book of an account, by the name of its state: a file in the state folder, or a part of
// the database that has the state.
func (m *assembly) book(state, name string) deliver.Book {
	if m.s.State != "" {
		return m.p.database.book(state, name)
	}
	return deliver.NewFileBook(filepath.Join(notesFolder(m.s.StateDir, state), name))
}

// notesFolder returns the folder of the notes of all parts of an account's target.
func notesFolder(stateDir, account string) string {
	return filepath.Join(stateDir, "notes", fileName(account))
}

// moveNotes gives an account's notes to another name, instead of those that this has.
func moveNotes(stateDir, from, to string) error {
	old, folder := notesFolder(stateDir, from), notesFolder(stateDir, to)
	if _, err := os.Stat(old); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	if err := os.Rename(old, folder); err != nil {
		return err
	}
	return durable.SyncUp(folder)
}

// longestFileName bounds a file name that is made of another name, in octets.
const longestFileName = 120

// fileName returns a name as one of a file: without slashes, and no longer than file systems allow.
func fileName(name string) string {
	escaped := url.PathEscape(name) // a name is never "." or ".."
	if len(escaped) <= longestFileName {
		return escaped
	}
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("%s-%x", escaped[:longestFileName], sum[:8])
}
