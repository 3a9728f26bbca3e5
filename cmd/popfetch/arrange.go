package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// arrange puts options behind the words that name the command and before all other words. The flag
// package takes options behind the first name for names, and `popfetch work --once` must not fetch
// an account called --once. Nothing behind -- is an option.
func arrange(app *cli.App, args []string) []string {
	line := arrangement{app: app, flags: app.Flags, commands: app.Commands}
	rest := args[1:]
	for len(rest) > 0 && rest[0] != "--" {
		rest = line.take(rest)
	}
	arranged := append(args[:1:1], line.command...)
	arranged = append(arranged, line.options...)
	if line.incomplete {
		return arranged // so that the flag package misses the value
	}
	arranged = append(arranged, "--")
	arranged = append(arranged, line.names...)
	return append(arranged, rest[min(1, len(rest)):]...)
}

// arrangement is a command line that is being taken apart.
type arrangement struct {
	app                     *cli.App
	command, options, names []string
	flags                   []cli.Flag     // of the command that is named so far
	commands                []*cli.Command // that the next word may name
	incomplete              bool           // the last option lacks its value
}

// take takes the first argument, with its value if it is an option that has one, and returns the
// others.
func (l *arrangement) take(args []string) []string {
	arg, others := args[0], args[1:]
	switch {
	case len(arg) < 2 || arg[0] != '-':
		l.word(arg)
	case isVerbose(arg):
		for range arg[1:] {
			l.options = append(l.options, "--verbose")
		}
	default:
		option, takesValue := l.option(arg)
		l.options = append(l.options, option)
		if takesValue && len(others) == 0 {
			l.incomplete = true
		} else if takesValue {
			l.options = append(l.options, others[0])
			others = others[1:]
		}
	}
	return others
}

// word takes a word, which names a command, or else an account.
func (l *arrangement) word(word string) {
	at := slices.IndexFunc(l.commands, func(c *cli.Command) bool { return c.HasName(word) })
	if at < 0 {
		l.names, l.commands = append(l.names, word), nil // what follows are names too
		return
	}
	l.command = append(l.command, word)
	l.flags, l.commands = l.commands[at].Flags, l.commands[at].Subcommands
}

// option returns an option by its long name, because the cli package refuses `-v --verbose`, and
// reports whether its value is the next argument. An option of another command has its value with
// it as well: the flag package then refuses the option, and its value is no name. So has one that
// stands before its command.
func (l *arrangement) option(arg string) (option string, takesValue bool) {
	name, value, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	flag := flagNamed(name, l.flags)
	if flag == nil {
		flag = flagNamed(name, allFlags(l.app.Commands))
	}
	if flag == nil {
		return arg, false
	}
	option = "--" + flag.Names()[0]
	if hasValue {
		return option + "=" + value, false
	}
	described, ok := flag.(cli.DocGenerationFlag)
	return option, ok && described.TakesValue()
}

func flagNamed(name string, flags []cli.Flag) cli.Flag {
	at := slices.IndexFunc(flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
	if at < 0 {
		return nil
	}
	return flags[at]
}

// allFlags returns the options of the commands and of those below them.
func allFlags(commands []*cli.Command) []cli.Flag {
	var flags []cli.Flag
	for _, c := range commands {
		flags = append(flags, c.Flags...)
		flags = append(flags, allFlags(c.Subcommands)...)
	}
	return flags
}

// isVerbose reports whether arg is -vv, -vvv or more, which the flag package takes for names.
func isVerbose(arg string) bool {
	return len(arg) > 2 && strings.Trim(arg[1:], "v") == ""
}
