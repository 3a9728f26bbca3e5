package config

import (
	"strings"
	"testing"
)

// TestServer_written loads names with letters outside ASCII, and names of ASCII that the rules for
// the former would refuse. The latter stay as they are.
func TestServer_written(t *testing.T) {
	for _, test := range []struct{ text, server, written string }{
		{"pop.müller.example", "pop.xn--mller-kva.example:995", "pop.müller.example:995"},
		{"Pop.MÜLLER.Example:1995", "pop.xn--mller-kva.example:1995", "Pop.MÜLLER.Example:1995"},
		{"pop.mu\u0308ller.example", "pop.xn--mller-kva.example:995", "pop.mu\u0308ller.example:995"},
		{"straße.example", "xn--strae-oqa.example:995", "straße.example:995"},
		{"例え。テスト", "xn--r8jz45g.xn--zckzah:995", "例え。テスト:995"},
		{"bücher.example.", "xn--bcher-kva.example.:995", "bücher.example.:995"},
		{"xn--mller-kva.Example", "xn--mller-kva.example:995", "xn--mller-kva.example:995"},
		{"xn--zzzzzzzz_.example", "xn--zzzzzzzz_.example:995", "xn--zzzzzzzz_.example:995"},
		{"_pop-.a--b.Example", "_pop-.a--b.example:995", "_pop-.a--b.example:995"},
	} {
		text := "[account.work]\nserver = '" + test.text + "'\ntls_server_name = '" + strings.TrimSuffix(test.text, ":1995") + "'\nuser = 'alice'\nmaildir = '/m'\n"
		cfg, err := Load(writeConfig(t, text))
		if err != nil {
			t.Errorf("Load() = %v", err)
			continue
		}
		a := &cfg.Accounts[0]
		if a.Server != test.server || a.WrittenServer() != test.written {
			t.Errorf("the server %q is %q, shown as %q, want %q and %q", test.text, a.Server, a.WrittenServer(), test.server, test.written)
		}
		if want, _, _ := strings.Cut(test.server, ":"); a.TLSServerName != want {
			t.Errorf("tls_server_name is %q, want %q", a.TLSServerName, want)
		}
		var written strings.Builder
		if err := cfg.Write(&written); err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(strings.TrimSuffix(test.written, ":995"), ":1995")
		for _, line := range []string{"server = \"" + test.written + "\"\n", "tls_server_name = \"" + name + "\"\n"} {
			if !strings.Contains(written.String(), line) {
				t.Errorf("Write() = %s\nwant the line %s", written.String(), line)
			}
		}
	}
}

func TestServer_refused(t *testing.T) {
	for _, text := range []string{"bü_cher.example", "-bücher.example", "a\u202eü.example", "ü..example", ".ü", "\u00ad", "ü b", "ü\xff.example", "xn--\u00fc",
		strings.Repeat("ü", 60) + ".example", strings.Repeat("ü.", 200)} {
		name, written, err := value{raw: text}.address()
		if err == nil || !strings.Contains(err.Error(), "; ") || !strings.Contains(err.Error(), "is no host name") {
			t.Errorf("address() of %q = %q, %q, %v, want an error that says what to write", text, name, written, err)
		}
	}
}

// TestOneShot_written: the account is called by the name that a person has written.
func TestOneShot_written(t *testing.T) {
	cfg, err := OneShot(map[string]string{"server": "pop://alice@pop.müller.example", "maildir": "m", "tls": "none"})
	if err != nil {
		t.Fatal(err)
	}
	a := &cfg.Accounts[0]
	if a.Name != "alice@pop.müller.example" || a.Server != "pop.xn--mller-kva.example:110" || a.WrittenServer() != "pop.müller.example:110" {
		t.Errorf("OneShot() has the account %q at %q, shown as %q", a.Name, a.Server, a.WrittenServer())
	}
}
