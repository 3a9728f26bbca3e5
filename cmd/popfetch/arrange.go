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
				options = append(options, "-v")
			}
		default:
			options = append(options, arg)
			if takesValue(app, arg) && i+1 < len(args) {
				i++
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

// isVerbose tells -vv, -vvv: the flag package knows single letters only.
func isVerbose(arg string) bool {
	return len(arg) > 2 && strings.Trim(arg[1:], "v") == ""
}

// takesValue tells whether the option is followed by its value in the next argument.
func takesValue(app *cli.App, arg string) bool {
	name := strings.TrimLeft(arg, "-")
	if strings.Contains(name, "=") {
		return false
	}
	for _, flag := range app.Flags {
		if slices.Contains(flag.Names(), name) {
			takes, ok := flag.(cli.DocGenerationFlag)
			return ok && takes.TakesValue()
		}
	}
	return false
}
