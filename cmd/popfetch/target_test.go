package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/seen/postgres"
)

// TestAssembly_notes checks that no two parts of targets share a file of notes, and that each file is
// below the state folder whatever the names are.
func TestAssembly_notes(t *testing.T) {
	s := &setting{Config: &config.Config{StateDir: "/state"}}
	shot := &setting{Config: s.Config, oneShot: true}
	long := strings.Repeat("é", 100)
	files := make(map[string]bool)
	for _, m := range []*assembly{
		{s: s, account: &config.Account{Name: "work"}}, {s: s, account: &config.Account{Name: "work/../x"}},
		{s: s, account: &config.Account{Name: long + "1"}}, {s: s, account: &config.Account{Name: long + "2"}},
		{s: shot, account: &config.Account{Name: "work", User: "u", Server: "h", Target: config.Target{Mbox: "/a"}}},
		{s: shot, account: &config.Account{Name: "work", User: "u", Server: "h", Target: config.Target{Mbox: "/b"}}},
	} {
		for _, part := range []string{"mbox", "fan"} {
			for _, of := range [][]string{{"", "/mail/2026"}, {"", "/mail/2027"}, {"a", "/mail/2027"}} {
				file := pathOfBook(m.notes(part, of...))
				if files[file] || pathOfBook(m.notes(part, of...)) != file {
					t.Errorf("%s is the file of two parts, or changes", file)
				}
				files[file] = true
				folder, name := filepath.Split(file)
				if filepath.Dir(filepath.Clean(folder)) != "/state/notes" || len(name) > 255 || len(filepath.Base(folder)) > 255 {
					t.Errorf("the file is %s, which is no file of a folder in /state/notes", file)
				}
			}
		}
	}
}

// The store of many machines has books without knowing the targets.
var _ deliver.Book = (*postgres.Book)(nil)

func pathOfBook(book deliver.Book) string { return book.(*deliver.FileBook).Path() }

// TestAssembly_lone checks that a program beside routes does not limit batches to one message: then a
// Maildir would wait for the disk at each.
func TestAssembly_lone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(`[account.work]
server = "pop.example.org"
user = "alice"
mda = "true"
[[account.work.route]]
header = "List-Id"
equals = "x"
deliver = "lists"
[target.lists]
maildir = "/lists"
`), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	s := &setting{Config: cfg}
	target, err := new(program).target(t.Context(), s, &s.Accounts[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := target.Limit().Messages; got < 2 {
		t.Errorf("a batch may hold %d messages, want several", got)
	}
}
