package foreign

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestGlobsOf compares patterns with the regular expressions that they come from, on addresses that
// are drawn by chance.
func TestGlobsOf(t *testing.T) {
	tests := []struct {
		expression string
		want       []string // nil: there are none
	}{
		{"jason@example.org", []string{"*jason@example?org*"}},
		{`^sales@example\.org$`, []string{"sales@example.org"}},
		{"abuse@(example.org|example.net)", []string{"*abuse@example?org*", "*abuse@example?net*"}},
		{"^(a|b)+@x", nil},
		{"^.*@x$", []string{"*@x"}},
		{"^.+@x$", []string{"?*@x"}},
		{"^a?b[cd]$", []string{"abc", "abd", "bc", "bd"}},
		{"", []string{"*"}},
		{"^$", nil},
		{"x$y", nil},
		{"a^b", nil},
		{"[^@]+@x", nil},
		{`a\*b`, nil},
		{"(?=x)a", nil},
		{"(", nil},
		{"a b", nil},
		{"^(ab|cd)(ef|gh)(ij|kl)(mn|op)(qr|st)(uv|wx)$", nil},
	}
	draw := rand.New(rand.NewPCG(16, 1)) // the same addresses in each run
	for _, tt := range tests {
		got, exact := globsOf(tt.expression)
		if !slices.Equal(got, tt.want) || exact != (tt.want != nil) {
			t.Errorf("globsOf(%q) = %q, %t, want %q", tt.expression, got, exact, tt.want)
		}
		if !exact {
			continue
		}
		expression := regexp.MustCompile("(?i)" + tt.expression)
		for range 2000 {
			var text strings.Builder
			for range draw.IntN(12) {
				text.WriteByte("abcdeghijkl@x.org"[draw.IntN(17)])
			}
			address := text.String()
			if n := draw.IntN(4); n < len(got) {
				address = strings.NewReplacer("*", address, "?", "q").Replace(got[n])
			}
			matches := slices.ContainsFunc(got, func(glob string) bool { return matchesGlob(glob, address) })
			if matches != expression.MatchString(address) {
				t.Errorf("%q: %q match %q: %t, the expression: %t", tt.expression, got, address, matches, !matches)
			}
		}
	}
}

// matchesGlob matches as package deliver does.
func matchesGlob(glob, text string) bool {
	pattern := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(glob))
	return regexp.MustCompile("(?is)^" + pattern + "$").MatchString(text)
}
