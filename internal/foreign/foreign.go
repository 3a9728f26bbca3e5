// Package foreign reads what other POP3 fetchers keep: their configuration, as the keys of popfetch
// that come nearest, and which messages they have seen. It knows fetchmail, getmail6, mpop, fdm and
// Thunderbird. It only reads files; it writes nothing and contacts nobody.
//
// Whatever a file says ends up in one of three places: in a Setting, in the account's password, or
// in a Note that says why it cannot be carried over. Nothing is dropped silently.
//
// A password is in Account.Password alone: never in a Setting, a Note or an error.
package foreign

import (
	"fmt"
	"os"
	"time"
)

// Env is where files are looked for. Tests set it.
type Env struct {
	Home     string              // the home folder, an absolute path
	Getenv   func(string) string // the environment variables; nil if there are none
	Reserved func(string) bool   // reports whether popfetch allows no account of this name; may be nil
	Root     string              // is put before /etc and /var; usually ""
}

// System returns the Env of this process.
func System() (Env, error) {
	home, err := os.UserHomeDir()
	return Env{Home: home, Getenv: os.Getenv}, err
}

// Found is what Read has found.
type Found struct {
	Files    []string  // the configuration files that were read
	Accounts []Account // in the order of the files
	Notes    []Note    // about what belongs to no account that is carried over
}

// Account is a POP3 account of another program.
type Account struct {
	Name     string    // unique in Found, and allowed as an account's name in popfetch
	Label    string    // what the other program calls it, or ""
	Settings []Setting // without a password, in the order of popfetch's manual
	Targets  []Target  // those that Settings name; their names are unique in Found
	Server   string    // the host, as the other program knows it, without a port
	User     string
	Password string // "" if it is in none of the files, or comes from a command
	Notes    []Note

	Seen      []Seen // what the other program has seen of this account
	SeenFile  string // the state file that was read, or "" if there is none
	InFile    int    // how many entries SeenFile has, those of other accounts included
	Sanitized bool   // in the unique-ids of Seen, each "/" has been replaced by "-"
}

// Target is a table [target.NAME] of popfetch.
type Target struct {
	Name     string
	Settings []Setting
}

// Setting is a key of popfetch and its value: a string, a bool, an int64, a []string, or a
// [][]Setting for a list of tables. A dotted key, such as oauth.token_command, is one of a nested
// table. Paths are absolute or begin with ~/.
type Setting struct {
	Key   string
	Value any
}

// Seen is a message that the other program has seen.
type Seen struct {
	UniqueID  string
	FirstSeen time.Time // zero if the other program does not keep it
}

// Note tells of a thing that cannot be carried over as it is. All its texts may have foreign
// characters that are to be escaped before they are shown.
type Note struct {
	File    string
	Line    int    // 0 if it is about the whole file
	What    string // as the file has it, without values that may be secret
	Why     string // the reason
	Instead string // the nearest thing there is, or "" if there is none
}

// Error is a file that cannot be read or understood. Err never has a password.
type Error struct {
	File string
	Line int // 0 if it is about the whole file
	Err  error
}

func (e *Error) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.File, e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Programs returns the names of the programs that Read knows.
func Programs() []string {
	return []string{"fetchmail", "getmail", "mpop", "fdm", "thunderbird"}
}

// Read reads the configuration files of a program, and the state files that belong to their
// accounts. Without files, it reads those in the program's default places; if there are none,
// errors.Is(err, fs.ErrNotExist). For Thunderbird, files are folders of profiles. An error about a
// file is an *Error. A missing state file is not an error: the account has a note then.
func Read(program string, files []string, env Env) (*Found, error) {
	read, known := readers[program]
	if !known {
		return nil, fmt.Errorf("the program %q is not known", program)
	}
	return read(files, env)
}

var readers = map[string]func(files []string, env Env) (*Found, error){
	"fetchmail":   readFetchmail,
	"getmail":     readGetmail,
	"mpop":        readMpop,
	"fdm":         readFdm,
	"thunderbird": readThunderbird,
}
