package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/seen"
)

// options is the command line after parsing.
type options struct {
	command  string   // as it is written: "seen list"; "" if none is named
	commands []string // all commands that exist
	words    []string // the words behind the command: names of accounts, unique-ids
	source   source
	view     view

	jobs      *int // nil means as configured
	progress  string
	once      bool
	dryRun    bool
	all       bool
	keep      bool
	delete    bool
	failEmpty bool
	drain     bool
	limit     *int     // nil means as configured
	uids      []string // as they are written; none means all messages
	headers   bool
	checkOnly bool // config --check
	device    bool // login --device
	browser   bool
	status    bool // login --status

	maxAge      *string // status --max-age; nil means that nothing is judged
	since       *string // log --since; nil means all
	metricsFile string  // "" means none
	output      string  // report --output; "" means none

	labels []string // worker --label

	replace bool // accounts put

	repair bool   // verify
	apply  bool   // import
	format string // export; "" means the usual one

	asides      []seen.Reason // seen forget: --quarantined and --too-large
	fromMaildir string        // seen rebuild; "" means the account's own place
	fromMbox    string        // likewise
}

// source says where configuration and state come from.
type source struct {
	file     *string           // nil means the default
	stateDir string            // "" means as configured
	oneShot  map[string]string // options that replace a file, by configuration key
}

// view says how much output a person or a script wants.
type view struct {
	verbosity int // number of --verbose
	quiet     bool
	json      bool
}

// optionsOf returns the command line that the cli package has parsed.
func optionsOf(c *cli.Context) options {
	o := options{
		command: strings.TrimPrefix(strings.TrimPrefix(c.Command.HelpName, c.App.Name), " "),
		words:   c.Args().Slice(),
		source:  source{stateDir: c.String("state-dir"), oneShot: make(map[string]string)},
		view:    view{verbosity: c.Count("verbose"), quiet: c.Bool("quiet"), json: c.Bool("json")},

		progress:  c.String("progress"),
		once:      c.Bool("once"),
		dryRun:    c.Bool("dry-run"),
		all:       c.Bool("all"),
		keep:      c.Bool("keep"),
		delete:    c.Bool("delete"),
		failEmpty: c.Bool("fail-empty"),
		drain:     c.Bool("drain"),
		uids:      c.StringSlice("uid"),
		headers:   c.Bool("headers"),
		checkOnly: c.Bool("check"),
		device:    c.Bool("device"),
		browser:   c.Bool("browser"),
		status:    c.Bool("status"),
		replace:   c.Bool("replace"),
		repair:    c.Bool("repair"),
		apply:     c.Bool("apply"),
		format:    c.String("format"),
	}
	if o.command == workerCommand {
		o.labels = c.StringSlice("label")
	}
	o.fromMaildir, o.fromMbox = c.String("from-maildir"), c.String("from-mbox")
	if c.Bool("quarantined") {
		o.asides = append(o.asides, seen.Quarantined)
	}
	if c.Bool("too-large") {
		o.asides = append(o.asides, seen.TooLarge)
	}
	o.metricsFile, o.output = c.String("metrics-file"), c.String("output")
	if c.IsSet("max-age") {
		age := c.String("max-age")
		o.maxAge = &age
	}
	if c.IsSet("since") && o.command == "log" {
		since := c.String("since")
		o.since = &since
	}
	if c.IsSet("jobs") {
		jobs := c.Int("jobs")
		o.jobs = &jobs
	}
	if c.IsSet("limit") {
		limit := c.Int("limit")
		o.limit = &limit
	}
	if c.IsSet("config") {
		file := c.String("config")
		o.source.file = &file
	}
	for _, key := range config.Options() {
		if key.OneShot && c.IsSet(key.Name) {
			o.source.oneShot[key.Key] = c.String(key.Name)
		}
	}
	for _, command := range c.App.Commands {
		o.commands = append(o.commands, command.Name)
	}
	return o
}

// polls reports whether popfetch stays, and polls until a signal comes.
func (o *options) polls() bool {
	return o.command == workerCommand || o.command == "" && !o.once && !o.dryRun
}

// isGiven reports whether an option that describes an account was given.
func (o *options) isGiven(key string) bool {
	_, given := o.source.oneShot[key]
	return given
}

// mistake returns what is wrong with the options, whatever the command needs them for.
func (o *options) mistake() error {
	switch {
	case o.keep && o.delete:
		return usagef("--keep and --delete contradict each other")
	case o.headers && o.command != "list" && !(o.command == "" && o.dryRun):
		return usagef("--headers works only with list and --dry-run")
	case !slices.Contains([]string{progressAuto, progressAlways, progressNever}, o.progress):
		return usagef("--progress %s: use %s, %s or %s", o.progress, progressAuto, progressAlways, progressNever)
	case o.command == workerCommand && (o.once || o.dryRun):
		return usagef("popfetch worker polls until a signal comes; for a single pass or a look leave out the word worker")
	case o.command == workerCommand && o.isGiven("server"):
		return usagef("popfetch worker takes no --server: it shares the accounts of a configuration with others; " +
			"to poll one account alone leave out the word worker")
	case o.metricsFile != "" && (o.command != "" && o.command != "status" && o.command != workerCommand || o.dryRun):
		return usagef("--metrics-file works only with fetching and status")
	case o.all && o.polls():
		return usagef("--all works only with --once and --dry-run; each poll would deliver every message once more")
	case o.failEmpty && o.polls():
		return usagef("--fail-empty works only with --once")
	case o.jobs != nil && (*o.jobs < 1 || *o.jobs > config.MostJobs):
		return usagef("--jobs %d: give a number from 1 to %d", *o.jobs, config.MostJobs)
	}
	for _, label := range o.labels {
		if err := config.CheckLabel(label); err != nil {
			return usagef("--label: %w", err)
		}
	}
	return o.mistakenSelection()
}

// mistakenSelection returns what is wrong with the options that select messages.
func (o *options) mistakenSelection() error {
	const other = "works only with --once and --dry-run"
	fetches := o.command == "" && !o.polls()
	switch {
	case o.drain && (!fetches || o.dryRun):
		return usagef("--drain works only with --once, and not with --dry-run, which looks once")
	case o.limit != nil && !fetches:
		return usagef("--limit %s; max_messages limits each pass", other)
	case o.limit != nil && *o.limit < 1:
		return usagef("--limit %d: give a number of messages, from 1 on", *o.limit)
	case len(o.uids) > 0 && !fetches:
		return usagef("--uid %s", other)
	case slices.Contains(o.uids, ""):
		return usagef("--uid: a unique-id is not empty")
	}
	_, err := readIDs(o.uids)
	return err
}

// only returns the unique-ids that --uid names; nil: all.
func (o *options) only() map[string]bool {
	ids, err := readIDs(o.uids)
	if err != nil || len(ids) == 0 { // mistake has told of it
		return nil
	}
	only := make(map[string]bool, len(ids))
	for _, id := range ids {
		only[id] = true
	}
	return only
}

// usageError is an error of the command line.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }
