package main

import (
	"cmp"
	"context"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/popfetch/popfetch/internal/config"
)

const (
	helpWidth  = 80 // columns of the help
	helpIndent = 3
	// Where the texts begin beside the names of options and of commands.
	helpColumn        = 27
	helpColumnCommand = 15
)

// help shows the usage of popfetch, or of a command. It needs no configuration.
func (p *program) help(context.Context) error {
	app := newApp(p.term)
	var text strings.Builder
	if len(p.words) == 0 {
		printHelp(&text, "", app)
		return p.term.printf("%s", text.String())
	}
	found, commands := (*cli.Command)(nil), app.Commands
	for i, word := range p.words {
		at := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(word) })
		if at < 0 {
			return usagef("%s: no such command%s", strings.Join(p.words[:i+1], " "), nearestOf(word, commands))
		}
		found, commands = commands[at], commands[at].Subcommands
	}
	found.HelpName = "popfetch " + strings.Join(p.words, " ")
	printHelp(&text, "", found)
	return p.term.printf("%s", text.String())
}

// nearestOf returns the end of a sentence that says which command may be meant, or which ones exist.
func nearestOf(word string, commands []*cli.Command) string {
	var names []string
	for _, c := range commands {
		names = append(names, c.Name)
	}
	if near := config.Nearest(word, names); len(near) > 0 {
		return "; the nearest is " + near[0]
	}
	if len(names) == 0 {
		return ""
	}
	return "; use one of " + strings.Join(names, ", ")
}

// version prints the version, as --version does.
func (p *program) version(context.Context) error {
	if len(p.words) > 0 {
		return usagef("version takes no name")
	}
	return p.term.printf("popfetch version %s\n", versionText())
}

// printHelp is the cli.HelpPrinter. The help of popfetch shows all global options by groups; that of
// a command shows its own.
func printHelp(w io.Writer, _ string, of any) {
	var b strings.Builder
	switch of := of.(type) {
	case *cli.App:
		describeCommand(&b, of.Name, of.Usage, strings.Split(of.UsageText, "\n"), of.Commands)
		for _, group := range []string{ofRun, ofOutput, ofFiles, ofOneShot} {
			describeFlags(&b, group, of.Flags)
		}
		b.WriteString("\n" + ofNoAction + ":\n")
		describeFlag(&b, cli.HelpFlag)
		describeFlag(&b, cli.VersionFlag)
		b.WriteString("\npopfetch COMMAND --help shows the options of a command. More: man popfetch\n")
	case *cli.Command:
		usage := []string{strings.TrimRight(of.HelpName+" [options] "+of.ArgsUsage, " ")}
		if len(of.Subcommands) > 0 {
			usage[0] = of.HelpName + " COMMAND"
		}
		describeCommand(&b, of.HelpName, of.Usage, usage, of.Subcommands)
		describeFlags(&b, "", of.Flags)
		b.WriteString("\npopfetch --help shows the options that every command takes.\n")
	}
	_, _ = io.WriteString(w, b.String()) // into memory
}

// describeCommand writes what a command is for, how it is called, and its commands.
func describeCommand(b *strings.Builder, name, text string, usage []string, commands []*cli.Command) {
	writeBeside(b, name+" - ", 0, text)
	b.WriteString("\nUSAGE:\n")
	for _, line := range usage {
		b.WriteString(strings.Repeat(" ", helpIndent) + line + "\n")
	}
	if len(commands) > 0 {
		b.WriteString("\nCOMMANDS:\n")
	}
	for _, c := range commands {
		writeBeside(b, strings.Repeat(" ", helpIndent)+c.Name, helpColumnCommand, c.Usage)
	}
}

// describeFlags writes the options of a category; "" has those of one command.
func describeFlags(b *strings.Builder, category string, flags []cli.Flag) {
	headed := false
	for _, flag := range flags {
		group, ok := flag.(cli.CategorizableFlag)
		if !ok || group.GetCategory() != category || flag == cli.HelpFlag {
			continue
		}
		if !headed {
			b.WriteString("\n" + cmp.Or(category, "OPTIONS") + ":\n")
			headed = true
		}
		describeFlag(b, flag)
	}
}

// describeFlag writes an option, its value and its text: "-c, --config FILE  read ...".
func describeFlag(b *strings.Builder, flag cli.Flag) {
	name := "    " + longName(flag)
	for _, other := range flag.Names()[1:] {
		name = "-" + other + ", " + longName(flag)
	}
	text := ""
	if described, ok := flag.(cli.DocGenerationFlag); ok {
		text = described.GetUsage()
	}
	if before, value, found := strings.Cut(text, "`"); found {
		value, after, _ := strings.Cut(value, "`")
		name, text = name+" "+value, before+value+after
	}
	writeBeside(b, strings.Repeat(" ", helpIndent)+name, helpColumn, text)
}

// writeBeside writes a name, and beside it, from a column on, a text in lines of at most helpWidth.
// In column 0 the text follows the name at once.
func writeBeside(b *strings.Builder, name string, column int, text string) {
	line := name
	if column > 0 {
		if len(name) >= column {
			b.WriteString(name + "\n")
			line = ""
		}
		line += strings.Repeat(" ", column-len(line))
	}
	for i, word := range strings.Fields(text) {
		if i > 0 && len(line)+1+len(word) > helpWidth {
			b.WriteString(line + "\n")
			line = strings.Repeat(" ", max(column, helpIndent)) + word
			continue
		}
		if i > 0 {
			line += " "
		}
		line += word
	}
	b.WriteString(line + "\n")
}
