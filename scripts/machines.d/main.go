// Command machines.d is the simulation of scripts/machines, which says what it does.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	p := full
	small := flag.Bool("small", false, "the form for scripts/check")
	accounts := flag.Int("accounts", 0, "so many `accounts`")
	interval := flag.Duration("interval", 0, "the `time` between two polls of an account")
	flag.Uint64Var(&p.seed, "seed", uint64(time.Now().UnixNano()), "the `number` that all chance comes from")
	popfetch := flag.String("popfetch", "", "the `program`")
	wrongClock := flag.String("wrong-clock", "", "the `program` with a clock that may be wrong")
	flag.Parse()
	if *small {
		seed := p.seed
		p = smallForm
		p.seed = seed
	}
	if *accounts > 0 {
		p.accounts = *accounts
	}
	if *interval > 0 {
		p.interval = *interval
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	good, err := run(ctx, p, *popfetch, *wrongClock, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "machines:", err)
	}
	if err != nil || !good {
		os.Exit(1)
	}
}

// run makes one simulation, or the figures, and reports whether it has found no fault.
func run(ctx context.Context, p plan, popfetch, wrongClock string, names []string) (good bool, err error) {
	dir, err := os.MkdirTemp("", "machines-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is in the folder for temporary files
	s := newSim(p, dir, popfetch, wrongClock)
	defer s.remove()
	if len(names) == 1 && names[0] == "figures" {
		return true, s.figures(ctx)
	}
	cases, err := casesOf(names, p)
	if err != nil {
		return false, err
	}
	for _, step := range []func() error{s.setUp, s.watch, s.startWorkers} {
		if err := step(); err != nil {
			return false, err
		}
	}
	fmt.Printf("%d accounts, polled every %v, %d workers, lease %v, seed %d\n",
		p.accounts, p.interval, p.workers, p.lease, p.seed)
	if err := s.live(ctx, cases); err != nil {
		return false, err
	}
	if err := s.judge(ctx); err != nil {
		return false, err
	}
	return s.tell(), nil
}

// casesOf returns the named cases, or all, and how long each takes.
func casesOf(names []string, p plan) ([]*period, error) {
	var all []*period
	for _, h := range happenings {
		all = append(all, &period{happening: h, lasts: p.each, atOnce: 1})
	}
	all[0].lasts = p.kills
	all = append(all, &period{happening: happening{"mixed", mixed}, lasts: p.mixed, atOnce: 2})
	if len(names) == 0 {
		return all, nil
	}
	var chosen []*period
	for _, name := range names {
		before := len(chosen)
		for _, c := range all {
			if c.name == name {
				again := *c
				chosen = append(chosen, &again)
			}
		}
		if len(chosen) == before {
			return nil, fmt.Errorf("there is no case %s", name)
		}
	}
	return chosen, nil
}
