package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/doctor"
)

// manual returns the part of popfetch(1) between two headings.
func manual(t *testing.T, from, to string) string {
	t.Helper()
	return manualPage(t, "popfetch.1", from, to)
}

// manualPage returns the part of a page between two headings.
func manualPage(t *testing.T, file, from, to string) string {
	t.Helper()
	page, err := os.ReadFile("../../man/" + file)
	if err != nil {
		t.Fatal(err)
	}
	_, part, found := strings.Cut(string(page), from+"\n")
	part, _, ends := strings.Cut(part, to+"\n")
	if !found || !ends {
		t.Fatalf("%s has no part between %q and %q", file, from, to)
	}
	return part
}

// eventsPage is the part of popfetch-events(5) that describes.
func eventsPage(t *testing.T) string {
	t.Helper()
	return manualPage(t, "popfetch-events.5", ".Sh DESCRIPTION", ".Sh FILES")
}

// items returns the names in the .It lines of a part of the page.
func items(part, macro string) []string {
	var names []string
	for line := range strings.Lines(part) {
		if item, ok := strings.CutPrefix(line, ".It "+macro); ok {
			names = append(names, macro+strings.TrimSpace(item))
		}
	}
	return names
}

// compare reports names that are only on the page or only in the program.
func compare(t *testing.T, what string, page, program []string) {
	t.Helper()
	for _, name := range page {
		if !slices.Contains(program, name) {
			t.Errorf("popfetch(1) has the %s %q, which the program does not know", what, name)
		}
	}
	for _, name := range program {
		if !slices.Contains(page, name) {
			t.Errorf("the program has the %s %q, which popfetch(1) does not tell of", what, name)
		}
	}
	if len(page) == 0 {
		t.Errorf("popfetch(1) has no %s at all", what)
	}
}

func TestManual_options(t *testing.T) {
	app := newApp(newTerminal())
	flags := append(allFlags(app.Commands), cli.HelpFlag, cli.VersionFlag)
	program := make(map[string]bool)
	for _, flag := range flags {
		for _, name := range flag.Names() {
			program[strings.Repeat("-", min(len(name), 2))+name] = true
		}
	}
	var page []string
	fl := regexp.MustCompile(`Fl (\S+)`)
	for _, item := range items(manual(t, ".Ss Options", ".Ss JSON"), "Fl ") {
		for _, match := range fl.FindAllStringSubmatch(item, -1) {
			page = append(page, "-"+match[1])
		}
	}
	compare(t, "option", page, slices.Collect(maps.Keys(program)))
}

func TestManual_commands(t *testing.T) {
	var program []string
	var walk func(prefix string, commands []*cli.Command)
	walk = func(prefix string, commands []*cli.Command) {
		for _, c := range commands {
			if len(c.Subcommands) == 0 {
				program = append(program, prefix+c.Name)
			}
			walk(prefix+c.Name+" ", c.Subcommands)
		}
	}
	walk("", newApp(newTerminal()).Commands)
	var page []string
	for _, item := range items(manual(t, ".Ss Commands", ".Ss Options"), "Cm ") {
		page = append(page, strings.ReplaceAll(item, "Cm ", ""))
	}
	compare(t, "command", page, program)
}

// TestManual_status compares the statuses of exit.go, and their order of urgency, with the page.
func TestManual_status(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "exit.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	program := []string{"2", "130", "143"} // of Go's runtime, and 128 plus the signal
	ast.Inspect(file, func(node ast.Node) bool {
		if spec, ok := node.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, "exit") {
			program = append(program, spec.Values[0].(*ast.BasicLit).Value)
		}
		return true
	})
	part := manual(t, ".Sh EXIT STATUS", ".Sh EXAMPLES")
	var page []string
	for _, item := range items(part, "") {
		page = append(page, strings.Split(item, " , ")...)
	}
	compare(t, "exit status", page, program)

	var order []string
	for _, status := range urgency {
		order = append(order, fmt.Sprint(status))
	}
	if want := ": " + strings.Join(order, ", ") + ".\n"; !strings.HasSuffix(part, want) {
		t.Errorf("popfetch(1) tells the order of statuses otherwise than %q", want)
	}
}

// TestManual_codes compares the codes of warnings with the page. Of other codes the page has only
// examples.
func TestManual_codes(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../fetch/event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var program []string
	ast.Inspect(file, func(node ast.Node) bool {
		if spec, ok := node.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, "Code") && spec.Names[0].Name != "CodeHeld" { // it is the code of an error
			program = append(program, strings.Trim(spec.Values[0].(*ast.BasicLit).Value, `"`))
		}
		return true
	})
	var page []string
	for _, item := range items(manualPage(t, "popfetch-events.5", ".Sh CODES", ".Sh FILES"), "Ql ") {
		page = append(page, strings.Split(strings.TrimPrefix(item, "Ql "), " , ")...)
	}
	compare(t, "code", page, program)
}

// TestManual_checks compares the names of the checks with the page, and their order.
func TestManual_checks(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../internal/doctor/doctor.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var program []string
	ast.Inspect(file, func(node ast.Node) bool {
		if spec, ok := node.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, "Check") {
			program = append(program, strings.Trim(spec.Values[0].(*ast.BasicLit).Value, `"`))
		}
		return true
	})
	var page []string
	for _, item := range items(manual(t, ".Ss What check examines", ".Ss Unique-ids"), "Ql ") {
		page = append(page, strings.Split(strings.TrimPrefix(item, "Ql "), " , ")...)
	}
	if !slices.Equal(page, program) {
		t.Errorf("popfetch(1) has the checks %q, want %q", page, program)
	}
}

func TestManual_JSON(t *testing.T) {
	program := []string{
		"version", "reloaded", "stopped", "accounts",
		string(fetch.Started), string(fetch.Listed), string(fetch.Marked), string(fetch.Recognised), string(fetch.Delivered), string(fetch.Dropped), string(fetch.Refused), string(fetch.Quarantined),
		string(fetch.Skipped), string(fetch.LeftOut), string(fetch.Discarded), string(fetch.Left), string(fetch.Deleted), string(fetch.Warning), string(fetch.Noted), string(fetch.Finished),
		"max_size", "quarantine_after", "initial", "since", "filter", "filter_headers", "post_command",
		programReloaded, programStopped, "none", // a value of tls
	}
	for _, line := range []reflect.Type{reflect.TypeFor[eventLine](), reflect.TypeFor[programEvent](), reflect.TypeFor[checked](), reflect.TypeFor[listed](),
		reflect.TypeFor[foretold](), reflect.TypeFor[loggedDeletion](), reflect.TypeFor[record](), reflect.TypeFor[place](),
		reflect.TypeFor[accountsChange](), reflect.TypeFor[storedAccount](), reflect.TypeFor[listedAccount](), reflect.TypeFor[auditEntry](),
		reflect.TypeFor[done](), reflect.TypeFor[failedCheck](),
		reflect.TypeFor[stateLine](), reflect.TypeFor[verifiedMessage](), reflect.TypeFor[verifiedAccount](), reflect.TypeFor[standingFields](), reflect.TypeFor[placeField](), reflect.TypeFor[restored](),
		reflect.TypeFor[statusLine](), reflect.TypeFor[sharedStatusLine](), reflect.TypeFor[workerLine](), reflect.TypeFor[workLine](), reflect.TypeFor[signInStep](), reflect.TypeFor[signInStatus](), reflect.TypeFor[doctor.Finding](), reflect.TypeFor[doctor.Certificate]()} {
		for _, field := range reflect.VisibleFields(line) {
			if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" {
				program = append(program, name)
			}
		}
	}
	program = slices.AppendSeq(program, maps.Values(statusKinds))
	var page []string
	for text := range strings.Lines(manual(t, ".Ss JSON", ".Sh ENVIRONMENT") + eventsPage(t)) {
		if words := strings.Fields(strings.TrimPrefix(text, ".It Cm ")); words[0] == ".Cm" {
			page = append(page, words[1])
		} else if strings.HasPrefix(text, ".It Cm ") {
			page = append(page, words[0])
		}
	}
	compare(t, "JSON field or event", page, program)
}

// The example file works as it stands: only its names are to be changed.
func TestExample_works(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../config.example.toml")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	file := filepath.Join(folder, "config.toml")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "popfetch", "config", "--check", "--config", file)
	cmd.Env = []string{"HOME=" + folder, "PATH=" + os.Getenv("PATH")}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("popfetch config --check = %v: %s", err, out)
	}
}
