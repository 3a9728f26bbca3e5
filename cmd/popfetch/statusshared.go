package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/seen"
	"github.com/popfetch/popfetch/seen/postgres"
)

// readShared is readAll for a state in a database. It makes a few statements for each thousand
// accounts.
func (r *stateReader) readShared(ctx context.Context, store *sharedStore, accounts []shownAccount) ([]accountState, error) {
	names := make([]string, len(accounts))
	for i, a := range accounts {
		names[i] = a.state
	}
	known, err := store.Overviews(ctx, names, r.days)
	if err != nil {
		return nil, err
	}
	all := make([]accountState, len(accounts))
	for i, a := range accounts {
		o := known[a.state]
		if o == nil {
			o = new(postgres.Overview)
		}
		state := accountState{shownAccount: a, history: o.History, holder: o.Holder, refusals: o.Refusals, quarantined: o.Quarantined, shared: o}
		state.history.NextAt = o.Due // a state that was moved here may have one of long ago
		if o.NotBefore.After(r.now) {
			state.leftAlone = o.NotBefore
		}
		all[i] = state
	}
	if r.brief {
		return all, nil
	}
	return all, r.countShared(ctx, store, all)
}

// countShared counts the deletions that are due.
func (r *stateReader) countShared(ctx context.Context, store *sharedStore, all []accountState) error {
	var countings []postgres.Counting
	for i := range all {
		if a := &all[i]; a.config != nil && !a.config.Delete.Imported {
			if latest := dueBefore(a.config.Delete, r.now); !latest.IsZero() {
				countings = append(countings, postgres.Counting{Account: a.state, Until: latest})
			}
		}
	}
	counts, err := store.CountsDue(ctx, countings)
	if err != nil {
		return err
	}
	for i := range all {
		a := &all[i]
		if a.config == nil {
			continue
		}
		due := counts[a.state]
		if a.config.Delete.Imported {
			ledger, err := store.Look(ctx, a.state, "", "")
			if err != nil {
				return err
			}
			if due, err = countDue(ctx, ledger, a.config.Delete, r.now); err != nil {
				return err
			}
		}
		a.setDue(due)
	}
	return nil
}

// sharing is what a database tells of all accounts and workers together.
type sharing struct {
	workers []postgres.Worker
	work    postgres.Work
	// interval is that of the account that has waited longest; 0: it is unknown here.
	interval time.Duration
}

// readSharing returns nil if the state is in a folder.
func readSharing(ctx context.Context, store seen.Store, accounts []shownAccount) (s *sharing, err error) {
	shared, is := store.(*sharedStore)
	if !is {
		return nil, nil //nolint:nilnil // nobody shares it
	}
	s = new(sharing)
	if s.workers, err = shared.Workers(ctx); err != nil {
		return nil, err
	}
	if s.work, err = shared.Work(ctx); err != nil {
		return nil, err
	}
	at := slices.IndexFunc(accounts, func(a shownAccount) bool { return a.state == s.work.Longest })
	if at >= 0 && accounts[at].config != nil {
		s.interval = accounts[at].config.Interval
	}
	return s, nil
}

// alive counts the workers that have noted themselves lately.
func (s *sharing) alive() (n int) {
	for i := range s.workers {
		if s.workers[i].Alive() {
			n++
		}
	}
	return n
}

// intervals returns for how many intervals the account has waited that has waited longest; false: its
// interval is unknown.
func (s *sharing) intervals() (float64, bool) {
	switch {
	case s.work.Overdue <= 0:
		return 0, true
	case s.interval <= 0:
		return 0, false
	}
	return s.work.Overdue.Seconds() / s.interval.Seconds(), true
}

// sharedStatusLine is one line of status --json if the state is in a database.
type sharedStatusLine struct {
	statusLine
	ProcessHost    *string    `json:"process_host"`
	Label          *string    `json:"label"`
	Overdue        *float64   `json:"overdue_seconds"`
	Abandoned      *int       `json:"abandoned"`
	AbandonedBy    *string    `json:"abandoned_by"`
	AbandonedUntil *time.Time `json:"abandoned_until"`
}

func newSharedStatusLine(a *accountState) sharedStatusLine {
	line := sharedStatusLine{statusLine: newStatusLine(a)}
	if a.holder != nil {
		host := a.holder.Host
		if host == "" {
			host, _ = os.Hostname() // "" if it is unknown
		}
		line.ProcessHost = &host
	}
	o := a.shared
	if o.Label != "" {
		line.Label = &o.Label
	}
	if o.IsWaiting() {
		late := roundSeconds(-o.In)
		line.Overdue = &late
	}
	if gone := o.Abandoned; gone != nil {
		line.Abandoned, line.AbandonedBy, line.AbandonedUntil = &gone.Times, &gone.Holder, utcOf(gone.Ended.Add(postgres.AbandonedRest))
	}
	return line
}

// roundSeconds returns a time in seconds, to the millisecond.
func roundSeconds(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }

// workerLine is the line of status --json about a worker. Its field names are part of the contract.
type workerLine struct {
	Worker         string    `json:"worker"`
	Host           string    `json:"host"`
	Process        int       `json:"process"`
	ProgramVersion string    `json:"program_version"`
	Labels         []string  `json:"labels"`
	Jobs           int       `json:"jobs"`
	Started        time.Time `json:"started"`
	LastSeen       time.Time `json:"last_seen"`
	Alive          bool      `json:"alive"`
	AtWork         int       `json:"at_work"`
	Claims         int64     `json:"claims"`
	Polls          int64     `json:"polls"`
	Delivered      int64     `json:"delivered"`
	Late           float64   `json:"late_seconds"`
	Latest         float64   `json:"latest_seconds"`
	TakeOvers      int64     `json:"takeovers"`
	LostLeases     int64     `json:"lost_leases"`
	Renewals       int64     `json:"renewals"`
	FailedRenewals int64     `json:"failed_renewals"`
	PoolWait       float64   `json:"pool_wait_seconds"`
}

func newWorkerLine(w *postgres.Worker) workerLine {
	return workerLine{Worker: w.Name, Host: w.Host, Process: w.Process, ProgramVersion: w.Version, Labels: w.Labels, Jobs: w.Jobs,
		Started: *utcOf(w.Started), LastSeen: *utcOf(w.SeenAt), Alive: w.Alive(), AtWork: w.Held,
		Claims: w.Claims, Polls: w.Polls, Delivered: w.Delivered, Late: roundSeconds(w.Late), Latest: roundSeconds(w.Latest),
		TakeOvers: w.TakeOvers, LostLeases: w.Lost, Renewals: w.Renewals, FailedRenewals: w.Unrenewed,
		PoolWait: roundSeconds(w.PoolWait)}
}

// workLine is the last line of status --json about a database.
type workLine struct {
	Workers         int      `json:"workers"`
	Scheduled       int      `json:"scheduled"`
	Due             int      `json:"due"`
	Overdue         int      `json:"overdue"`
	AtWork          int      `json:"at_work"`
	LeftAlone       int      `json:"left_alone"`
	Oldest          *string  `json:"oldest_overdue"`
	OldestSeconds   *float64 `json:"oldest_overdue_seconds"`
	OldestIntervals *float64 `json:"oldest_overdue_intervals"`
}

func newWorkLine(s *sharing) workLine {
	w := &s.work
	line := workLine{Workers: s.alive(), Scheduled: w.Scheduled, Due: w.Due, Overdue: w.Late, AtWork: w.Held, LeftAlone: w.Resting}
	if w.Longest == "" {
		return line
	}
	late := roundSeconds(w.Overdue)
	line.Oldest, line.OldestSeconds = &w.Longest, &late
	if n, known := s.intervals(); known {
		n, _ = strconv.ParseFloat(strconv.FormatFloat(n, 'f', 2, 64), 64)
		line.OldestIntervals = &n
	}
	return line
}

// showSharing shows the workers and the work.
func (p *program) showSharing(s *sharing) error {
	if p.view.json {
		for i := range s.workers {
			if err := p.term.printJSON(newWorkerLine(&s.workers[i])); err != nil {
				return err
			}
		}
		return p.term.printJSON(newWorkLine(s))
	}
	if p.term.columns > 0 && len(s.workers) > 0 {
		if err := p.term.printf("\n"); err != nil {
			return err
		}
	}
	rows := p.term.table("WORKER", "PROCESS", "SEEN", "AT WORK", "JOBS", "POLLS", "LATE", "LATEST", "LOST", "TAKEN OVER", "VERSION", "LABELS")
	for i := range s.workers {
		cells := workerCells(&s.workers[i])
		if p.term.columns == 0 {
			cells = append([]string{"worker"}, cells...) // no account has that name
		}
		if err := rows.row(cells...); err != nil {
			return err
		}
	}
	if err := rows.flush(); err != nil {
		return err
	}
	if p.term.columns > 0 {
		return p.term.printf("\n%s", wrap(s.text(), p.term.columns))
	}
	return p.term.printf("%s\n", s.text())
}

// workerCells are the cells of a table of workers.
func workerCells(w *postgres.Worker) []string {
	last := inWords(w.Silent) + " ago"
	if !w.Alive() {
		last = "silent for " + inWords(w.Silent)
	}
	mean := time.Duration(0)
	if w.Claims > 0 {
		mean = w.Late / time.Duration(w.Claims)
	}
	count := func(n int64) string { return strconv.FormatInt(n, 10) }
	return []string{printable(w.Host), strconv.Itoa(w.Process), last, strconv.Itoa(w.Held), strconv.Itoa(w.Jobs),
		count(w.Polls), lateness(mean), lateness(w.Latest), count(w.Lost), count(w.TakeOvers), printable(w.Version),
		printable(strings.Join(w.Labels, " "))}
}

// lateness tells how late something was. Short times matter here.
func lateness(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return inWords(d)
}

// text tells how the work goes, in one line.
func (s *sharing) text() string {
	w := &s.work
	workers := "1 worker"
	if n := s.alive(); n != 1 {
		workers = fmt.Sprintf("%d workers", n)
	}
	text := fmt.Sprintf("%s in the schedule of %s: %d at work, %d due, %d overdue", accountsOf(w.Scheduled), workers, w.Held, w.Due, w.Late)
	if w.Late > 0 {
		text += fmt.Sprintf("; the longest is %s, by %s", printable(w.Longest), inWords(w.Overdue))
		if n, known := s.intervals(); known {
			text += fmt.Sprintf(" (%.1f intervals)", n)
		}
	}
	if w.Resting > 0 {
		text += fmt.Sprintf("; %d left alone", w.Resting)
	}
	return text
}

// sharedNotes tells what is special about an account in a database, beside who is at it.
func (a *accountState) sharedNotes(now time.Time) (notes []string) {
	o := a.shared
	if o == nil {
		return nil
	}
	if gone := o.Abandoned; gone != nil {
		notes = append(notes, fmt.Sprintf("left alone: %d times in a row it was not given back, by %s last, whose lease ended at %s; workers try it again in %s, and popfetch --once %s does so now",
			gone.Times, printable(gone.Holder), clockTime(gone.Ended, now), inWords(gone.Again), printable(a.name)))
	}
	if o.IsWaiting() && -o.In > postgres.LateAfter {
		text := "overdue by " + inWords(-o.In)
		if a.config != nil && a.config.Interval > 0 {
			text += fmt.Sprintf(" (%.1f intervals of %s)", (-o.In).Seconds()/a.config.Interval.Seconds(), config.TimeText(a.config.Interval))
		}
		if o.Label != "" {
			text += "; only workers with " + labelWords(o.Label) + " poll it"
		}
		notes = append(notes, text)
	}
	return notes
}

// labelWords names the labels of an account in the schedule.
func labelWords(label string) string {
	if strings.Contains(label, " ") {
		return "one of the labels " + label
	}
	return "the label " + label
}

// sharedNextPoll tells when a worker polls the account, by the clock of the database.
func (a *accountState) sharedNextPoll() string {
	switch o := a.shared; {
	case o.Abandoned != nil:
		return "left alone"
	case o.Due.IsZero():
		return "-"
	case o.In > 0:
		return "in " + inWords(o.In)
	case -o.In > postgres.LateAfter:
		return inWords(-o.In) + " late"
	}
	return "due"
}
