package deliver

import (
	"regexp"
	"strings"
	"testing"
)

func TestNewName(t *testing.T) {
	pattern := regexp.MustCompile(`^[0-9]+\.` + token(1).String() + `Q[0-9]+P[0-9]+\.[!-~]+$`)
	first, second := newName(token(1)), newName(token(1))
	if !pattern.MatchString(first) || strings.ContainsAny(first, "/:,") {
		t.Errorf("newName() = %q, want it to match %v without / : ,", first, pattern)
	}
	if first == second {
		t.Errorf("newName() = %q twice, want two names", first)
	}
}

func TestEscapeHost(t *testing.T) {
	for host, want := range map[string]string{
		"mail.example.org":       "mail.example.org",
		"a/b:c,d":                `a\057b\072c\054d`,
		"a b\n\xc3\xa9\x7f":      `a\040b\012\303\251\177`,
		strings.Repeat("h", 300): strings.Repeat("h", maxHost),
		strings.Repeat("/", 64):  strings.Repeat(`\057`, maxHost/4),
	} {
		if got := escapeHost(host); got != want {
			t.Errorf("escapeHost(%q) = %q, want %q", host, got, want)
		}
	}
}

func TestParseName(t *testing.T) {
	name := withOctets(newName(token(1)), 1234)
	for _, suffix := range []string{"", ":2,", ":2,S", ":2,FRS", ",W=1300", ",W=1300:2,S", ":1,x", ":2,,S=9"} {
		got, ok := parseName(name + suffix)
		want := fileName{token: token(1), octets: 1234, stem: name}
		if !ok || got != want {
			t.Errorf("parseName(%q) = %v, %v, want %v", name+suffix, got, ok, want)
		}
	}
	for _, odd := range []string{
		"", ".", "..", "a", "1.2.3", "1.Q", name[:40], ":2,S",
		strings.Replace(name, "Q", "M", 1),
		strings.Replace(name, token(1).String(), strings.Repeat("z", 32), 1),
		strings.Replace(name, ",S=", ",T=", 1),
		strings.Replace(name, "S=1234", "S=", 1),
		strings.Replace(name, "S=1234", "S=-1", 1),
		strings.Replace(name, "S=1234", "S=99999999999999999999", 1),
		strings.Replace(name, ",S=1234", ":2,S=1234", 1),
	} {
		if got, ok := parseName(odd); ok {
			t.Errorf("parseName(%q) = %v, want nothing", odd, got)
		}
	}
}
