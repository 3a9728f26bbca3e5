package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/popfetch/popfetch/internal/config"
)

// arrange moves options behind the words that name the command, and before all other words. The
// flag package takes options behind the first name for names. So without arrange, `popfetch work
// --once` would fetch an account called --once. A word behind -- is never an option.
//
// arrange refuses options that the command does not know, because the flag package could only say
// that something is not defined. The error is a usageError.
func arrange(app *cli.App, args []string) ([]string, error) {
	line := arrangement{app: app, flags: app.Flags, commands: app.Commands}
	rest := args[1:]
	for len(rest) > 0 && rest[0] != "--" {
		var err error
		if rest, err = line.take(rest); err != nil {
			return nil, err
		}
	}
	if err := line.check(); err != nil {
		return nil, err
	}
	if slices.Contains(line.used, cli.Flag(cli.HelpFlag)) { // otherwise a name would be taken for a topic
		line.names, rest = nil, nil
	}
	arranged := append(args[:1:1], line.command...)
	arranged = append(arranged, line.options...)
	arranged = append(arranged, "--")
	arranged = append(arranged, line.names...)
	return append(arranged, rest[min(1, len(rest)):]...), nil
}

// arrangement is the state of arrange.
type arrangement struct {
	app                     *cli.App
	command, options, names []string
	used                    []cli.Flag
	flags                   []cli.Flag     // options of the command so far
	commands                []*cli.Command // the next word may be one of these
}

// take takes the first argument, and its value if it is an option with one. It returns the
// arguments behind them.
func (l *arrangement) take(args []string) ([]string, error) {
	arg := args[0]
	if len(arg) < 2 || arg[0] != '-' {
		l.word(arg)
		return args[1:], nil
	}
	name, value, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	if flag := l.flag(name); flag != nil {
		return l.option(flag, value, hasValue, args[1:])
	}
	if arg[1] != '-' {
		return l.letters(arg, args[1:])
	}
	return nil, l.unknown(arg)
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

// letters takes several options of one letter each: -qv is -q -v, and -j4 is -j 4.
func (l *arrangement) letters(arg string, others []string) ([]string, error) {
	for i := 1; i < len(arg); i++ {
		flag := l.flag(arg[i : i+1])
		switch {
		case flag == nil:
			return nil, l.unknown(arg)
		case takesValue(flag) && i+1 < len(arg):
			return l.option(flag, strings.TrimPrefix(arg[i+1:], "="), true, others)
		}
		var err error
		if others, err = l.option(flag, "", false, others); err != nil {
			return nil, err
		}
	}
	return others, nil
}

// option takes an option under its long name, because the cli package refuses `-v --verbose`. If it
// lacks its value, that is the first one of others. It returns what is left of them.
func (l *arrangement) option(flag cli.Flag, value string, hasValue bool, others []string) ([]string, error) {
	option := longName(flag)
	if takesValue(flag) && !hasValue {
		if len(others) == 0 {
			return nil, usagef("%s needs a value; popfetch --help shows which", option)
		}
		value, others = others[0], others[1:]
	}
	l.used = append(l.used, flag)
	switch flag.(type) {
	case *cli.BoolFlag:
		if _, err := strconv.ParseBool(value); hasValue && err != nil {
			return nil, usagef("%s=%s: the option takes no value", option, value)
		}
	case *cli.IntFlag:
		if _, err := strconv.Atoi(value); err != nil {
			return nil, usagef("%s %s is not a number", option, value)
		}
	}
	if hasValue || takesValue(flag) {
		option += "=" + value
	}
	l.options = append(l.options, option)
	return others, nil
}

// flag returns the option of a name without hyphens, or nil. It may belong to another command, or
// stand before its command. Its value still counts as its value, so that it is not taken for a name.
func (l *arrangement) flag(name string) cli.Flag {
	for _, flags := range [][]cli.Flag{l.flags, {cli.HelpFlag, cli.VersionFlag}, allFlags(l.app.Commands)} {
		if flag := flagNamed(name, flags); flag != nil {
			return flag
		}
	}
	return nil
}

// check refuses options that only other commands have.
func (l *arrangement) check() error {
	for _, flag := range l.used {
		name := flag.Names()[0]
		if flag == cli.HelpFlag || flagNamed(name, l.flags) != nil || flag == cli.VersionFlag && len(l.command) == 0 {
			continue
		}
		owners := ownersOf(name, "popfetch", l.app.Commands)
		if len(owners) == 0 {
			owners = []string{"popfetch, without a command"}
		}
		return usagef("%s works only with %s", longName(flag), strings.Join(owners, ", "))
	}
	return nil
}

// unknown returns the error for an option that no command has.
func (l *arrangement) unknown(arg string) error {
	name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	var known []string
	for _, flag := range append(slices.Clone(l.flags), cli.HelpFlag, cli.VersionFlag) {
		known = append(known, flag.Names()[0])
	}
	mend := strings.Join(append([]string{"popfetch"}, l.command...), " ") + " --help shows the options"
	if near := config.Nearest(name, known); len(near) > 0 {
		mend = "did you mean --" + near[0] + "?"
	}
	return usagef("%s is not an option; %s", arg, mend)
}

// longName returns an option as it is shown: with its long name and two hyphens.
func longName(flag cli.Flag) string { return "--" + flag.Names()[0] }

func takesValue(flag cli.Flag) bool {
	described, ok := flag.(cli.DocGenerationFlag)
	return ok && described.TakesValue()
}

// ownersOf returns the commands that have an option of their own with this name.
func ownersOf(option, prefix string, commands []*cli.Command) []string {
	var owners []string
	for _, c := range commands {
		path := prefix + " " + c.Name
		if flagNamed(option, c.Flags) != nil {
			owners = append(owners, path)
		}
		owners = append(owners, ownersOf(option, path, c.Subcommands)...)
	}
	return owners
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
