package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree writes files of mode 0600 below a new folder, and returns the folder.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	folder, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// account returns the table of an account.
func accountTOML(name string) string {
	return "[account.\"" + name + "\"]\nserver = 'h'\nuser = 'u'\nmaildir = 'M'\n"
}

func TestLoad_include(t *testing.T) {
	home(t)
	for name, test := range map[string]struct {
		files map[string]string
		want  string // names of the accounts
	}{
		"sorted, hidden ones not": {map[string]string{"main": "include = ['d/*.toml']\n" + accountTOML("main"),
			"d/b.toml": accountTOML("b"), "d/a.toml": accountTOML("a"), "d/.c.toml": accountTOML("c"), "d/a.toml~": accountTOML("d")}, "main a b"},
		"in the order of the list": {map[string]string{"main": "include = ['b', 'a']", "a": accountTOML("a"), "b": accountTOML("b")}, "b a"},
		"one text":                 {map[string]string{"main": "include = 'b'", "b": accountTOML("b")}, "b"},
		"in folders":               {map[string]string{"main": "include = 'c*/[ab].t?'", "c1/a.tl": accountTOML("1"), "c2/b.tm": accountTOML("2"), "c/c.tm": accountTOML("c")}, "1 2"},
		"nothing matches":          {map[string]string{"main": "include = ['none/*.toml', '*.none', 'main/*']\n" + accountTOML("main")}, "main"},
		"relative to the file":     {map[string]string{"main": "include = 'd/a'", "d/a": "include = ['b', '../c']\n" + accountTOML("a"), "d/b": accountTOML("b"), "c": accountTOML("c")}, "a b c"},
		"twice":                    {map[string]string{"main": "include = ['*.toml', 'a.toml', '*']\n", "a.toml": accountTOML("a")}, "a"},
		"hidden by name":           {map[string]string{"main": "include = ['.a*', '.b']", ".a1": accountTOML("a"), ".b": accountTOML("b")}, "a b"},
		"brackets":                 {map[string]string{"main": `include = ['a\[1\]']`, "a[1]": accountTOML("a")}, "a"},
		"no account in it":         {map[string]string{"main": "include = 'a'\n" + accountTOML("main"), "a": "# later\n"}, "main"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := Load(filepath.Join(tree(t, test.files), "main"))
			if err != nil {
				t.Fatalf("Load() = %v", err)
			}
			var names []string
			for _, a := range cfg.Accounts {
				names = append(names, a.Name)
			}
			if got := strings.Join(names, " "); got != test.want {
				t.Errorf("the accounts are %s, want %s", got, test.want)
			}
		})
	}
}

// Each file has its own folder for relative paths, and its own lines. [defaults] keeps the folder of
// the first file.
func TestLoad_include_places(t *testing.T) {
	home(t)
	folder := tree(t, map[string]string{
		"main":  "include = 'd/*'\n[defaults]\ntls_ca = 'ca.pem'\n" + accountTOML("main"),
		"d/one": "\n\n" + accountTOML("one") + "order = 'newest'\n",
	})
	cfg, err := Load(filepath.Join(folder, "main"))
	if err != nil {
		t.Fatalf("Load() = %v", err)
	}
	one := &cfg.Accounts[1]
	if one.Maildir != folder+"/d/M" || one.TLSCA != folder+"/ca.pem" {
		t.Errorf("the paths are %s and %s", one.Maildir, one.TLSCA)
	}
	x := errors.New("x")
	for want, got := range map[string]*Error{
		folder + "/d/one:6: account.one.maildir: x": cfg.Mistake(one, &one.Maildir, x),
		folder + "/d/one: account.one.timeout: x":   cfg.Mistake(one, &one.Timeout, x),
		folder + "/main:3: defaults.tls_ca: x":      cfg.Mistake(one, &one.TLSCA, x),
		folder + "/main:1: include: x":              cfg.Mistake(nil, &cfg.include, x),
	} {
		if got.Error() != want {
			t.Errorf("Mistake() = %v, want %s", got, want)
		}
	}
	if !cfg.Wrote(one, &one.Order) || cfg.Wrote(one, &one.TLSCA) || cfg.Wrote(&cfg.Accounts[0], &cfg.Accounts[0].Order) {
		t.Error("Wrote() does not say which file has a key")
	}
	if cfg.FileOf("main") != folder+"/main" || cfg.FileOf("one") != folder+"/d/one" {
		t.Errorf("FileOf() = %s, %s", cfg.FileOf("main"), cfg.FileOf("one"))
	}
	var text strings.Builder
	if err := cfg.Write(&text); err != nil || strings.Contains(text.String(), "include =") {
		t.Errorf("Write() = %v and wrote\n%s", err, text.String())
	}
}

func TestLoad_include_refused(t *testing.T) {
	home(t)
	deep := map[string]string{"main": "include = '1'\n"}
	for i := 1; i < 12; i++ {
		deep[fmt.Sprint(i)] = fmt.Sprintf("include = '%d'\n%s", i+1, accountTOML(fmt.Sprint(i)))
	}
	for name, test := range map[string]struct {
		files map[string]string
		want  []string // the mistakes; / stands for the folder
	}{
		"missing": {map[string]string{"main": "\ninclude = ['a', 'b*']\n" + accountTOML("main")},
			[]string{"/main:2: include: /a: no such file or directory; mend the file, or its name here"}},
		"itself": {map[string]string{"main": "include = 'a'\n", "a": "\ninclude = ['b']\n", "b": "include = 'main'\n" + accountTOML("b")},
			[]string{"/b:1: include: /main includes itself, by way of this file; remove it here"}},
		"too deep":   {deep, []string{"/8:1: include: /9: files include others more than 8 deep; include it from /main"}},
		"not a file": {map[string]string{"main": "include = ['d', '/dev/null']\n", "d/x": ""}, []string{"/main:1: include: /d: is a folder; mend the file, or its name here", "/main:1: include: /dev/null is no regular file; mend the file, or its name here"}},
		"account twice": {map[string]string{"main": "include = ['a']\n" + accountTOML("x"), "a": "\n" + accountTOML("x")},
			[]string{"/a:2: account.x: is in /main:2 already; rename or remove one of the two"}},
		"defaults": {map[string]string{"main": "include = ['a']\n", "a": "jobs = 3\nstate_dir = 's'\nsever = 1\nserver = 'h'\n[defaults]\ntls = 1\n" + accountTOML("x")},
			[]string{"/a:1: jobs: an included file has only accounts, targets and include; move it to /main, where it holds for all files",
				"/a:2: state_dir: an included file has only accounts, targets and include; move it to /main, where it holds for all files",
				"/a:3: sever: is not a known key; remove it, or see popfetch.toml(5) for the keys",
				"/a:4: server: belongs to an account; move it below [account.NAME] or [defaults]",
				"/a:5: defaults: an included file has only accounts, targets and include; move it to /main, where it holds for all files"}},
		"several files": {map[string]string{"main": "include = ['z', 'a']\n" + accountTOML("x") + "tsl = 1\n", "z": "x\n", "a": "\n\n" + accountTOML("y") + "tsl = 1\n"},
			[]string{"/main:6: account.x.tsl: is not a known key; write tls", "/z:1: not TOML: a key, table or value is written wrongly; see popfetch.toml(5) for examples", "/a:7: account.y.tsl: is not a known key; write tls"}},
		"mistake in defaults": {map[string]string{"main": "include = ['a']\n[defaults]\ntls = 1\n", "a": accountTOML("x")},
			[]string{`/main:3: defaults.tls: is a number; write text in "quotes"`}},
		"no pattern": {map[string]string{"main": "include = ['a[']\n" + accountTOML("x")}, []string{`/main:1: include: "a[" is no pattern; close its brackets, or write \[ for a bracket in a name`}},
		"wrong type": {map[string]string{"main": "include = [1]\n" + accountTOML("x")}, []string{`/main:1: include: a part of the list is a number; write text in "quotes"`}},
		"variable":   {map[string]string{"main": "include = ['$HOME/x']\n" + accountTOML("x")}, []string{`/main:1: include: "$HOME/x": $HOME is not expanded; write ~ for the home folder, or the whole path`}},
		"no account": {map[string]string{"main": "include = ['a', 'n*']\n", "a": ""}, []string{"/main: account: there is none; write [account.NAME] with server, user and maildir (or mbox, mda, mda_argv, lmtp, smtp, imap or deliver)"}},
	} {
		t.Run(name, func(t *testing.T) {
			folder := tree(t, test.files)
			_, err := Load(filepath.Join(folder, "main"))
			if err == nil {
				t.Fatal("Load() found no mistake")
			}
			if got, want := strings.ReplaceAll(err.Error(), folder, ""), strings.Join(test.want, "\n"); got != want {
				t.Errorf("Load() reports\n%s\nwant\n%s", got, want)
			}
			if errors.Is(err, fs.ErrNotExist) {
				t.Error("the configuration file counts as missing")
			}
		})
	}
}

// The rules for who may read and write a file hold for each file, and for the folder of a pattern.
func TestLoad_include_access(t *testing.T) {
	home(t)
	for name, test := range map[string]struct {
		mode func(folder string) error
		want string
	}{
		"a password that others read": {func(f string) error { return os.Chmod(f+"/d/a", 0o644) },
			"/d/a:5: account.a.password: others can read the file (mode 0644); run chmod 600 /d/a, or write password_command or password_file"},
		"a file that everybody writes":   {func(f string) error { return os.Chmod(f+"/d/b", 0o602) }, "/d/b: everybody can write the file (mode 0602), and so choose the commands that it runs; run chmod o-w /d/b"},
		"a folder that everybody writes": {func(f string) error { return os.Chmod(f+"/d", 0o707) }, "/main:1: include: everybody can add files to /d (mode 0707), and so commands that popfetch runs; run chmod o-w /d"},
		"a link to nothing":              {func(f string) error { return os.Symlink("none", f+"/d/c") }, "/main:1: include: /d/c: no such file or directory; mend the file, or its name here"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := tree(t, map[string]string{"main": "include = 'd/*'\n", "d/a": accountTOML("a") + "password = 'hunter2'\n", "d/b": accountTOML("b")})
			if err := test.mode(folder); err != nil {
				t.Fatal(err)
			}
			_, err := Load(filepath.Join(folder, "main"))
			if err == nil || strings.ReplaceAll(err.Error(), folder, "") != test.want {
				t.Errorf("Load() = %v\nwant %s", err, test.want)
			}
		})
	}
}

// An account is appended to the first file, and its name counts in all files.
func TestAppend_include(t *testing.T) {
	home(t)
	folder := tree(t, map[string]string{"main": "include = 'd/*'\n", "d/a": accountTOML("a")})
	path := filepath.Join(folder, "main")
	err := Append(t.Context(), path, newAccount("a"))
	if want := path + `: no account was added: the account "a" exists already in ` + folder + "/d/a:1; choose another name"; !errors.Is(err, ErrExists) || err.Error() != want {
		t.Errorf("Append() = %v\nwant %s", err, want)
	}
	if err := Append(t.Context(), path, newAccount("b")); err != nil {
		t.Errorf("Append() = %v", err)
	}
	if cfg, err := Load(path); err != nil || len(cfg.Accounts) != 2 || cfg.FileOf("b") != path {
		t.Errorf("Load() = %+v, %v", cfg, err)
	}
}
