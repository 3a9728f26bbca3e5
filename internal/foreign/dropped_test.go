package foreign

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestFetchmail_nothingDropped adds each option to a file, and looks whether it makes a difference: a
// setting or a note. Only these options say what popfetch does anyway.
func TestFetchmail_nothingDropped(t *testing.T) {
	same := strings.Fields("uidl dns sslcertck pass8bits")
	values := map[valueKind]string{textValue: "x", numberValue: "7", listValue: "x", numbersValue: "571",
		namesValue: "x y here", portValue: "1995", envelopeValue: "X-To"}
	words := map[string]string{"protocol": "apop", "auth": "ntlm", "bad-header": "accept",
		"sslproto": "tls1.3", "smtphost": "127.0.0.1", "sslfingerprint": `"00:11"`}
	text := func(name string, kind valueKind) string {
		if word := words[name]; word != "" {
			return name + " " + word + " "
		}
		return name + " " + values[kind] + " "
	}
	const begin, end = "poll pop.example.org proto pop3 ", "user alice pass abc123 "
	plain := readText(t, "fetchmail", ".fetchmailrc", begin+end)
	check := func(name, file string) {
		t.Helper()
		if got := readText(t, "fetchmail", ".fetchmailrc", file); (got == plain) != slices.Contains(same, name) {
			t.Errorf("the option %s makes no difference, or one that it should not make", name)
		}
	}
	for name, kind := range serverOptions {
		if name == "port" {
			kind = portValue
		}
		check(name, begin+text(name, kind)+end)
	}
	for name, kind := range userOptions {
		check(name, begin+end+text(name, kind))
	}
	for name, kind := range globalOptions {
		check(name, begin+end+"set "+text(name, kind))
	}
}

// TestMpop_nothingDropped does the same with the commands of mpop.
func TestMpop_nothingDropped(t *testing.T) {
	same := strings.Fields("tls tls_starttls only_new pipelining tls_certcheck")
	values := map[string]string{"auth": "ntlm", "delivery": "mda x", "killsize": "5", "skipsize": "6",
		"timeout": "7", "port": "1110", "host": "other", "tls_fingerprint": "00:11", "uidls_file": "~/u"}
	const begin = "account a\nhost pop.example.org\nuser alice\npassword abc123\ntls on\n"
	plain := readText(t, "mpop", ".mpoprc", begin)
	for command := range mpopCommands {
		value, found := values[command]
		if !found {
			value = "on"
		}
		file := begin + command + " " + value + "\n"
		if command == "proxy_port" {
			file += "proxy_host x\n"
		}
		if got := readText(t, "mpop", ".mpoprc", file); (got == plain) != slices.Contains(same, command) {
			t.Errorf("the command %s makes no difference, or one that it should not make", command)
		}
	}
}

// readText reads a file of this text in a home folder, and describes what is found.
func readText(t *testing.T, program, name, text string) string {
	t.Helper()
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := Read(program, nil, Env{Home: home, Getenv: func(name string) string {
		return map[string]string{"USER": "tester"}[name]
	}})
	if err != nil {
		t.Fatalf("%v, of:\n%s", err, text)
	}
	return strings.ReplaceAll(describe(found, nil), home, "HOME")
}
