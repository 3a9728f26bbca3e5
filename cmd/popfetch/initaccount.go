package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/discover"
)

func (in *interview) askUser(ctx context.Context) error {
	if in.given["user"] != "" {
		return nil
	}
	usual := cmp.Or(in.get("user"), in.found.Provider.User(in.address))
	_, err := in.ask(ctx, "User name", usual, func(answer string) error {
		in.set("user", answer)
		return in.mistake("user")
	})
	return err
}

// refuseTwice refuses a maildrop that the configuration has already.
func (in *interview) refuseTwice(context.Context) error {
	cfg, err := in.preview(noName)
	if err != nil {
		return nil //nolint:nilerr // what is missing yet is asked for
	}
	accounts, err := cfg.Select([]string{noName})
	if err != nil {
		return err
	}
	own := &accounts[0]
	for _, a := range in.known {
		if a.Server == own.Server && a.User == own.User {
			return &config.AppendError{File: in.path, Err: fmt.Errorf(
				"the account %q of %s at %s %w; popfetch check %s looks at it", a.Name, a.User, a.Server, config.ErrExists, shellWord(a.Name))}
		}
	}
	return nil
}

// preview returns the configuration with the account under a name. A target that is not asked for
// yet is made up.
func (in *interview) preview(name string) (*config.Config, error) {
	account := in.account
	account.Name = name
	if !in.hasTarget() {
		account.Settings = append(slices.Clone(account.Settings), config.Setting{Key: "maildir", Value: "~/Maildir"})
	}
	return config.Preview(in.path, account)
}

func (in *interview) askName(ctx context.Context) error {
	_, err := in.ask(ctx, "Name of the account", in.usualName(), func(answer string) error {
		if in.isTaken(answer) {
			return fmt.Errorf("there is an account %q already; choose another name", answer)
		}
		in.account.Name = answer
		return config.CheckAccountName(answer)
	})
	return err
}

func (in *interview) isTaken(name string) bool {
	return slices.ContainsFunc(in.known, func(a config.Account) bool { return a.Name == name })
}

// usualName returns a name that no account has: the first part of the domain, or the address.
func (in *interview) usualName() string {
	domain := in.address[strings.LastIndexByte(in.address, '@')+1:]
	label, _, _ := strings.Cut(strings.ToLower(domain), ".")
	for _, name := range []string{label, in.address} {
		if config.CheckAccountName(name) == nil && !in.isTaken(name) {
			return name
		}
	}
	for n := 2; ; n++ {
		if name := fmt.Sprintf("mail %d", n); !in.isTaken(name) {
			return name
		}
	}
}

// askTarget asks for the Maildir, unless an option names a target.
func (in *interview) askTarget(ctx context.Context) error {
	if !in.hasTarget() {
		_, err := in.ask(ctx, "Deliver into the Maildir", in.usualMaildir(), func(answer string) error { return in.takeMaildir(ctx, answer) })
		if err != nil {
			return err
		}
	}
	if in.get("maildir") == "" {
		return nil
	}
	return in.askInitial(ctx)
}

// hasTarget reports whether the account says where its mail goes.
func (in *interview) hasTarget() bool {
	return slices.ContainsFunc(in.account.Settings, func(s config.Setting) bool { return config.IsTarget(s.Key) })
}

// usualMaildir returns ~/Maildir, or a folder below ~/Mail if an account has that already.
func (in *interview) usualMaildir() string {
	const usual = "~/Maildir"
	path, err := config.Path(usual)
	if err == nil && !slices.ContainsFunc(in.known, func(a config.Account) bool { return a.Maildir == path }) {
		return usual
	}
	return "~/Mail/" + in.account.Name
}

// takeMaildir takes the answer that names the Maildir. One that begins with ~ is written so.
func (in *interview) takeMaildir(ctx context.Context, answer string) error {
	path, err := pathOf("maildir", answer)
	if err != nil {
		return errors.Unwrap(errors.Unwrap(err))
	}
	if err := deliver.NewMaildir(path).Probe(ctx, true); err != nil {
		return err
	}
	if !strings.HasPrefix(answer, "~/") {
		answer = path
	}
	in.set("maildir", answer)
	return in.mistake("maildir")
}

// askInitial asks what the first run fetches, if the Maildir has mail: another program may have
// fetched that.
func (in *interview) askInitial(ctx context.Context) error {
	path, err := pathOf("maildir", in.get("maildir"))
	if err != nil {
		return err
	}
	own, others, err := deliver.NewMaildir(path).Holds(ctx)
	if err != nil || own+others == 0 {
		return nil //nolint:nilerr // the Maildir is to be made, and is examined with the log-in
	}
	err = in.say("It holds %d messages. Of mail that another program has fetched, a first run does not know: it fetches it again, unless you say \"none\".\n", own+others)
	if err != nil {
		return err
	}
	_, err = in.ask(ctx, `Fetch at first: all, none, or a time such as 30d`, "all", func(answer string) error {
		in.set("initial", answer)
		return in.mistake("initial")
	})
	if in.get("initial") == "all" {
		in.remove("initial")
	}
	return err
}

func (in *interview) askDeletion(ctx context.Context) error {
	_, err := in.ask(ctx, "Delete on the server: never, delivered, or a time such as 30d", "never", func(answer string) error {
		in.set("delete", answer)
		return in.mistake("delete")
	})
	if in.get("delete") == "never" {
		in.remove("delete")
	}
	if p := in.found.Provider; err == nil && p != nil && p.Interval != "" {
		in.set("interval", p.Interval)
	}
	return err
}

// tellNext says what was written, and the commands to type next.
func (in *interview) tellNext() error {
	name := in.account.Name
	written := "Wrote " + in.shown
	if in.account.Password != "" {
		written += " and, beside it, " + filepath.Base(config.PasswordFile(in.path, name))
	}
	next := []string{in.p.source.commandLine("check", name), in.p.source.commandLine("--once", name)}
	if in.signsIn() {
		next = append([]string{in.p.source.commandLine("login", name)}, next...)
	}
	text := in.mailbox + written + ".\nNext, type:\n"
	for _, line := range next {
		text += "  " + line + "\n"
	}
	return in.say("%s%s", text, in.regularly())
}

// commandLine returns a command with the options that find the same files.
func (s *source) commandLine(words ...string) string { return proposed(s.options(), words...) }

// unitFile is where the package of popfetch has its unit for a person's own systemd.
const unitFile = "/usr/lib/systemd/user/popfetch.service"

// regularly returns how to have mail fetched again and again.
func (in *interview) regularly() string {
	if _, err := os.Stat(unitFile); err == nil && in.p.source.file == nil && in.p.source.stateDir == "" {
		return "  systemctl --user enable --now popfetch\n"
	}
	minutes := "5"
	if p := in.found.Provider; p != nil && p.Interval != "" {
		minutes = strings.TrimSuffix(p.Interval, "m")
	}
	return fmt.Sprintf("  crontab -e    and add: */%s * * * * %s\n", minutes, in.p.source.commandLine("--once"))
}

// signsIn reports whether the account has an OAuth 2 client, so that a person signs in later.
func (in *interview) signsIn() bool {
	p := in.found.Provider
	return p != nil && p.Secret == discover.OAuth && !in.hasSource()
}

// hasSource reports whether an option gives the source of the password.
func (in *interview) hasSource() bool {
	return in.get("password_command") != "" || in.get("password_file") != ""
}
