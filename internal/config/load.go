package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/BurntSushi/toml"
)

// maxFile bounds the configuration file: more than this is another file.
const maxFile = 1 << 20

// Load reads and checks the file at path. Its error is always an Errors with
// all mistakes; for a file that does not exist, errors.Is(err, fs.ErrNotExist)
// holds as well. After a syntax error nothing else is checked.
func Load(path string) (*Config, error) {
	text, info, err := readFile(path)
	if err != nil {
		return nil, Errors{{File: path, Err: err}}
	}
	folder, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, Errors{{File: path, Err: fmt.Errorf("finding the folder of the file: %w", err)}}
	}
	var document map[string]any
	if _, err := toml.Decode(text, &document); err != nil {
		return nil, Errors{syntaxError(path, text, err)}
	}
	index := indexLines(text)
	r := reader{file: path, folder: folder, index: index, lines: index.lines()}
	cfg := r.config(document)
	cfg.lines = r.lines
	r.checkAccess(info)
	if len(r.errs) > 0 {
		return nil, r.errs.tidy()
	}
	return cfg, nil
}

// readFile returns the contents of a file and what it is, as they are at one time.
func readFile(path string) (string, fs.FileInfo, error) {
	const mend = "name the configuration file with --config"
	f, err := os.Open(path)
	if err != nil {
		var pathError *fs.PathError
		if errors.As(err, &pathError) {
			err = pathError.Err // Error.File has the path already
		}
		return "", nil, fmt.Errorf("%w; %s", err, mend)
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return "", nil, fmt.Errorf("looking at the file: %w", err)
	}
	if info.IsDir() {
		return "", nil, fmt.Errorf("is a folder; %s", mend)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", nil, fmt.Errorf("reading the file: %w", err)
	}
	if len(text) > maxFile {
		return "", nil, fmt.Errorf("is larger than 1 MiB; %s", mend)
	}
	return string(text), info, nil
}

// syntaxMistakes tell in our words what the TOML package means by a message
// that holds a text. Its own words may show a value, and that could be a
// password somebody forgot to put in quotes.
var syntaxMistakes = []struct{ text, meaning string }{
	{"expected a top-level item", "something stands behind the value; put one key on a line, and text in one pair of quotes"},
	{"expected value", `the value is missing or lacks its quotes; put text in "quotes"`},
	{"nvalid escape", `a backslash starts an unknown escape; write it twice, or the text in 'single quotes'`},
	{"scaped character", `an escape is no character; write a backslash twice, or the text in 'single quotes'`},
	{"hexadecimal digits", `an escape lacks digits; write a backslash twice, or the text in 'single quotes'`},
	{"cannot contain newlines", "the quotes are not closed; close them on the same line"},
	{"nvalid integer", `a number is written wrongly; put text in "quotes"`},
	{"nvalid float", `a number is written wrongly; put text in "quotes"`},
	{"number", `a number is written wrongly; put text in "quotes"`},
	{"digit", `a number is written wrongly; put text in "quotes"`},
	{"out of range", `a number is too large; write a smaller one, or put text in "quotes"`},
	{"nvalid datetime", `a date is written wrongly; put text in "quotes"`},
	{"UTF-8", "the file has letters in another encoding; save it as UTF-8"},
	{"control characters", "the file has control characters; remove them"},
	{"unexpected EOF", "the file ends in the middle of a value or name; add what is missing"},
}

// syntaxError returns what the TOML package has to say as a mistake of the file.
func syntaxError(path, text string, err error) *Error {
	var parse toml.ParseError
	if !errors.As(err, &parse) {
		return &Error{File: path, Err: err}
	}
	meaning := "a key, table or value is written wrongly; see popfetch.toml(5) for examples"
	if strings.HasPrefix(parse.Message, "Key '") { // shows nothing but keys
		meaning = strings.ToLower(parse.Message[:1]) + strings.TrimSuffix(parse.Message[1:], ".") + "; remove or rename one of the two"
	} else {
		for _, m := range syntaxMistakes {
			if strings.Contains(parse.Message, m.text) {
				meaning = m.meaning
				break
			}
		}
	}
	// At the very end of a file the package may count one line too few.
	line := min(max(parse.Position.Line, 1), strings.Count(text, "\n")+1)
	return &Error{File: path, Line: line, Err: errors.New("not TOML: " + meaning)}
}

// setting is one key with its value and the place where it is written.
type setting struct {
	value
	at        Error // without Err
	inherited bool  // from [defaults]
}

// mistake returns err as one of the setting.
func (s setting) mistake(err error) *Error {
	mistake := s.at
	mistake.Err = err
	return &mistake
}

// reader turns a decoded document into a Config and collects the mistakes.
type reader struct {
	file   string
	folder string
	index  lineIndex
	lines  map[string]int // by dotted name
	errs   Errors
}

// place returns an Error of the key path, without Err.
func (r *reader) place(path ...string) Error {
	name := dotted(path...)
	return Error{File: r.file, Line: r.lines[name], Key: name}
}

// report notes a mistake at the key path.
func (r *reader) report(err error, path ...string) {
	at := r.place(path...)
	at.Err = err
	r.errs = append(r.errs, &at)
}

// config reads the whole document.
func (r *reader) config(document map[string]any) *Config {
	cfg := &Config{File: r.file}
	r.unknownKeys(document, append([]string{"defaults", "account"}, topKeys...))
	top := r.settings(document, topKeys)
	r.errs = append(r.errs, readTop(cfg, top)...)
	defaultsTable := r.table(document, "defaults")
	r.unknownKeys(defaultsTable, accountKeyNames(), "defaults")
	defaults := r.settings(defaultsTable, accountKeyNames(), "defaults")
	r.errs = append(r.errs, checkDefaults(defaults)...)

	accounts := r.table(document, "account")
	if accounts == nil && len(r.errs) > 0 {
		return cfg // an [account] that is no table is not searched for accounts
	}
	for _, name := range r.index.below("account") {
		table, isTable := accounts[name].(map[string]any)
		if !isTable {
			r.report(errors.New("stands outside of an account; write [account.NAME] with a name above it"), "account", name)
			continue
		}
		if err := checkName(name); err != nil {
			r.report(err, "account", name)
		}
		r.unknownKeys(table, accountKeyNames(), "account", name)
		d := newDraft(name, r.place("account", name))
		d.inherit(defaults)
		d.override(r.settings(table, accountKeyNames(), "account", name))
		cfg.Accounts = append(cfg.Accounts, d.finish())
		r.errs = append(r.errs, d.errs...)
	}
	if len(cfg.Accounts) == 0 && len(r.errs) == 0 {
		r.report(errors.New("there is none; write [account.NAME] with server, user and maildir or mda"), "account")
	}
	return cfg
}

// table returns the table called name, nil if there is none.
func (r *reader) table(document map[string]any, name string) map[string]any {
	raw, found := document[name]
	if !found {
		return nil
	}
	table, isTable := raw.(map[string]any)
	if !isTable {
		header := map[string]string{"defaults": "[defaults]", "account": "[account.NAME]"}[name]
		r.report(fmt.Errorf("is %s; write %s on a line of its own and the keys below it", kind(raw), header), name)
		return nil
	}
	return table
}

// settings returns those keys of a table that are in known.
func (r *reader) settings(table map[string]any, known []string, path ...string) map[string]setting {
	settings := map[string]setting{}
	for _, key := range known {
		raw, found := table[key]
		if !found {
			continue
		}
		settings[key] = setting{
			value: value{raw: raw, folder: r.folder},
			at:    r.place(append(slices.Clone(path), key)...),
		}
	}
	return settings
}

// otherNames are names that other programs or people have for a key.
var otherNames = map[string]string{
	"host": "server", "hostname": "server", "port": "server",
	"username": "user", "pass": "password", "passwd": "password",
	"ssl": "tls", "folder": "maildir", "keep": "delete",
}

// unknownKeys reports the keys of a table that are not in known.
func (r *reader) unknownKeys(table map[string]any, known []string, path ...string) {
	for _, key := range slices.Sorted(maps.Keys(table)) {
		if slices.Contains(known, key) {
			continue
		}
		near := Nearest(key, known)
		if other, found := otherNames[key]; found && slices.Contains(known, other) {
			near = []string{other}
		}
		var err error
		switch {
		case path == nil && slices.Contains(accountKeyNames(), key):
			err = errors.New("belongs to an account; move it below [account.NAME] or [defaults]")
		case path != nil && slices.Contains(topKeys, key):
			err = errors.New("is no key of an account; move it to the top of the file")
		case len(near) > 0:
			err = fmt.Errorf("is no known key; write %s", strings.Join(near, " or "))
		default:
			err = errors.New("is no known key; remove it, or see popfetch.toml(5) for the keys")
		}
		r.report(err, append(slices.Clone(path), key)...)
	}
}

// readTop reads the keys that belong to no account.
func readTop(cfg *Config, top map[string]setting) Errors {
	var errs Errors
	cfg.Jobs = defaultJobs
	if s, found := top["jobs"]; found {
		var err error
		if cfg.Jobs, err = s.count(1000); err != nil {
			errs = append(errs, s.mistake(err))
		}
	}
	cfg.StateDir = DefaultStateDir()
	if s, found := top["state_dir"]; found {
		var err error
		if cfg.StateDir, err = s.path(); err != nil {
			errs = append(errs, s.mistake(err))
		}
	}
	return errs
}

// checkAccess refuses a file that everybody can write, and one that others can read and that holds a password.
func (r *reader) checkAccess(info fs.FileInfo) {
	if err := checkNotWritten(info, r.file); err != nil {
		r.errs = append(r.errs, &Error{File: r.file, Err: err})
	}
	exposed := checkPrivate(info, "the file", r.file)
	if exposed == nil {
		return
	}
	for _, k := range r.index {
		isDefault := len(k.path) == 2 && k.path[0] == "defaults"
		isAccount := len(k.path) == 3 && k.path[0] == "account"
		if (isDefault || isAccount) && k.path[len(k.path)-1] == "password" {
			r.report(fmt.Errorf("%w, or write password_command or password_file", exposed), k.path...)
			return
		}
	}
}

// reservedNames are the commands of today and tomorrow, and what could be taken
// for one.
var reservedNames = strings.Fields("check list status seen login config import verify completion " +
	"export rebuild init report log logout version help once")

// checkName refuses account names that a command line could not tell apart.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("the account has no name; write [account.NAME]")
	case slices.Contains(reservedNames, name):
		return errors.New("the name of a command cannot be an account's; choose another name")
	case strings.HasPrefix(name, "-"):
		return errors.New("an account's name cannot start with a hyphen; choose another name")
	case strings.Contains(name, "/"):
		return errors.New("an account's name cannot hold a slash; choose another name")
	case strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsGraphic(r) }):
		return errors.New("an account's name cannot hold blanks or control characters; choose another name")
	}
	return nil
}
