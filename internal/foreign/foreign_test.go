package foreign

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/popfetch/popfetch/internal/config"
)

var update = flag.Bool("update", false, "write what is read into the files of testdata")

// TestRead reads the files of each archive in testdata as a home folder, and compares what it finds
// with the archive's file "want". The archive's comment has lines "read FILE", for files that are
// named, and "env NAME=VALUE".
func TestRead(t *testing.T) {
	for _, program := range Programs() {
		archives, err := filepath.Glob(filepath.Join("testdata", program, "*.txtar"))
		if err != nil || len(archives) == 0 {
			t.Fatalf("no archives of %s: %v", program, err)
		}
		for _, archive := range archives {
			name := program + "/" + strings.TrimSuffix(filepath.Base(archive), ".txtar")
			t.Run(name, func(t *testing.T) { testArchive(t, program, archive) })
		}
	}
}

func testArchive(t *testing.T, program, path string) {
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	home, files, env := unpack(t, archive)
	found, err := Read(program, files, env)
	got := strings.ReplaceAll(describe(found, err), home, "HOME")
	last := len(archive.Files) - 1
	if archive.Files[last].Name != "want" {
		t.Fatal(`the last file of the archive is not "want"`)
	}
	if want := string(archive.Files[last].Data); got != want && !*update {
		t.Errorf("read:\n%s\nwant:\n%s", got, want)
	}
	if *update {
		archive.Files[last].Data = []byte(got)
		if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if found != nil {
		checkSecrets(t, found)
		checkAccepted(t, found)
	}
}

// checkAccepted fails the test if popfetch would refuse a setting.
func checkAccepted(t *testing.T, found *Found) {
	t.Helper()
	accounts, targets := map[string]any{}, map[string]any{}
	for _, a := range found.Accounts {
		accounts[strings.ReplaceAll(a.Name, " ", "-")] = tableOf(a.Settings)
		for _, target := range a.Targets {
			if targets[target.Name] != nil {
				t.Errorf("two targets are called %s", target.Name)
			}
			targets[target.Name] = tableOf(target.Settings)
		}
	}
	if len(accounts) == 0 {
		return
	}
	var text bytes.Buffer
	if err := toml.NewEncoder(&text).Encode(map[string]any{"account": accounts, "target": targets}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(file); err != nil {
		t.Errorf("popfetch refuses the settings: %v\nof:\n%s", err, text.String())
	}
}

// tableOf returns settings as a table of TOML.
func tableOf(settings []Setting) map[string]any {
	table := map[string]any{}
	for _, s := range settings {
		parent, key, isNested := strings.Cut(s.Key, ".")
		list, isList := s.Value.([][]Setting)
		switch {
		case isList:
			var tables []map[string]any
			for _, each := range list {
				tables = append(tables, tableOf(each))
			}
			table[s.Key] = tables
		case isNested:
			inner, _ := table[parent].(map[string]any)
			if inner == nil {
				inner = map[string]any{}
			}
			inner[key] = s.Value
			table[parent] = inner
		default:
			table[s.Key] = s.Value
		}
	}
	return table
}

// unpack writes the files of an archive to a home folder. In a file, NUL stands for that octet.
func unpack(t *testing.T, archive *txtar.Archive) (home string, files []string, env Env) {
	t.Helper()
	home = t.TempDir()
	variables := map[string]string{"USER": "tester"}
	for _, file := range archive.Files {
		if file.Name == "want" {
			continue
		}
		path := filepath.Join(home, file.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		data := strings.ReplaceAll(string(file.Data), "NUL", "\x00")
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(string(archive.Comment)) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "read":
			files = append(files, filepath.Join(home, rest))
		case "env":
			name, value, _ := strings.Cut(rest, "=")
			variables[name] = strings.ReplaceAll(value, "HOME", home)
		}
	}
	return home, files, Env{
		Home:     home,
		Root:     filepath.Join(home, "root"),
		Getenv:   func(name string) string { return variables[name] },
		Reserved: func(name string) bool { return name == "status" },
	}
}

// describe returns what Read has found as text.
func describe(found *Found, err error) string {
	if err != nil {
		return fmt.Sprintf("error: %v\n", err)
	}
	var b strings.Builder
	for _, a := range found.Accounts {
		fmt.Fprintf(&b, "[%s]\n", a.Name)
		describeSettings(&b, "", a.Settings)
		for _, target := range a.Targets {
			fmt.Fprintf(&b, "[target.%s]\n", target.Name)
			describeSettings(&b, "  ", target.Settings)
		}
		if a.Password != "" {
			fmt.Fprintf(&b, "(password %q)\n", a.Password)
		}
		if a.SeenFile != "" {
			sanitized := map[bool]string{true: ", sanitized"}[a.Sanitized]
			fmt.Fprintf(&b, "(seen %d of %d in %s%s)\n", len(a.Seen), a.InFile, a.SeenFile, sanitized)
		}
		for _, s := range a.Seen {
			first := "unknown"
			if !s.FirstSeen.IsZero() {
				first = s.FirstSeen.Format(time.RFC3339)
			}
			fmt.Fprintf(&b, "  %q %s\n", s.UniqueID, first)
		}
		describeNotes(&b, a.Notes)
		b.WriteByte('\n')
	}
	describeNotes(&b, found.Notes)
	return b.String()
}

func describeSettings(b *strings.Builder, indent string, settings []Setting) {
	for _, s := range settings {
		list, isList := s.Value.([][]Setting)
		if !isList {
			fmt.Fprintf(b, "%s%s = %#v\n", indent, s.Key, s.Value)
			continue
		}
		for _, each := range list {
			fmt.Fprintf(b, "%s[[%s]]\n", indent, s.Key)
			describeSettings(b, indent+"  ", each)
		}
	}
}

func describeNotes(b *strings.Builder, notes []Note) {
	for _, n := range notes {
		fmt.Fprintf(b, "note %s:%d: %s: %s; %s\n", filepath.Base(n.File), n.Line, n.What, n.Why,
			cmp.Or(n.Instead, "nothing"))
	}
}

// checkSecrets fails the test if a password is anywhere but in Account.Password.
func checkSecrets(t *testing.T, found *Found) {
	t.Helper()
	bare := *found
	bare.Accounts = append([]Account(nil), found.Accounts...)
	for i := range bare.Accounts {
		bare.Accounts[i].Password = ""
	}
	text := describe(&bare, nil)
	for _, a := range found.Accounts {
		if len(a.Password) > 3 && strings.Contains(text, a.Password) {
			t.Errorf("the password of %s shows in:\n%s", a.Name, text)
		}
	}
}

// TestRead_nothing reads default places that are empty.
func TestRead_nothing(t *testing.T) {
	for _, program := range Programs() {
		found, err := Read(program, nil, Env{Home: t.TempDir(), Root: t.TempDir()})
		var fault *Error
		if !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &fault) {
			t.Errorf("Read(%s) = %v, %v; want an *Error with fs.ErrNotExist", program, found, err)
		}
	}
	if _, err := Read("pine", nil, Env{}); err == nil {
		t.Error("an unknown program is no error")
	}
}

// TestRead_system reads the files of the system if the home folder has none.
func TestRead_system(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"etc/fetchmailrc": "poll pop.example.org proto pop3 " +
			"user alice pass abc123\n",
		"var/lib/fetchmail/.fetchmail-UIDL-cache": "alice@pop.example.org one\n",
		"etc/mpoprc": "account work\nhost pop.example.org\nuser alice\n",
		"etc/fdm.conf": `account "work" pop3s server "pop.example.org" ` +
			`user "alice" pass "x"`,
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, program := range []string{"fetchmail", "mpop", "fdm"} {
		found, err := Read(program, nil, Env{Home: t.TempDir(), Root: root})
		if err != nil || len(found.Accounts) != 1 || found.Accounts[0].User != "alice" {
			t.Errorf("Read(%s) = %v, %v; want one account of alice", program, found, err)
		}
		if program == "fetchmail" && len(found.Accounts[0].Seen) != 1 {
			t.Errorf("seen %v, want one message of the service's file", found.Accounts[0].Seen)
		}
	}
}
