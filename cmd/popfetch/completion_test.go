package main

import (
	"os"
	"os/exec"
	"testing"
)

// needShell skips the test if a shell is not installed. With POPFETCH_TEST_SHELLS=1 the test fails.
func needShell(t *testing.T, shell string) {
	t.Helper()
	if _, err := exec.LookPath(shell); err == nil {
		return
	}
	if os.Getenv("POPFETCH_TEST_SHELLS") == "1" {
		t.Fatalf("POPFETCH_TEST_SHELLS=1, but %s is not installed", shell)
	}
	t.Skipf("%s is not installed", shell)
}

// A person types the beginning of a word and the tabulator, in a real shell on a real terminal. The
// script completion.txtar looks at more cases, and at fish, which can complete without a terminal.
func TestCompletion_shells(t *testing.T) {
	t.Parallel()
	needShell(t, "fish") // the script skips it silently
	const file = "[account.\"Old Mail\"]\nserver = 'h'\nuser = 'u'\nmaildir = 'm'\npassword_command = 'touch asked'\n"
	for shell, test := range map[string]struct {
		rc   string // the file that it reads first
		load string
		args []string
	}{
		"bash": {"rc", "PS1='ready> '\nbind 'set enable-bracketed-paste off'\nsource <(popfetch completion bash)\n", []string{"--noprofile", "--rcfile", "rc", "-i"}},
		"zsh":  {".zshrc", "PS1='ready> '\nunset zle_bracketed_paste\nunsetopt prompt_cr prompt_sp\nbindkey -e\nautoload -U compinit\ncompinit -u\nsource <(popfetch completion zsh)\n", []string{"-i"}},
	} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			needShell(t, shell)
			home := t.TempDir()
			writeTree(t, home, map[string]string{test.rc: test.load, initFile: file, "other.toml": "[account.other]\nserver = 'h'\nuser = 'u'\nmaildir = 'm'\n"})
			c := &conversation{pseudoTerminal: newTerminalPair(t), home: home}
			c.command = c.startIn(home, []string{"ZDOTDIR=" + home, "TERM=dumb", "INPUTRC=/dev/null", "LC_ALL=C.UTF-8"}, shell, test.args...)
			for _, line := range [][2]string{
				{"popfetch che\tO\t", "popfetch check Old Mail"},
				{"popfetch seen forget Ol\t--quar\t", "popfetch seen forget Old Mail --quarantined"},
				{"popfetch -c other.toml list o\t", "popfetch -c other.toml list other"},
				{"popfetch --tls=s\t", "popfetch --tls=starttls"},
				{"popfetch ini\t", "popfetch init"},
			} {
				c.answer("ready> ", line[0]+"\x01echo \n") // at the beginning of the line
				c.expect("\n" + line[1])
			}
			c.answer("ready> ", "exit\n")
			c.end(0)
			if c.file("asked") != "" {
				t.Error("the password command was run")
			}
		})
	}
}
