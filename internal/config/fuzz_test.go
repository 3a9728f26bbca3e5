package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// addSeeds adds all configurations of testdata, and some unusual TOML.
func addSeeds(f *testing.F) {
	f.Helper()
	files, err := filepath.Glob("testdata/*/*.toml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, "../../config.example.toml") {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	for _, text := range awkwardTOML {
		f.Add(text)
	}
}

var awkwardTOML = []string{
	"",
	"\xef\xbb\xbfa = 1",
	"a.b.c = 1\r\na.d = 2\r\n",
	"[ a . \"b.c\" . 'd' ]\n\"\\u00e9\\\"\" = 1 # [x]\n",
	"a = [\n # ]\n {b = 1, c.d = 2},\n {b = \"}\"},\n]\n[[t]]\nx = 1\n[[t]]\nx = 2\n",
	"a = \"\"\"\n[b]\nc = 1\\\"\"\"\"\"\"\nd = 1",
	"a = ''''''\nb = '''x'''''\nc = \"\"\"\"\"\"\n",
	"a = \"\\\\\"\nb = '\\'\n",
	"a = 1979-05-27 07:32:00 # x\nb = 1_000\nc = [1, [2, \"]\"], ]\n",
	"a = {b = {c = 1},\n d = 2, # x\n}\n'' = 1\n\"\" . x = 2\n",
	"[account.work]\npassword = hunter2",
	"[account.work]\nserver = \"h\"\nuser = \"u\"\nmaildir = \"/m\"\nproxy = \"socks5://al%20%ffice:%00p@[::1]:1080/\"",
	"account = {work = {server = \"h\", user = \"u\", maildir = \"/m\"}}",
}

// FuzzLines compares the index of lines with the keys that the TOML package finds.
func FuzzLines(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, document string) {
		index := indexLines(document) // must not panic or hang, whatever the document is
		var decoded map[string]any
		meta, err := toml.Decode(document, &decoded)
		if err != nil {
			if text := syntaxError("f", document, err).Error(); !strings.Contains(text, "; ") {
				t.Errorf("of %q: %s, which has no mend", document, text)
			}
			return
		}
		s := newLineScanner(document)
		s.broken = func(mistake string) { t.Errorf("of %q, which is TOML: %s", document, mistake) }
		s.scalar = func(text string) {
			if mistake := wrongScalar(text); mistake != "" {
				s.broken(mistake)
			}
		}
		for s.next() {
			s.item()
		}
		var got, want [][]string
		last := 1
		for _, k := range index {
			got = append(got, k.path)
			if k.line < last || k.line > strings.Count(document, "\n")+1 {
				t.Errorf("%q is at line %d after line %d", k.path, k.line, last)
			}
			last = k.line
		}
		for _, k := range meta.Keys() {
			want = append(want, k)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("indexLines(%q) has the keys %q, want %q", document, got, want)
		}
	})
}

// FuzzLoad checks that any file is refused or accepted properly. A refusal names the place. An
// accepted configuration can be written by Write and read back by Load.
func FuzzLoad(f *testing.F) {
	addSeeds(f)
	path := filepath.Join(f.TempDir(), "config.toml")
	f.Fuzz(func(t *testing.T, document string) {
		cfg, err := loadText(path, document)
		if err != nil {
			var mistakes Errors
			if !errors.As(err, &mistakes) || len(mistakes) == 0 {
				t.Fatalf("Load() = %#v, want Errors", err)
			}
			for _, m := range mistakes {
				if m.Line > strings.Count(document, "\n")+1 || !strings.Contains(m.Err.Error(), "; ") {
					t.Errorf("mistake %q lacks its line or mend", m)
				}
			}
			return
		}
		if cfg.include != nil {
			return // what Write writes has the accounts of all files
		}
		for i, a := range cfg.Accounts {
			if a.User == "" || a.Server == "" || (a.Kind() == "") == (len(a.Deliver) == 0) || a.Timeout <= 0 {
				t.Errorf("account %d is not whole: %#v", i, a)
			}
			if a.Password.Password != "" {
				cfg.Accounts[i].Password.Password = "***"
			}
			mask(&cfg.Accounts[i].Target)
			if a.Proxy.Password != "" {
				cfg.Accounts[i].Proxy.Password = "***"
			}
		}
		var written strings.Builder
		if err := cfg.Write(&written); err != nil {
			t.Fatal(err)
		}
		again, err := loadText(path, written.String())
		if err != nil {
			t.Fatalf("Load() of what Write wrote: %v\n%s", err, written.String())
		}
		for i := range cfg.Targets {
			mask(&cfg.Targets[i])
		}
		again.main, again.homes, cfg.main, cfg.homes = nil, nil, nil, nil
		again.targetHomes, cfg.targetHomes = nil, nil
		if !reflect.DeepEqual(again, cfg) {
			t.Errorf("Load() of what Write wrote = %#v\nwant %#v", again, cfg)
		}
	})
}

// mask does to the password of a target what Write does.
func mask(t *Target) {
	if t.IMAPPassword.Password != "" {
		t.IMAPPassword.Password = "***"
	}
}

// loadText loads a document from the file at path.
func loadText(path, document string) (*Config, error) {
	if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
		return nil, err
	}
	return Load(path)
}
