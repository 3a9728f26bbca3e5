package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
)

// pseudoTerminal is a terminal. The test has its keyboard and screen.
type pseudoTerminal struct {
	t    *testing.T
	ctl  *os.File
	tty  *os.File // the program's end
	mu   sync.Mutex
	seen bytes.Buffer // everything that was on the screen
	more chan struct{}
}

func newTerminalPair(t *testing.T) *pseudoTerminal {
	t.Helper()
	ctl, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	if err := unix.IoctlSetPointerInt(int(ctl.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(ctl.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &pseudoTerminal{t: t, ctl: ctl, tty: tty, more: make(chan struct{}, 1)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(p, ctl) // ends when the program and the test have closed their files
	}()
	t.Cleanup(func() {
		_ = tty.Close()
		<-read
		_ = ctl.Close()
	})
	return p
}

// Write keeps the program's output.
func (p *pseudoTerminal) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen.Write(b)
	select {
	case p.more <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (p *pseudoTerminal) screen() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen.String()
}

// waitFor waits until the screen shows a text.
func (p *pseudoTerminal) waitFor(text string) {
	p.t.Helper()
	p.waitUntil(text, func(screen string) bool { return strings.Contains(screen, text) })
}

// waitUntil waits until the screen is as wanted, and so shows a text.
func (p *pseudoTerminal) waitUntil(text string, wanted func(screen string) bool) {
	p.t.Helper()
	limit := time.After(20 * time.Second)
	for !wanted(p.screen()) {
		select {
		case <-p.more:
		case <-limit:
			p.t.Fatalf("the screen never showed %q: %q", text, p.screen())
		}
	}
}

// echoes reports whether the terminal shows typed characters.
func (p *pseudoTerminal) echoes() bool {
	p.t.Helper()
	state, err := unix.IoctlGetTermios(int(p.tty.Fd()), unix.TCGETS)
	if err != nil {
		p.t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// waitForSilence waits until the terminal does not show typed characters.
func (p *pseudoTerminal) waitForSilence() {
	p.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(20 * time.Second)
	for p.echoes() {
		select {
		case <-tick.C:
		case <-limit:
			p.t.Fatal("the program never turned off the echo")
		}
	}
}

func (p *pseudoTerminal) typeIn(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.ctl, text); err != nil {
		p.t.Fatal(err)
	}
}

// start starts popfetch on the terminal. Its home is an empty folder.
func (p *pseudoTerminal) start(args ...string) *exec.Cmd {
	p.t.Helper()
	return p.startIn(p.t.TempDir(), nil, "popfetch", args...)
}

// startIn starts a program on the terminal, with a home folder and more of the environment.
func (p *pseudoTerminal) startIn(home string, env []string, program string, args ...string) *exec.Cmd {
	p.t.Helper()
	c := exec.CommandContext(p.t.Context(), program, args...)
	c.Dir = home
	c.Env = append(os.Environ(), "HOME="+c.Dir, "XDG_STATE_HOME=", "XDG_CONFIG_HOME=")
	c.Env = append(c.Env, env...)
	c.Stdin, c.Stdout, c.Stderr = p.tty, p.tty, p.tty
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := c.Start(); err != nil {
		p.t.Fatal(err)
	}
	return c
}

// TestTerminal_writtenServer asks for a password at a server whose name has letters outside ASCII.
// The prompt shows the name as it is written.
func TestTerminal_writtenServer(t *testing.T) {
	t.Parallel()
	server := poptest.NewServer(t)
	_, port, _ := strings.Cut(poptest.InClear(server.Addr(), true), ":")
	p := newTerminalPair(t)
	c := p.start("--once", "--server", "ｌｏｃａｌｈｏｓｔ:"+port, "--tls", "none", "--user", "mrose", "--maildir", "m")
	p.waitFor("Password for mrose at ｌｏｃａｌｈｏｓｔ:" + port + ": ")
	p.waitForSilence()
	p.typeIn("\n")
	if status := exitOf(t, c.Wait()); status != 78 {
		t.Errorf("exit status = %d, want 78", status)
	}
}

// TestTerminal_password types the password, which is not shown. Then it reads the one line at the
// end. A slow machine would show the progress between them.
func TestTerminal_password(t *testing.T) {
	t.Parallel()
	server := poptest.NewServer(t, poptest.Maildrop{User: "mrose", Password: "tanstaaf", Messages: poptest.Numbered(3, 500)})
	for _, test := range []struct {
		name, typed, say string
		status           int
	}{
		{"right", "tanstaaf\n", "popfetch: mrose@127.0.0.1: 3 listed, 3 delivered\r\n", 0},
		{"wrong", "sesame\n", "popfetch: mrose@127.0.0.1: login: the server refused the log-in", 77},
		{"empty", "\n", "popfetch: mrose@127.0.0.1: login: the password: account.mrose@127.0.0.1: the password is empty\r\n", 78},
		{"interrupted", "tan\x03", "", 130},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newTerminalPair(t)
			c := p.start("--once", "--progress", "never", "--server", poptest.InClear(server.Addr(), true),
				"--tls", "none", "--user", "mrose", "--maildir", "m")
			prompt := "Password for mrose at " + server.Addr() + ": "
			p.waitFor(prompt)
			p.waitForSilence()
			p.typeIn(test.typed)
			if status := exitOf(t, c.Wait()); status != test.status {
				t.Errorf("exit status = %d, want %d", status, test.status)
			}
			if !p.echoes() {
				t.Error("the terminal was left without echo")
			}
			p.waitFor(prompt + "\r\n" + test.say)
			if screen := p.screen(); strings.Contains(screen, "tan") || strings.Contains(screen, "sesame") || strings.Count(screen, "\n") > 2 {
				t.Errorf("the screen shows %q, want the prompt, one line and no password", screen)
			}
		})
	}
}

// TestTerminal_suspended suspends popfetch while it asks, as Ctrl-Z does. A shell then makes the
// terminal show what is typed. Back in the foreground, popfetch asks again and hides the password.
func TestTerminal_suspended(t *testing.T) {
	t.Parallel()
	server := poptest.NewServer(t, poptest.Maildrop{User: "mrose", Password: "tanstaaf"})
	p := newTerminalPair(t)
	c := p.start("--once", "--server", poptest.InClear(server.Addr(), true), "--tls", "none", "--user", "mrose", "--maildir", "m")
	prompt := "Password for mrose at " + server.Addr() + ": "
	p.waitFor(prompt)
	p.waitForSilence()
	if err := c.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	modes, err := unix.IoctlGetTermios(int(p.tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	modes.Lflag |= unix.ECHO
	if err := unix.IoctlSetTermios(int(p.tty.Fd()), unix.TCSETS, modes); err != nil {
		t.Fatal(err)
	}
	if err := c.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	p.waitFor(prompt + prompt)
	p.waitForSilence()
	p.typeIn("tanstaaf\n")
	if status := exitOf(t, c.Wait()); status != 0 || !p.echoes() {
		t.Errorf("exit status = %d, echo %v; want 0 and the echo as before", status, p.echoes())
	}
	if screen := p.screen(); strings.Contains(screen, "tan") {
		t.Errorf("the screen shows %q, want no password", screen)
	}
}

// TestTerminal_reachedFirst shows no prompt for a server that cannot be reached, or whose
// certificate is refused. It asks once in a run, however many sessions there are.
func TestTerminal_reachedFirst(t *testing.T) {
	t.Parallel()
	server := poptest.NewServer(t, poptest.Maildrop{User: "mrose", Password: "tanstaaf"})
	server.Configure(func(c *poptest.Config) { c.TLS = server.CA().ServerTLS("") })
	for _, test := range []struct {
		name, addr, want string
		status           int
	}{
		{"no server", "127.0.0.1:1", "connection refused", 75},
		{"unknown authority", server.TLSAddr(), "certificate", 77},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newTerminalPair(t)
			c := p.start("--once", "--server", test.addr, "--user", "mrose", "--maildir", "m")
			if status := exitOf(t, c.Wait()); status != test.status {
				t.Errorf("exit status = %d, want %d", status, test.status)
			}
			p.waitFor(test.want)
			if screen := p.screen(); strings.Contains(screen, "Password") {
				t.Errorf("the screen shows %q, want no question", screen)
			}
		})
	}
}

// TestTerminal_outputWhileAsked prints a line of another account above the prompt.
func TestTerminal_outputWhileAsked(t *testing.T) {
	t.Parallel()
	server := poptest.NewServer(t, poptest.Maildrop{User: "mrose", Password: "tanstaaf"})
	asked := make(chan struct{})
	server.Configure(func(c *poptest.Config) {
		c.Hook = func(_ *poptest.Session, cmd string) poptest.Action {
			if cmd == "USER other" || strings.HasPrefix(cmd, "AUTH PLAIN AG90aGVyA") { // "\x00other\x00…"
				<-asked
				return poptest.Refuse("[AUTH] go away")
			}
			return poptest.Action{}
		}
	})
	p := newTerminalPair(t)
	file := filepath.Join(t.TempDir(), "c.toml")
	text := fmt.Sprintf("state_dir = %q\n[defaults]\nserver = %q\ntls = \"none\"\nmaildir = %q\n[account.asked]\nuser = \"mrose\"\n[account.other]\nuser = \"other\"\npassword = \"x\"\n",
		t.TempDir(), poptest.InClear(server.Addr(), true), filepath.Join(t.TempDir(), "m"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := p.start("-c", file, "--once")
	prompt := "Password for mrose at " + server.Addr() + ": "
	p.waitFor(prompt)
	p.waitForSilence()
	close(asked)
	p.waitFor(prompt + "\r\npopfetch: other: login: ")
	p.waitFor("go away\r\n" + prompt)
	p.typeIn("tanstaaf\n")
	if status := exitOf(t, c.Wait()); status != 77 {
		t.Errorf("exit status = %d, want 77", status)
	}
	p.waitFor("popfetch: asked: 0 listed")
}

// TestTerminal_interrupt presses Ctrl-C in the middle of a run. The person must be told what
// popfetch still does.
func TestTerminal_interrupt(t *testing.T) {
	t.Parallel()
	const messages = 400
	server := poptest.NewServer(t, poptest.Maildrop{User: "mrose", Password: "tanstaaf", Messages: poptest.Numbered(messages, 500)})
	reached := make(chan struct{})
	var once sync.Once
	server.Configure(func(c *poptest.Config) {
		c.Hook = func(_ *poptest.Session, cmd string) poptest.Action {
			if !strings.HasPrefix(cmd, "RETR ") {
				return poptest.Action{}
			}
			once.Do(func() { close(reached) })
			return poptest.Action{Delay: 20 * time.Millisecond}
		}
	})
	p := newTerminalPair(t)
	c := p.start("--once", "--server", poptest.InClear(server.Addr(), true), "--tls", "none", "--user", "mrose", "--maildir", "m", "--password-command", "echo tanstaaf")
	await(t, reached)
	p.typeIn("\x03")
	if status := exitOf(t, c.Wait()); status != 130 {
		t.Errorf("exit status = %d, want 130", status)
	}
	p.waitFor("popfetch: finishing the messages that were asked for; interrupt again to stop at once\r\n")
	server.Wait()
	p.waitFor(fmt.Sprintf("popfetch: mrose@127.0.0.1: %d listed, %d delivered\r\n", messages, server.Count("RETR")))
}

// TestTerminal_polling watches a popfetch that stays. Each pass with news ends with one line, and no
// other pass has any. A slow machine would show the progress too.
func TestTerminal_polling(t *testing.T) {
	t.Parallel()
	server := poptest.NewServer(t, poptest.Maildrop{User: "mrose", Password: "tanstaaf", Messages: poptest.Numbered(3, 500)})
	file := filepath.Join(t.TempDir(), "config.toml")
	text := fmt.Sprintf("[account.work]\nserver = %q\ntls = 'none'\nuser = 'mrose'\npassword = 'tanstaaf'\nmaildir = 'm'\ninterval = '1s'\n", poptest.InClear(server.Addr(), true))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newTerminalPair(t)
	c := p.start("--config", file, "--progress", "never")
	p.waitFor("popfetch: work: 3 listed, 3 delivered\r\n")
	quits := server.Count("QUIT")
	eventually(t, "two passes without news", func() bool { return server.Count("QUIT") >= quits+2 })
	server.Drop("").Add(newMail("later"))
	p.waitFor("popfetch: work: 4 listed, 1 delivered\r\n")
	p.typeIn("\x03")
	if status := exitOf(t, c.Wait()); status != 0 {
		t.Errorf("exit status = %d, want 0", status)
	}
	if got := strings.Count(p.screen(), "\n"); got != 3 {
		t.Errorf("the screen shows %q, want the plan and two lines", p.screen())
	}
}

// Who interrupts popfetch while it is idle is not told to wait for anything.
func TestInterrupt_idle(t *testing.T) {
	t.Parallel()
	server := poptest.NewServer(t, poptest.Maildrop{User: "mrose", Password: "tanstaaf", Messages: poptest.Numbered(2, 500)})
	p := newTerminalPair(t)
	c := p.start("--json", "--server", poptest.InClear(server.Addr(), true), "--tls", "none", "--user", "mrose", "--maildir", "m", "--password-command", "echo tanstaaf")
	p.waitFor(`"event":"finished"`)
	p.typeIn("\x03")
	if status := exitOf(t, c.Wait()); status != 0 {
		t.Errorf("exit status = %d, want 0", status)
	}
	if strings.Contains(p.screen(), "finishing") {
		t.Errorf("the screen shows %q, want nothing about messages to be finished", p.screen())
	}
}

// TestTell_repeated reports lasting faults to people who watch, and not to cron.
func TestTell_repeated(t *testing.T) {
	for _, test := range []struct {
		name      string
		talks     bool
		verbosity int
		want      bool
	}{
		{"cron", false, 0, false},
		{"terminal", true, 0, true},
		{"verbose", false, 1, true},
	} {
		for _, kind := range []fetch.Kind{fetch.Warning, fetch.Finished, fetch.Refused} {
			var shown bytes.Buffer
			r := &reporter{term: &terminal{err: &shown, talks: test.talks}, view: view{verbosity: test.verbosity}, setting: &setting{}, notices: newNotices(false)}
			r.notices.Begin("work", fetch.Told{Lines: "error: broke-off\nwarning: broke-off", At: time.Now()})
			e := fetch.Event{Account: "work", Kind: kind, Err: io.ErrUnexpectedEOF, Code: "broke-off",
				Telling: fetch.Telling{Repeated: kind == fetch.Refused}}
			r.observe(e)
			if got := shown.Len() > 0; got != test.want {
				t.Errorf("%s: a repeated %s shows %q, want anything: %v", test.name, kind, &shown, test.want)
			}
			shown.Reset()
			e.Err, e.Code, e.Repeated = io.ErrNoProgress, "timed-out", false
			r.observe(e)
			if shown.Len() == 0 {
				t.Errorf("%s: a new %s shows nothing", test.name, kind)
			}
		}
	}
}
