package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// verdict is what the simulation has counted.
type verdict struct {
	records, takeOvers, polls int
	latest                    time.Duration // beyond the interval and all excuses
	rested                    []string      // accounts that were left alone for an hour
}

// unsettled tells of accounts that had no whole session for long. Those that rest, because three
// workers in a row have died with them, are polled by hand, and told apart.
func (s *sim) unsettled(ctx context.Context, when string, waits []string) error {
	for _, name := range waits {
		rests, err := s.count(ctx, `SELECT count(*)::integer FROM popfetch.turn AS t JOIN popfetch.account AS a ON a.id = t.account
			WHERE a.name = $1 AND holder <> '' AND until < now() AND abandoned >= 2`, name)
		if err != nil {
			return err
		}
		if rests == 0 {
			s.fault("starved", time.Now(), "%s is not polled any more %s", name, when)
			continue
		}
		s.verdict.rested = append(s.verdict.rested, name)
		c := exec.Command(s.popfetch, "--config", s.config, "--once", name) //nolint:noctx // its timeouts limit it
		c.Env = append(os.Environ(), "HOME="+s.dir)
		if out, err := c.CombinedOutput(); err != nil {
			s.fault("starved", time.Now(), "%s rests, and popfetch --once: %v: %s", name, err, out)
		}
	}
	return nil
}

// judge looks for faults.
func (s *sim) judge(ctx context.Context) error {
	if err := s.checkMaildirs(); err != nil {
		return err
	}
	leases, err := s.leases(ctx)
	if err != nil {
		return err
	}
	for _, d := range s.drops {
		s.checkTimes(d, leases[d.user])
		for _, l := range leases[d.user] {
			if l.overtaken {
				s.verdict.takeOvers++
			}
		}
	}
	s.verdict.records, err = s.checkRecords(ctx)
	return err
}

// checkMaildirs finds messages that are in no Maildir, or not whole, or twice.
func (s *sim) checkMaildirs() error {
	found := make(map[string]int)
	for _, d := range s.drops {
		for _, folder := range []string{"new", "cur"} {
			dir := filepath.Join(s.dir, "mail", d.user, folder)
			entries, err := os.ReadDir(dir)
			if err != nil && !os.IsNotExist(err) {
				return err
			}
			for _, e := range entries {
				text, err := os.ReadFile(filepath.Join(dir, e.Name()))
				if err != nil {
					return err
				}
				_, rest, _ := strings.Cut(string(text), "X-Mail: ")
				id, _, _ := strings.Cut(rest, "\n")
				id = strings.TrimSuffix(id, "\r")
				if strings.HasPrefix(id, d.user+"/") && strings.Contains(rest, "end of "+id) {
					found[id]++
				} else {
					s.fault("wrong", s.ended, "%s is not whole, or not of %s", e.Name(), d.user)
				}
			}
		}
	}
	for id, at := range s.mails {
		switch n := found[id]; {
		case n == 0:
			s.fault("lost", at, "%s is not in its Maildir", id)
		case n > 1:
			s.fault("twice", at, "%s is in its Maildir %d times", id, n)
		}
	}
	return nil
}

// promise is how long after the end of a lease another worker has the account, at most.
const promise = 3 * time.Second

// checkTimes finds the times in which an account was not polled for longer than it may be: its
// interval, two more, and what disturbances took. Those are the times in which the database was
// away, and those in which a worker that was disturbed had the account, with its lease after that.
func (s *sim) checkTimes(d *maildrop, leases []*lease) {
	excused := slices.Clone(s.excuses[d.user])
	for _, o := range s.disturbances {
		if o.process == 0 {
			excused = append(excused, disturbance{from: o.from, to: o.to.Add(longestNotice)})
		}
	}
	for _, l := range leases {
		for _, o := range s.disturbances {
			end := o.to.Add(s.lease + promise)
			if (o.process == 0 || o.process == l.process) && o.from.Before(l.to) && l.from.Before(o.to.Add(promise)) {
				if l.to.Before(end) {
					end = l.to
				}
				excused = append(excused, disturbance{from: l.from, to: end.Add(time.Second)})
			}
		}
	}
	polls := d.polls()
	s.verdict.polls += len(polls)
	last := s.began
	for _, at := range append(polls, s.ended) {
		may := s.interval*11/10 + overlap(excused, last, at)
		late := at.Sub(last) - may
		s.verdict.latest = max(s.verdict.latest, late)
		if late > 2*s.interval && !slices.Contains(s.verdict.rested, d.user) {
			s.fault("late", last.Add(may), "%s was polled %v after the poll before, %v of that excused; leases:%s",
				d.user, at.Sub(last).Round(time.Millisecond), (may - s.interval).Round(time.Millisecond),
				s.leasesText(leases, last, at))
		}
		last = at
	}
	if len(polls) < int(s.ended.Sub(s.began)/s.interval)/4 && !slices.Contains(s.verdict.rested, d.user) {
		s.fault("starved", s.ended, "%s was polled %d times in %v", d.user, len(polls), s.ended.Sub(s.began).Round(time.Second))
	}
}

// leasesText tells which workers had an account in a time, in seconds since the start.
func (s *sim) leasesText(leases []*lease, from, to time.Time) (text string) {
	for _, l := range leases {
		if l.to.Before(from) || l.from.After(to) {
			continue
		}
		text += fmt.Sprintf(" %d %.1f–%.1f", l.process, l.from.Sub(s.began).Seconds(), l.to.Sub(s.began).Seconds())
		if l.overtaken {
			text += " overtaken"
		}
	}
	return text
}

// overlap returns how much of a time is excused.
func overlap(excused []disturbance, from, to time.Time) (sum time.Duration) {
	slices.SortFunc(excused, func(a, b disturbance) int { return a.from.Compare(b.from) })
	for _, e := range excused {
		begin, end := e.from, e.to
		if begin.Before(from) {
			begin = from
		}
		if end.After(to) {
			end = to
		}
		if end.After(begin) {
			sum += end.Sub(begin)
			from = end
		}
	}
	return sum
}

var kinds = []string{"lost", "twice", "stale", "late", "starved", "wrong"}

// mostTold is how many faults of a kind are told.
const mostTold = 10

// tell prints the table, and the first faults of each kind. It reports whether there is none.
func (s *sim) tell() bool {
	fmt.Printf("\n%-10s %6s %6s %6s", "case", "times", "kills", "mails")
	for _, k := range kinds {
		fmt.Printf(" %7s", k)
	}
	fmt.Println()
	begin := &period{happening: happening{name: "before"}}
	all := &period{happening: happening{name: "all"}}
	for _, c := range append([]*period{begin}, s.periods...) {
		s.tellRow(c, func(t time.Time) bool { return cmp.Or(s.at(t), begin) == c })
		all.times += c.times
		all.kills += c.kills
	}
	s.tellRow(all, func(time.Time) bool { return true })
	fmt.Printf("\n%d polls, %d records, %d take-overs; the latest poll was %v late beyond its disturbance; "+
		"%d accounts rest after three dead workers\n", s.verdict.polls, s.verdict.records, s.verdict.takeOvers,
		max(0, s.verdict.latest).Round(time.Millisecond), len(s.verdict.rested))
	slices.SortFunc(s.faults, func(a, b fault) int { return a.at.Compare(b.at) })
	told := make(map[string]int)
	for _, f := range s.faults {
		if told[f.kind]++; told[f.kind] <= mostTold {
			fmt.Printf("%s at %.1f s: %s\n", f.kind, f.at.Sub(s.began).Seconds(), f.text)
		}
	}
	return len(s.faults) == 0
}

// tellRow prints what was in a case.
func (s *sim) tellRow(c *period, of func(time.Time) bool) {
	mails, count := 0, make(map[string]int)
	for _, at := range s.mails {
		if of(at) {
			mails++
		}
	}
	for _, f := range s.faults {
		if of(f.at) {
			count[f.kind]++
		}
	}
	fmt.Printf("%-10s %6d %6d %6d", c.name, c.times, c.kills, mails)
	for _, k := range kinds {
		fmt.Printf(" %7d", count[k])
	}
	fmt.Println()
}
