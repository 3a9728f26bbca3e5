package main

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// appWithLayout returns popfetch's app with one more command. It has an option that takes a value.
func appWithLayout() *cli.App {
	app := newApp(newTerminal())
	flags := append(slices.Clone(app.Flags), &cli.StringFlag{Name: "layout"})
	pack := &cli.Command{Name: "pack", Flags: flags}
	seen := app.Command("seen")
	seen.Subcommands = append(seen.Subcommands, pack)
	return app
}

func TestArrange(t *testing.T) {
	for _, test := range []struct{ name, args, want string }{
		{"nothing", "", "--"},
		{"options before", "--once work", "--once -- work"},
		{"options behind", "work --once", "--once -- work"},
		{"values stay", "work -c x --once --jobs 2 home", "--config=x --once --jobs=2 -- work home"},
		{"values with an equals sign", "work --jobs=2 -c=x", "--jobs=2 --config=x -- work"},
		{"a value like an option", "--maildir --once", "--maildir=--once --"},
		{"a value like a command", "--user list check", "check --user=list --"},
		{"a value with an equals sign in it", "--mda a=b", "--mda=a=b --"},
		{"command behind options", "-v check work", "check --verbose -- work"},
		{"command of a command", "--json seen work list", "seen --json -- work list"},
		{"options between", "seen -v list --json work", "seen list --verbose --json -- work"},
		{"only the first word is a command", "work check", "-- work check"},
		{"several letters", "-vv -vvv", "--verbose --verbose --verbose --verbose --verbose --"},
		{"letters of several options", "-qvn work", "--quiet --verbose --dry-run -- work"},
		{"letters, the last with a value", "-nvc x work", "--dry-run --verbose --config=x -- work"},
		{"a letter and its value", "-j4 -nj3 -cx", "--jobs=4 --dry-run --jobs=3 --config=x --"},
		{"two forms of one", "-v --verbose -n --dry-run", "--verbose --verbose --dry-run --dry-run --"},
		{"one dash", "-once", "--once --"},
		{"help", "list --help", "list --help --"},
		{"an option of one command", "config --check", "config --check --"},
		{"behind --", "work -- --once -v", "-- work --once -v"},
		{"-- alone", "--", "--"},
		{"-- twice", "-- a --", "-- a --"},
		{"a dash is a name", "-", "-- -"},
		{"an option of a command", "report -o x.html work", "report --output=x.html -- work"},
		{"behind the name", "report work -o x.html", "report --output=x.html -- work"},
		{"with an equals sign", "report work -o=x.html", "report --output=x.html -- work"},
		{"before the command", "-o x.html report work", "report --output=x.html -- work"},
		{"with the command as its value", "-o report report work", "report --output=report -- work"},
		{"of a command of a command", "seen pack work --layout mpop", "seen pack --layout=mpop -- work"},
		{"-- as a value", "--user -- work", "--user=-- -- work"},
	} {
		t.Run(test.name, func(t *testing.T) {
			app := appWithLayout()
			args := append([]string{"popfetch"}, strings.Fields(test.args)...)
			before := slices.Clone(args)
			want := append([]string{"popfetch"}, strings.Fields(test.want)...)
			if got, err := arrange(app, args); err != nil || !slices.Equal(got, want) {
				t.Errorf("arrange(%q) = %q, %v, want %q", args, got, err, want)
			}
			if !slices.Equal(args, before) {
				t.Errorf("arrange changed its argument to %q", args)
			}
		})
	}
}

// What is wrong with an option is said in the words of the command line, with what may be meant.
func TestArrange_mistakes(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"--frob work", "--frob is not an option; popfetch --help shows the options"},
		{"seen list --frob", "--frob is not an option; popfetch seen list --help shows the options"},
		{"--onec", "--onec is not an option; did you mean --once?"},
		{"-verbos", "-verbos is not an option; did you mean --verbose?"},
		{"--paswordfile=x", "--paswordfile=x is not an option; did you mean --password-file?"},
		{"-qx", "-qx is not an option; popfetch --help shows the options"},
		{"--q", ""},
		{"work --once --server", "--server needs a value; popfetch --help shows which"},
		{"-nc", "--config needs a value; popfetch --help shows which"},
		{"--jobs x", "--jobs x is not a number"},
		{"--once=maybe", "--once=maybe: the option takes no value"},
		{"--check", "--check works only with popfetch config"},
		{"list -o x.html work", "--output works only with popfetch report"},
		{"work --layout mpop", "--layout works only with popfetch seen pack"},
		{"list --version", "--version works only with popfetch, without a command"},
	} {
		text := ""
		if _, err := arrange(appWithLayout(), append([]string{"popfetch"}, strings.Fields(test.args)...)); err != nil {
			text = err.Error()
		}
		if text != test.want {
			t.Errorf("arrange(%q): %q, want %q", test.args, text, test.want)
		}
	}
}

// No option and no value of an option becomes the name of an account, even if the cli package does
// not understand the arguments.
func TestArrange_names(t *testing.T) {
	parts := []string{
		"name", "-vv", "--once=maybe", "--frob", "--jobs value", "-c value", "-o value", "report", "seen", "export",
	}
	var names []string
	app := appWithLayout()
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
		args, err := arrange(app, strings.Fields("popfetch"+line))
		if err == nil {
			err = app.RunContext(t.Context(), args)
		}
		if err == nil {
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
