package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A happening is a kind of disturbance. It makes one, and undoes it.
type happening struct {
	name string
	do   func(context.Context, *sim) error
}

// happenings are all kinds but mixed, which chooses among them.
var happenings = []happening{
	{"kill", killOne},
	{"stop", stopOne},
	{"fast", func(ctx context.Context, s *sim) error { return s.restart(ctx, syscall.SIGINT, 0) }},
	{"immediate", func(ctx context.Context, s *sim) error { return s.restart(ctx, syscall.SIGQUIT, 0) }},
	{"away", func(ctx context.Context, s *sim) error { return s.restart(ctx, syscall.SIGINT, s.awayFor) }},
	{"cut", cutOne},
	{"swallow", swallowOne},
	{"clock", wrongClock},
	{"members", members},
	{"accounts", changeAccounts},
	{"servers", troubleServers},
}

// takePlace takes a worker that nobody disturbs. At least one stays undisturbed.
func (s *sim) takePlace() *place {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.disturbedPlaces >= len(s.places)-1 {
		return nil
	}
	for _, i := range s.random.Perm(len(s.places)) {
		if p := s.places[i]; p.taken.TryLock() {
			s.disturbedPlaces++
			return p
		}
	}
	return nil
}

func (s *sim) leavePlace(p *place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disturbedPlaces--
	p.taken.Unlock()
}

// withPlace disturbs one worker, if one may be disturbed now.
func (s *sim) withPlace(ctx context.Context, do func(*place) error) error {
	p := s.takePlace()
	if p == nil {
		return s.pause(ctx, 100*time.Millisecond)
	}
	defer s.leavePlace(p)
	return do(p)
}

// killOne kills a worker, and starts another one in its place.
func killOne(ctx context.Context, s *sim) error {
	return s.withPlace(ctx, func(p *place) error {
		if !s.mayDie(ctx, p.process) {
			return s.pause(ctx, 200*time.Millisecond)
		}
		at := time.Now()
		p.kill()
		s.noteKill(at)
		s.disturbed(p.pid, at, at)
		if err := s.pause(ctx, s.between(0, s.killPause)); err != nil {
			return err
		}
		return p.start(0)
	})
}

// atWork has a worker deliver mail to several accounts when it is disturbed, if that comes about soon.
func (s *sim) atWork(ctx context.Context, n *process) error {
	for range min(len(s.drops)/2, 8*s.plan.mails) {
		s.arrive()
	}
	for end := time.Now().Add(s.lease / 2); time.Now().Before(end); {
		held, err := s.count(ctx, `SELECT count(*)::integer FROM popfetch.turn WHERE process = $1 AND holder <> ''`, n.pid)
		if err != nil {
			return err
		}
		if held >= 5 {
			break
		}
		if err := s.pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return s.pause(ctx, s.between(0, 4*longestDelay))
}

// stopOne stops a worker for longer than its lease.
func stopOne(ctx context.Context, s *sim) error {
	return s.withPlace(ctx, func(p *place) error {
		if err := s.atWork(ctx, p.process); err != nil {
			return err
		}
		if !s.mayDie(ctx, p.process) {
			return s.pause(ctx, 200*time.Millisecond)
		}
		at := time.Now()
		p.signal(syscall.SIGSTOP)
		err := s.pause(ctx, s.lease+s.between(time.Second, s.lease/2))
		p.signal(syscall.SIGCONT)
		s.disturbed(p.pid, at, time.Now())
		return err
	})
}

// restart stops PostgreSQL, and starts it again after a while.
func (s *sim) restart(ctx context.Context, signal syscall.Signal, away time.Duration) error {
	s.server.Lock()
	defer s.server.Unlock()
	for s.anyAbandoned(ctx) {
		if err := s.pause(ctx, 200*time.Millisecond); err != nil {
			return nil //nolint:nilerr // the case is over
		}
	}
	from := time.Now()
	s.pg.Stop(signal)
	_ = s.pause(ctx, away)
	err := s.pg.Start()
	s.disturbed(0, from, time.Now())
	if err == nil {
		_ = s.pause(ctx, s.between(time.Second, 2*time.Second))
	}
	return err
}

// cutOne ends the connections of a worker to the database, and refuses new ones for a while.
func cutOne(ctx context.Context, s *sim) error {
	return s.withPlace(ctx, func(p *place) error {
		if !s.mayDie(ctx, p.process) {
			return s.pause(ctx, 200*time.Millisecond)
		}
		from := time.Now()
		p.wire.cut(true)
		err := s.pause(ctx, s.between(0, s.lease*3/2))
		p.wire.restore()
		s.disturbed(p.pid, from, time.Now())
		_ = s.pause(ctx, time.Second)
		return err
	})
}

// swallowOne lets nothing pass between a worker and the database for longer than a lease.
func swallowOne(ctx context.Context, s *sim) error {
	return s.withPlace(ctx, func(p *place) error {
		if err := s.atWork(ctx, p.process); err != nil {
			return err
		}
		if !s.mayDie(ctx, p.process) {
			return s.pause(ctx, 200*time.Millisecond)
		}
		from := time.Now()
		p.wire.swallow()
		err := s.pause(ctx, s.lease+s.between(time.Second, s.lease/2))
		if s.chance(2) { // what was sent arrives late, or never
			p.wire.cut(false)
		}
		p.wire.restore()
		s.disturbed(p.pid, from, time.Now())
		_ = s.pause(ctx, time.Second)
		return err
	})
}

// wrongClock has a worker work whose clock is an hour fast or slow, and kills it.
func wrongClock(ctx context.Context, s *sim) error {
	return s.withPlace(ctx, func(p *place) error {
		if err := s.replace(p, wrong(time.Hour*time.Duration(1-2*s.below(2)))); err != nil {
			return err
		}
		err := s.pause(ctx, s.lease)
		if s.mayDie(ctx, p.process) {
			at := time.Now()
			p.kill()
			s.noteKill(at)
			s.disturbed(p.pid, at, at)
			return errors.Join(err, p.start(0))
		}
		return errors.Join(err, s.replace(p, 0))
	})
}

// replace has a worker hand over, and starts another one in its place.
func (s *sim) replace(p *place, clock wrong) error {
	from := time.Now()
	if err := p.end(); err != nil {
		s.fault("wrong", from, "%s: %v: %s", p.describe(), err, p.said())
	}
	s.disturbed(p.pid, from, time.Now())
	return p.start(clock)
}

// members has a worker join, which gets its share within one interval, and then leave.
func members(ctx context.Context, s *sim) error {
	p, err := s.newPlace()
	if err != nil {
		return err
	}
	defer p.wire.close()
	from := time.Now()
	if err := p.start(0); err != nil {
		return err
	}
	over := s.pause(ctx, s.interval+3*time.Second)
	claims := func() int {
		n, _ := s.count(context.WithoutCancel(ctx), `SELECT count(*)::integer FROM audit.lease WHERE process = $1 AND NOT ended`, p.pid)
		return n
	}
	if n := claims(); over == nil && n == 0 && !s.wasAway(from, time.Now()) {
		s.fault("wrong", from, "%s joined, and had no account within an interval", p.describe())
	}
	from = time.Now()
	if err := p.end(); err != nil {
		s.fault("wrong", from, "%s: %v: %s", p.describe(), err, p.said())
	}
	s.disturbed(p.pid, from, time.Now())
	held, err := s.count(context.WithoutCancel(ctx), `SELECT count(*)::integer FROM popfetch.turn
		WHERE process = $1 AND holder <> '' AND until > now()`, p.pid)
	if err == nil && held > 0 && !s.wasAway(from, time.Now()) {
		s.fault("wrong", from, "%s has ended, and still has %d accounts", p.describe(), held)
	}
	return nil
}

// inForce is after how long workers know of a change of accounts, and have ended the passes at work.
const inForce = 5*time.Second + 3*time.Second

// changeAccounts disables and enables accounts, and changes others.
func changeAccounts(ctx context.Context, s *sim) error {
	var off, changed []*maildrop
	for _, d := range s.someDrops(max(2, len(s.drops)/20)) {
		if len(off) <= len(changed) {
			off = append(off, d)
		} else {
			changed = append(changed, d)
		}
	}
	from := time.Now()
	file := filepath.Join(s.dir, "changed.toml")
	if err := os.WriteFile(file, []byte(s.accountsText(changed, serverTimeout+time.Second)), 0o600); err != nil {
		return err
	}
	if err := s.accounts("put", file); err != nil {
		return err
	}
	if err := s.accounts("disable", users(off)...); err != nil {
		return err
	}
	disabled := time.Now()
	_ = s.pause(ctx, inForce+2*time.Second)
	enabled := time.Now()
	if err := s.accounts("enable", users(off)...); err != nil {
		return err
	}
	for _, d := range off {
		s.excuse(d.user, from, time.Now().Add(inForce))
		for _, at := range d.polls() {
			if at.After(disabled.Add(inForce)) && at.Before(enabled) && !s.wasAway(disabled, enabled) {
				s.fault("wrong", at, "%s was polled %v after it was disabled", d.user, at.Sub(disabled))
			}
		}
	}
	return nil
}

func users(drops []*maildrop) (names []string) {
	for _, d := range drops {
		names = append(names, d.user)
	}
	return names
}

// accounts runs popfetch accounts. The command ends with 75 while the database is away.
func (s *sim) accounts(command string, words ...string) error {
	for {
		c := exec.Command(s.popfetch, append([]string{"--config", s.config, "accounts", command}, words...)...) //nolint:noctx // the database limits it
		c.Env = append(os.Environ(), "HOME="+s.dir)
		out, err := c.CombinedOutput()
		if err == nil {
			return nil
		}
		if c.ProcessState == nil || c.ProcessState.ExitCode() != 75 || time.Now().After(s.limit) {
			return fmt.Errorf("popfetch accounts %s: %w: %s", command, err, strings.TrimSpace(string(out)))
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// troubleServers has the server of one account hang, another's refuse, and a third one's break off.
func troubleServers(ctx context.Context, s *sim) error {
	drops := s.someDrops(3)
	from := time.Now()
	for i, d := range drops {
		d.set(hangs + trouble(i))
	}
	_ = s.pause(ctx, s.between(s.interval, 2*s.interval))
	for _, d := range drops {
		d.set(healthy)
		// A poll after several in vain may wait for about as long as they took.
		lasted := time.Since(from)
		s.excuse(d.user, from, time.Now().Add(2*lasted+s.interval))
	}
	return nil
}

// mixed makes disturbances of all kinds, several at a time.
func mixed(ctx context.Context, s *sim) error {
	pick := happenings[s.below(len(happenings))]
	if s.chance(2) {
		pick = happenings[0] // many kills
	}
	return pick.do(ctx, s)
}

func (s *sim) below(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.random.IntN(n)
}

func (s *sim) chance(one int) bool { return s.below(one) == 0 }

func (s *sim) between(least, most time.Duration) time.Duration {
	return least + time.Duration(s.below(int(max(1, most-least))))
}

// someDrops returns different accounts, at random, that no other disturbance has.
func (s *sim) someDrops(n int) (some []*maildrop) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		some = append(some, s.drops[s.deck[s.dealt%len(s.deck)]])
		s.dealt++
	}
	return some
}

func newRandom(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 17)) } //nolint:gosec // nothing secret depends on it
