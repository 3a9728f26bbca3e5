package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode"
)

// maxFile bounds the configuration file. A larger one is some other file.
const maxFile = 1 << 20

// Load reads and checks the file at path, and the files that it includes. Its error is always an
// Errors with all mistakes. If the file does not exist, errors.Is(err, fs.ErrNotExist) is true as
// well; an included file that is missing does not count. After a syntax error nothing else of a file
// is checked.
func Load(path string) (*Config, error) {
	text, info, err := readFile(path, mendFile)
	if err != nil {
		return nil, Errors{{File: path, Err: err}}
	}
	return parse(path, text, info)
}

// parse is Load for a file that has been read. If info is nil, the file is not there yet.
func parse(path, text string, info fs.FileInfo) (*Config, error) {
	l := newLoader()
	l.read(&Config{File: path}, path, text, info)
	if len(l.errs) == 0 {
		l.errs = l.cfg.checkShared()
	}
	if len(l.errs) == 0 && len(l.cfg.Accounts) == 0 && l.cfg.AccountsFrom != FromDatabase {
		top := place{source: l.cfg.main}
		l.errs = Errors{top.key(accountTable).mistake(fmt.Errorf("%w; write [account.NAME] with %s", errNoAccount, accountKeys.required()))}
	}
	if len(l.errs) == 0 {
		l.errs = l.cfg.targets()
	}
	if len(l.errs) > 0 {
		return nil, l.errs.tidy()
	}
	return l.cfg, nil
}

// errNoAccount means that a configuration has no account, and no other mistake.
var errNoAccount = errors.New("there is none")

// mendFile is what to do about a configuration file that cannot be read.
const mendFile = "name the configuration file with --config"

// readFile returns the content and the FileInfo of one open file. An error says to do what mend says.
func readFile(path, mend string) (string, fs.FileInfo, error) {
	return readFileUpTo(path, maxFile, mend)
}

// readFileUpTo is readFile for a file of at most limit octets.
func readFileUpTo(path string, limit int64, mend string) (string, fs.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		var pathError *fs.PathError
		if errors.As(err, &pathError) {
			err = pathError.Err // Error.File has the path already
		}
		if errors.Is(err, fs.ErrPermission) {
			return "", nil, fmt.Errorf("%w; it is there, but the user that popfetch runs as may not read it: change its owner or mode, or %s", err, mend)
		}
		return "", nil, fmt.Errorf("%w; %s", err, mend)
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	if err != nil {
		return "", nil, fmt.Errorf("looking at the file: %w", err)
	}
	if info.IsDir() {
		return "", nil, fmt.Errorf("is a folder; %s", mend)
	}
	text, err := readText(f, limit, mend)
	return text, info, err
}

// reader turns one decoded document into a part of a Config, and collects the mistakes.
type reader struct {
	index lineIndex
	top   place
	errs  Errors
}

// report adds a mistake of the key or table at p.
func (r *reader) report(p place, err error) { r.errs = append(r.errs, p.mistake(err)) }

// accounts reads the tables of accounts.
func (r *reader) accounts(document map[string]any, defaults map[string]setting) []Account {
	accounts := readNamed(r, document, accountTable, accountKeys, defaults, accountElsewhere,
		func(a *Account, name string) { a.Name = name })
	for i := range accounts {
		fillPort(&accounts[i])
		accounts[i].nameAccount(accounts[i].Name)
	}
	return accounts
}

// targets reads the tables of targets.
func (r *reader) targets(document map[string]any) []Target {
	return readNamed(r, document, targetTable, targetKeys, nil, targetElsewhere,
		func(t *Target, name string) { t.Name = name })
}

// targetElsewhere returns an error if a key belongs to an account, or to another program.
func targetElsewhere(key string) error {
	if _, known := accountKeys.row(key); known {
		return errors.New("is a key of an account; move it below [account.NAME] or [defaults]")
	}
	return accountElsewhere(key)
}

// readTop reads the keys outside of accounts.
func (r *reader) readTop(cfg *Config, document map[string]any) {
	tables := []string{defaultsTable, accountTable, targetTable}
	for _, key := range slices.Sorted(maps.Keys(document)) {
		if slices.Contains(append(tables, topKeys.names()...), key) {
			continue
		}
		err := unknownKey(Nearest(key, append(tables, topKeys.names()...)))
		if _, known := accountKeys.row(key); known {
			err = errors.New("belongs to an account; move it below [account.NAME] or [defaults]")
		} else if foreign := foreignKey(key); foreign != nil {
			err = fmt.Errorf("%w, below [account.NAME] or [defaults]", foreign)
		} else if foreign := topKeys.foreign(key); foreign != nil {
			err = foreign
		}
		r.report(r.top.key(key), err)
	}
	r.errs = append(r.errs, readTop(cfg, settingsOf(topKeys, document, r.top), r.top)...)
}

// readTop fills the fields of cfg that are not accounts.
func readTop(cfg *Config, settings map[string]setting, at place) Errors {
	d := newDraft(topKeys, cfg, at)
	d.override(settings)
	d.finish()
	if !d.has(&cfg.StateDir) && !cfg.isShared() {
		cfg.StateDir = DefaultStateDir()
	}
	return d.errs
}

// readDefaults returns the settings of [defaults]. Each is checked by itself, even if no account
// uses it.
func (r *reader) readDefaults(document map[string]any) map[string]setting {
	at := r.top.key(defaultsTable)
	raw := r.table(document, defaultsTable, "["+defaultsTable+"]")
	r.errs = append(r.errs, unknownKeys(accountKeys, raw, at, accountElsewhere)...)
	settings := settingsOf(accountKeys, raw, at)
	d := newDraft(accountKeys, &Account{}, at)
	d.override(settings)
	d.apply()
	r.errs = append(r.errs, d.errs...)
	return settings
}

// accountElsewhere returns an error if a key belongs to the top of the file, not to an account, or
// to another program.
func accountElsewhere(key string) error {
	if _, known := topKeys.row(key); !known {
		return foreignKey(key)
	}
	return errors.New("is no key of an account; move it to the top of the file")
}

// table returns the table called name of the document, or nil if there is none.
func (r *reader) table(document map[string]any, name, header string) map[string]any {
	raw, found := document[name]
	if !found {
		return nil
	}
	table, isTable := raw.(map[string]any)
	if !isTable {
		r.report(r.top.key(name), fmt.Errorf("is %s; write %s on a line of its own and the keys below it", typeName(raw), header))
		return nil
	}
	return table
}

// readNamed reads the tables [parent.NAME], in the order of the file. Each inherits the settings of
// defaults. setName stores its name.
func readNamed[T any](r *reader, document map[string]any, parent string, keys table[T],
	defaults map[string]setting, elsewhere func(string) error, setName func(*T, string),
) []T {
	header := "[" + parent + ".NAME]"
	tables := r.table(document, parent, header)
	if tables == nil {
		return nil
	}
	var blank T
	keys.reset(&blank)
	var all []T
	for _, name := range r.index.below(parent) {
		at := r.top.key(parent, name)
		raw, isTable := tables[name].(map[string]any)
		if !isTable {
			r.report(at, fmt.Errorf("is outside of %s; write %s with a name above it", a(parent), header))
			continue
		}
		if err := checkName(parent, name); err != nil {
			r.report(at, err)
		}
		r.errs = append(r.errs, unknownKeys(keys, raw, at, elsewhere)...)
		result := blank
		setName(&result, name)
		d := &draft[T]{keys: keys, result: &result, settings: map[string]setting{}, at: at, meant: keys.meantIn(raw)}
		d.inherit(defaults)
		d.override(settingsOf(keys, raw, at))
		d.finish()
		r.errs = append(r.errs, d.errs...)
		all = append(all, result)
	}
	return all
}

// checkAccess refuses a file that everybody can write. If the file has a secret, it also refuses a
// file that others can read.
func (r *reader) checkAccess(info fs.FileInfo, document map[string]any) {
	file := r.top.source.file
	if err := checkNotWritten(info, file); err != nil {
		r.errs = append(r.errs, &Error{File: file, Err: err})
	}
	err := checkPrivate(info, "the file", file)
	if err == nil {
		return
	}
	secrets := accountKeys.secrets()
	for _, k := range r.index {
		path := k.path
		switch row, isTop := topKeys.row(path[0]); {
		case isTop && row.hasSecret != nil && row.hasSecret(valueAt(document, path)):
			r.report(r.top.key(row.name), err)
			return
		case path[0] == defaultsTable:
			path = path[1:]
		case (path[0] == accountTable || path[0] == targetTable) && len(path) > 2:
			path = path[2:]
		default:
			continue
		}
		at := place{source: r.top.source, path: k.path, name: k.name}
		if instead := secrets[dotted(path...)]; instead != nil {
			r.report(at, fmt.Errorf("%w, or write %s", err, listed(instead, "or")))
			return
		}
		if row, _ := accountKeys.row(dotted(path...)); row.hasSecret != nil && row.hasSecret(valueAt(document, k.path)) {
			r.report(at, err)
			return
		}
	}
}

// valueAt returns the value at a path of the document, or nil.
func valueAt(document map[string]any, path []string) any {
	var value any = document
	for _, name := range path {
		table, _ := value.(map[string]any)
		value = table[name]
	}
	return value
}

// IsReserved reports whether no account may have the name, because a command has it or may have it
// one day.
func IsReserved(name string) bool { return slices.Contains(reservedNames, name) }

// reservedNames are the commands of today and of the future, and words that could be taken for
// commands.
var reservedNames = strings.Fields("check list status seen login config import verify completion " +
	"export rebuild init report log logout version help once worker accounts")

// CheckAccountName refuses a name that no account can have.
func CheckAccountName(name string) error { return checkName(accountTable, name) }

// checkName refuses a name of an account or of another table if it would be ambiguous on a command
// line.
func checkName(parent, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("the %s has no name; write [%s.NAME]", parent, parent)
	case IsReserved(name):
		return fmt.Errorf("the name of a command cannot be %s's; choose another name", a(parent))
	case name == ".", name == "..":
		return fmt.Errorf("%s's name cannot be a folder that every folder has; choose another name", a(parent))
	case strings.HasPrefix(name, "-"):
		return fmt.Errorf("%s's name cannot start with a hyphen; choose another name", a(parent))
	case strings.HasPrefix(name, " "), strings.HasSuffix(name, " "):
		return fmt.Errorf("%s's name cannot start or end with a blank; choose another name", a(parent))
	case strings.ContainsFunc(name, func(r rune) bool { return !isOfName(r) }):
		return fmt.Errorf("%s's name may have only letters, digits, blanks and . _ - @ +; choose another name", a(parent))
	}
	return nil
}

// isOfName reports whether a name may have r. The marks are parts of letters, such as accents.
func isOfName(r rune) bool {
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd) || strings.ContainsRune("._-@+ ", r)
}

// a returns a noun with its article.
func a(noun string) string {
	if strings.Contains("aeiou", noun[:1]) {
		return "an " + noun
	}
	return "a " + noun
}
