package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// arrange puts the options behind the words that name the command and before all other words, because the flag package
// takes options after the first name for names, and `popfetch work --once` must not fetch an account called --once.
// Behind -- nothing is an option.
func arrange(app *cli.App, args []string) []string {
	var options, words []string
	verbatim := len(args)
	for i := 1; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			verbatim = i + 1
			i = len(args)
		case len(arg) < 2 || arg[0] != '-':
			words = append(words, arg)
		case isVerbose(arg):
			for range arg[1:] {
				options = append(options, "--verbose")
			}
		default:
			option, takesValue := longOption(app, arg)
			options = append(options, option)
			if takesValue {
				if i++; i == len(args) {
					return append(args[:1:1], options...) // so that the flag package misses the value
				}
				options = append(options, args[i])
			}
		}
	}
	commands := app.Commands
	arranged := args[:1:1]
	for len(words) > 0 {
		at := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.Name == words[0] })
		if at < 0 {
			break
		}
		arranged = append(arranged, words[0])
		words, commands = words[1:], commands[at].Subcommands
	}
	arranged = append(arranged, options...)
	arranged = append(arranged, "--")
	arranged = append(arranged, words...)
	return append(arranged, args[min(verbatim, len(args)):]...)
}

// isVerbose tells -vv and -vvv, which the flag package takes for names.
func isVerbose(arg string) bool {
	return len(arg) > 2 && strings.Trim(arg[1:], "v") == ""
}

// longOption returns an option by its long name, because the cli package refuses `-v --verbose`, and tells whether its
// value is the next argument.
func longOption(app *cli.App, arg string) (option string, takesValue bool) {
	name, value, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	for _, flag := range app.Flags {
		if !slices.Contains(flag.Names(), name) {
			continue
		}
		option = "--" + flag.Names()[0]
		if hasValue {
			return option + "=" + value, false
		}
		takes, ok := flag.(cli.DocGenerationFlag)
		return option, ok && takes.TakesValue()
	}
	return arg, false
}
