package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/internal/screen"
)

// A table fits the terminal: the widest columns are cut. Elsewhere nothing is cut.
func TestTable(t *testing.T) {
	rows := [][]string{{"work", "1", "日本語の件名がここにある", "new"}, {"work", "22", "short", "quarantined", "cause"}}
	for _, test := range []struct {
		name    string
		columns int
		want    string
	}{
		{"a pipe", 0, "work\t1\t日本語の件名がここにある\tnew\nwork\t22\tshort\tquarantined\tcause\n"},
		{"wide enough", 80, "NAME  NO  WHAT                      STATE\nwork  1   日本語の件名がここにある  new\nwork  22  short                     quarantined  cause\n"},
		{"narrow", 40, "NAME  NO  WHAT        STATE\nwork  1   日本語の…   new\nwork  22  short       quarantined  cause\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			table := (&terminal{out: &out, columns: test.columns}).table("NAME", "NO", "WHAT", "STATE", "")
			for _, row := range rows {
				if err := table.row(row...); err != nil {
					t.Fatal(err)
				}
			}
			if err := table.flush(); err != nil {
				t.Fatal(err)
			}
			if out.String() != test.want {
				t.Errorf("the table is\n%swant\n%s", &out, test.want)
			}
		})
	}
}

// Rows behind those that have set the widths are cut to these, and none is lost.
func TestTable_long(t *testing.T) {
	var out bytes.Buffer
	table := (&terminal{out: &out, columns: 80}).table("A", "B")
	for range 2*tableRows + 3 {
		if err := table.row("x", "y"); err != nil {
			t.Fatal(err)
		}
	}
	if err := table.flush(); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Count(out.String(), "x  y\n"), 2*tableRows+3; got != want || strings.Count(out.String(), "A  B\n") != 1 {
		t.Errorf("%d rows, want %d below one head", got, want)
	}
}

// On a terminal, list and seen list are tables that fit it, and a dry run without work says so.
func TestTerminal_table(t *testing.T) {
	t.Parallel()
	server := poptest.NewServer(t, poptest.Maildrop{User: "mrose", Password: "tanstaaf", Messages: []poptest.Message{newMail(strings.Repeat("long", 17)), newMail("b")}})
	p := newTerminalPair(t)
	if err := unix.IoctlSetWinsize(int(p.tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 60}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	run := func(args ...string) {
		c := p.start(append(args, "--server", poptest.InClear(server.Addr(), true), "--tls", "none", "--user", "mrose", "--maildir", dir+"/m", "--state-dir", dir+"/state", "--password-command", "echo tanstaaf")...)
		if status := exitOf(t, c.Wait()); status != 0 {
			t.Errorf("popfetch %s: exit status = %d, want 0", args, status)
		}
	}
	run("list", "--headers")
	p.waitFor("ACCOUNT")
	p.waitFor("DATE")
	run("--once")
	c := p.start("seen", "list", "--state-dir", dir+"/state")
	if status := exitOf(t, c.Wait()); status != 0 {
		t.Errorf("seen list: exit status = %d, want 0", status)
	}
	p.waitFor("UNIQUE-ID  KIND")
	for line := range strings.Lines(p.screen()) {
		if line = strings.TrimRight(line, "\r\n"); !strings.HasPrefix(line, "popfetch: ") && screen.Width(line) > 60 {
			t.Errorf("the line %q has %d columns, want at most 60", line, screen.Width(line))
		}
	}
	run("--once", "-n")
	p.waitFor(": nothing to do\r\n")
}

// Whoever reads only the first lines, as head does, has no error.
func TestList_unread(t *testing.T) {
	t.Parallel()
	a := newAccount(t, poptest.Numbered(3, 500))
	for _, args := range [][]string{{"list"}, {"list", "--json"}, {"check"}, {"--once", "-n"}, {"config"}, {"help"}} {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := read.Close(); err != nil {
			t.Fatal(err)
		}
		c := a.command(t, args...)
		var said bytes.Buffer
		c.Stdout, c.Stderr = write, &said
		if status := exitOf(t, c.Run()); status != 0 || said.Len() > 0 {
			t.Errorf("popfetch %s: exit status = %d and %q, want 0 and nothing", args, status, &said)
		}
		if err := write.Close(); err != nil {
			t.Error(err)
		}
	}
}
