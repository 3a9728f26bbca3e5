package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/seen"
)

// seenRebuild makes records of the listed messages that a Maildir holds already, for example because
// another program has fetched them.
func (p *program) seenRebuild(ctx context.Context) error {
	if len(p.words) != 1 {
		return usagef("seen rebuild: name one account")
	}
	if p.dryRun {
		return usagef("--dry-run works only with fetching; seen rebuild always makes its changes")
	}
	return p.lookLocked(ctx, p.words[0], p.lookFor, func(survey *fetch.Survey, ledger seen.Ledger) error {
		return p.rebuild(ctx, ledger, survey)
	})
}

// lookFor returns a look for what a place holds: the one of --from-maildir or --from-mbox, or the
// account's own.
func (p *program) lookFor(a *fetch.Account) (lookFunc, error) {
	from, ok := deliver.AsFinder(a.Target)
	switch {
	case p.fromMaildir != "" && p.fromMbox != "":
		return nil, usagef("seen rebuild: --from-maildir and --from-mbox contradict each other; run it once for each")
	case p.fromMaildir != "":
		dir, err := pathOf("from-maildir", p.fromMaildir)
		if err != nil {
			return nil, err
		}
		from, ok = deliver.NewMaildir(dir), true
	case p.fromMbox != "":
		file, err := pathOf("from-mbox", p.fromMbox)
		if err != nil {
			return nil, err
		}
		from, ok = deliver.NewMbox(file, nil), true // it is only read
	}
	if !ok {
		return nil, usagef("seen rebuild: %s delivers to a place that cannot be searched; "+
			"name the one that has its mail: --from-maildir DIR or --from-mbox FILE", a.Name)
	}
	return func(r *fetch.Runner, ctx context.Context, a *fetch.Account) (*fetch.Survey, error) {
		return r.LookFor(ctx, a, from)
	}, nil
}

// rebuild adds records of the messages that are held. What popfetch has delivered to the account's own
// place counts as delivered. All else is of kind Marked: the file may lack a part of its message, so
// the server's copy is not deleted.
func (p *program) rebuild(ctx context.Context, ledger seen.Ledger, survey *fetch.Survey) error {
	records, now := slices.Clone(survey.Found), time.Now()
	held := make(map[seen.Key]bool, len(survey.Held))
	for _, h := range survey.Held {
		held[h.Key] = true
		records = append(records, seen.Record{Key: h.Key, Kind: seen.Marked, Listed: h.Octets, Digest: h.Digest,
			Places: []seen.Place{h.Place}, DeliveredAt: now})
	}
	if err := ledger.Apply(ctx, seen.Changes{Records: slices.Values(records)}); err != nil {
		return err
	}
	left := 0
	for e := range survey.Plan.Retrieve.All() {
		if !held[e.Key] {
			left++
		}
	}
	survey.Plan.Quarantined = slices.DeleteFunc(survey.Plan.Quarantined, func(m seen.Match) bool { return held[m.Key] })
	rebuilt := len(records)
	return p.report(done{Account: survey.Account, Rebuilt: &rebuilt},
		fmt.Sprintf("found and recorded as seen, %d left to be fetched", left))
}
