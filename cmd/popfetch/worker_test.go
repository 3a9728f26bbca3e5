package main

import (
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/pgtest"
	"github.com/popfetch/popfetch/internal/poptest"
)

// A worker polls the accounts of its file: under the name worker, and without a command.
func TestWorker(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"worker"}, nil} {
		c := newCrew(t, 3, `interval = "2s"`)
		c.mail("one")
		s := c.stay(args...)
		c.delivered(1)
		c.mail("two")
		c.delivered(2)
		s.ends()
		if n := one[int](c, "SELECT count(*)::integer FROM popfetch.turn WHERE holder <> ''"); n != 0 {
			t.Errorf("%v: %d accounts are still held after the end", args, n)
		}
	}
}

// polls returns how many polls a worker has made that prints its events.
func (s *stayer) polls() int { return strings.Count(s.out.String(), `"event":"finished"`) }

// kill ends a worker as a crash of its machine does.
func (s *stayer) kill() {
	s.t.Helper()
	if err := s.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	_ = s.Wait()
}

// Two workers share accounts. One is killed while it has all of them at work. The other one takes
// them over as soon as the lease has run out, and no message comes twice.
func TestWorker_killed(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 20, `interval = "2s"`)
	c.mail("one")
	first := c.stay("worker")
	c.delivered(1)

	hang := make(chan struct{})
	for _, name := range c.names { // the first worker has them all, and delivers nothing
		hook(c.servers[name], func(_ *poptest.Session, cmd string) poptest.Action {
			if cmd == "QUIT" {
				<-hang
			}
			return poptest.Action{}
		})
	}
	c.mail("two")
	eventually(t, "all accounts are at work", func() bool {
		return one[int](c, "SELECT count(*)::integer FROM popfetch.turn WHERE holder <> ''") == len(c.names)
	})
	c.delivered(2)
	second := c.stay("worker")
	defer second.ends()
	for _, name := range c.names {
		c.servers[name].Configure(func(c *poptest.Config) { c.Hook = nil })
	}
	c.mail("three")
	first.kill()
	took := c.delivered(3)
	close(hang)
	t.Logf("the other worker took over within %v", took)
	if took > 15*time.Second { // a slow machine needs some of it for the polls
		t.Errorf("the other worker took over after %v, want the lease of 5 s and 3 s", took)
	}
	for _, name := range c.names {
		for id, n := range c.servers[name].RetrievedIDs() {
			if n != 1 {
				t.Errorf("%s: message %s was retrieved %d times, want once", name, id, n)
			}
		}
	}
}

// A worker stands still for longer than its lease, in the midst of messages, and then goes on.
// Another one has delivered them meanwhile. None comes twice, and the worker goes on with what it
// claims then.
func TestWorker_stoodStill(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 5, `interval = "2s"`)
	c.mail("one")
	first := c.stay("worker")
	c.delivered(1)
	goOn, waiting := make(chan struct{}), make(chan struct{}, len(c.names))
	for _, name := range c.names {
		var once atomic.Bool
		hook(c.servers[name], func(_ *poptest.Session, cmd string) poptest.Action {
			if strings.HasPrefix(cmd, "RETR") && !once.Swap(true) {
				waiting <- struct{}{}
				<-goOn
			}
			return poptest.Action{}
		})
	}
	c.mail("two")
	for range c.names {
		await(t, waiting)
	}
	first.tell(syscall.SIGSTOP)
	second := c.stay("worker")
	c.delivered(2)
	close(goOn)
	first.tell(syscall.SIGCONT)
	eventually(t, "the worker has counted what it has lost", func() bool {
		return one[int](c, "SELECT sum(lost)::integer FROM popfetch.worker") == len(c.names)
	})
	second.ends()
	c.mail("three")
	c.delivered(3)
	first.tell(syscall.SIGTERM)
	waitEnd(t, first.Cmd, time.Now(), 0)
	if n := one[int](c, "SELECT count(*)::integer FROM popfetch.seen"); n != 3*len(c.names) {
		t.Errorf("%d records, want one of each message", n)
	}
}

// SIGTERM hands over at once what a worker has at work.
func TestWorker_handOver(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 20, `interval = "1h"`)
	c.top = strings.Replace(c.top, `lease = "5s"`, `lease = "5m"`, 1) // longer than the test waits
	c.write()
	for _, name := range c.names { // the first session of each account never gets its listing
		hook(c.servers[name], func(_ *poptest.Session, cmd string) poptest.Action {
			if cmd == "UIDL" && len(c.servers[name].Sessions()) == 1 {
				<-t.Context().Done()
			}
			return poptest.Action{}
		})
	}
	c.mail("one")
	first := c.stay("worker")
	eventually(t, "all accounts are at work", func() bool {
		working := 0
		for _, name := range c.names {
			working += len(c.servers[name].Sessions())
		}
		return working == len(c.names)
	})
	second := c.stay("worker")
	first.ends()
	t.Logf("the other worker took over within %v", c.delivered(1))
	second.ends()
}

// A worker that joins takes its share of the accounts within one interval.
func TestWorker_joins(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 20, `interval = "10s"`)
	first := c.stay("worker", "--json")
	eventually(t, "all accounts were polled", func() bool { return first.polls() >= len(c.names) })
	second := c.stay("worker", "--json")
	eventually(t, "the second worker is ready", func() bool { return second.polls() > 0 })
	before := [2]int{first.polls(), second.polls()}
	made := func() int { return first.polls() + second.polls() - before[0] - before[1] }
	eventually(t, "as many polls as an interval has", func() bool { return made() >= len(c.names) })
	shares := [2]int{first.polls() - before[0], second.polls() - before[1]}
	t.Logf("the workers made %d polls in an interval", shares)
	if all := shares[0] + shares[1]; shares[0] < all/5 || shares[1] < all/5 {
		t.Errorf("the workers made %d polls in an interval, want about %d each", shares, len(c.names)/2)
	}
	first.ends()
	second.ends()
}

// SIGUSR1 has all accounts polled, by whichever worker.
func TestWorker_wake(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 5)
	c.add("byhand", `interval = "manual"`)
	first, second := c.stay("worker"), c.stay("worker")
	for _, name := range c.names {
		c.polled(name, 1)
	}
	eventually(t, "all turns have ended", func() bool {
		return one[int](c, "SELECT count(*)::integer FROM popfetch.turn WHERE due > now() AND due < 'infinity'") == 5
	})
	first.tell(syscall.SIGUSR1)
	for _, name := range c.names {
		c.polled(name, 2)
	}
	c.count("byhand", 0)
	first.ends()
	second.ends()
}

// SIGUSR1 leaves an account alone whose server has refused a log-in as too early.
func TestWorker_wakeRefused(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 2)
	refused, other := c.names[0], c.names[1]
	hook(c.servers[refused], on("AUTH", poptest.Refuse("[LOGIN-DELAY] not so soon")))
	s := c.stay("worker")
	s.says("not so soon")
	c.polled(other, 1)
	const waiting = "SELECT count(*)::integer FROM popfetch.turn WHERE due > now() AND due < 'infinity'"
	eventually(t, "all turns have ended", func() bool { return one[int](c, waiting) == 2 })
	s.tell(syscall.SIGUSR1)
	c.polled(other, 2)
	s.ends("[LOGIN-DELAY] not so soon")
	if n := len(c.servers[refused].Sessions()); n != 1 {
		t.Errorf("%d sessions, want that the server is left alone", n)
	}
	const waits = `SELECT due > now() + interval '1 minute' FROM popfetch.turn
		WHERE account = (SELECT id FROM popfetch.account WHERE name = $1)`
	if !one[bool](c, waits, refused) {
		t.Error("the account is due at once, though nothing could be sent")
	}
}

// Workers may have different files. None polls, or takes out, what only another one has.
func TestWorker_files(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 2, `interval = "1s"`)
	other := &crew{maildrops: newMaildrops(t), db: c.db}
	other.top = c.top
	other.add("theirs", `interval = "1s"`)
	other.add("shared", `interval = "1s"`)
	c.lines["shared"], c.servers["shared"] = []string{`interval = "1s"`}, other.servers["shared"]
	c.write()
	first, second := c.stay("worker"), other.stay("worker")
	polledOften := func(m *maildrops, name string) {
		t.Helper()
		n := m.polls(name)
		eventually(t, name+" is polled", func() bool { return m.polls(name) >= n+3 })
	}
	for _, name := range []string{"a00", "a01", "shared"} {
		polledOften(c.maildrops, name)
	}
	polledOften(other.maildrops, "theirs")

	delete(c.lines, "a01")
	delete(c.lines, "shared")
	c.write()
	first.tell(syscall.SIGHUP)
	isScheduled := func(name string) bool {
		return one[bool](c, "SELECT due < 'infinity' FROM popfetch.turn JOIN popfetch.account ON id = account WHERE name = $1", name)
	}
	eventually(t, "a01 is taken out", func() bool { return !isScheduled("a01") })
	if !isScheduled("theirs") || !isScheduled("a00") {
		t.Errorf("what a file still has was taken out")
	}
	second.tell(syscall.SIGHUP) // it would put the account back within a minute anyway
	polledOften(other.maildrops, "shared")
	if isScheduled("a01") {
		t.Errorf("a01 is polled again, though no file has it")
	}
	first.ends()
	second.ends()
}

// A shorter interval counts from the last poll, also for an account that is at work at SIGHUP.
func TestWorker_shorter(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 2, `interval = "1h"`)
	busy, hang := c.names[1], make(chan struct{})
	hook(c.servers[busy], func(_ *poptest.Session, cmd string) poptest.Action {
		if cmd == "QUIT" && len(c.servers[busy].Sessions()) == 1 {
			select {
			case <-hang:
			case <-t.Context().Done():
			}
		}
		return poptest.Action{}
	})
	s := c.stay("worker", "--json")
	eventually(t, "one account was polled", func() bool { return s.polls() == 1 })
	c.polled(busy, 1)
	for _, name := range c.names {
		c.lines[name] = []string{`interval = "2s"`}
	}
	c.write()
	s.tell(syscall.SIGHUP)
	for _, name := range c.names {
		eventually(t, name+" is polled again", func() bool { return c.polls(name) > 1 })
		if name == c.names[0] {
			close(hang)
		}
	}
	s.ends()
}

// Accounts with labels are polled by workers that have one of these.
func TestWorker_labels(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 0)
	c.add("everywhere")
	c.add("east", `workers = ["east"]`)
	c.add("both", `workers = ["west", "east"]`)
	c.add("west", `workers = ["west"]`)
	plain := c.stay("worker")
	c.polled("everywhere", 1)
	east := c.stay("worker", "--label", "east")
	c.polled("east", 1)
	c.polled("both", 1)
	c.count("west", 0)
	west := c.stay("worker", "--label=west", "--label", "north")
	c.polled("west", 1)
	for _, s := range []*stayer{plain, east, west} {
		s.ends()
	}
}

// A worker waits for its database: at its start, and later.
func TestWorker_away(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	c := newCrewAt(t, server.Database(t), 3, `interval = "1s"`)
	server.Stop(syscall.SIGQUIT)
	s := c.stay("worker")
	s.says("popfetch tries again until it can")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	c.mail("one")
	c.delivered(1)
	server.Stop(syscall.SIGQUIT)
	eventually(t, "it says that the database is away", func() bool { return strings.Count(s.said.String(), "tries again until it can") == 2 })
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	s.says("the database can be reached again")
	c.mail("two")
	c.delivered(2)
	s.tell(syscall.SIGTERM)
	waitEnd(t, s.Cmd, time.Now(), 0)
	if n := strings.Count(s.said.String(), "until it can"); n != 2 {
		t.Errorf("it said %q, want each absence once", s.said.String())
	}
}

// A service manager is told that the start takes longer, and then how the worker is.
func TestWorker_notify(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	c := newCrewAt(t, server.Database(t), 2, `interval = "1s"`)
	hook(c.servers["a01"], on("UIDL", poptest.Refuse("not now")))
	server.Stop(syscall.SIGQUIT)
	s, manager := c.managed("WATCHDOG_USEC=400000")
	manager.waitFor("STATUS=waiting for the database")
	manager.waitFor("EXTEND_TIMEOUT_USEC=")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	manager.waitFor("READY=1")
	want := regexp.MustCompile(`^STATUS=2 accounts shared with others; here \d at work, [1-9]\d* polls, [1-9]\d* in trouble, 0 lost$`)
	for !want.MatchString(manager.waitFor("STATUS=2 accounts shared")) {
		continue // until both were polled
	}
	server.Stop(syscall.SIGQUIT)
	want = regexp.MustCompile(`; database away since \d\d:\d\d$`)
	for !want.MatchString(manager.waitFor("STATUS=2 accounts shared")) {
		continue // until a claim has failed
	}
	manager.waitFor("WATCHDOG=1")
	s.tell(syscall.SIGTERM)
	manager.waitFor("STOPPING=1")
	waitEnd(t, s.Cmd, time.Now(), 0)
}

// A worker that waits for its database ends when it is told to.
func TestWorker_endsWaiting(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	c := newCrewAt(t, server.Database(t), 1)
	server.Stop(syscall.SIGQUIT)
	s := c.stay("worker")
	s.says("popfetch tries again until it can")
	s.ends("the state in postgres://popfetch:***@127.0.0.1:")
}
