package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/poptest"
)

// SIGUSR1 polls at once, and not an account that is polled by hand.
func TestResident_wake(t *testing.T) {
	t.Parallel()
	m := newMaildrops(t, "work")
	m.add("byhand", `interval = "manual"`)
	s := m.stay()
	m.polled("work", 1)
	for i := range 3 {
		s.tell(syscall.SIGUSR1)
		m.polled("work", 2+i)
	}
	s.ends()
	m.count("byhand", 0)
}

// An account at work is polled once more right after.
func TestResident_wakeAtWork(t *testing.T) {
	t.Parallel()
	m := newMaildrops(t, "work")
	reached, goOn := make(chan struct{}, 10), make(chan struct{})
	m.servers["work"].Configure(func(c *poptest.Config) {
		c.Hook = func(_ *poptest.Session, cmd string) poptest.Action {
			if cmd == "QUIT" {
				reached <- struct{}{}
				<-goOn
			}
			return poptest.Action{}
		}
	})
	s := m.stay()
	await(t, reached)
	s.tell(syscall.SIGUSR1)
	goOn <- struct{}{}
	await(t, reached)
	close(goOn)
	s.ends()
	m.count("work", 2)
}

// A server that wants to be polled less often is polled as it has announced (R2449-4). SIGUSR1
// overrides that, but not a log-in that was refused.
func TestResident_loginDelay(t *testing.T) {
	t.Parallel()
	delay := func(m *maildrops, seconds int) {
		m.servers["work"].Configure(func(c *poptest.Config) {
			c.Capabilities = append(poptest.DefaultCapabilities(), fmt.Sprint("LOGIN-DELAY ", seconds))
		})
	}
	t.Run("R2449-4/LOGIN-DELAY", func(t *testing.T) {
		t.Parallel()
		m := newMaildrops(t)
		m.add("work", `interval = "1s"`)
		delay(m, 3)
		s := m.stay()
		m.polled("work", 1)
		first := time.Now()
		m.polled("work", 2)
		if took := time.Since(first); took < 2500*time.Millisecond {
			t.Errorf("the next poll came after %v, want 3 s", took)
		}
		s.ends()
	})
	t.Run("announced and woken", func(t *testing.T) {
		t.Parallel()
		m := newMaildrops(t)
		m.add("work", `interval = "1s"`)
		delay(m, 3600)
		s := m.stay()
		m.polled("work", 1)
		s.tell(syscall.SIGUSR1)
		m.polled("work", 2)
		s.ends()
	})
	t.Run("refused and woken", func(t *testing.T) {
		t.Parallel()
		m := newMaildrops(t, "other")
		m.add("work", `interval = "1s"`)
		hook(m.servers["work"], on("AUTH", poptest.Refuse("[LOGIN-DELAY] not so soon")))
		s := m.stay()
		s.says("not so soon")
		eventually(t, "the session ends", func() bool { return m.servers["work"].Count("AUTH") == 1 })
		m.polled("other", 1)
		s.tell(syscall.SIGUSR1)
		m.polled("other", 2)
		s.ends("[LOGIN-DELAY] not so soon")
		if n := len(m.servers["work"].Sessions()); n != 1 {
			t.Errorf("%d sessions, want that the server is left alone", n)
		}
	})
}

// A changed password counts at once for an account that is left alone.
func TestResident_leftAlone(t *testing.T) {
	t.Parallel()
	m := newMaildrops(t)
	m.add("work", `interval = "1s"`)
	m.put("password", "wrong\n")
	s := m.stay()
	s.says("left alone")
	auths := m.servers["work"].Count("AUTH")
	m.put("password", "tanstaaf\n")
	m.polled("work", 1)
	if got := m.servers["work"].Count("AUTH"); auths != 3 || got != 4 {
		t.Errorf("%d log-ins were refused, and %d were made in all, want 3 and 4", auths, got)
	}
	s.ends("refused", "left alone")
}

// SIGHUP reads the configuration again. What is broken is told whole, and changes nothing.
func TestResident_reload(t *testing.T) {
	t.Parallel()
	m := newMaildrops(t, "work", "leaves")
	m.add("byhand", `interval = "manual"`)
	s := m.stay("--json")
	m.polled("work", 1)
	m.polled("leaves", 1)

	valid, err := os.ReadFile(filepath.Join(m.dir, "config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	m.put("config.toml", string(valid)+"deleet = \"never\"\ntimeout = \"soon\"\n")
	s.tell(syscall.SIGHUP)
	s.says("was not read again")
	for _, mistake := range []string{"deleet", "timeout"} {
		if said := s.said.String(); !strings.Contains(said, mistake) {
			t.Errorf("said %q, want the mistake of %s in it", said, mistake)
		}
	}
	s.tell(syscall.SIGUSR1)
	m.polled("work", 2)
	m.polled("leaves", 2)

	m.put("config.toml", strings.Replace(string(valid), `"state"`, `"elsewhere"`, 1))
	s.tell(syscall.SIGHUP)
	s.says("cannot change")
	if _, err := os.Stat(filepath.Join(m.dir, "elsewhere")); err == nil {
		t.Error("another state folder was made")
	}

	delete(m.lines, "leaves")
	m.lines["work"] = []string{`interval = "2h"`, `delete = "delivered"`}
	m.add("joins")
	s.tell(syscall.SIGHUP)
	m.polled("joins", 1)
	m.servers["work"].Drop("").Add(newMail("later"))
	s.tell(syscall.SIGUSR1)
	m.polled("work", 3)
	m.polled("joins", 2)
	m.count("leaves", 2)
	if got := len(m.servers["work"].Drop("").UniqueIDs()); got != 0 || m.mails("work") != 1 {
		t.Errorf("%d messages are left on the server and %d delivered, want 0 and 1", got, m.mails("work"))
	}

	at := time.Now()
	s.tell(syscall.SIGTERM)
	waitEnd(t, s.Cmd, at, 0)
	var program []string
	for line := range strings.Lines(s.out.String()) {
		var e struct {
			Event    string
			Account  *string
			Accounts *int
			Time     time.Time
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Time.IsZero() {
			t.Fatalf("%q: %v", line, err)
		}
		if e.Account == nil {
			if e.Accounts != nil {
				e.Event += fmt.Sprint(" ", *e.Accounts)
			}
			program = append(program, e.Event)
		}
	}
	if got, want := fmt.Sprint(program), "[started 2 reloaded 2 stopped]"; got != want {
		t.Errorf("events of the program = %s, want %s", got, want)
	}
}

// After a reload the metrics file tells only of the accounts that there are now, though none is polled.
func TestResident_reloadMetrics(t *testing.T) {
	t.Parallel()
	m := newMaildrops(t, "work", "leaves")
	s := m.stay("--metrics-file", "metrics.prom")
	tells := func(name string) bool {
		text, _ := os.ReadFile(filepath.Join(m.dir, "metrics.prom"))
		return strings.Contains(string(text), fmt.Sprintf("popfetch_listed{account=%q}", name))
	}
	m.polled("work", 1)
	m.polled("leaves", 1)
	eventually(t, "both are in the file, and it is not about to be written", func() bool {
		info, err := os.Stat(filepath.Join(m.dir, "metrics.prom"))
		return err == nil && time.Since(info.ModTime()) > 2*metricsPause && tells("work") && tells("leaves")
	})
	delete(m.lines, "leaves")
	m.write()
	s.tell(syscall.SIGHUP)
	eventually(t, "one is gone", func() bool { return tells("work") && !tells("leaves") })
	s.ends()
	m.count("work", 1)
}

// A reload reads the files that the configuration names, and [defaults].
func TestResident_reloadFiles(t *testing.T) {
	t.Parallel()
	m := newMaildrops(t, "work")
	server, other := m.servers["work"], newServer(t)
	server.Configure(func(c *poptest.Config) { c.TLS = server.CA().ServerTLS("localhost") })
	authority := func(from *poptest.Server) {
		text, err := os.ReadFile(from.CA().File())
		if err != nil {
			t.Fatal(err)
		}
		m.put("authority.pem", string(text))
	}
	_, port, _ := strings.Cut(server.TLSAddr(), ":")
	account := fmt.Sprintf("[account.work]\nserver = \"localhost:%s\"\nuser = \"mrose\"\npassword_file = \"password\"\n", port)
	m.put("config.toml", "state_dir = \"state\"\n[defaults]\ninterval = \"1h\"\ntls_ca = \"authority.pem\"\nmaildir = \"first\"\n"+account)
	poptest.InClear(server.Addr(), false)
	authority(other)
	s := m.stay()
	s.says("work: open: ")
	authority(server)
	s.tell(syscall.SIGHUP)
	eventually(t, "the new authority is in force", func() bool { s.tell(syscall.SIGUSR1); return m.polls("work") > 0 })
	m.put("config.toml", "state_dir = \"state\"\n[defaults]\ninterval = \"1h\"\ntls_ca = \"authority.pem\"\nmaildir = \"second\"\n"+account)
	s.tell(syscall.SIGHUP)
	eventually(t, "the new default is in force", func() bool {
		s.tell(syscall.SIGUSR1)
		_, err := os.Stat(filepath.Join(m.dir, "second", "new"))
		return err == nil
	})
	at := time.Now()
	s.tell(syscall.SIGTERM)
	waitEnd(t, s.Cmd, at, 0)
}

// Many reloads and many polls at the same time lose no mail and poll no account twice at once.
func TestResident_reloadUnderLoad(t *testing.T) {
	t.Parallel()
	m := newMaildrops(t, "a", "b", "c")
	s := m.stay()
	for _, name := range []string{"a", "b", "c"} {
		m.polled(name, 1)
	}
	const rounds = 30
	for i := range rounds {
		for _, name := range []string{"a", "b", "c"} {
			m.servers[name].Drop("").Add(newMail(fmt.Sprint("mail-", i)))
		}
		m.lines["a"] = []string{fmt.Sprintf(`interval = "%dh"`, 1+i%3)}
		m.write()
		s.tell(syscall.SIGHUP)
		s.tell(syscall.SIGUSR1)
		eventually(t, "the mail of this round comes", func() bool { return m.mails("a") == i+1 && m.mails("b") == i+1 && m.mails("c") == i+1 })
	}
	s.ends()
}

// A second popfetch that polls with the same state says which process the first one is.
func TestResident_second(t *testing.T) {
	t.Parallel()
	m := newMaildrops(t, "work")
	first := m.stay()
	m.polled("work", 1)
	for _, args := range [][]string{nil, {"work"}} {
		second := m.command(args...)
		text, err := second.CombinedOutput()
		want := regexp.MustCompile(fmt.Sprintf(`^popfetch: another popfetch \(process %d, since \d\d:\d\d \w+\) polls with the state in .*/state already; .*SIGUSR1`, first.Process.Pid))
		if status := exitOf(t, err); status != 75 || !want.Match(text) {
			t.Errorf("popfetch %q ended with %d and said %q, want 75 and %q", args, status, text, want)
		}
	}
	if text, err := m.command("--once").CombinedOutput(); err != nil || len(text) > 0 {
		t.Errorf("popfetch --once beside it: %v, %q", err, text)
	}
	first.ends()
	third := m.stay()
	m.polled("work", 3)
	third.ends()
}

// A service manager is told how popfetch is.
func TestResident_notify(t *testing.T) {
	t.Parallel()
	m := newMaildrops(t, "home", "work")
	hook(m.servers["work"], on("AUTH", poptest.Refuse("[SYS/TEMP] not now")))
	s, manager := m.managed("WATCHDOG_USEC=400000")
	manager.waitFor("READY=1")
	want := regexp.MustCompile(`^STATUS=2 accounts; 1 well; work: no log-in for now since \d\d:\d\d$`)
	for !want.MatchString(manager.waitFor("STATUS=2 accounts; ")) {
		continue // until both were polled
	}
	for range 3 {
		manager.waitFor("WATCHDOG=1")
	}
	hook(m.servers["work"], nil)
	s.tell(syscall.SIGUSR1)
	manager.waitFor("STATUS=2 accounts; 2 well")
	m.add("third")
	s.tell(syscall.SIGHUP)
	if text := manager.waitFor("RELOADING=1"); !regexp.MustCompile(`\nMONOTONIC_USEC=\d+$`).MatchString(text) {
		t.Errorf("message %q, want the time in it", text)
	}
	manager.waitFor("STATUS=3 accounts; ")
	manager.waitFor("READY=1")
	m.put("config.toml", "broken")
	s.tell(syscall.SIGHUP)
	manager.waitFor("RELOADING=1")
	manager.waitFor("READY=1")
	s.tell(syscall.SIGTERM)
	manager.waitFor("STOPPING=1")
	waitEnd(t, s.Cmd, time.Now(), 0)
}

// A service manager is told of the end when it begins, although a poll is at work.
func TestResident_notifyStopping(t *testing.T) {
	t.Parallel()
	m := newMaildrops(t, "work")
	reached, goOn := make(chan struct{}, 1), make(chan struct{})
	hook(m.servers["work"], func(_ *poptest.Session, cmd string) poptest.Action {
		if cmd == "QUIT" {
			reached <- struct{}{}
			<-goOn
		}
		return poptest.Action{}
	})
	s, manager := m.managed()
	await(t, reached)
	at := time.Now()
	s.tell(syscall.SIGTERM)
	manager.waitFor("STOPPING=1")
	if took := time.Since(at); took > 5*time.Second { // the session is cut after six
		t.Errorf("STOPPING came %v after the signal, want at once", took)
	}
	close(goOn)
	waitEnd(t, s.Cmd, at, 0)
}

// A service manager that cannot be reached is no reason to fetch no mail.
func TestResident_notifyMissing(t *testing.T) {
	t.Parallel()
	m := newMaildrops(t, "work")
	s := &stayer{maildrops: m, Cmd: m.command(), out: new(output), said: new(output)}
	s.Stdout, s.Stderr = s.out, s.said
	s.Env = append(s.Env, "NOTIFY_SOCKET="+filepath.Join(m.dir, "missing"))
	s.begin()
	m.polled("work", 1)
	s.ends("the service manager is told nothing: NOTIFY_SOCKET: ")
}

// A popfetch that cannot begin does not say that it is ready.
func TestResident_broken(t *testing.T) {
	t.Parallel()
	m := newMaildrops(t, "work")
	m.put("config.toml", "broken")
	s, manager := m.managed()
	if status := exitOf(t, s.Wait()); status != 78 {
		t.Errorf("exit status = %d, want 78", status)
	}
	if err := manager.conn.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if n, err := manager.conn.Read(make([]byte, 100)); err == nil {
		t.Errorf("%d octets came of a popfetch that could not begin, want nothing", n)
	}
}

// On the journal each line has a priority, and news are told. Elsewhere nothing is said but trouble.
func TestResident_journal(t *testing.T) {
	t.Parallel()
	for _, journal := range []bool{true, false} {
		t.Run(fmt.Sprint(journal), func(t *testing.T) {
			t.Parallel()
			m := newMaildrops(t, "work")
			m.servers["work"].Drop("").Add(newMail("a"))
			log := filepath.Join(t.TempDir(), "journal")
			file, err := os.Create(log)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			info, err := file.Stat()
			if err != nil {
				t.Fatal(err)
			}
			stat := info.Sys().(*syscall.Stat_t)
			ino := stat.Ino
			if !journal {
				ino++ // standard error was redirected
			}
			s := &stayer{maildrops: m, Cmd: m.command(), out: new(output), said: new(output)}
			s.Stderr = file
			s.Env = append(s.Env, fmt.Sprintf("JOURNAL_STREAM=%d:%d", stat.Dev, ino))
			s.begin()
			m.polled("work", 1)
			hook(m.servers["work"], on("AUTH", poptest.Refuse("[SYS/TEMP] not now")))
			read := func() string {
				text, err := os.ReadFile(log)
				if err != nil {
					t.Error(err)
				}
				return string(text)
			}
			s.tell(syscall.SIGUSR1)
			eventually(t, "trouble is told", func() bool { return strings.Contains(read(), "not now") })
			auths := m.servers["work"].Count("AUTH")
			s.tell(syscall.SIGUSR1) // the same trouble
			eventually(t, "it is tried again", func() bool { return m.servers["work"].Count("AUTH") > auths })
			hook(m.servers["work"], nil)
			s.tell(syscall.SIGUSR1)
			m.polled("work", 2)
			s.tell(syscall.SIGUSR1)
			m.polled("work", 3)
			at := time.Now()
			s.tell(syscall.SIGTERM)
			waitEnd(t, s.Cmd, at, 0)
			m.servers["work"].Drop("").Add(newMail("b"))
			for range 2 {
				once := m.command("--once")
				once.Stderr, once.Env = file, s.Env
				if err := once.Run(); err != nil {
					t.Error(err)
				}
			}
			want := []string{
				"<6>popfetch: polling work every 1h", "<6>popfetch: work: 1 listed, 1 delivered",
				"<3>popfetch: work: login: .*not now.*", "<6>popfetch: work: fetched again after .*",
				"<6>popfetch: work: 2 listed, 1 delivered",
			}
			if !journal {
				want = []string{"popfetch: work: login: .*not now.*"}
			}
			if !regexp.MustCompile("^" + strings.Join(want, "\n") + "\n$").MatchString(read()) {
				t.Errorf("said %s\nwant %q", read(), want)
			}
		})
	}
}

// On a terminal popfetch speaks: of passes with news, of trouble, and of its end. It says nothing of
// other passes.
func TestResident_terminal(t *testing.T) {
	t.Parallel()
	m := newMaildrops(t, "work")
	m.servers["work"].Drop("").Add(newMail("a"))
	p := newTerminalPair(t)
	c := p.start("--config", filepath.Join(m.dir, "config.toml"))
	s := &stayer{maildrops: m, Cmd: c}
	m.polled("work", 1)
	p.waitFor("popfetch: work: 1 listed, 1 delivered\r\n")
	s.tell(syscall.SIGUSR1)
	m.polled("work", 2)
	hook(m.servers["work"], on("AUTH", poptest.Refuse("[SYS/TEMP] not now")))
	s.tell(syscall.SIGUSR1)
	p.waitFor("not now")
	auths := m.servers["work"].Count("AUTH")
	s.tell(syscall.SIGUSR1)
	eventually(t, "it is tried again", func() bool { return m.servers["work"].Count("AUTH") > auths })
	hook(m.servers["work"], nil)
	s.tell(syscall.SIGUSR1)
	p.waitFor("popfetch: work: fetched again after")
	m.polled("work", 3)
	m.add("home", `interval = "10m"`)
	s.tell(syscall.SIGHUP)
	p.waitFor("popfetch: the configuration was read again; polling 2 accounts, ")
	m.polled("home", 1)
	at := time.Now()
	s.tell(syscall.SIGTERM)
	if status := exitOf(t, c.Wait()); status != 0 || time.Since(at) > endLimit {
		t.Errorf("exit status = %d after %v", status, time.Since(at))
	}
	screen := p.screen()
	if n := strings.Count(screen, "\n"); n != 5 || !strings.HasPrefix(screen, "popfetch: polling work every 1h\r\n") {
		t.Errorf("the screen shows %q, want five lines", screen)
	}

	// The same trouble is shown again by a popfetch that a person starts, and once.
	hook(m.servers["work"], on("AUTH", poptest.Refuse("[SYS/TEMP] not now")))
	if status := exitOf(t, m.command("--once").Run()); status != 75 {
		t.Errorf("exit status = %d, want 75", status)
	}
	again := newTerminalPair(t)
	c = again.start("--config", filepath.Join(m.dir, "config.toml"))
	again.waitFor("not now")
	again.waitFor("polling 2 accounts, ")
	auths = m.servers["work"].Count("AUTH")
	if err := c.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is tried again", func() bool { return m.servers["work"].Count("AUTH") > auths })
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if status := exitOf(t, c.Wait()); status != 0 || strings.Count(again.screen(), "not now") != 1 {
		t.Errorf("exit status = %d, and the screen shows %q, want the trouble once", status, again.screen())
	}
}

// A terminal that is stopped (Ctrl-S) does not hold up the end.
func TestResident_stoppedTerminal(t *testing.T) {
	t.Parallel()
	m := newMaildrops(t, "work")
	p := newTerminalPair(t)
	c := p.start("--config", filepath.Join(m.dir, "config.toml"))
	s := &stayer{maildrops: m, Cmd: c}
	m.polled("work", 1)
	p.waitFor("polling work")
	p.typeIn("\x13")
	m.servers["work"].Drop("").Add(poptest.Numbered(20, 500)...)
	s.tell(syscall.SIGUSR1)
	m.polled("work", 2) // now it writes the line, and waits
	at := time.Now()
	s.tell(syscall.SIGTERM)
	if status := exitOf(t, c.Wait()); status != 0 || time.Since(at) > endLimit {
		t.Errorf("exit status = %d after %v, want 0 within %v", status, time.Since(at), endLimit)
	}
	p.typeIn("\x11")
	if text, err := m.command("--once").CombinedOutput(); err != nil {
		t.Errorf("popfetch --once: %v, %s", err, text)
	}
	if got := m.mails("work"); got != 20 {
		t.Errorf("%d messages were delivered, want 20", got)
	}
}

// A pipe that nobody reads does not hold up the end either, and does not change the exit status.
func TestResident_fullPipe(t *testing.T) {
	t.Parallel()
	m := newMaildrops(t)
	m.add("work", `interval = "1s"`)
	m.servers["work"].Drop("").Add(poptest.Numbered(1000, 100)...)
	unread, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer unread.Close()
	defer pipe.Close()
	if _, err := unix.FcntlInt(pipe.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
		t.Fatal(err)
	}
	c := m.command("--json")
	c.Stdout = pipe
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the pipe is full", func() bool { return isFull(pipe) })
	at := time.Now()
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	waitEnd(t, c, at, 0)
}

// isFull reports whether a pipe has no room for a line.
func isFull(pipe *os.File) bool {
	waiting, err := unix.IoctlGetInt(int(pipe.Fd()), unix.TIOCINQ)
	return err == nil && waiting > 4096-200
}

// A SIGHUP because the terminal was closed ends popfetch, and a hook that hangs, as SIGTERM does.
func TestResident_hangup(t *testing.T) {
	t.Parallel()
	m := newMaildrops(t)
	m.add("work", `interval = "1h"`, `on_new = "echo $$ >hook; exec sleep 1234"`)
	m.servers["work"].Drop("").Add(newMail("a"))
	ctl, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	if err := unix.IoctlSetPointerInt(ctl, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(ctl, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := m.command()
	c.Stdin, c.Stdout, c.Stderr = tty, tty, tty
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	m.polled("work", 1)
	hook := 0
	eventually(t, "its hook runs", func() bool {
		text, _ := os.ReadFile(filepath.Join(m.dir, "hook"))
		_, err := fmt.Sscan(string(text), &hook)
		return err == nil
	})
	if err := errors.Join(tty.Close(), unix.Close(ctl)); err != nil { // as a window that is closed: the kernel sends the signal
		t.Fatal(err)
	}
	kill := time.AfterFunc(endLimit, func() { _ = c.Process.Kill() })
	defer kill.Stop()
	if status := exitOf(t, c.Wait()); status != 0 {
		t.Errorf("exit status = %d, want 0; -1: it went on without its terminal", status)
	}
	if err := syscall.Kill(hook, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the hook goes on after the end (%v)", err)
	}
}
