package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/popfetch/popfetch/internal/report"
	"github.com/popfetch/popfetch/seen"
)

// pageMode is the mode of a new page: it tells what servers have said, and which accounts there are.
const pageMode = 0o600

// pageAsides limits the messages of an account that the page lists as set aside.
const pageAsides = 100

// errUncreated says that a file of a command cannot be made.
var errUncreated = errors.New("cannot be made")

// showReport makes a page about accounts from the state alone.
func (p *program) showReport(ctx context.Context) error {
	switch {
	case p.view.json:
		return usagef("report makes a page for people; popfetch status --json has the same for programs")
	case p.output == "" && p.term.columns > 0:
		return usagef("report makes a page for a browser; write it to a file: popfetch report -o report.html")
	}
	path := ""
	if p.output != "" && p.output != "-" {
		var err error
		if path, err = pathOf("output", p.output); err != nil {
			return err
		}
	}
	s, store, accounts, err := p.openShown(ctx)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // nothing was written
	data, err := readPage(ctx, s, store, accounts, time.Now())
	if err != nil {
		return err
	}
	var text strings.Builder
	if err := report.Write(&text, data); err != nil {
		return err
	}
	if path == "" {
		return p.term.printf("%s", text.String())
	}
	return writePage(path, text.String())
}

// writePage replaces a file. One that was there keeps its mode. What is no plain file, such as
// /dev/stdout, gets the page as it is.
func writePage(path, text string) error {
	mode := fs.FileMode(pageMode)
	info, err := os.Stat(path)
	switch {
	case err != nil: // making it shows whether that matters
	case info.Mode().IsRegular() && !isStream(path):
		mode = info.Mode().Perm()
	case !info.IsDir():
		if err := writeStream(path, text); err != nil {
			return fmt.Errorf("the page cannot be written: %w", err)
		}
		return nil
	}
	err = replaceFile(path, text, mode)
	var made *fs.PathError
	switch {
	case err == nil:
		return nil
	case info != nil && info.IsDir():
		return fmt.Errorf("the page %w: %s is a folder; name a file in it", errUncreated, path)
	case errors.As(err, &made) && made.Op == "open":
		return fmt.Errorf("the page %w: %w; name a file in a folder that can be written", errUncreated, err)
	}
	return fmt.Errorf("the page cannot be written: %w", err)
}

// writeStream adds a text to what is no plain file, or is open already.
func writeStream(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// readPage reads what the page shows.
func readPage(ctx context.Context, s *shownSetting, store seen.Store, accounts []shownAccount, now time.Time) (*report.Data, error) {
	states := &stateReader{store: store, now: now, days: seen.HistoryDays}
	all, err := states.readAll(ctx, accounts)
	if err != nil {
		return nil, err
	}
	data := &report.Data{Made: now, Version: "popfetch " + versionText()}
	if len(s.words) == 0 && !s.oneShot {
		if data.Sharing, err = pageSharing(ctx, store, accounts); err != nil {
			return nil, err
		}
	}
	for i := range all {
		a := s.pageAccount(&all[i], now)
		if all[i].shared != nil && all[i].shared.Asides == 0 {
			data.Accounts = append(data.Accounts, a)
			continue
		}
		if err := addAsides(ctx, store, all[i].state, &a); err != nil {
			return nil, err
		}
		data.Accounts = append(data.Accounts, a)
	}
	return data, nil
}

// pageSharing returns what the page shows of workers; nil: the state is in a folder.
func pageSharing(ctx context.Context, store seen.Store, accounts []shownAccount) (*report.Sharing, error) {
	shared, err := readSharing(ctx, store, accounts)
	if err != nil || shared == nil {
		return nil, err
	}
	page := &report.Sharing{Text: shared.text()}
	for i := range shared.workers {
		w := &shared.workers[i]
		one := report.Worker{Host: w.Host, Process: w.Process, Version: w.Version, Labels: strings.Join(w.Labels, " "),
			Seen: w.SeenAt, Silent: !w.Alive(), AtWork: w.Held, Jobs: w.Jobs, Polls: int(w.Polls), Lost: int(w.Lost), TakeOvers: int(w.TakeOvers),
			Latest: w.Latest}
		if w.Claims > 0 {
			one.Late = w.Late / time.Duration(w.Claims)
		}
		page.Workers = append(page.Workers, one)
	}
	return page, nil
}

// pageAccount returns what the page shows of an account, but for the messages that are set aside.
func (s *shownSetting) pageAccount(from *accountState, now time.Time) report.Account {
	h := &from.history
	a := report.Account{
		Name: from.name, Success: h.SucceededAt, Ran: h.RanAt, Next: h.NextAt,
		Maildrop: report.Maildrop{At: h.MaildropAt, Listed: h.Maildrop.Listed, Backlog: h.Maildrop.Backlog, Quarantined: from.quarantined},
		Total: report.Counts{Runs: h.Total.Runs, Failed: h.Total.Failed, Delivered: h.Total.Delivered, Deleted: h.Total.Deleted,
			Octets: h.Total.Octets, Took: h.Total.Took},
	}
	if from.due != nil {
		a.Maildrop.Due = *from.due
	}
	if from.config != nil {
		a.Server, a.User = from.config.Server, from.config.User
	} else if at := slices.IndexFunc(s.known, func(known seen.Account) bool { return known.Name == from.state }); at >= 0 {
		a.Server, a.User = s.known[at].Server, s.known[at].User
	}
	if from.shared != nil && from.holder != nil {
		a.Holder, a.HeldSince = from.holder.Name(), from.holder.Since
	}
	for _, d := range h.Days {
		a.Days = append(a.Days, report.Day{
			Date: d.Date, Largest: d.Largest, Longest: d.Longest, Sizes: d.Sizes, Errors: d.Errors,
			Counts: report.Counts{Runs: d.Runs, Failed: d.Failed, Delivered: d.Delivered, Deleted: d.Deleted, Octets: d.Octets, Took: d.Took},
		})
	}
	for i, n := range h.Durations {
		d := report.Duration{Runs: n}
		if i < len(seen.DurationBounds) {
			d.UpTo = seen.DurationBounds[i]
		}
		a.Durations = append(a.Durations, d)
	}
	s.judgePage(&a, from, now)
	return a
}

// asideKinds say why a message is set aside. What is not here is none of a person's business.
var asideKinds = map[seen.Reason]string{
	seen.Quarantined: "quarantined",
	seen.Refused:     "refused",
	seen.TooLarge:    "too large",
	seen.Suspect:     "perhaps cut",
	seen.Breaking:    "ends sessions",
}

// addAsides adds the listed messages that are set aside, those that are quarantined first.
func addAsides(ctx context.Context, store seen.Store, state string, a *report.Account) error {
	ledger, err := store.Look(ctx, state, "", "")
	if errors.Is(err, seen.ErrUnsettled) {
		return nil // a run writes many records at this moment
	}
	if err != nil {
		return err
	}
	asides, err := ledger.Asides(ctx)
	if err != nil {
		return err
	}
	asides = slices.DeleteFunc(asides, func(one seen.Aside) bool { return asideKinds[one.Reason] == "" || !one.AbsentAt.IsZero() })
	rank := func(one seen.Aside) int {
		if one.Reason == seen.Quarantined {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(asides, func(one, other seen.Aside) int { return rank(one) - rank(other) })
	a.MoreAside = max(0, len(asides)-pageAsides)
	for _, one := range asides[:len(asides)-a.MoreAside] {
		a.Asides = append(a.Asides, report.Aside{
			UniqueID: writeID(one.UniqueID), Octets: one.Listed, Kind: asideKinds[one.Reason], Reason: one.Text, Since: one.Since, Refusals: one.Count,
		})
	}
	return nil
}
