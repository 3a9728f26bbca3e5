package main

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/internal/config"
)

// newApp describes the command line to the cli package: the commands, their options and their help.
func newApp(term *terminal) *cli.App {
	cli.VersionFlag = &cli.BoolFlag{Name: "version", Usage: "print the version"} // -v is --verbose
	cli.HelpPrinter = printHelp
	command := func(name, args, text string, do func(*program, context.Context) error, own ...cli.Flag) *cli.Command {
		return &cli.Command{
			Name: name, ArgsUsage: args, Usage: text, Action: action(term, do), OnUsageError: refuseUsage,
			Flags: withGlobal(own), HideHelpCommand: true,
		}
	}
	seenCommand := command("seen", "", "look into and mend the seen table", nil)
	seenCommand.Action = refuseWithoutSubcommand
	seenCommand.Subcommands = []*cli.Command{
		command("list", "[ACCOUNT...]", "list the records", (*program).seenList,
			own("json", "one JSON object for each record")),
		command("mark", "ACCOUNT [UNIQUE-ID...]", "count messages as seen, so that they are not retrieved", (*program).seenMark,
			own("all", "all messages that the server lists now"), own("json", "one JSON object with the number of messages")),
		command("forget", "ACCOUNT [UNIQUE-ID...]", "forget records, so that the messages are retrieved again", (*program).seenForget,
			own("all", "every record of the account"),
			own("quarantined", "only what is quarantined: try it again, and forget no record"),
			own("too-large", "only what was left as too large: look at it again, and forget no record"),
			own("json", "one JSON object with the number of records")),
		command("rebuild", "ACCOUNT", "count messages as seen that a Maildir or an mbox holds already", (*program).seenRebuild,
			&cli.StringFlag{Name: "from-maildir", Usage: "look into the Maildir `DIR`, and not into the account's own place"},
			&cli.StringFlag{Name: "from-mbox", Usage: "look into the mbox `FILE`, and not into the account's own place"},
			own("json", "one JSON object with the number of messages")),
		command("rename", "OLD NEW", "give an account's records to its new name", (*program).seenRename),
		command("export", "[ACCOUNT...]", "print the state of accounts, for seen import", (*program).seenExport),
		command("import", "", "take over the state that seen export has printed, from standard input", (*program).seenImport,
			own("json", "one JSON object for each account, with the numbers of records")),
	}
	accountsCommand := command("accounts", "", "the accounts of a database that machines share", nil)
	accountsCommand.Action = refuseWithoutSubcommand
	asJSON := own("json", "one JSON object for each account")
	changed := own("json", "one JSON object with the names")
	accountsCommand.Subcommands = []*cli.Command{
		command("put", "FILE", "add and replace the accounts of a file, or of standard input (-)", (*program).accountsPut,
			own("replace", "remove all other accounts"), changed),
		command("get", "[ACCOUNT...]", "print accounts as put takes them, secrets masked", (*program).accountsGet, asJSON),
		command("list", "", "list the accounts, and those that were removed and have records yet", (*program).accountsList, asJSON),
		command("remove", "ACCOUNT...", "remove accounts; their records stay for 90 days", (*program).accountsRemove, changed),
		command("disable", "ACCOUNT...", "have workers poll accounts no more", (*program).accountsDisable, changed),
		command("enable", "ACCOUNT...", "have workers poll accounts again", (*program).accountsEnable, changed),
		command("reseal", "", "seal all secrets and tokens anew, for the first key", (*program).accountsReseal, changed),
		command("log", "[ACCOUNT...]", "who changed accounts, when, and which keys", (*program).accountsLog,
			own("json", "one JSON object for each change")),
	}
	return &cli.App{
		Name: "popfetch",
		Usage: "fetch mail from POP3 accounts into Maildirs, mboxes, IMAP mailboxes, " +
			"programs or mail servers, each message once",
		UsageText:       "popfetch [--once] [options] [ACCOUNT...]\npopfetch COMMAND [options] [ACCOUNT...]",
		Version:         versionText(),
		Flags:           append(globalFlags(), cli.HelpFlag), // the cli package leaves it out beside a command called help
		Action:          action(term, (*program).fetch),
		OnUsageError:    refuseUsage,
		HideHelpCommand: true,
		// A unique-id may have a comma.
		DisableSliceFlagSeparator: true,
		ErrWriter:                 term.err,
		ExitErrHandler:            func(*cli.Context, error) {}, // main alone prints the error and exits
		Commands: []*cli.Command{
			command("init", "[ADDRESS]", "find the servers of a mail address, ask, try the log-in, write a configuration", (*program).init),
			command(workerCommand, "[ACCOUNT...]", "poll the accounts of a database, which many machines share out among them", (*program).fetch,
				&cli.StringSliceFlag{Name: "label", Usage: "also poll accounts that are bound to workers with the `LABEL`; the option may be repeated"}),
			command("check", "[ACCOUNT...]", "look, log in, report; delivers and deletes nothing", (*program).check,
				own("json", "one JSON object for each account")),
			command("list", "[ACCOUNT...]", "list what is on the server: number, unique-id, octets, seen or new", (*program).list,
				own("headers", "Date, From and Subject of each message too"), own("json", "one JSON object for each message")),
			command("status", "[ACCOUNT...]", "what happened lately, from the state alone", (*program).status,
				&cli.StringFlag{Name: "max-age", Usage: "exit with 0 only if every account had a success within `TIME`, such as 1h"},
				own("json", "one JSON object for each account")),
			command("log", "[ACCOUNT...]", "what was deleted on servers, when and by which rule", (*program).log,
				&cli.StringFlag{Name: "since", Usage: "only within `TIME`, such as 30d, or since a date"},
				own("json", "one JSON object for each deletion")),
			command("verify", "[ACCOUNT...]", "do the delivered messages still exist, as they were delivered?", (*program).verify,
				own("repair", "fetch again what is missing or altered, while the server has it"),
				own("json", "one JSON object for each message that is not whole, and for each account")),
			command("report", "[ACCOUNT...]", "the same as a page to look at, with plots", (*program).showReport,
				&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the page to `FILE`"}),
			seenCommand,
			accountsCommand,
			command("login", "ACCOUNT", "sign in with OAuth 2, and keep what the provider gives", (*program).login,
				own("device", "by a code that is typed on any device"), own("browser", "by a browser on this machine"),
				own("status", "only show who is signed in"), own("json", "one JSON object for each step or account")),
			command("logout", "ACCOUNT", "remove what login has kept, and revoke it where the provider can", (*program).logout),
			command("config", "[ACCOUNT...]", "show the configuration in force, secrets masked", (*program).config,
				own("check", "only report whether it is valid")),
			command("import", "fetchmail|getmail|mpop|fdm|thunderbird [FILE...]", "take over the accounts of another program, and what it has seen",
				(*program).importForeign, own("apply", "write it; without this option, only show what would be written"),
				own("json", "one JSON object for each account")),
			command("export", "mpop|getmail ACCOUNT", "print what an account has seen, in the form of another program", (*program).export,
				&cli.StringFlag{Name: "format", Usage: "`FORMAT` is mpop-1.4.18 (the usual one), mpop-1.4.23 or getmail"}),
			command("help", "[COMMAND]", "show the usage of popfetch, or of a command", (*program).help),
			command("version", "", "print the version", (*program).version),
			command("completion", "bash|zsh|fish", "print a script that completes command lines in a shell", (*program).completion),
		},
	}
}

// own makes an option of one command. It has no category, and so the help of the command shows it.
func own(name, usage string) cli.Flag { return &cli.BoolFlag{Name: name, Usage: usage} }

// withGlobal adds the global options to those of a command. One of these may have the name of a
// global one, and then says what that means to the command.
func withGlobal(own []cli.Flag) []cli.Flag {
	isOwn := make(map[string]bool)
	for _, flag := range own {
		for _, name := range flag.Names() {
			isOwn[name] = true
		}
	}
	flags := slices.Clone(own)
	for i, flag := range globalFlags() {
		if !isOwn[globalNames()[i]] {
			flags = append(flags, flag)
		}
	}
	return flags
}

// globalNames are the names of the global options. The cli package takes long to tell a name, and
// each start makes the options of all commands.
var globalNames = sync.OnceValue(func() []string {
	var names []string
	for _, flag := range globalFlags() {
		names = append(names, flag.Names()[0])
	}
	return names
})

// action reads the command line into a program, and runs a command with it.
func action(term *terminal, do func(*program, context.Context) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		p := &program{term: term, options: optionsOf(c), database: new(database), shelf: new(shelf)}
		p.stdout = sync.OnceValue(func() deliver.Target { return deliver.NewStdout(term.out) })
		p.serviceManager = sync.OnceValue(p.notifier)
		defer p.guard()
		if err := p.mistake(); err != nil {
			return err
		}
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

// The categories of the global options are headings of the help.
const (
	ofRun      = "What a run does"
	ofOutput   = "What is shown"
	ofFiles    = "Configuration and state"
	ofOneShot  = "Without a configuration file"
	ofNoAction = "Instead of all that"
)

// globalFlags are the options that every command takes.
func globalFlags() []cli.Flag {
	is := func(category, name, short, usage string) cli.Flag {
		flag := &cli.BoolFlag{Category: category, Name: name, Usage: usage}
		if short != "" {
			flag.Aliases = []string{short}
		}
		return flag
	}
	return append([]cli.Flag{
		is(ofRun, "once", "", "one pass over the accounts, then exit"),
		is(ofRun, "dry-run", "n", "say what would be retrieved, recognised, skipped and deleted; do none of it"),
		is(ofRun, "all", "", "retrieve what is already seen too"),
		is(ofRun, "drain", "", "look again, in further sessions, until a listing brings nothing new"),
		&cli.StringSliceFlag{Category: ofRun, Name: "uid", Usage: "retrieve only the message with the unique-id `ID`; the option may be repeated"},
		&cli.IntFlag{Category: ofRun, Name: "limit", Usage: "retrieve at most `N` messages of each account in this pass"},
		is(ofRun, "keep", "", "delete nothing on the server, whatever the accounts say"),
		is(ofRun, "delete", "", "delete on the server all that is delivered, in earlier runs too, whatever the accounts say"),
		is(ofRun, "fail-empty", "", "exit with 1 where nothing was new"),
		is(ofOutput, "quiet", "q", "errors alone"),
		is(ofOutput, "verbose", "v", "each message too; -vv the protocol, secrets masked"),
		&cli.StringFlag{Category: ofOutput, Name: "progress", Value: progressAuto, DefaultText: progressAuto,
			Usage: "show how far accounts are, `WHEN` auto (on a terminal), always or never"},
		is(ofOutput, "json", "", "one JSON object a line on standard output"),
		is(ofOutput, "headers", "", "with --dry-run: Date, From and Subject of each message too"),
		&cli.StringFlag{Category: ofOutput, Name: "metrics-file", Usage: "write the state of all accounts to `FILE`, in Prometheus' text format"},
		&cli.StringFlag{Category: ofFiles, Name: "config", Aliases: []string{"c"}, Usage: "read the configuration in `FILE`"},
	}, keyFlags()...)
}

// keyFlags are the options for keys of the configuration.
func keyFlags() []cli.Flag {
	var flags []cli.Flag
	for _, o := range config.Options() {
		category := ofFiles
		if o.OneShot {
			category = ofOneShot
		}
		var aliases []string
		if o.Short != "" {
			aliases = []string{o.Short}
		}
		if o.Number {
			flags = append(flags, &cli.IntFlag{Category: category, Name: o.Name, Aliases: aliases, Usage: o.Usage})
		} else {
			flags = append(flags, &cli.StringFlag{Category: category, Name: o.Name, Aliases: aliases, Usage: o.Usage})
		}
	}
	return flags
}
