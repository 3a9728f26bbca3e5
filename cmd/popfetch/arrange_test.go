package main

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// appWithReport returns popfetch's app with two more commands. Each has an option that takes a
// value.
func appWithReport() *cli.App {
	app := newApp(newTerminal())
	report := &cli.Command{Name: "report", Flags: append(slices.Clone(app.Flags), &cli.StringFlag{Name: "output", Aliases: []string{"o"}})}
	export := &cli.Command{Name: "export", Flags: append(slices.Clone(app.Flags), &cli.StringFlag{Name: "format"})}
	app.Commands = append(app.Commands, report)
	seen := app.Command("seen")
	seen.Subcommands = append(seen.Subcommands, export)
	return app
}

func TestArrange(t *testing.T) {
	for _, test := range []struct{ name, args, want string }{
		{"nothing", "", "--"},
		{"options before", "--once work", "--once -- work"},
		{"options behind", "work --once", "--once -- work"},
		{"values stay", "work -c x --once --jobs 2 home", "--config x --once --jobs 2 -- work home"},
		{"values with an equals sign", "work --jobs=2 -c=x", "--jobs=2 --config=x -- work"},
		{"a value like an option", "--maildir --once", "--maildir --once --"},
		{"a value like a command", "--user list check", "check --user list --"},
		{"command behind options", "-v check work", "check --verbose -- work"},
		{"command of a command", "--json seen work list", "seen --json -- work list"},
		{"options between", "seen -v list --json work", "seen list --verbose --json -- work"},
		{"only the first word is a command", "work check", "-- work check"},
		{"several letters", "-vv -vvv", "--verbose --verbose --verbose --verbose --verbose --"},
		{"two forms of one", "-v --verbose -n --dry-run", "--verbose --verbose --dry-run --dry-run --"},
		{"one dash", "-once", "--once --"},
		{"unknown option", "--frob work", "--frob -- work"},
		{"an option of one command", "config --check", "config --check --"},
		{"behind --", "work -- --once -v", "-- work --once -v"},
		{"-- alone", "--", "--"},
		{"-- twice", "-- a --", "-- a --"},
		{"a dash is a name", "-", "-- -"},
		{"missing value", "work --once --server", "--once --server"},
		{"missing value in a command", "list work --maildir", "list --maildir"},
		{"an option of a command", "report -o x.html work", "report --output x.html -- work"},
		{"behind the name", "report work -o x.html", "report --output x.html -- work"},
		{"with an equals sign", "report work -o=x.html", "report --output=x.html -- work"},
		{"before the command", "-o x.html report work", "report --output x.html -- work"},
		{"with the command as its value", "-o report report work", "report --output report -- work"},
		{"without its value", "report work -o", "report --output"},
		{"of another command", "list -o x.html work", "list --output x.html -- work"},
		{"of a command of a command", "seen export work --format mpop", "seen export --format mpop -- work"},
		{"of no command", "work --format mpop", "--format mpop -- work"},
		{"-- as a value", "--user -- work", "--user -- -- work"},
	} {
		t.Run(test.name, func(t *testing.T) {
			app := appWithReport()
			args := append([]string{"popfetch"}, strings.Fields(test.args)...)
			before := slices.Clone(args)
			want := append([]string{"popfetch"}, strings.Fields(test.want)...)
			if got := arrange(app, args); !slices.Equal(got, want) {
				t.Errorf("arrange(%q) = %q, want %q", args, got, want)
			}
			if !slices.Equal(args, before) {
				t.Errorf("arrange changed its argument to %q", args)
			}
		})
	}
}

// No option and no value of an option becomes the name of an account, even if the cli package does
// not understand the arguments.
func TestArrange_names(t *testing.T) {
	parts := []string{
		"name", "-vv", "--once", "--once=maybe", "--frob", "--jobs value", "-c value", "-o value", "--format value",
		"list", "report", "seen", "export", "config",
	}
	var names []string
	app := appWithReport()
	note := func(c *cli.Context) error { names = c.Args().Slice(); return nil }
	app.Action, app.Writer, app.ErrWriter = note, io.Discard, io.Discard
	var walk func([]*cli.Command)
	walk = func(commands []*cli.Command) {
		for _, c := range commands {
			c.Action = note
			walk(c.Subcommands)
		}
	}
	walk(app.Commands)
	understood := 0
	var try func(line string, more int)
	try = func(line string, more int) {
		names = nil
		if err := app.RunContext(t.Context(), arrange(app, strings.Fields("popfetch"+line))); err == nil {
			understood++
		} else if len(names) > 0 {
			t.Errorf("popfetch%s: the names %q in spite of %v", line, names, err)
		}
		for _, name := range names {
			if name == "value" || len(name) > 1 && name[0] == '-' {
				t.Errorf("popfetch%s: the names %q, want no option and no value among them", line, names)
			}
		}
		if more > 0 {
			for _, part := range parts {
				try(line+" "+part, more-1)
			}
		}
	}
	try("", 3)
	if understood < 200 {
		t.Errorf("%d command lines were understood, want more for a test", understood)
	}
}
