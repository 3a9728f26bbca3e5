package foreign

import (
	"os/exec"
	"strings"
	"testing"
)

// TestSplice runs the commands that splice makes by the shell, and looks at the words that arrive.
func TestSplice(t *testing.T) {
	const sender = `a'b "c" $d`
	for command, want := range map[string]string{
		`f %F %T`:           "[f][" + sender + "][it's $x]",
		`f '%F' "%T"`:       "[f][" + sender + "][it's $x]",
		`f 'x%F' "y %T z"`:  "[f][x" + sender + "][y it's $x z]",
		`f -f%F x\ %T '%T`:  "", // as broken as before
		`f '%F%F'`:          "[f][" + sender + sender + "]",
		`f \%F \\%F "\"%F"`: `[f][%F][\` + sender + `]["` + sender + "]",
		`f "'%F'"`:          "[f]['" + sender + "']",
		`f %P %P'%P'"%P"`:   "[f][plain][plainplainplain]",
		`f "$(echo %F)"`:    "[f][" + sender + "]",
	} {
		spliced := splice(command, map[string]string{
			"%F": "$SENDER", "%T": inDoubleQuotes("it's $x"), "%P": "plain",
		})
		script := `printf "[%s]" ` + spliced
		shell := exec.Command("/bin/sh", "-c", script)
		shell.Env = []string{"SENDER=" + sender, "PATH=/usr/bin:/bin"}
		got, err := shell.Output()
		if want == "" {
			if err == nil {
				t.Errorf("splice(%q) = %q, which the shell takes", command, spliced)
			}
			continue
		}
		if err != nil || string(got) != want {
			t.Errorf("splice(%q) = %q, the shell reads %s (%v), want %s", command, spliced, got, err, want)
		}
	}
}

// TestQuote has the shell read words.
func TestQuote(t *testing.T) {
	words := []string{"a", "", "it's", `$HOME "x" \`, "`id`", "-n", "a\nb", "é*?", "~", "#x", "a=b",
		"!x"}
	var quoted []string
	for _, word := range words {
		quoted = append(quoted, quote(word))
	}
	got, err := exec.Command("/bin/sh", "-c", `printf "[%s]" `+strings.Join(quoted, " ")).Output()
	if want := "[" + strings.Join(words, "][") + "]"; err != nil || string(got) != want {
		t.Errorf("the shell reads %s (%v), want %s", got, err, want)
	}
}
