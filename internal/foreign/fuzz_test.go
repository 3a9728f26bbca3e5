package foreign

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

// marker stands for a password in the seeds. No error may show it.
const marker = "s3cret"

// fuzzConfig fuzzes the reader of a program. The seeds are the files of testdata with this ending.
func fuzzConfig(f *testing.F, program, ending, place string) {
	archives, err := filepath.Glob(filepath.Join("testdata", program, "*.txtar"))
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range archives {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			if strings.HasSuffix(file.Name, ending) || file.Name == "rc" {
				f.Add(string(file.Data))
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		home := t.TempDir()
		path := filepath.Join(home, place)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if program == "thunderbird" {
			path = home
		}
		started := time.Now()
		found, err := Read(program, []string{path}, Env{Home: home, Root: home})
		if took := time.Since(started); took > 5*time.Second {
			t.Errorf("reading took %v", took)
		}
		if err != nil {
			checkError(t, err)
			return
		}
		checkFound(t, found, text)
	})
}

// checkError fails the test if an error has no file, or shows what could be a password.
func checkError(t *testing.T, err error) {
	t.Helper()
	var fault *Error
	if !errors.As(err, &fault) || fault.File == "" || fault.Line < 0 {
		t.Errorf("the error has no file: %v", err)
	}
	if strings.Contains(err.Error(), marker) {
		t.Errorf("the error shows a password: %v", err)
	}
}

// checkFound fails the test if names are not unique, or a password is shown. Only a password that
// is nowhere else in the file can be told from other text.
func checkFound(t *testing.T, found *Found, text string) {
	t.Helper()
	names := map[string]bool{}
	bare := *found
	bare.Accounts = append([]Account(nil), found.Accounts...)
	for i := range bare.Accounts {
		a := &bare.Accounts[i]
		if a.Name == "" || names[a.Name] || strings.HasPrefix(a.Name, "-") {
			t.Errorf("the name %q is no name, or not unique", a.Name)
		}
		names[a.Name] = true
		a.Password, a.Label = "", ""
	}
	shown := describe(&bare, nil)
	for _, a := range found.Accounts {
		if p := a.Password; len(p) >= 6 && strings.Count(text, p) == 1 && strings.Contains(shown, p) {
			t.Errorf("the password %q shows in:\n%s", p, shown)
		}
	}
	if len(shown) > 1000*(len(text)+100) {
		t.Errorf("%d octets become %d", len(text), len(shown))
	}
}

func FuzzFetchmail(f *testing.F) { fuzzConfig(f, "fetchmail", "fetchmailrc", "rc") }

func FuzzGetmail(f *testing.F) { fuzzConfig(f, "getmail", "mailrc", "rc") }

func FuzzMpop(f *testing.F) { fuzzConfig(f, "mpop", ".mpoprc", "rc") }

func FuzzFdm(f *testing.F) { fuzzConfig(f, "fdm", ".conf", ".fdm.conf") }

func FuzzThunderbird(f *testing.F) { fuzzConfig(f, "thunderbird", "prefs.js", "prefs.js") }

// FuzzSeen fuzzes the readers of files of seen messages.
func FuzzSeen(f *testing.F) {
	f.Add("alice@pop.example.org one\nAl ice@work@127.0.0.1 UID1@x/1-a#\n")
	f.Add("UID1-x-1\x001795411240\n")
	f.Add("# comment\n 2 pop.example.org alice\none\ntwo 1795411240\n")
	f.Add("12 0000000265e3\n11 UID1@x/1-a#\n")
	f.Add("# POP3 State File\n\n*pop.example.org alice\nk one 1795411240\nb two 1795411240\n")
	f.Fuzz(func(t *testing.T, text string) {
		home := t.TempDir()
		for _, name := range []string{".fetchids", "oldmail-pop.example.org-995-alice", "uidls", "cache",
			"popstate.dat"} {
			if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		env := Env{Home: home}
		account := func() *draft {
			d := newDraft(filepath.Join(home, "rc"), 1)
			d.Server, d.User, d.port = "pop.example.org", "alice", "995"
			return d
		}
		check := func(d *draft, err error) {
			t.Helper()
			if err != nil {
				checkError(t, err)
			} else if len(d.Seen) > d.InFile || d.InFile > len(text) {
				t.Errorf("seen %d of %d in %d octets", len(d.Seen), d.InFile, len(text))
			}
			for _, s := range d.Seen {
				if s.UniqueID == "" && err == nil && d.SeenFile != filepath.Join(home, "uidls") {
					t.Errorf("an empty unique-id in %s", d.SeenFile)
				}
			}
		}
		d := account()
		check(d, (&fetchmailrc{}).readSeen(d.file, []*draft{d}, env))
		d = account()
		check(d, (&getmailrc{draft: d, file: d.file, env: env}).readSeen())
		d = account()
		values := map[string]mpopValue{"uidls_file": {"~/uidls", 1}}
		check(d, (&mpopAccount{values: values}).readSeen(d, env))
		d = account()
		check(d, (&fdmAccount{d, "~/cache"}).readSeen(env))
		d = account()
		settings := map[string]pref{"mail.server.s.directory": {home, 1}}
		check(d, (&thunderbirdAccount{d, &prefs{settings}, "s", home}).readSeen(env))
	})
}

// FuzzNetrc fuzzes the reader of .netrc.
func FuzzNetrc(f *testing.F) {
	f.Add("machine a login b password \"c d\"\nmacdef x\ny\n\ndefault login z password q\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, entry := range parseNetrc(text) {
			if len(entry.password) > len(text) {
				t.Errorf("the password %q comes from nowhere", entry.password)
			}
		}
	})
}
