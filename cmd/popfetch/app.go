package main

import (
	"context"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/popfetch/popfetch/internal/config"
)

// newApp describes the command line to the cli package: the commands, their options and their help.
func newApp(term *terminal) *cli.App {
	cli.VersionFlag = &cli.BoolFlag{Name: "version", Usage: "print the version", DisableDefaultText: true} // -v is --verbose
	command := func(name, args, text string, do func(*program, context.Context) error, own ...cli.Flag) *cli.Command {
		return &cli.Command{
			Name: name, ArgsUsage: args, Usage: text, Action: action(term, do), OnUsageError: refuseUsage,
			Flags: append(globalFlags(), own...), HideHelpCommand: true, CustomHelpTemplate: commandHelp,
		}
	}
	seenCommand := command("seen", "", "look into and mend the seen table", nil)
	seenCommand.Action = refuseWithoutSubcommand
	seenCommand.Subcommands = []*cli.Command{
		command("list", "[ACCOUNT...]", "list the records", (*program).seenList),
		command("mark", "ACCOUNT [UNIQUE-ID...]", "count messages as seen; with --all all that the server lists now", (*program).seenMark),
		command("forget", "ACCOUNT [UNIQUE-ID...]", "forget records, so that the messages are retrieved again; with --all every record", (*program).seenForget,
			&cli.BoolFlag{Name: "quarantined", Usage: "only what is quarantined: try it again, and forget no record", DisableDefaultText: true},
			&cli.BoolFlag{Name: "too-large", Usage: "only what was left as too large: look at it again, and forget no record", DisableDefaultText: true}),
		command("rename", "OLD NEW", "give an account's records to its new name", (*program).seenRename),
	}
	return &cli.App{
		Name:            "popfetch",
		Usage:           "fetch mail from POP3 accounts into a Maildir or an MDA, each message exactly once",
		UsageText:       "popfetch [--once] [options] [ACCOUNT...]\npopfetch COMMAND [options] [ACCOUNT...]",
		Version:         versionText(),
		Flags:           globalFlags(),
		Action:          action(term, (*program).fetch),
		OnUsageError:    refuseUsage,
		HideHelpCommand: true,
		Writer:          term.out,
		ErrWriter:       term.err,
		ExitErrHandler:  func(*cli.Context, error) {}, // main alone prints the error and exits
		Commands: []*cli.Command{
			command("check", "[ACCOUNT...]", "look, log in, report; delivers and deletes nothing", (*program).check),
			command("list", "[ACCOUNT...]", "list what is on the server: number, unique-id, octets, seen or new", (*program).list),
			seenCommand,
			command("config", "", "show the configuration in force, secrets masked", (*program).config,
				&cli.BoolFlag{Name: "check", Usage: "only report whether it is valid", DisableDefaultText: true}),
		},
	}
}

// action reads the command line into a program, and runs a command with it.
func action(term *terminal, do func(*program, context.Context) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		p := &program{term: term, options: optionsOf(c)}
		defer p.guard()
		return do(p, c.Context)
	}
}

func refuseUsage(_ *cli.Context, err error, _ bool) error {
	return usagef("%w; popfetch --help shows the options", err)
}

func refuseWithoutSubcommand(c *cli.Context) error {
	var names []string
	for _, sub := range c.Command.Subcommands {
		names = append(names, sub.Name)
	}
	if c.Args().Present() {
		return usagef("%s %s: no such command; use one of %s", c.Command.Name, c.Args().First(), strings.Join(names, ", "))
	}
	return usagef("%s: name one of %s", c.Command.Name, strings.Join(names, ", "))
}

// commandHelp is the help of a command. The global options are left out: popfetch --help shows
// them.
const commandHelp = `NAME:
   {{.HelpName}} - {{.Usage}}

USAGE:
   {{.HelpName}} [options]{{if .ArgsUsage}} {{.ArgsUsage}}{{end}}
{{if .VisibleCommands}}
COMMANDS:{{range .VisibleCommands}}
   {{.Name}}{{"\t"}}{{.Usage}}{{end}}
{{end}}
OPTIONS:
   {{range .VisibleFlags}}{{.}}
   {{end}}
`

// globalFlags are the options that every command takes.
func globalFlags() []cli.Flag {
	return append([]cli.Flag{
		&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "read the configuration in `FILE`"},
		&cli.BoolFlag{Name: "once", Usage: "one pass over the accounts, then exit", DisableDefaultText: true},
		&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "say what would be retrieved, recognised, skipped and deleted; do none of it", DisableDefaultText: true},
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "errors alone", DisableDefaultText: true},
		&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "each message too; -vv the protocol, secrets masked", DisableDefaultText: true},
		&cli.BoolFlag{Name: "json", Usage: "one JSON object a line on standard output", DisableDefaultText: true},
		&cli.BoolFlag{Name: "all", Usage: "retrieve what is already seen too", DisableDefaultText: true},
		&cli.BoolFlag{Name: "keep", Usage: "delete nothing on the server, whatever the accounts say", DisableDefaultText: true},
		&cli.BoolFlag{Name: "delete", Usage: "delete each delivered message on the server, whatever the accounts say", DisableDefaultText: true},
		&cli.BoolFlag{Name: "fail-empty", Usage: "exit with 1 where nothing was new", DisableDefaultText: true},
	}, keyFlags()...)
}

// keyFlags are the options for keys of the configuration.
func keyFlags() []cli.Flag {
	var flags []cli.Flag
	for _, o := range config.Options() {
		var aliases []string
		if o.Short != "" {
			aliases = []string{o.Short}
		}
		if o.Number {
			flags = append(flags, &cli.IntFlag{Name: o.Name, Aliases: aliases, Usage: o.Usage, DefaultText: "as configured"})
		} else {
			flags = append(flags, &cli.StringFlag{Name: o.Name, Aliases: aliases, Usage: o.Usage})
		}
	}
	return flags
}
