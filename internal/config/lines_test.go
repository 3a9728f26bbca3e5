package config

import (
	"fmt"
	"strings"
	"testing"
)

// TestIndexLines has documents in which keys look like values. FuzzLines compares with the TOML
// package.
func TestIndexLines(t *testing.T) {
	tests := []struct{ name, document, want string }{
		{"empty", "", ""},
		{"comments and blanks", "# a = 1\n\n  b = 1 # c = 2\r\n\tc = 1", "3:b 4:c"},
		{"tables", "[a]\nb = 1\n[ a . c ]\nd = 1\n[[e]]\nf = 1", "1:a 2:a.b 3:a.c 4:a.c.d 5:e 6:e.f"},
		{"dotted", "a.b = 1\na . c = 1", "1:a.b 2:a.c"},
		{"quoted", `"a b".'c.d'."" = 1` + "\n" + `"\u0062" = "= x"`, `1:"a b"."c.d"."" 2:b`},
		{"table in text", "a = \"\"\"\n[b]\n\\\"\"\"\nc = 1\"\"\"\"\"\nd = 1", "1:a 5:d"},
		{"table in raw text", "a = '''\n[b]\n\\'''''\nd = 1", "1:a 4:d"},
		{"quote in text", `a = "\"#"` + "\nb = '\\'\nc = 1", "1:a 2:b 3:c"},
		{"list", "a = [\n[1, 2], # ]\n\"]\",\n]\nb = 1", "1:a 5:b"},
		{"inline table", "a = {b = 1,\nc = {d = [{e = 1}, {e = 2}]}}\nf = 1", "1:a 1:a.b 2:a.c 2:a.c.d 2:a.c.d.e 2:a.c.d.e 3:f"},
		{"date", "a = 1979-05-27 07:32:00\nb = 1", "1:a 2:b"},
		{"byte order mark", "\xef\xbb\xbfa = 1", "1:a"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, k := range indexLines(test.document) {
				got = append(got, fmt.Sprintf("%d:%s", k.line, dotted(k.path...)))
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("indexLines() = %v, want %s", got, test.want)
			}
		})
	}
}

// TestIndexLines_lines has a table without a line, and one whose header comes after its keys.
func TestIndexLines_lines(t *testing.T) {
	lines := indexLines("[a.b]\nc = 1\n[a]\nd = 1\n[account.work]\nx.y.z = 1").lines()
	tests := map[string]int{"a.b": 1, "a.b.c": 2, "a": 3, "a.d": 4, "account": 5, "account.work": 5, "account.work.x": 6, "none": 0}
	for name, want := range tests {
		if got := lines[name]; got != want {
			t.Errorf("%s is at line %d, want %d", name, got, want)
		}
	}
}

func TestIndexLines_below(t *testing.T) {
	index := indexLines("account.z.a = 1\n[account.\"b.c\"]\n[x.y]\n[account.z.d]\n[account.a]")
	if got, want := strings.Join(index.below("account"), " "), "z b.c a"; got != want {
		t.Errorf("below() = %s, want %s", got, want)
	}
}
