package main

import (
	"context"
	"embed"
	"maps"
	"path"
	"slices"
	"strings"
	"text/template"

	"github.com/urfave/cli/v2"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/foreign"
)

// completions holds a script for each shell. They are filled with the commands and options that
// exist, and ask popfetch itself for the accounts.
//
//go:embed completion
var completions embed.FS

var shells = []string{"bash", "zsh", "fish"}

// completion prints the script of a shell. It needs no configuration.
func (p *program) completion(context.Context) error {
	if len(p.words) != 1 || !slices.Contains(shells, p.words[0]) {
		return usagef("completion: name one of %s", strings.Join(shells, ", "))
	}
	shell := p.words[0]
	quoted := strings.NewReplacer(`'`, `'\''`)
	switch shell {
	case "zsh": // a colon separates a word from its description
		quoted = strings.NewReplacer(`'`, `'\''`, ":", `\:`)
	case "fish":
		quoted = strings.NewReplacer(`'`, `\'`, `\`, `\\`)
	}
	functions := template.FuncMap{
		"quoted": quoted.Replace, // for a text between single quotes
		"join":   func(by string, words []string) string { return strings.Join(words, by) },
	}
	script, err := template.New(shell).Funcs(functions).ParseFS(completions, path.Join("completion", shell))
	if err != nil {
		return err
	}
	var text strings.Builder
	if err := script.Execute(&text, describeCommandLine(newApp(p.term))); err != nil {
		return err
	}
	return p.term.printf("%s", text.String())
}

// commandLine is what the scripts know of the command line. Options are written with their hyphens.
type commandLine struct {
	Commands                                 []completedCommand // the first one is popfetch itself
	ValueOptions, FileOptions, FolderOptions []string
	WordOptions                              []completedOption
}

// completedCommand is a command, and what may follow it.
type completedCommand struct {
	Path, Parent, Name        string
	Accounts, Files           bool // names of accounts, or of files, may follow
	First                     bool // they follow only after one of Words
	Words, Options            []string
	DescribedWords, Described []completedOption
}

// completedOption is a word or an option with its description.
type completedOption struct {
	Name, Usage string
	Names       []string // also the short ones, with their hyphens
	Fish        string   // how fish is told what its value is
	Words       []string // its values
}

// firstWords are what may follow a command.
var firstWords = map[string][]string{
	"completion": shells,
	"import":     foreign.Programs(),
	"export":     slices.Sorted(maps.Keys(exportForms)),
}

func describeCommandLine(app *cli.App) commandLine {
	all := commandLine{}
	all.add("", "", &cli.Command{Flags: append(slices.Clone(app.Flags), cli.VersionFlag), Subcommands: app.Commands, ArgsUsage: "[ACCOUNT...]"})
	known := map[string]bool{}
	for _, command := range all.Commands {
		for _, flag := range command.Described {
			if flag.Fish != "" && !known[flag.Name] {
				known[flag.Name] = true
				all.addValue(flag)
			}
		}
	}
	return all
}

// addValue adds an option that takes a value.
func (l *commandLine) addValue(flag completedOption) {
	l.ValueOptions = append(l.ValueOptions, flag.Names...)
	switch {
	case flag.Words != nil:
		l.WordOptions = append(l.WordOptions, flag)
	case strings.HasPrefix(flag.Fish, " -rF"):
		l.FileOptions = append(l.FileOptions, flag.Names...)
	case strings.Contains(flag.Fish, "directories"):
		l.FolderOptions = append(l.FolderOptions, flag.Names...)
	}
}

// add adds a command and its subcommands.
func (l *commandLine) add(parent, name string, c *cli.Command) {
	done := completedCommand{Path: strings.TrimSpace(parent + " " + name), Parent: parent, Name: name}
	done.Accounts = strings.Contains(c.ArgsUsage, "ACCOUNT") || strings.Contains(c.ArgsUsage, "OLD")
	done.Files = strings.Contains(c.ArgsUsage, "FILE")
	done.First = firstWords[name] != nil
	words := c.Subcommands
	if name == "help" {
		words = newApp(newTerminal()).Commands
	}
	for _, word := range firstWords[name] {
		words = append(words, &cli.Command{Name: word})
	}
	for _, word := range words {
		done.Words = append(done.Words, word.Name)
		done.DescribedWords = append(done.DescribedWords, completedOption{Name: word.Name, Usage: word.Usage})
	}
	for _, flag := range c.Flags {
		option := describeOption(flag)
		done.Options, done.Described = append(done.Options, option.Name), append(done.Described, option)
	}
	l.Commands = append(l.Commands, done)
	for _, sub := range c.Subcommands {
		l.add(done.Path, sub.Name, sub)
	}
}

func describeOption(flag cli.Flag) completedOption {
	option := completedOption{Name: longName(flag), Names: []string{longName(flag)}}
	for _, short := range flag.Names()[1:] {
		option.Names = append(option.Names, "-"+short)
	}
	described, ok := flag.(cli.DocGenerationFlag)
	if !ok {
		return option
	}
	option.Usage = strings.ReplaceAll(described.GetUsage(), "`", "")
	_, value, _ := strings.Cut(described.GetUsage(), "`")
	switch value, _, _ := strings.Cut(value, "`"); value {
	case "":
	case "FILE":
		option.Fish = " -rF"
	case "DIR":
		option.Fish = " -xa '(__fish_complete_directories)'"
	case "MODE":
		option.Words = []string{"implicit", "starttls", "none"}
	case "WHEN":
		option.Words = []string{progressAuto, progressAlways, progressNever}
	case "MECHANISM":
		option.Words = config.AuthWords
	default:
		option.Fish = " -x"
	}
	if option.Words != nil {
		option.Fish = " -xa '" + strings.Join(option.Words, " ") + "'"
	}
	return option
}
