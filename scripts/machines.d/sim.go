package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/popfetch/popfetch/internal/pgtest"
)

// plan says how large a simulation is.
type plan struct {
	accounts, workers, hosts, jobs int
	interval, lease                time.Duration
	mails                          int           // a second
	each, kills, mixed             time.Duration // how long cases last: each one, kill, and mixed
	awayFor                        time.Duration // how long the database is stopped
	killPause                      time.Duration // until another worker comes in place of a killed one, at most
	seed                           uint64
}

var (
	full = plan{
		accounts: 10000, workers: 4, hosts: 20, jobs: 50, interval: 2 * time.Minute, lease: 15 * time.Second, mails: 30,
		each: 90 * time.Second, kills: 15 * time.Minute, mixed: 15 * time.Minute, awayFor: time.Minute, killPause: 4 * time.Second,
	}
	smallForm = plan{
		accounts: 200, workers: 3, hosts: 4, jobs: 20, interval: 4 * time.Second, lease: 5 * time.Second, mails: 40,
		each: time.Second, kills: 5 * time.Second, mixed: 5 * time.Second, awayFor: 6 * time.Second, killPause: 500 * time.Millisecond,
	}
)

// serverTimeout is how long a worker waits for a server.
const serverTimeout = 5 * time.Second

// period is a case, and when it was.
type period struct {
	happening
	lasts    time.Duration
	atOnce   int // disturbances
	from, to time.Time
	times    int
	kills    int
}

// disturbance is a time for which a worker was disturbed; process 0: all were.
type disturbance struct {
	process  int
	from, to time.Time
}

// fault is something that must not be.
type fault struct {
	kind string
	at   time.Time
	text string
}

// sim is a simulation.
type sim struct {
	plan
	dir, popfetch, wrongClock string
	config                    string // of the simulation's own commands
	limit                     time.Time

	server   sync.Mutex // of the database
	pg       *pgtest.Server
	database string

	provider *provider
	drops    []*maildrop
	places   []*place
	periods  []*period
	began    time.Time
	ended    time.Time // of the disturbances

	mu              sync.Mutex
	random          *rand.Rand
	deck            []int // the accounts in the order in which they are taken for disturbances
	dealt           int
	disturbedPlaces int
	names           int
	processes       map[string]*process
	disturbances    []disturbance
	excuses         map[string][]disturbance // of accounts
	mails           map[string]time.Time     // all messages, and when they arrived
	faults          []fault
	verdict         verdict
}

func newSim(p plan, dir, popfetch, wrongClock string) *sim {
	s := &sim{
		plan: p, dir: dir, popfetch: popfetch, wrongClock: wrongClock, random: newRandom(p.seed),
		processes: make(map[string]*process), excuses: make(map[string][]disturbance), mails: make(map[string]time.Time),
		limit: time.Now().Add(5*time.Minute + 2*(p.kills+p.mixed+20*p.each) + 10*p.interval),
	}
	s.deck = s.random.Perm(p.accounts)
	return s
}

// setUp starts the servers and makes the accounts.
func (s *sim) setUp() (err error) {
	s.provider = &provider{drops: make(map[string]*maildrop), delay: longestDelay}
	for i := range s.plan.accounts {
		d := &maildrop{user: fmt.Sprintf("a%05d", i)}
		s.drops = append(s.drops, d)
		s.provider.drops[d.user] = d
	}
	if err = s.provider.serve(s.hosts); err != nil {
		return err
	}
	if s.pg, err = pgtest.New(); err != nil {
		return err
	}
	database, err := s.pg.NewDatabase()
	if err != nil {
		return err
	}
	u, err := url.Parse(database)
	if err != nil {
		return err
	}
	s.database = strings.TrimPrefix(u.Path, "/")
	s.config = filepath.Join(s.dir, "config.toml")
	file := filepath.Join(s.dir, "accounts.toml")
	err = errors.Join(s.writeConfig(s.config, s.address(), "command"),
		os.WriteFile(filepath.Join(s.dir, "password"), []byte("tanstaaf\n"), 0o600),
		os.Mkdir(filepath.Join(s.dir, "mail"), 0o700),
		os.WriteFile(file, []byte(s.accountsText(s.drops, serverTimeout)), 0o600))
	if err == nil {
		err = s.accounts("put", file) // it makes the tables
	}
	return err
}

// watch has the database note what workers do.
func (s *sim) watch() error { return s.pg.Exec(s.database, auditing) }

// startWorkers starts the first workers.
func (s *sim) startWorkers() (err error) {
	s.began = time.Now()
	for range s.workers {
		if err == nil {
			var p *place
			if p, err = s.newPlace(); err == nil {
				s.places = append(s.places, p)
				err = p.start(0)
			}
		}
	}
	return err
}

func (s *sim) address() string { return fmt.Sprintf("127.0.0.1:%d", s.pg.Port) }

func (s *sim) newPlace() (*place, error) {
	w, err := newWire(s.address())
	return &place{sim: s, wire: w}, err
}

// writeConfig writes the configuration of a process that reaches the database at an address.
func (s *sim) writeConfig(file, address, name string) error {
	return os.WriteFile(file, fmt.Appendf(nil,
		"state = \"postgres://popfetch:%s@%s/%s?sslmode=disable&application_name=%s\"\naccounts = \"database\"\nlease = \"%ds\"\njobs = %d\n",
		pgtest.Password, address, s.database, name, s.lease/time.Second, s.jobs), 0o600)
}

// accountsText is a file with accounts. Every second one deletes what it has delivered.
func (s *sim) accountsText(drops []*maildrop, timeout time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[defaults]\ntls = \"none\"\nauth = \"user\"\npassword_file = %q\nmaildir = %q\ninterval = \"%ds\"\ntimeout = \"%ds\"\n",
		filepath.Join(s.dir, "password"), filepath.Join(s.dir, "mail", "{account}"), s.interval/time.Second, timeout/time.Second)
	for _, d := range drops {
		var n int
		_, _ = fmt.Sscanf(d.user, "a%d", &n) // setUp has made the name
		fmt.Fprintf(&b, "[account.%s]\nserver = %q\nuser = %q\n", d.user, s.provider.listeners[n%s.hosts].Addr(), d.user)
		if n%2 == 1 {
			b.WriteString("delete = \"delivered\"\n")
		}
	}
	return b.String()
}

// live has mail arrive and makes the disturbances, one case after the other. Then it waits until all
// mail is fetched.
func (s *sim) live(ctx context.Context, cases []*period) error {
	arriving, noMore := context.WithCancel(ctx)
	var arrivals sync.WaitGroup
	arrivals.Add(1)
	go func() {
		defer arrivals.Done()
		for s.pause(arriving, time.Second/time.Duration(s.plan.mails)) == nil {
			s.arrive()
		}
	}()
	err := s.settle(ctx, "at the beginning")
	for _, c := range cases {
		if err == nil {
			err = s.disturb(ctx, c)
		}
	}
	noMore()
	arrivals.Wait()
	s.ended = time.Now()
	if err == nil {
		err = s.settle(ctx, "at the end")
	}
	for _, p := range s.places {
		if err == nil {
			if problem := p.end(); problem != nil {
				s.fault("wrong", time.Now(), "%s: %v: %s", p.describe(), problem, p.said())
			}
		}
	}
	return errors.Join(err, ctx.Err())
}

func (s *sim) arrive() {
	d := s.drops[s.below(len(s.drops))]
	lines := s.below(40)
	m := d.arrive(lines)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails[m.id] = m.at
}

// disturb makes the disturbances of a case, for as long as it lasts.
func (s *sim) disturb(ctx context.Context, c *period) error {
	c.from = time.Now()
	s.mu.Lock()
	s.periods = append(s.periods, c)
	s.mu.Unlock()
	within, over := context.WithTimeout(ctx, c.lasts)
	defer over()
	errs := make(chan error)
	for range c.atOnce {
		go func() {
			var err error
			for first := true; err == nil && (first || within.Err() == nil); first = false {
				// What has begun goes on to its end, unless all ends.
				if err = c.do(ctx, s); err == nil {
					s.mu.Lock()
					c.times++
					s.mu.Unlock()
				}
			}
			errs <- err
		}()
	}
	var err error
	for range c.atOnce {
		err = errors.Join(err, <-errs)
	}
	c.to = time.Now()
	fmt.Printf("%-10s %4d disturbances in %.0f s\n", c.name, c.times, c.to.Sub(c.from).Seconds())
	if err != nil {
		return fmt.Errorf("case %s: %w", c.name, err)
	}
	return ctx.Err()
}

// settle waits until each account has had a whole session.
func (s *sim) settle(ctx context.Context, when string) error {
	since := time.Now()
	limit := since.Add(3*s.interval + 2*s.lease + 20*time.Second)
	for {
		var waits []string
		for _, d := range s.drops {
			if !d.wholeSince().After(since) {
				waits = append(waits, d.user)
			}
		}
		if len(waits) == 0 {
			return ctx.Err()
		}
		if time.Now().After(limit) {
			return s.unsettled(ctx, when, waits)
		}
		if err := s.pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// pause waits. It ends with an error if all ends.
func (s *sim) pause(ctx context.Context, d time.Duration) error {
	if time.Now().After(s.limit) {
		return errors.New("the simulation takes too long")
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *sim) nextName() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names++
	return fmt.Sprintf("w%d", s.names)
}

func (s *sim) know(n *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processes[n.name] = n
}

// pidOf returns the number of the process of a worker; 0: there is none of this name.
func (s *sim) pidOf(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.processes[name]; n != nil {
		return n.pid
	}
	return 0
}

func (s *sim) noteKill(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.at(at); c != nil {
		c.kills++
	}
}

// at returns the case that was at a time: the last that began before. The caller holds s.mu, or
// nothing goes on any more.
func (s *sim) at(t time.Time) *period {
	for i := len(s.periods) - 1; i >= 0; i-- {
		if !t.Before(s.periods[i].from) {
			return s.periods[i]
		}
	}
	return nil
}

func (s *sim) disturbed(process int, from, to time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disturbances = append(s.disturbances, disturbance{process, from, to})
}

// excuse says that an account need not be polled in time meanwhile.
func (s *sim) excuse(account string, from, to time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.excuses[account] = append(s.excuses[account], disturbance{from: from, to: to})
}

// longestNotice is how long a worker takes to notice that the database is back.
const longestNotice = 8 * time.Second

// wasAway reports whether the database was away at some time between.
func (s *sim) wasAway(from, to time.Time) bool {
	if !s.server.TryLock() {
		return true // it is away now
	}
	s.server.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.disturbances {
		if d.process == 0 && d.from.Before(to) && d.to.Add(longestNotice).After(from) {
			return true
		}
	}
	return false
}

func (s *sim) fault(kind string, at time.Time, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, fault{kind, at, fmt.Sprintf(format, args...)})
}

// remove ends all that the simulation has started.
func (s *sim) remove() {
	s.mu.Lock()
	var processes []*process
	for _, n := range s.processes {
		processes = append(processes, n)
	}
	s.mu.Unlock()
	for _, n := range processes {
		n.kill()
	}
	for _, p := range s.places {
		p.wire.close()
	}
	if s.provider != nil {
		s.provider.close()
	}
	if s.pg != nil {
		s.pg.Remove()
	}
}
