package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/internal/poptest"
)

// faultColumns are the faults of a server in place of its reply.
var faultColumns = []struct {
	name   string
	action poptest.Action
}{
	{"-ERR", poptest.Refuse("no")},
	{"[AUTH]", poptest.Refuse("[AUTH] no")},
	{"[SYS/TEMP]", poptest.Refuse("[SYS/TEMP] no")},
	{"[SYS/PERM]", poptest.Refuse("[SYS/PERM] no")},
	{"foreign", poptest.Reply([]byte("HTTP/1.1 400 Bad Request\r\n"))},
	{"cut", poptest.Cut(5)},
	{"silent", poptest.Stall(0)},
}

// faultRows are the commands of a run. It retrieves a new message, and deletes it and earlier
// messages.
var faultRows = []string{"greeting", "CAPA", "UTF8", "AUTH", "STAT", "LIST", "UIDL", "TOP 2", "RETR 4", "DELE 2", "QUIT"}

// TestStatus_server checks the exit status of a run for each fault at each command. When the fault
// is over, the next run succeeds, and each message was delivered once. With POPFETCH_GOLDEN=write
// it writes the table.
func TestStatus_server(t *testing.T) {
	t.Parallel()
	cells := make([][]string, len(faultRows))
	t.Run("cells", func(t *testing.T) {
		for i, command := range faultRows {
			cells[i] = make([]string, len(faultColumns))
			for j, fault := range faultColumns {
				t.Run(command+" "+fault.name, func(t *testing.T) {
					t.Parallel()
					cells[i][j] = fmt.Sprint(statusOfFault(t, command, fault.action))
				})
			}
		}
	})
	var table strings.Builder
	fmt.Fprintf(&table, "%-10s", "")
	for _, fault := range faultColumns {
		fmt.Fprintf(&table, "%11s", fault.name)
	}
	for i, command := range faultRows {
		fmt.Fprintf(&table, "\n%-10s", command)
		for j := range faultColumns {
			fmt.Fprintf(&table, "%11s", cells[i][j])
		}
	}
	table.WriteString("\n")
	path := filepath.Join("testdata", "status.txt")
	if os.Getenv("POPFETCH_GOLDEN") == "write" {
		if err := os.WriteFile(path, []byte(table.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	checkLines(t, path, table.String(), string(want))
}

// statusOfFault returns the exit status of a run that meets the fault.
func statusOfFault(t *testing.T, command string, action poptest.Action) int {
	t.Helper()
	a := newAccount(t, poptest.Numbered(3, 500))
	a.mustRun(t, 0, "--once")
	a.Drop("").Add(newMail("later"))
	a.configure(t, `delete = "delivered"`)
	var patience []string
	if action.End == poptest.EndByStall {
		patience = []string{"-c", a.impatient(t)}
	}
	if command == "greeting" {
		command = ""
	}
	a.answers(command, action)
	c := a.command(t, append(patience, "--once")...)
	var said bytes.Buffer
	c.Stderr = &said
	status := exitOf(t, c.Run())
	if status != 0 && strings.Count(said.String(), "\n") == 0 {
		t.Errorf("the run ended with %d and said nothing", status)
	}
	a.Wait()
	a.Configure(func(c *poptest.Config) { c.Hook = nil })
	a.says(t, 0, "--once")
	a.Wait()
	if got := a.delivered(t); got != 4 {
		t.Errorf("delivered = %d, want 4", got)
	}
	if left := a.Drop("").UniqueIDs(); len(left) > 0 {
		t.Errorf("left on the server: %q", left)
	}
	return status
}

// impatient returns the name of a configuration like the account's, with a time limit of one
// second.
func (a *account) impatient(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(a.dir, "config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, "timeout = \"1s\"\n"...)
	if err := os.WriteFile(filepath.Join(a.dir, "impatient.toml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return "impatient.toml"
}
