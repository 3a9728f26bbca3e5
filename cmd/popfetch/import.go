package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
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
	if !p.apply || len(imp.accounts) == 0 {
		return imp.show(false)
	}
	if err := config.CanAppend(imp.file); err != nil {
		return err
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
	env.Reserved = config.IsReserved
	name, files := imp.words[0], imp.words[1:]
	imp.found, err = foreign.Read(name, files, env)
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(files) == 0:
		return usagef("import: %s has no configuration in its usual places: %w; name its file: popfetch import %s FILE", name, err, name)
	case err != nil:
		return err
	}
	for i := range imp.found.Accounts {
		imp.accounts = append(imp.accounts, newAccountOf(name, &imp.found.Accounts[i]))
	}
	if len(imp.accounts) == 0 { // there may be no configuration, and it may have no account
		return nil
	}
	if imp.config, err = config.Preview(imp.file, imp.accounts...); err != nil {
		return err
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
func newAccountOf(program string, a *foreign.Account) config.NewAccount {
	account := config.NewAccount{Name: a.Name, Comments: []string{"imported from " + program}, Password: a.Password}
	account.Settings = settingsOf(a.Settings)
	for _, t := range a.Targets {
		account.Targets = append(account.Targets, config.NewTarget{Name: t.Name, Settings: settingsOf(t.Settings)})
	}
	return account
}

// settingsOf returns settings as those of the configuration. Dotted keys become tables, which stand
// behind the others.
func settingsOf(found []foreign.Setting) (settings []config.Setting) {
	tables := make(map[string][]config.Setting)
	for _, s := range found {
		table, key, nested := strings.Cut(s.Key, ".")
		list, isList := s.Value.([][]foreign.Setting)
		switch {
		case nested:
			tables[table] = append(tables[table], config.Setting{Key: key, Value: s.Value})
		case isList:
			var elements [][]config.Setting
			for _, element := range list {
				elements = append(elements, settingsOf(element))
			}
			settings = append(settings, config.Setting{Key: s.Key, Value: elements})
		default:
			settings = append(settings, config.Setting(s))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		settings = append(settings, config.Setting{Key: name, Value: tables[name]})
	}
	return settings
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
	text, err := imp.text(applied)
	if err != nil {
		return err
	}
	return imp.term.printf("%s", text)
}

func (imp *importing) text(applied bool) (string, error) {
	var b strings.Builder
	switch {
	case len(imp.accounts) == 0:
		b.WriteString("nothing was found that becomes an account of popfetch\n")
	case applied:
		fmt.Fprintf(&b, "written to %s: %s\n", printable(imp.file), printable(strings.Join(imp.names(), ", ")))
	default:
		fmt.Fprintf(&b, "%s would get:\n\n", printable(imp.file))
		for i := range imp.accounts {
			toml, err := imp.accounts[i].TOML()
			if err != nil {
				return "", err
			}
			b.WriteString(toml + "\n")
		}
	}
	for i := range imp.accounts {
		imp.tellAccount(&b, &imp.accounts[i], &imp.found.Accounts[i], applied)
	}
	tellNotes(&b, imp.found)
	imp.tellNext(&b, applied)
	return b.String(), nil
}

// tellAccount tells what becomes of an account's password and seen state.
func (imp *importing) tellAccount(b *strings.Builder, a *config.NewAccount, from *foreign.Account, applied bool) {
	goes, marks := "would go into", "would mark %s of %s as seen"
	if applied {
		goes, marks = "is in", "%s of %s marked as seen"
	}
	if a.Password != "" {
		fmt.Fprintf(b, "%s: the password %s %s\n", printable(a.Name), goes, printable(config.PasswordFile(imp.file, a.Name)))
	}
	fmt.Fprintf(b, "%s: "+marks, printable(a.Name), grouped(len(from.Seen)), grouped(from.InFile))
	if from.SeenFile != "" {
		fmt.Fprintf(b, ", by %s", printable(from.SeenFile))
	}
	if len(from.Seen) < from.InFile {
		fmt.Fprintf(b, "; the others were not fetched for %s at %s", printable(from.User), printable(from.Server))
	}
	if len(from.Seen) > 0 {
		b.WriteString(deletionHint(a))
	}
	if len(from.Seen) == 0 && !imp.configured(a.Name).Initial.Limited {
		fmt.Fprintf(b, "; its first run fetches all that is on the server, unless this runs before: %s",
			proposed(imp.source.options(), "seen", "mark", "--all", a.Name))
	}
	b.WriteString("\n")
	imp.tellBeside(b, a)
}

// deletionHint tells how the messages that were seen are deleted, too, if the account deletes any.
func deletionHint(a *config.NewAccount) string {
	i := slices.IndexFunc(a.Settings, func(s config.Setting) bool { return s.Key == "delete" })
	const stay = "; these stay on the server, unless you write "
	switch after := a.Settings[i].Value.(type) {
	case string:
		if after != "never" {
			return fmt.Sprintf(stay+"delete = {after = \"%s\", imported = true}", after)
		}
	case []config.Setting:
		return stay + "imported = true beside the other rules of delete"
	}
	return ""
}

// configured returns an account as it is or would be, with what [defaults] says.
func (imp *importing) configured(name string) *config.Account {
	all := imp.config.Accounts
	return &all[slices.IndexFunc(all, func(a config.Account) bool { return a.Name == name })]
}

// tellBeside tells with which accounts this one shares its maildrop.
func (imp *importing) tellBeside(b *strings.Builder, a *config.NewAccount) {
	all, own := imp.config.Accounts, imp.configured(a.Name)
	for i := range all {
		other := &all[i]
		if other.Name == own.Name || other.Server != own.Server || other.User != own.User {
			continue
		}
		fmt.Fprintf(b, "%s: the account %s has the same server and user; "+
			"both fetch each message, so remove one of them\n",
			printable(own.Name), printable(other.Name))
	}
}

// tellNotes tells what cannot be carried over, in the order of the files.
func tellNotes(b *strings.Builder, found *foreign.Found) {
	notes := slices.Clone(found.Notes)
	for i := range found.Accounts {
		notes = append(notes, found.Accounts[i].Notes...)
	}
	if len(notes) == 0 {
		return
	}
	slices.SortStableFunc(notes, func(a, b foreign.Note) int {
		return cmp.Or(slices.Index(found.Files, a.File)-slices.Index(found.Files, b.File), a.Line-b.Line)
	})
	b.WriteString("\nnot carried over as it is:\n")
	for _, n := range notes {
		at := n.File
		if n.Line > 0 {
			at += ":" + strconv.Itoa(n.Line)
		}
		fmt.Fprintf(b, "  %s: %s\n    why: %s\n", printable(at), printable(n.What), printable(n.Why))
		if n.Instead != "" {
			fmt.Fprintf(b, "    instead: %s\n", printable(n.Instead))
		}
	}
}

// tellNext tells the commands that come next.
func (imp *importing) tellNext(b *strings.Builder, applied bool) {
	options := imp.source.options()
	switch {
	case len(imp.accounts) == 0:
	case applied:
		fmt.Fprintf(b, "\nnext, %s logs in and changes nothing; %s shows what would be fetched\n",
			proposed(options, append([]string{"check"}, imp.names()...)...),
			proposed(options, append([]string{"--once", "--dry-run"}, imp.names()...)...))
	default:
		fmt.Fprintf(b, "\nnothing was written; this writes it: %s\n",
			proposed(options, append([]string{"import", "--apply"}, imp.words...)...))
	}
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
