package foreign

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// addedAccount matches the line that fdm -vv prints for an account of POP3.
var addedAccount = regexp.MustCompile(`added account "(.*)": fetch=pop3s? server "(.*)" port (\S+) user "(.*)"`)

// TestFdm_verbose compares the accounts that are read of fdm's configuration with those that fdm
// itself adds, of files that are made of its words by chance.
func TestFdm_verbose(t *testing.T) {
	fdm := realProgram(t, "fdm")
	draw := rand.New(rand.NewPCG(15, 5)) // the same words in each run
	valid := 0
	for range 200 {
		text := drawFdm(draw)
		home := t.TempDir()
		file := filepath.Join(home, ".fdm.conf")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		command := exec.Command(fdm, "-n", "-vv", "-u", whoami(), "-f", file)
		command.Env = []string{"HOME=" + home}
		output, err := command.CombinedOutput()
		if err != nil { // we take more than fdm does: rules are passed over
			continue
		}
		valid++
		var want, got strings.Builder
		for _, m := range addedAccount.FindAllStringSubmatch(string(output), -1) {
			port := strings.NewReplacer("pop3s", "995", "pop3", "110").Replace(m[3])
			fmt.Fprintf(&want, "%s %q %s %q\n", m[1], m[2], port, m[4])
		}
		found, err := Read("fdm", []string{file}, Env{Home: home})
		if err != nil {
			t.Fatalf("%v; fdm takes:\n%s", err, text)
		}
		for _, a := range found.Accounts {
			fmt.Fprintln(&got, fdmLine(a))
		}
		if got.String() != want.String() {
			t.Fatalf("of:\n%s\nwe read:\n%s\nfdm reads:\n%s", text, got.String(), want.String())
		}
	}
	if valid < 50 {
		t.Errorf("only %d files were valid", valid)
	}
}

// fdmLine writes an account as the test compares it.
func fdmLine(a Account) string {
	port := "110"
	for _, s := range a.Settings {
		_, explicit, isExplicit := strings.Cut(fmt.Sprint(s.Value), ":")
		switch {
		case s.Key == "server" && isExplicit:
			return fmt.Sprintf("%s %q %s %q", a.Label, a.Server, explicit, a.User)
		case s.Key == "tls" && s.Value == implicitTLS:
			port = "995"
		}
	}
	return fmt.Sprintf("%s %q %s %q", a.Label, a.Server, port, a.User)
}

// drawFdm makes a file that is often valid.
func drawFdm(draw *rand.Rand) string {
	var b strings.Builder
	pick := func(words ...string) string { return words[draw.IntN(len(words))] }
	text := func() string {
		return pick(`"a"`, `'b${x}'`, `"c${x}"`, "$x", `"d\"e"`, `"f$x"`, `"g%{n}"`, `"h\\i"`, "'j\"k'",
			"${x}")
	}
	b.WriteString("$x = \"xx\"\n%n = 2000\n")
	for i := range 1 + draw.IntN(5) {
		switch draw.IntN(7) {
		case 0:
			b.WriteString("$x = " + pick(`"new"`, `'y'`, `"z${x}"`) + "\n")
		case 1:
			b.WriteString("set " + pick("maximum-size 10M", "timeout 5 minutes", "lock-types fcntl",
				"timeout 30") + "\n")
		case 2:
			b.WriteString(pick("ifdef", "ifndef") + " " + pick("$x", "$q", "${x}") +
				"\n# comment\n$x = \"defined\"\nendif\n")
		case 3:
			fmt.Fprintf(&b, "action \"t%d\" %s\nmatch %s action \"t%d\"\n", i,
				pick(`pipe "x > 'y'"`, "drop", `maildir "%h/x"`), pick("all", `"^To:.*$x" in headers`, `case "a" and not "b" in body`), i)
		default:
			fmt.Fprintf(&b, "account \"n%d\"%s %s server \"s%d\" %s user %s pass %s %s\n", i,
				pick("", " disabled"), pick("pop3", "pop3s"), i,
				pick("", "port 1995", "port %n", `port "pop3s"`, `port "110"`), text(), text(), pick("", "keep", "no-apop", `new-only cache "c"`, "no-uidl keep"))
		}
	}
	return b.String()
}
