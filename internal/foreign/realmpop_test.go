package foreign

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMpop_pretend compares what is read of mpop's configuration with what mpop itself reads, of
// files that are made of its commands by chance.
func TestMpop_pretend(t *testing.T) {
	mpop := realProgram(t, "mpop")
	draw := rand.New(rand.NewPCG(15, 2)) // the same words in each run
	valid := 0
	for range 150 {
		text := drawMpoprc(draw)
		file := filepath.Join(t.TempDir(), "rc")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		command := exec.Command(mpop, "-C", file, "--pretend", "--all-accounts")
		command.Env = []string{"HOME=/home/tester"}
		command.Stdout, command.Stderr = &stdout, &stderr
		isValid := command.Run() == nil
		accounts, err := parseMpop("rc", text)
		if isValid != (err == nil) {
			t.Fatalf("mpop says %q, we say %v, of:\n%s", stderr.String(), err, text)
		}
		if err != nil {
			continue
		}
		valid++
		if got, want := dumpMpop(accounts), filterMpop(stdout.String()); got != want {
			gotLine, wantLine := firstDifference(got, want)
			t.Fatalf("of:\n%s\nwe read %s, mpop reads %s", text, gotLine, wantLine)
		}
	}
	if valid < 20 {
		t.Errorf("only %d files were valid", valid)
	}
}

// drawMpoprc makes a file that is often valid.
func drawMpoprc(draw *rand.Rand) string {
	var b strings.Builder
	pick := func(words ...string) string { return words[draw.IntN(len(words))] }
	value := func() string {
		return pick("a", `"b c"`, "d e", `"f`, "  g  ", `"`, `h"i"`, "#j", `"k""`, "~/l")
	}
	settings := func() {
		for range draw.IntN(6) {
			b.WriteString(pick("", " ", "\t") + pick("user ", "host ", "tls_host_override ",
				"delivery mda ", "filter ") + value() + pick("\n", " \n", "\r\n"))
			b.WriteString(pick("keep", "keep on", "keep off", "tls", "tls_starttls off", "killsize 10k",
				"skipsize 0", "only_new off", "timeout 30", "", "# comment", "timeout off", "port 1995") + "\n")
		}
	}
	if draw.IntN(2) == 0 {
		b.WriteString("defaults\n")
		settings()
	}
	names := []string{"one", "two", "three four", "five"}
	for i := range 1 + draw.IntN(4) {
		b.WriteString("account " + names[i])
		if i > 0 && draw.IntN(2) == 0 {
			b.WriteString(pick(":", " : ") + names[draw.IntN(i)] +
				pick("", ","+names[0], " , "+names[i-1], ",x"))
		}
		b.WriteString("\nhost h" + fmt.Sprint(i) + "\ndelivery maildir /m\n")
		settings()
	}
	return b.String()
}

// mpopDumped are the lines of mpop --pretend that are compared.
var mpopDumped = map[string]bool{"host": true, "port": true, "user": true, "tls": true,
	"tls_starttls": true, "tls_host_override": true, "delivery": true, "uidls file": true,
	"keep": true, "only_new": true, "killsize": true, "skipsize": true, "filter": true}

// filterMpop returns the lines that are compared.
func filterMpop(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if name, _, _ := strings.Cut(line, " = "); mpopDumped[name] {
			b.WriteString(line)
		}
	}
	return b.String()
}

// dumpMpop returns what filterMpop returns, of what we have read.
func dumpMpop(accounts []*mpopAccount) string {
	var b strings.Builder
	for _, a := range accounts {
		line := func(name, value string) { fmt.Fprintf(&b, "%s = %s\n", name, value) }
		text := func(name string) string { return cmp.Or(a.text(name), "(not set)") }
		flag := func(name string, preset bool) {
			line(name, map[bool]string{true: "on", false: "off"}[a.on(name, preset)])
		}
		size := func(name string) {
			n, err := mpopSize(a.text(name))
			line(name, map[bool]string{true: fmt.Sprint(n), false: "off"}[err == nil])
		}
		line("host", a.text("host"))
		port := a.text("port")
		if port == "" {
			port = "110"
			if a.on("tls", false) && !a.on("tls_starttls", true) {
				port = "995"
			}
		}
		line("port", port)
		line("user", text("user"))
		flag("tls", false)
		flag("tls_starttls", true)
		line("tls_host_override", text("tls_host_override"))
		method, argument := splitMpop(a.text("delivery"))
		line("delivery", method+" "+argument)
		line("uidls file", "/home/tester/.mpop_uidls/"+a.text("user")+"_at_"+a.text("host"))
		flag("only_new", true)
		flag("keep", false)
		size("killsize")
		size("skipsize")
		line("filter", text("filter"))
	}
	return b.String()
}
