package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/popfetch/popfetch/internal/poptest"
)

// These are the texts of a server: a word far longer than 256 octets, and octets that are harmful
// on a terminal.
var (
	longText    = strings.Repeat("Z", 2000)
	hostileText = "\x1b[2J\x07\x9b31m\xc2\x9b\u202e\x00 " + longText
)

// checkForeign fails the test if octets have a control character, or too much of one text of a
// server. Unique-ids consist of other letters, because data shows them whole.
func checkForeign(t *testing.T, where string, octets []byte) {
	t.Helper()
	for _, run := range regexp.MustCompile("Z+").FindAll(octets, -1) {
		if len(run) > 256 {
			t.Errorf("%s repeats %d octets of the server, want 256 at most", where, len(run))
		}
	}
	for rest := octets; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		if r == utf8.RuneError && size == 1 || !unicode.IsPrint(r) && r != '\n' && r != '\t' {
			t.Errorf("%s has %q unescaped: %.300q", where, rest[:size], octets)
			return
		}
		rest = rest[size:]
	}
}

// TestForeignText makes a server send long texts with control characters, at every place. No
// command may print such a text as it is (security list: no server text unescaped or longer than
// 256 octets; behaviour 26).
func TestForeignText(t *testing.T) {
	t.Parallel()
	hostileID := strings.Repeat("\x1bu", 500) + "\xff"
	refuse := poptest.Refuse("[" + longText + "] " + hostileText)
	capabilities := "+OK " + hostileText + "\r\nUIDL\r\nUSER\r\nTOP\r\nSASL PLAIN\r\n" + hostileText + "\r\nX " + hostileText + "\r\n.\r\n"
	for _, test := range []struct {
		name     string
		cmd      string // the first words of the command to answer; "" for the greeting
		action   poptest.Action
		maildrop poptest.Message
		lines    string
	}{
		{name: "greeting", action: poptest.Reply([]byte("+OK " + hostileText + "\r\n"))},
		{name: "greeting refused", action: refuse},
		{name: "greeting foreign", action: poptest.Reply([]byte(hostileText + "\r\n"))},
		{name: "capabilities", cmd: "CAPA", action: poptest.Reply([]byte(capabilities))},
		{name: "capabilities, many", cmd: "CAPA", action: poptest.Reply([]byte("+OK\r\nUSER\r\n" + strings.Repeat("Y"+longText+"\r\n", 900) + ".\r\n"))},
		{name: "mechanisms", cmd: "CAPA", action: poptest.Reply([]byte("+OK\r\nSASL " + hostileText + "\r\n.\r\n"))},
		{name: "log-in refused", cmd: "AUTH", action: refuse},
		{name: "challenge", cmd: "AUTH", action: poptest.Reply([]byte("+ " + hostileText + "\r\n"))},
		{name: "STAT refused", cmd: "STAT", action: refuse},
		{name: "STAT odd", cmd: "STAT", action: poptest.Reply([]byte("+OK " + hostileText + "\r\n"))},
		{name: "LIST refused", cmd: "LIST", action: refuse},
		{name: "LIST odd", cmd: "LIST", action: poptest.Reply([]byte("+OK\r\n1 " + hostileText + "\r\n" + hostileText + "\r\n.\r\n"))},
		{name: "UIDL refused", cmd: "UIDL", action: refuse},
		{name: "UIDL odd", cmd: "UIDL", action: poptest.Reply([]byte("+OK\r\n1 " + hostileText + "\r\n" + hostileText + "\r\n.\r\n"))},
		{name: "UIDL twice", cmd: "UIDL", action: poptest.Reply([]byte("+OK\r\n1 a\r\n1 " + hostileText + "\r\n.\r\n"))},
		{name: "unique-id", cmd: "UIDL", action: poptest.Reply([]byte("+OK\r\n1 " + hostileID + "\r\n.\r\n"))},
		{name: "unique-id and RETR refused", cmd: "RETR", action: refuse, maildrop: poptest.Message{UniqueID: "i", Content: []byte("Subject: x\r\n\r\nx\r\n")}},
		{name: "RETR odd", cmd: "RETR", action: poptest.Reply([]byte(hostileText + "\r\n"))},
		{name: "message", cmd: "-", maildrop: poptest.Message{UniqueID: "i", Content: []byte("Subject: " + hostileText + "\r\nMessage-ID: <" + hostileText + ">\r\n\r\n" + hostileText + "\r\n")}},
		{name: "message through an MDA that repeats it", cmd: "-", lines: "mda = 'cat; cat >&2; exit 1'",
			maildrop: poptest.Message{UniqueID: "i", Content: []byte("Subject: " + hostileText + "\r\n\r\n" + hostileText + "\r\n")}},
		{name: "DELE refused", cmd: "DELE", action: refuse, lines: "delete = 'delivered'"},
		{name: "QUIT refused", cmd: "QUIT", action: refuse},
		{name: "STLS refused", cmd: "STLS", action: refuse, lines: "tls = 'starttls'"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			messages := poptest.Numbered(1, 500)
			if test.maildrop.Content != nil {
				messages = []poptest.Message{test.maildrop}
			}
			a := newAccount(t, messages)
			a.Configure(func(c *poptest.Config) {
				c.Hook = func(_ *poptest.Session, cmd string) poptest.Action {
					if test.cmd == "" && cmd == "" || test.cmd != "" && strings.HasPrefix(cmd, test.cmd) {
						return test.action
					}
					return poptest.Action{}
				}
			})
			writeFiles(t, a.dir, map[string]string{"config.toml": accountText(a, test.lines)})
			for _, args := range []string{
				"check", "check --json", "list", "list --json", "--once --dry-run", "--once --dry-run --json", "--once -vv", "--once -vv --json --all",
				"seen list", "seen list --json", "seen mark work --all",
			} {
				c := a.command(t, strings.Fields(args)...)
				var out, said bytes.Buffer
				c.Stdout, c.Stderr = &out, &said
				if status := exitOf(t, c.Run()); status == 70 || status > 78 {
					t.Errorf("%s: exit status = %d", args, status)
				}
				checkForeign(t, args+": standard output", out.Bytes())
				checkForeign(t, args+": standard error", said.Bytes())
				for line := range strings.Lines(said.String()) {
					if n := strings.Count(line, "%1Bu"); n > 64 {
						t.Errorf("%s: a message for people repeats %d octets of a unique-id, want 256 at most", args, 4*n)
					}
				}
			}
		})
	}
}

// TestForeignText_MDA gives an MDA a hostile message and a hostile unique-id. The command line must
// be as configured. The environment must be printable and bounded. The unique-id is data, so it
// must be whole (behaviour 25).
func TestForeignText_MDA(t *testing.T) {
	t.Parallel()
	id := "$(touch harm)`touch harm`;touch harm;../../harm" + strings.Repeat("\x1b", 900)
	content := "Return-Path: <$(touch harm)`touch harm`;touch${IFS}harm@example.org>\r\nSubject: $(touch harm)\r\n\r\n$(touch harm)\r\n"
	a := newAccount(t, []poptest.Message{{UniqueID: strings.ReplaceAll(id, " ", "_"), Content: []byte(content)}})
	writeFiles(t, a.dir, map[string]string{"config.toml": accountText(a,
		`mda = "tr '\\0' '\\n' </proc/$$/cmdline >cmdline; env | grep ^POPFETCH_ >environment; cat >/dev/null"`)})
	a.mustRun(t, 0, "--once")
	if _, err := os.Stat(filepath.Join(a.dir, "harm")); err == nil {
		t.Error("a shell has run what the server or the message says")
	}
	commandLine, err := os.ReadFile(filepath.Join(a.dir, "cmdline"))
	if err != nil || bytes.Contains(commandLine, []byte("harm")) || !bytes.HasPrefix(commandLine, []byte("/bin/sh\n-c\ntr ")) {
		t.Errorf("the MDA's command line is %q (%v), want what is configured", commandLine, err)
	}
	environment, err := os.ReadFile(filepath.Join(a.dir, "environment"))
	if err != nil {
		t.Fatal(err)
	}
	checkForeign(t, "the environment", environment)
	for line := range strings.Lines(string(environment)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if name == "POPFETCH_UID" {
			if got, err := readID(value); err != nil || got != strings.ReplaceAll(id, " ", "_") {
				t.Errorf("POPFETCH_UID is %q, want the whole unique-id", value)
			}
		} else if len(value) > 256 {
			t.Errorf("%s has %d octets, want 256 at most", name, len(value))
		}
	}
}

// TestUniqueID_noFile has unique-ids that would be harmful as file names. No file may have a part
// of one in its name.
func TestUniqueID_noFile(t *testing.T) {
	t.Parallel()
	var messages []poptest.Message
	for i, id := range []string{"../../../../harm-1", "/tmp/harm-2", "harm-3", "..", "-rf", "harm%2f4", "C:\\harm-5", "harm-6:2,S"} {
		messages = append(messages, poptest.Message{UniqueID: id, Content: fmt.Appendf(nil, "Message-ID: <%d@x>\r\n\r\n%d\r\n", i, i)})
	}
	a := newAccount(t, messages, `delete = "delivered"`)
	a.mustRun(t, 0, "--once")
	if got := a.delivered(t); got != len(messages) {
		t.Errorf("delivered = %d, want %d", got, len(messages))
	}
	for _, dir := range []string{a.dir, filepath.Dir(a.maildir)} {
		err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			if strings.Contains(filepath.Base(path), "harm") || strings.HasPrefix(filepath.Base(path), "-rf") {
				t.Errorf("%s is made of a unique-id", path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files, err := filepath.Glob("/tmp/harm-*"); err != nil || len(files) > 0 {
		t.Errorf("%q, %v: want nothing", files, err)
	}
}

// TestModes runs the program without a umask. Its system calls must make files and folders that
// nobody else can read, from their first moment and in TMPDIR too.
func TestModes(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	if os.Geteuid() != 0 {
		t.Skip("the memory of popfetch is private, so only root sees the names in its system calls")
	}
	for _, target := range []string{"maildir = 'a/b/m'", "mda = 'cat >/dev/null'"} {
		a := newAccount(t, poptest.Numbered(3, 300<<10))
		writeFiles(t, a.dir, map[string]string{"config.toml": accountText(a, "delete = 'delivered'\n"+target)})
		if err := os.Mkdir(filepath.Join(a.dir, "tmp"), 0o700); err != nil {
			t.Fatal(err)
		}
		c := exec.CommandContext(t.Context(), "sh", "-c", `umask 0; exec "$@"`, "sh", strace, "-f", "-o", "trace", "-e", "trace=openat,open,creat,mkdir,mkdirat,chmod,fchmod,fchmodat,umask",
			"popfetch", "-c", "config.toml", "--once")
		c.Dir = a.dir
		c.Env = append(os.Environ(), "TMPDIR="+filepath.Join(a.dir, "tmp"))
		if out, err := c.CombinedOutput(); bytes.Contains(out, []byte("ptrace")) {
			t.Skipf("strace is not allowed here: %s", out)
		} else if err != nil {
			t.Fatalf("popfetch: %v: %s", err, out)
		}
		trace, err := os.ReadFile(filepath.Join(a.dir, "trace"))
		if err != nil {
			t.Fatal(err)
		}
		made := 0
		for line := range strings.Lines(string(trace)) {
			switch {
			case regexp.MustCompile(`chmod|umask\(`).MatchString(line):
				t.Errorf("a mode is changed afterwards: %s", line)
			case strings.Contains(line, "O_CREAT"), strings.Contains(line, "mkdir"):
				made++
				if !regexp.MustCompile(`, 0(600|700)(\)| <unfinished)`).MatchString(line) && !strings.Contains(line, `"/dev/null"`) {
					t.Errorf("others may use what is made: %s", line)
				}
			}
		}
		if made < 4 {
			t.Errorf("%d files and folders are made, want more: %s", made, trace)
		}
	}
}
