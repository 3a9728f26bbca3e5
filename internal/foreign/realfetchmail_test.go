package foreign

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	osuser "os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// TestFetchmail_configdump compares what is read of .fetchmailrc files with what fetchmail itself
// reads: those of testdata, and others that are made of its words by chance.
func TestFetchmail_configdump(t *testing.T) {
	fetchmail := realProgram(t, "fetchmail")
	for _, text := range fetchmailCorpus(t) {
		want, valid := configdump(t, fetchmail, text)
		rc, err := parseFetchmail("rc", text)
		if valid != (err == nil) {
			t.Fatalf("fetchmail says valid = %t, we say %v, of:\n%s\n%s", valid, err, text, want)
		}
		if err != nil {
			continue
		}
		if got := rc.dump(); got != want {
			gotLine, wantLine := firstDifference(got, want)
			t.Fatalf("of:\n%s\nwe read %s, fetchmail reads %s", text, gotLine, wantLine)
		}
	}
}

// firstDifference returns the first lines in which two texts differ.
func firstDifference(a, b string) (string, string) {
	linesA, linesB := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(linesA), len(linesB)) {
		if linesA[i] != linesB[i] {
			return linesA[i], linesB[i]
		}
	}
	return fmt.Sprintf("%d lines", len(linesA)), fmt.Sprintf("%d lines", len(linesB))
}

// realProgram returns the path of a neighbour. Without it, the test is skipped, unless
// scripts/check demands it.
func realProgram(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && os.Getenv("POPFETCH_TEST_NEIGHBOURS") != "" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skip(err)
	}
	return path
}

// fetchmailCorpus returns the files of testdata, and files of words that are drawn at random.
func fetchmailCorpus(t *testing.T) []string {
	var corpus []string
	archives, err := filepath.Glob("testdata/fetchmail/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range archives {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range archive.Files {
			if strings.HasSuffix(file.Name, "fetchmailrc") {
				corpus = append(corpus, string(file.Data))
			}
		}
	}
	draw := rand.New(rand.NewPCG(15, 1)) // the same words in each run
	for range 200 {
		corpus = append(corpus, drawFetchmailrc(draw))
	}
	return corpus
}

// drawFetchmailrc makes a file that is often valid.
func drawFetchmailrc(draw *rand.Rand) string {
	var b strings.Builder
	pick := func(words ...string) string { return words[draw.IntN(len(words))] }
	value := func() string {
		return pick("a", "b1", `"c d"`, `'e "f'`, `"g\x41\\h"`, "i.j", "1234", `"77"`, "keep", "#k",
			`l"m`, `"n"o`, `p\`, "q=r", "and", `'s\9t'`)
	}
	server := func() string {
		return pick("proto pop3", "protocol POP3", "timeout 30", "timeout 0", "proto auto", "port 995",
			`service "pop3s"`, "service pop3", "interval 3", "interval 0",
			"via "+value(), "uidl", "no dns", "nodns", "auth password", "auth any", "with", ":",
			"no envelope",
			"plugin "+value(), "preauth cram-md5", "tracepolls", "aka x y", "envelope 2 "+value())
	}
	user := func() string {
		return pick("keep", "nokeep", "no keep", "fetchall", "ssl", "no ssl", "password "+value(),
			"pass "+value(), "is "+value()+" here", "to "+value()+", "+value(), "mda "+value(),
			"sslproto ''", "sslproto "+value(), "no sslcertck", "limit 1000", "limit -1", "and", "options",
			";", "# comment\n", "sslfingerprint "+value(), "preconnect "+value(), "folder "+value())
	}
	repeat := func(most int, word func() string) {
		for range draw.IntN(most) {
			b.WriteString(word() + pick(" ", "\n", "\t", " , "))
		}
	}
	if draw.IntN(4) == 0 {
		b.WriteString("defaults ")
		repeat(3, server)
		repeat(3, user)
	}
	for range 1 + draw.IntN(3) {
		b.WriteString(pick("poll ", "skip ", "server ", "\npoll ") + pick("one", "two", `"three"`) + " ")
		repeat(4, server)
		for range draw.IntN(3) {
			b.WriteString(pick("user ", "username ") + value() +
				pick(" ", " there ", " here ", " is x here "))
			repeat(5, user)
		}
		if draw.IntN(6) == 0 {
			b.WriteString(pick("set daemon 60 ", "set no bouncemail ", "set daemon x ", "set logfile = y "))
		}
	}
	return b.String() + "\n"
}

// dumped matches the lines of fetchmail --configdump that are compared.
var dumped = regexp.MustCompile(`^\s*["'](poll_interval|pollname|active|via|protocol|service|` +
	`timeout|interval|auth|plugin|remote|password|localnames|keep|fetchall|mda|preconnect|limit|` +
	`ssl|sslproto|sslcertck|sslfingerprint)["']: ?(.*),$`)

// configdump returns what fetchmail reads, a line a value, and whether the file is valid.
func configdump(t *testing.T, fetchmail, text string) (string, bool) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "rc")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout bytes.Buffer
	command := exec.Command(fetchmail, "--configdump", "-f", file)
	command.Env = []string{"HOME=" + dir, "USER=" + whoami()}
	command.Stdout = &stdout
	if err := command.Run(); err != nil {
		return stdout.String(), false
	}
	var b strings.Builder
	for line := range strings.Lines(stdout.String()) {
		if match := dumped.FindStringSubmatch(strings.TrimRight(line, "\n")); match != nil {
			b.WriteString(match[1] + " " + match[2] + "\n")
		}
	}
	return b.String(), true
}

// whoami returns the user that fetchmail takes if a file names none.
func whoami() string {
	me, err := osuser.Current()
	if err != nil {
		return "root"
	}
	return me.Username
}

// dump returns what configdump returns, of what we have read.
func (rc *fetchmailrc) dump() string {
	var b strings.Builder
	line := func(name, value string) { fmt.Fprintf(&b, "%s %s\n", name, value) }
	line("poll_interval", fmt.Sprint(rc.interval()))
	last := ""
	for i, e := range rc.entries {
		for _, u := range e.users {
			a := &fetchmailAccount{entry: e, options: slices.Concat(e.options, u.options),
				defaults: rc.defaults.options}
			text := func(name string) string {
				o, found := a.option(name)
				if !found {
					return "None"
				}
				return python(o.text)
			}
			number := func(name string, preset int) string {
				o, found := a.option(name)
				if !found || o.n == 0 {
					return fmt.Sprint(preset)
				}
				return fmt.Sprint(max(o.n, 0))
			}
			flag := func(name string, preset bool) string {
				return map[bool]string{true: "TRUE", false: "FALSE"}[a.flag(name, preset)]
			}
			if this := fmt.Sprint(i); this != last {
				last = this
				line("pollname", python(e.name))
				line("active", map[bool]string{true: "TRUE", false: "FALSE"}[!e.skip])
				line("via", text("via"))
				protocol := strings.ToUpper(a.protocol())
				if protocol == "AUTO" {
					protocol = "auto"
				}
				line("protocol", python(protocol))
				line("service", text("service"))
				line("timeout", number("timeout", 300))
				line("interval", number("interval", 0))
				line("auth", python(cmp.Or(a.value("auth"), "any")))
				line("plugin", text("plugin"))
			}
			remote := whoami()
			if o, found := a.option("user"); found {
				remote = o.text
			}
			line("remote", python(remote))
			password := text("pass")
			switch a.value("auth") {
			case "gssapi", "kerberos_v5", "kerberos_v4", "ssh", "external":
				if password == "None" { // fetchmail needs no password then, and puts the user in its place
					password = python(remote)
				}
			}
			line("password", password)
			line("localnames", localnames(a.names()))
			line("fetchall", flag("fetchall", false))
			line("keep", flag("keep", false))
			line("mda", text("mda"))
			line("preconnect", text("preconnect"))
			line("limit", number("limit", 0))
			line("ssl", flag("ssl", false))
			line("sslproto", text("sslproto"))
			line("sslcertck", flag("sslcertck", true))
			line("sslfingerprint", text("sslfingerprint"))
		}
	}
	return b.String()
}

// python quotes text as fetchmail does.
func python(text string) string {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\t", `\t`, "\n", `\n`, "\b", `\b`, "\r", `\r`)
	return `"` + escape.Replace(text) + `"`
}

// localnames writes names as fetchmail does.
func localnames(names []string) string {
	if len(names) == 0 {
		names = []string{whoami()}
	}
	var parts []string
	wildcard := false
	for _, name := range names {
		remote, local, isPair := strings.Cut(name, "=")
		switch {
		case name == "*":
			wildcard = true
		case isPair:
			parts = append(parts, "("+python(remote)+", "+python(local)+")")
		default:
			parts = append(parts, python(name))
		}
	}
	if wildcard {
		parts = append(parts, "'*'")
	}
	return "[" + strings.Join(parts, ", ") + "]"
}
