package config

import (
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// TestSyntaxError has mistakes that people make. testdata/bad has more of them.
func TestSyntaxError(t *testing.T) {
	tests := []struct{ document, want string }{
		{"a = hunter", "1: " + wrongValue},
		{"a = 1\nb =", "2: " + wrongValue},
		{"a = # x", "1: " + wrongValue},
		{"a = [1, hunter]", "1: " + wrongValue},
		{"a = \"x\"\nb = {c = hunter}", "2: " + wrongValue},
		{"a = true hunter", "1: " + wrongBehind},
		{"a = \"hun\"ter\"", "1: " + wrongBehind},
		{"a = 1, b = 2", "1: " + wrongBehind},
		{"[a] b = 1", "1: " + wrongBehind},
		{"a = \"hun\\ter\\q\"", "1: " + wrongEscape},
		{"a = \"\\u12\"", "1: " + wrongDigits},
		{"a = \"\\u12hunter\"", "1: " + wrongDigits},
		{"a = \"\\\\ \\ud800\"", "1: " + wrongRune},
		{"a = \"\"\"\nx\n\\q\"\"\"", "3: " + wrongEscape},
		{"a = \"hunter\nb = 1", "1: " + wrongQuotes},
		{"a = 'hunter\nb = 'x'", "1: " + wrongQuotes},
		{"\"a = 1\nb = 1", "1: " + wrongQuotes},
		{"a = 1hunter", "1: " + wrongNumber},
		{"a = 007", "1: " + wrongNumber},
		{"a = 99999999999999999999", "1: " + wrongRange},
		{"a = 2024-13-01", "1: " + wrongDate},
		{"a = 25:00:00", "1: " + wrongDate},
		{"a = \"b\xff\"", "1: " + wrongEncoding},
		{"\xff\xfea\x00 \x00=\x00 \x001\x00", "1: " + wrongEncoding},
		{"a = 1 # \x01", "1: " + wrongControl},
		{"a = \"\x7f\"", "1: " + wrongControl},
		{"a = '''\nx", "2: " + wrongEnd},
		{"a = [1,\n", "1: " + wrongEnd},
		{"a = 1\n[b", "2: " + wrongItem},
		{"= 1", "1: " + wrongItem},
		{"user \"x\"", "1: " + wrongItem},
		{"a = 1\nb = 1\na = 2", "3: key 'a' has already been defined; remove or rename one of the two"},
		{"a.b = 1\na = {c = 1}", "2: key 'a' has already been defined; remove or rename one of the two"},
		{"[a]\n[b]\n[a]", "3: key 'a' has already been defined; remove or rename one of the two"},
		{"a = 1\n[a.b]", "2: key 'a' has already been defined; remove or rename one of the two"},
		{"a.\"b c\" = 1\na.'b c'.d = 1", "2: key 'a.\"b c\"' has already been defined; remove or rename one of the two"},
		{"[a.b]\nc = 1\n[a]\nb = 1", "4: key 'a.b' has already been defined; remove or rename one of the two"},
		{"[[a]]\nb = 1\n[[a]]\nb = 1\nb = 2", "5: key 'a.b' has already been defined; remove or rename one of the two"},
		{"a = {b = 1, b = 2}", "1: key 'a.b' has already been defined; remove or rename one of the two"},
	}
	for _, test := range tests {
		var decoded map[string]any
		_, err := toml.Decode(test.document, &decoded)
		if err == nil {
			t.Errorf("%q is TOML", test.document)
			continue
		}
		got := syntaxError("f", test.document, err).Error()
		if want := "f:" + strings.Replace(test.want, ": ", ": not TOML: ", 1); got != want {
			t.Errorf("of %q: %s\nwant %s", test.document, got, want)
		}
	}
}
