package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/internal/screen/screentest"
)

// resize gives the terminal a size.
func (p *pseudoTerminal) resize(columns, rows uint16) {
	p.t.Helper()
	if err := unix.IoctlSetWinsize(int(p.tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows}); err != nil {
		p.t.Fatal(err)
	}
}

// shown returns what a terminal with so many columns shows.
func (p *pseudoTerminal) shown(columns int) string {
	m := screentest.New(columns)
	_, _ = io.WriteString(m, p.screen())
	return m.String()
}

// flow stops and continues the terminal's output, as Ctrl-S and Ctrl-Q do.
func (p *pseudoTerminal) flow(on bool) {
	p.t.Helper()
	action := unix.TCOOFF
	if on {
		action = unix.TCOON
	}
	if err := unix.IoctlSetInt(int(p.tty.Fd()), unix.TCXONC, action); err != nil {
		p.t.Fatal(err)
	}
}

// heldAccount is an account whose server waits before it answers one RETR.
func heldAccount(t *testing.T, messages, at int) (a *account, reached chan struct{}, release func()) {
	t.Helper()
	a = newAccount(t, poptest.Numbered(messages, 2000))
	reached, released := make(chan struct{}), make(chan struct{})
	var once, ended sync.Once
	release = func() { ended.Do(func() { close(released) }) }
	t.Cleanup(release)
	a.Configure(func(c *poptest.Config) {
		c.Hook = func(_ *poptest.Session, cmd string) poptest.Action {
			switch cmd {
			case fmt.Sprintf("RETR %d", at):
				once.Do(func() { close(reached) })
				<-released
			case "RETR 30":
				return poptest.Refuse("[SYS/TEMP] not this one")
			}
			return poptest.Action{}
		}
	})
	return a, reached, release
}

// startOn starts popfetch on a terminal for an account. The variables are added to the environment.
func (p *pseudoTerminal) startOn(a *account, variables []string, args ...string) *exec.Cmd {
	p.t.Helper()
	c := a.command(p.t, args...)
	c.Env = append(os.Environ(), variables...)
	c.Stdin, c.Stdout, c.Stderr = p.tty, p.tty, p.tty
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := c.Start(); err != nil {
		p.t.Fatal(err)
	}
	return c
}

var colour = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// TestProgress_bars looks at the bars while a server holds, and at what is left of them at the end.
func TestProgress_bars(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		columns   int
		variables []string
		bar       string // while the server holds
		colours   bool
	}{
		{"wide", 200, []string{"TERM=xterm", "NO_COLOR="}, `\nwork  \[=+> +\]  48%  \d+/100  97.3/200.0 kB  .* k?B/s  .* left  \d+ waiting\n$`, true},
		{"usual", 80, []string{"TERM=xterm", "NO_COLOR=1"}, `\nwork  \[=+> +\]  48%  \d+/100  97.3/200.0 kB  .* k?B/s  .* left  \d+ waiting\n$`, false},
		{"narrow", 40, []string{"TERM=screen", "NO_COLOR=1"}, `\nwork  \d+/100  .* k?B/s  .* left\n$`, false},
		{"hardly any", 2, []string{"TERM=xterm"}, `\n…\n$`, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a, reached, release := heldAccount(t, 100, 51)
			p := newTerminalPair(t)
			p.resize(uint16(test.columns), 24)
			c := p.startOn(a, test.variables, "--once")
			await(t, reached)
			bar := regexp.MustCompile(test.bar)
			for limit := time.After(20 * time.Second); !bar.MatchString(p.shown(test.columns)); {
				select {
				case <-p.more:
				case <-limit:
					t.Fatalf("the terminal shows\n%s\nwant %s", p.shown(test.columns), test.bar)
				}
			}
			release()
			if status := exitOf(t, c.Wait()); status != 75 {
				t.Errorf("exit status = %d, want 75", status)
			}
			p.waitFor("99 delivered, 1 failed\r\n")
			text := strings.NewReplacer("\n", "", " ", "").Replace(p.shown(test.columns))
			want := regexp.MustCompile(`^popfetch:work:message30\(unique-id[^)]*\)isrefused:.*notthisone` +
				`popfetch:work:100listed,99delivered,1failed$`)
			if !want.MatchString(text) {
				t.Errorf("at the end the terminal shows %q, want the refusal and the sum, and nothing else", p.shown(test.columns))
			}
			if got := colour.MatchString(p.screen()); got != test.colours {
				t.Errorf("colours: %t, want %t", got, test.colours)
			}
		})
	}
}

// TestProgress_interrupt presses Ctrl-C twice. Nothing is left of the bars.
func TestProgress_interrupt(t *testing.T) {
	t.Parallel()
	a, _, _ := heldAccount(t, 100, 51)
	p := newTerminalPair(t)
	c := p.startOn(a, []string{"TERM=xterm"}, "--once")
	p.waitFor("/100 ")
	p.typeIn("\x03")
	p.waitFor("popfetch: finishing the messages that were asked for; interrupt again to stop at once\r\n")
	for limit := time.After(20 * time.Second); strings.Contains(p.shown(200), "/100 "); {
		select {
		case <-p.more:
		case <-limit:
			t.Fatalf("the terminal shows\n%s", p.shown(200))
		}
	}
	p.typeIn("\x03")
	_ = c.Wait()
	if shown := p.shown(200); strings.Contains(shown, "/100 ") || strings.Contains(p.screen(), "\x1b[?25l") {
		t.Errorf("the terminal shows\n%s\nwant no bars, and a cursor", shown)
	}
}

// TestProgress_plain prints lines where no bars can be shown, and nothing unless it is told to.
func TestProgress_plain(t *testing.T) {
	t.Parallel()
	line := regexp.MustCompile(`^popfetch: work: \d+/100 messages, 97.3/200.0 kB, [0-9.]+ k?B/s, .* left, \d+ waiting\n$`)
	for _, test := range []struct {
		name, option string
		variables    []string
		terminal     bool
		want         bool
	}{
		{"pipe", "auto", []string{"TERM=xterm"}, false, false},
		{"pipe, always", "always", []string{"TERM=xterm"}, false, true},
		{"dumb terminal", "auto", []string{"TERM=dumb"}, true, true},
		{"unknown terminal", "always", []string{"TERM="}, true, true},
		{"never", "never", []string{"TERM=xterm"}, true, false},
		{"quiet", "auto", []string{"TERM=xterm", "QUIET=1"}, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a, reached, release := heldAccount(t, 100, 51)
			args := []string{"--once", "--progress", test.option}
			if len(test.variables) > 1 {
				args = append(args, "--quiet")
			}
			var said func() string
			var c *exec.Cmd
			began := time.Now()
			if test.terminal {
				p := newTerminalPair(t)
				c = p.startOn(a, test.variables, args...)
				said = func() string { return strings.ReplaceAll(p.screen(), "\r\n", "\n") }
			} else {
				reader, writer, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				var out lockedBuffer
				go func() { _, _ = io.Copy(&out, reader) }()
				c = a.command(t, args...)
				c.Env, c.Stderr = append(os.Environ(), test.variables...), writer
				if err := c.Start(); err != nil {
					t.Fatal(err)
				}
				_ = writer.Close()
				said = out.String
			}
			await(t, reached)
			without := func() string { // the refusal
				var rest string
				for l := range strings.Lines(said()) {
					if !strings.Contains(l, " is refused: ") {
						rest += l
					}
				}
				return rest
			}
			if test.want {
				for limit := time.After(20 * time.Second); !line.MatchString(without()); {
					select {
					case <-time.After(10 * time.Millisecond):
					case <-limit:
						t.Fatalf("it says %q, want %s", said(), line)
					}
				}
				if took := time.Since(began); took < plainPeriod {
					t.Errorf("the first line came after %v, want at least %v", took, plainPeriod)
				}
			} else {
				time.Sleep(plainPeriod + time.Second) // it would be there by now
				if got := without(); got != "" {
					t.Errorf("it says %q, want no progress", got)
				}
			}
			if strings.Contains(said(), "\x1b") {
				t.Errorf("it says %q, want no control octets", said())
			}
			release()
			_ = c.Wait()
		})
	}
}

// lockedBuffer is a buffer that others read meanwhile.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// thirtyAccounts adds accounts to the first one.
func thirtyAccounts(t *testing.T, a *account, n int) {
	t.Helper()
	path := filepath.Join(a.dir, "config.toml")
	text := fmt.Sprintf("state_dir = \"state\"\njobs = %d\n[defaults]\nserver = %q\ntls = \"none\"\nuser = \"mrose\"\npassword = \"tanstaaf\"\n", n, a.Addr())
	for i := range n {
		text += fmt.Sprintf("[account.box-%d]\nmaildir = \"m%d\"\n", i+1, i)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestProgress_many has more accounts at work than the terminal has lines.
func TestProgress_many(t *testing.T) {
	t.Parallel()
	const accounts = 30
	a, _, release := heldAccount(t, 100, 51)
	thirtyAccounts(t, a, accounts)
	p := newTerminalPair(t)
	p.resize(80, 24)
	c := p.startOn(a, []string{"TERM=xterm"}, "--once", "--json")
	bars := regexp.MustCompile(`(?m)^box-\d+ .* \d+/100 .*$`)
	sum := regexp.MustCompile(`(?m)^0/30 accounts .* \d+/3000  .* 2.9/6.0 MB .*\n\z`)
	shown := p.shown(80)
	for limit := time.After(30 * time.Second); !sum.MatchString(shown); shown = p.shown(80) {
		select {
		case <-p.more:
		case <-limit:
			t.Fatalf("the terminal shows\n%s", shown)
		}
	}
	if got := len(bars.FindAllString(shown, -1)); got != 11 {
		t.Errorf("%d bars are shown, want 11:\n%s", got, shown)
	}
	release()
	_ = c.Wait()
	p.waitFor("box-30: 100 listed, 99 delivered, 1 failed\r\n")
	shown = p.shown(4000)
	if n := strings.Count(shown, " listed, 99 delivered, 1 failed\n"); n != accounts || strings.Contains(shown, "/100") || strings.Contains(shown, "/30") {
		t.Errorf("%d accounts are summed up, want %d, and no bars:\n%s", n, accounts, shown)
	}
	events := 0
	for line := range strings.Lines(shown) {
		if strings.HasPrefix(line, "{") {
			if err := validate(line); err != nil {
				t.Errorf("an event is torn: %s: %v", line, err)
			}
			events++
		}
	}
	if want := accounts * 104; events != want {
		t.Errorf("%d events are shown, want %d", events, want)
	}
}

// TestTerminal_stopped stops the terminal (Ctrl-S), or does not read it. The session goes on all the
// same. A signal ends the program, and so does a person who continues the terminal.
func TestTerminal_stopped(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		unread bool // instead of stopped
		args   []string
		signal syscall.Signal // 0: the terminal goes on
		want   int
	}{
		{"continued", false, []string{"--once", "-v"}, 0, 0},
		{"SIGINT", false, []string{"--once", "-v"}, syscall.SIGINT, 130},
		{"SIGTERM", false, []string{"--once", "-vv", "--json"}, syscall.SIGTERM, 143},
		{"unread", true, []string{"--once", "-vv", "--json"}, syscall.SIGTERM, 143},
		{"resident", false, []string{"-vv", "--json"}, syscall.SIGTERM, 0},
		{"list", false, []string{"list"}, syscall.SIGINT, 130},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			const messages = 3000
			a := newAccount(t, poptest.Numbered(messages, 500), `delete = "delivered"`)
			quit := make(chan struct{})
			var once sync.Once
			a.Configure(func(c *poptest.Config) {
				c.Hook = func(_ *poptest.Session, cmd string) poptest.Action {
					if cmd == "QUIT" {
						once.Do(func() { close(quit) })
					}
					return poptest.Action{}
				}
			})
			p := newTerminalPair(t)
			if test.unread {
				p.mu.Lock()
			} else {
				p.flow(false)
			}
			c := p.startOn(a, []string{"TERM=xterm"}, test.args...)
			await(t, quit)
			at := time.Now()
			if test.signal == 0 {
				p.flow(true)
			} else if err := c.Process.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			waitEnd(t, c, at, test.want)
			if test.unread {
				p.mu.Unlock()
			} else if test.signal != 0 {
				p.flow(true)
			}
			if test.args[0] == "list" {
				return
			}
			a.Wait()
			if got := a.delivered(t); got != messages {
				t.Errorf("delivered = %d, want %d", got, messages)
			}
			if test.signal == 0 {
				checkDropped(t, p, messages)
			}
		})
	}
}

// checkDropped counts the lines on a terminal that was stopped, and those that are said to be dropped.
func checkDropped(t *testing.T, p *pseudoTerminal, messages int) {
	t.Helper()
	p.waitFor("popfetch: work: 3000 listed, 3000 delivered, 3000 deleted\r\n")
	shown, dropped := 0, 0
	for line := range strings.Lines(p.shown(200)) {
		var n int
		if _, err := fmt.Sscanf(line, "popfetch: %d lines dropped while the terminal was stopped\n", &n); err == nil {
			dropped += n
		} else {
			shown++
		}
	}
	if want := 2*messages + 2; shown+dropped != want || dropped < 1000 { // "to retrieve", each delivered and deleted, the sum
		t.Errorf("%d lines are shown and %d are said to be dropped, want %d together", shown, dropped, want)
	}
}

// TestStuckPipe does not read standard error, a pipe. popfetch waits, so that nothing is lost. A signal
// ends it nevertheless.
func TestStuckPipe(t *testing.T) {
	t.Parallel()
	a := newAccount(t, poptest.Numbered(3000, 500))
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	c := a.command(t, "--once", "-v")
	c.Stderr = writer
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
	for full := false; !full; time.Sleep(10 * time.Millisecond) {
		n, err := unix.IoctlGetInt(int(reader.Fd()), unix.TIOCINQ)
		if err != nil {
			t.Fatal(err)
		}
		full = n > 60_000
	}
	at := time.Now()
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	waitEnd(t, c, at, 143)
	if took := time.Since(at); took < 5*time.Second {
		t.Errorf("it ended after %v, want it to wait for the reader a while", took)
	}
}

// TestProgress_counts follows the events of two sessions of one run.
func TestProgress_counts(t *testing.T) {
	now := time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)
	p := &progress{term: &terminal{}, plain: true, pass: 1, now: func() time.Time { return now }}
	counts := new(fetch.Progress)
	expect := func(want string) {
		t.Helper()
		if got := p.line(); got != want {
			t.Errorf("the line is %q, want %q", got, want)
		}
	}
	event := func(kind fetch.Kind, messages int, octets int64) {
		p.observe(fetch.Event{Account: "work", Kind: kind, Messages: messages, Octets: octets, Number: 1, Progress: counts})
	}
	expect("")
	event(fetch.Started, 0, 0)
	event(fetch.Recognised, 0, 100)
	expect("")
	now = now.Add(2 * time.Second)
	expect("")
	event(fetch.Listed, 10, 10_000)
	now = now.Add(2 * time.Second)
	counts.Octets.Add(2000)
	counts.Waiting.Add(2)
	expect("work: 0/10 messages, 2.0/10.0 kB, 1.0 kB/s, 0:08 left, 2 waiting")
	event(fetch.Delivered, 0, 1000)
	event(fetch.Refused, 0, 1000)
	counts.Waiting.Add(-2)
	expect("work: 2/10 messages, 2.0/10.0 kB, 1.0 kB/s, 0:08 left")
	now = now.Add(time.Hour)
	expect("work: 2/10 messages, 2.0/10.0 kB, 0 B/s, 2:13:20 left")
	event(fetch.Listed, 5, 3_000) // a further session
	expect("work: 2/7 messages, 2.0/5.0 kB, 0 B/s, 50:00 left")
	event(fetch.Finished, 0, 0)
	expect("")
}

// A popfetch that stays shows only accounts that retrieve messages, and their number.
func TestProgress_resident(t *testing.T) {
	now := time.Now()
	p := &progress{term: &terminal{}, plain: true, now: func() time.Time { return now }}
	earlier := new(fetch.Progress)
	p.observe(fetch.Event{Account: "box-0", Kind: fetch.Started, Progress: earlier})
	p.observe(fetch.Event{Account: "box-0", Kind: fetch.Listed, Messages: 1, Octets: 1000})
	earlier.Octets.Add(1000)
	p.observe(fetch.Event{Account: "box-0", Kind: fetch.Delivered, Number: 1})
	p.observe(fetch.Event{Account: "box-0", Kind: fetch.Finished})
	for i := range 3 {
		name := fmt.Sprintf("box-%d", i)
		p.observe(fetch.Event{Account: name, Kind: fetch.Started, Progress: new(fetch.Progress)})
		p.observe(fetch.Event{Account: name, Kind: fetch.Listed, Messages: i, Octets: int64(i) * 1000})
	}
	now = now.Add(time.Minute)
	if got, want := p.line(), "2 accounts: 0/3 messages, 0.0/3.0 kB, 0 B/s, 50:00 left"; got != want {
		t.Errorf("the line is %q, want %q", got, want)
	}
	p.observe(fetch.Event{Account: "box-1", Kind: fetch.Finished})
	if got, want := p.line(), "box-2: 0/2 messages, 0.0/2.0 kB, 0 B/s, 33:20 left"; got != want {
		t.Errorf("the line is %q, want %q", got, want)
	}
	p.observe(fetch.Event{Account: "box-2", Kind: fetch.Finished})
	if got := p.line(); got != "" {
		t.Errorf("the line is %q, want none", got)
	}
}
