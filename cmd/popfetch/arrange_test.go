package main

import (
	"slices"
	"strings"
	"testing"
)

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
		{"missing value in a command", "list work --maildir", "--maildir"},
		{"-- as a value", "--user -- work", "--user -- -- work"},
	} {
		t.Run(test.name, func(t *testing.T) {
			app := newApp()
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
