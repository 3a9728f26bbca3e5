package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/foreign"
)

// importing is one import: what was found, and what it becomes.
type importing struct {
	*program
	file     string // the configuration file that is added to
	found    *foreign.Found
	accounts []config.NewAccount // those of found, in its order
	config   *config.Config      // as it would be with them
}

// importForeign takes over the accounts of another program, and what that program has seen of them.
// Without --apply it only shows what it would write.
func (p *program) importForeign(ctx context.Context) error {
	if err := p.refuseServer(); err != nil {
		return err
	}
	if len(p.words) == 0 || !slices.Contains(foreign.Programs(), p.words[0]) {
		return usagef("import: name one of %s", strings.Join(foreign.Programs(), ", "))
	}
	if p.apply && p.dryRun {
		return usagef("--apply and --dry-run contradict each other; without --apply, import only shows what it would write")
	}
	imp := &importing{program: p}
	if err := imp.find(); err != nil {
		return err
	}
	if !p.apply {
		return imp.show(false)
	}
	unlock, err := imp.writeState(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := config.Append(ctx, imp.file, imp.accounts...); err != nil {
		return err
	}
	return imp.show(true)
}

// find reads the files of the other program, and makes the configuration as it would be.
func (imp *importing) find() (err error) {
	if imp.file, err = imp.importInto(); err != nil {
		return err
	}
	env, err := foreign.System()
	if err != nil {
		return err
	}
	name, files := imp.words[0], imp.words[1:]
	imp.found, err = foreign.Read(name, files, env)
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(files) == 0:
		return usagef("import: %s has no configuration in its usual places: %w; name its file: popfetch import %s FILE", name, err, name)
	case err != nil:
		return err
	}
	for i := range imp.found.Accounts {
		imp.accounts = append(imp.accounts, newAccountOf(&imp.found.Accounts[i]))
	}
	imp.config, err = config.Preview(imp.file, imp.accounts...)
	if err != nil {
		return fmt.Errorf("what was found cannot be written: %w", err)
	}
	return imp.checkPasswordFiles()
}

// importInto returns the configuration file that is added to.
func (p *program) importInto() (string, error) {
	if p.source.file == nil {
		return config.DefaultPath(), nil
	}
	return pathOf("config", *p.source.file)
}

// newAccountOf returns an account of another program as one of ours.
func newAccountOf(a *foreign.Account) config.NewAccount {
	account := config.NewAccount{Name: a.Name, Password: a.Password}
	for _, s := range a.Settings {
		account.Settings = append(account.Settings, config.Setting(s))
	}
	for _, n := range a.Notes {
		account.Comments = append(account.Comments, noteText(n))
	}
	return account
}

// noteText tells in one line what cannot be carried over.
func noteText(n foreign.Note) string {
	at := n.File
	if n.Line > 0 {
		at += ":" + strconv.Itoa(n.Line)
	}
	text := fmt.Sprintf("%s: %s: %s", at, n.What, n.Why)
	if n.Instead != "" {
		text += "; " + n.Instead
	}
	return text
}

// checkPasswordFiles refuses files that stand where passwords are to be written, unless they hold
// these passwords already.
func (imp *importing) checkPasswordFiles() error {
	for i := range imp.accounts {
		a := &imp.accounts[i]
		if a.Password == "" {
			continue
		}
		file := config.PasswordFile(imp.file, a.Name)
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) || err == nil && strings.TrimSuffix(string(text), "\n") == a.Password {
			continue
		}
		return &config.AppendError{File: imp.file, Err: fmt.Errorf("the password file %s %w, with another password; "+
			"remove it, or give the account another name in the other program", file, config.ErrExists)}
	}
	return nil
}

// imported is one line of import --json. Its field names are part of the contract.
type imported struct {
	Account  string        `json:"account"`
	Server   string        `json:"server"`
	User     string        `json:"user"`
	TOML     string        `json:"toml"`
	Marked   int           `json:"marked"`
	Entries  int           `json:"entries"`
	File     string        `json:"file,omitempty"` // the state of the other program
	Applied  bool          `json:"applied"`
	NotTaken []notImported `json:"not_taken,omitempty"`
}

// notImported is a thing that cannot be carried over.
type notImported struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	What    string `json:"what"`
	Why     string `json:"why"`
	Instead string `json:"instead,omitempty"`
}

// show prints what was written, or would be.
func (imp *importing) show(applied bool) error {
	if imp.view.json {
		return imp.showJSON(applied)
	}
	would := "%s would get:\n"
	if applied {
		would = "%s has got:\n"
	}
	if len(imp.accounts) == 0 {
		would = "nothing of it becomes an account of %s\n"
	}
	if err := imp.term.printf(would, printable(imp.file)); err != nil {
		return err
	}
	for i := range imp.accounts {
		text, err := imp.accounts[i].TOML()
		if err != nil {
			return err
		}
		if err := imp.term.printf("\n%s", text); err != nil {
			return err
		}
	}
	if len(imp.accounts) > 0 {
		if err := imp.term.printf("\n"); err != nil {
			return err
		}
	}
	for i := range imp.accounts {
		if err := imp.showAccount(&imp.accounts[i], &imp.found.Accounts[i], applied); err != nil {
			return err
		}
	}
	if err := imp.showNotes(); err != nil {
		return err
	}
	return imp.showNext(applied)
}

// showAccount prints what becomes of an account's password and seen state.
func (imp *importing) showAccount(a *config.NewAccount, from *foreign.Account, applied bool) error {
	would := map[bool]string{false: "would ", true: ""}[applied]
	if a.Password != "" {
		goes := map[bool]string{false: "would go", true: "is"}[applied]
		err := imp.term.printf("%s: the password %s in %s\n", printable(a.Name), goes, printable(config.PasswordFile(imp.file, a.Name)))
		if err != nil {
			return err
		}
	}
	text := fmt.Sprintf("%s: %smark %s of %s as seen", printable(a.Name), would, grouped(len(from.Seen)), grouped(from.InFile))
	if applied {
		text = fmt.Sprintf("%s: %s of %s marked as seen", printable(a.Name), grouped(len(from.Seen)), grouped(from.InFile))
	}
	if from.SeenFile != "" {
		text += fmt.Sprintf(" (%s)", printable(from.SeenFile))
	}
	if len(from.Seen) == 0 {
		text += fmt.Sprintf("; so its first run fetches everything on the server; to fetch only new mail, first run: %s",
			proposed(imp.source.options(), "seen", "mark", "--all", a.Name))
	}
	return imp.term.printf("%s\n", text)
}

// showNotes prints what cannot be carried over.
func (imp *importing) showNotes() error {
	notes := imp.found.Notes
	for i := range imp.found.Accounts {
		notes = append(notes, imp.found.Accounts[i].Notes...)
	}
	if len(notes) == 0 {
		return nil
	}
	if err := imp.term.printf("\nnot carried over:\n"); err != nil {
		return err
	}
	for _, n := range notes {
		if err := imp.term.printf("  %s\n", printable(noteText(n))); err != nil {
			return err
		}
	}
	return nil
}

// showNext prints the commands that come next.
func (imp *importing) showNext(applied bool) error {
	options := imp.source.options()
	switch {
	case len(imp.accounts) == 0:
		return nil
	case !applied:
		return imp.term.printf("\nnothing was written; to write it, run: %s\n",
			proposed(options, append([]string{"import", "--apply"}, imp.words...)...))
	}
	return imp.term.printf("\nnext: %s logs in and changes nothing; %s shows what would be fetched\n",
		proposed(options, "check"), proposed(options, "--once", "--dry-run"))
}

func (imp *importing) showJSON(applied bool) error {
	for i := range imp.accounts {
		from := &imp.found.Accounts[i]
		text, err := imp.accounts[i].TOML()
		if err != nil {
			return err
		}
		line := imported{Account: from.Name, Server: from.Server, User: from.User, TOML: text, Marked: len(from.Seen),
			Entries: from.InFile, File: from.SeenFile, Applied: applied}
		for _, n := range from.Notes {
			line.NotTaken = append(line.NotTaken, notImported(n))
		}
		if err := imp.term.printJSON(line); err != nil {
			return err
		}
	}
	for _, n := range imp.found.Notes {
		if err := imp.term.printJSON(notImported(n)); err != nil {
			return err
		}
	}
	return nil
}

// grouped returns a number with a comma between thousands.
func grouped(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
