package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// arrange moves options behind the words that name the command, and before all other words. The
// flag package takes options behind the first name for names. So without arrange, `popfetch work
// --once` would fetch an account called --once. A word behind -- is never an option.
func arrange(app *cli.App, args []string) []string {
	line := arrangement{app: app, flags: app.Flags, commands: app.Commands}
	rest := args[1:]
	for len(rest) > 0 && rest[0] != "--" {
		rest = line.take(rest)
	}
	arranged := append(args[:1:1], line.command...)
	arranged = append(arranged, line.options...)
	if line.incomplete {
		return arranged // the flag package must report the missing value
	}
	arranged = append(arranged, "--")
	arranged = append(arranged, line.names...)
	return append(arranged, rest[min(1, len(rest)):]...)
}

// arrangement is the state of arrange.
type arrangement struct {
	app                     *cli.App
	command, options, names []string
	flags                   []cli.Flag     // options of the command so far
	commands                []*cli.Command // the next word may be one of these
	incomplete              bool           // the last option lacks its value
}

// take takes the first argument, and its value if it is an option with one. It returns the
// arguments behind them.
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

// word takes a word, which names a command or an account.
func (l *arrangement) word(word string) {
	at := slices.IndexFunc(l.commands, func(c *cli.Command) bool { return c.HasName(word) })
	if at < 0 {
		l.names, l.commands = append(l.names, word), nil // the words behind it are names too
		return
	}
	l.command = append(l.command, word)
	l.flags, l.commands = l.commands[at].Flags, l.commands[at].Subcommands
}

// option returns an option by its long name, because the cli package refuses `-v --verbose`. It
// reports whether the value of the option is the next argument.
//
// The option may belong to another command, or stand before its command. The flag package then
// refuses it. Its value still counts as its value, so that it is not taken for a name.
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

// allFlags returns the options of the commands and of their subcommands.
func allFlags(commands []*cli.Command) []cli.Flag {
	var flags []cli.Flag
	for _, c := range commands {
		flags = append(flags, c.Flags...)
		flags = append(flags, allFlags(c.Subcommands)...)
	}
	return flags
}

// isVerbose reports whether arg is -vv, -vvv or more. The flag package takes these for names.
func isVerbose(arg string) bool {
	return len(arg) > 2 && strings.Trim(arg[1:], "v") == ""
}
