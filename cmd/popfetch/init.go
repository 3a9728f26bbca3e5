package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/discover"
)

// init finds the servers of a mail address, asks, tries the log-in, and writes an account.
func (p *program) init(ctx context.Context) error {
	in, err := p.newInterview()
	if err != nil {
		return err
	}
	steps := []func(context.Context) error{
		in.askAddress, in.findServer, in.tellNeeds, in.askServer, in.askUser, in.refuseTwice, in.askName,
		in.askTarget, in.askDeletion, in.askSecret,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if err := config.Append(ctx, in.path, in.account); err != nil {
		return err
	}
	return in.tellNext()
}

// interview is what init has learnt so far.
type interview struct {
	p       *program
	path    string            // of the configuration file
	shown   string            // the same, as it is shown
	known   []config.Account  // the accounts that the file has already
	given   map[string]string // keys that options give, so that nobody is asked for them
	address string
	domain  string // of the address, in lower case and ASCII
	found   *discover.Found
	account config.NewAccount
	mailbox string // what a look at the maildrop has shown; "" if there was none
}

// newInterview checks all that can be checked before a person is asked anything.
func (p *program) newInterview() (*interview, error) {
	switch {
	case len(p.words) > 1:
		return nil, usagef("init: name one mail address; a name with blanks needs quotes")
	case p.dryRun, p.view.json:
		return nil, usagef("init asks questions and writes a file; --dry-run and --json work only with other commands")
	case !isTerminal(os.Stdin), !isTerminal(os.Stdout):
		return nil, usagef("init asks questions, and there is no terminal to ask on; run it in one, or write the file by hand: popfetch.toml(5) shows how")
	}
	in := &interview{p: p, path: config.DefaultPath(), given: p.source.oneShot}
	if p.source.file != nil {
		var err error
		if in.path, err = pathOf("config", *p.source.file); err != nil {
			return nil, err
		}
	}
	in.shown = shortPath(in.path)
	if err := config.CanAppend(in.path); err != nil {
		return nil, err
	}
	for _, key := range []string{"maildir", "mbox", "tls_ca", "password_file", "imap_password_file"} {
		path, given := in.given[key]
		if !given || path == config.StandardOutput {
			continue
		}
		path, err := pathOf(key, path)
		if err != nil {
			return nil, err
		}
		in.given[key] = path
	}
	cfg, err := config.Load(in.path)
	if err == nil {
		in.known = cfg.Accounts
	} // otherwise there is no file yet, or no account in it
	if len(p.words) > 0 {
		return in, in.setAddress(p.words[0])
	}
	return in, nil
}

// shortPath returns a path with ~ for the home folder.
func shortPath(path string) string {
	if home, err := os.UserHomeDir(); err == nil && len(home) > 1 && strings.HasPrefix(path, home+"/") {
		return "~" + path[len(home):]
	}
	return path
}

// setAddress takes the mail address. Its error is a usageError.
func (in *interview) setAddress(address string) error {
	at := strings.LastIndexByte(address, '@')
	if at < 1 || at == len(address)-1 || strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return usagef("%q is no mail address; write one such as alice@example.org", address)
	}
	domain, err := config.HostName(strings.TrimSuffix(address[at+1:], "."))
	if err != nil {
		return usagef("%q is no mail address: %w", address, err)
	}
	in.address, in.domain = address, domain
	return nil
}

func (in *interview) askAddress(ctx context.Context) error {
	if in.address != "" {
		return nil
	}
	_, err := in.ask(ctx, "Mail address", "", in.setAddress)
	return err
}

// set sets a key of the new account.
func (in *interview) set(key string, value any) {
	for i := range in.account.Settings {
		if in.account.Settings[i].Key == key {
			in.account.Settings[i].Value = value
			return
		}
	}
	in.account.Settings = append(in.account.Settings, config.Setting{Key: key, Value: value})
}

// get returns the text of a key of the new account.
func (in *interview) get(key string) string {
	for _, s := range in.account.Settings {
		if text, isText := s.Value.(string); isText && s.Key == key {
			return text
		}
	}
	return ""
}

// remove removes a key of the new account.
func (in *interview) remove(key string) {
	var kept []config.Setting
	for _, s := range in.account.Settings {
		if s.Key != key {
			kept = append(kept, s)
		}
	}
	in.account.Settings = kept
}

// noName is the name of the account until the person is asked for one.
const noName = "init has no name yet"

// mistake returns what is wrong with the value of a key, as it stands now. Other keys may be missing
// yet.
func (in *interview) mistake(key string) error {
	account := in.account
	if account.Name == "" {
		account.Name = noName
	}
	_, err := config.Preview(in.path, account)
	var mistakes config.Errors
	if !errors.As(err, &mistakes) {
		return nil // what else is wrong is told when the account is added
	}
	for _, m := range mistakes {
		if strings.HasSuffix(m.Key, "."+key) {
			return fmt.Errorf("%s %w", key, m.Err)
		}
	}
	return nil
}

// say prints text for the person, with lines that fit the terminal.
func (in *interview) say(format string, args ...any) error {
	var text strings.Builder
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		text.WriteString(fold(printable(strings.TrimRight(line, "\n")), "  ", in.p.term.columns))
	}
	return in.p.term.printf("%s", text.String())
}

// tries is how often a person is asked the same.
const tries = 3

// ask asks for a text. An empty answer is the usual one, if there is one. take takes the answer, or
// says what is wrong with it; then the person is asked again.
func (in *interview) ask(ctx context.Context, question, usual string, take func(string) error) (string, error) {
	if usual != "" {
		question += " [" + usual + "]"
	}
	for try := 1; ; try++ {
		answer, err := in.p.term.askLine(ctx, printable(question)+": ")
		if err != nil {
			return "", asked(err)
		}
		if answer = strings.TrimSpace(answer); answer == "" {
			answer = usual
		}
		err = errors.New("an answer is needed; Ctrl-C ends this, and nothing is written")
		if answer != "" {
			err = take(answer)
		}
		if err == nil || try == tries {
			return answer, err
		}
		if err := in.say("%v\n", err); err != nil {
			return "", err
		}
	}
}

// asked returns the error of a question.
func asked(err error) error {
	if caught := (signalError{}); errors.As(err, &caught) {
		return err
	}
	return fmt.Errorf("the terminal: %w", err)
}

// confirm asks a question that is answered by yes or no, no being the usual answer.
func (in *interview) confirm(ctx context.Context, question string) (bool, error) {
	yes := false
	_, err := in.ask(ctx, question+" (yes or no)", "no", func(answer string) error {
		switch strings.ToLower(answer) {
		case "y", "yes":
			yes = true
		case "n", "no":
		default:
			return errors.New("write yes or no")
		}
		return nil
	})
	return yes, err
}
