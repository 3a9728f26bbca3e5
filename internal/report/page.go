package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// page is what the template shows. Everything is counted, sorted and worded already.
type page struct {
	Made     *moment
	Version  string
	Class    string // of the verdict
	Verdict  string
	Advice   string // what to do first
	Todo     []*account
	Tiles    []tile
	Chart    *chart // of all accounts together; nil if there is only one
	Accounts []*account
	Sharing  *Sharing
	Workers  []worker
}

// worker is a worker as the template shows it.
type worker struct {
	*Worker
	Seen *moment
}

// tile is a number that tells how things are.
type tile struct{ Number, Text string }

// account is an account as the template shows it.
type account struct {
	*Account
	ID    string
	Class string // of the state

	Since, Success, Ran, Next, Listed, HeldSince *moment

	Spark   spark
	Month   Counts // the last 30 days
	Daily   *chart
	Weekly  *chart // nil if the daily one shows all
	Months  []month
	Sizes   []row
	Largest int64
	Times   []row
	Mean    time.Duration
	Longest time.Duration
	Faults  []fault
	Asides  []aside
}

// month is the sum of the days of a month.
type month struct {
	Name string
	Counts
}

// fault is a code of errors, and on how many passes it ended.
type fault struct {
	Code  string
	Runs  int
	First string
	Last  string
	last  time.Time
}

// aside is a message that is set aside.
type aside struct {
	*Aside
	Since *moment
}

// classes are those of the states.
var classes = map[State]string{NeedsPerson: "bad", Retrying: "warn", Unknown: "idle", Well: "good"}

func newPage(data *Data) *page {
	p := &page{Made: momentOf(data.Made, data.Made), Version: data.Version, Sharing: data.Sharing}
	if data.Sharing != nil {
		for i := range data.Sharing.Workers {
			w := &data.Sharing.Workers[i]
			p.Workers = append(p.Workers, worker{w, momentOf(w.Seen, data.Made)})
		}
	}
	var all []Day
	for i := range data.Accounts {
		a := newAccount(&data.Accounts[i], i+1, data.Made)
		p.Accounts = append(p.Accounts, a)
		if a.State == NeedsPerson || a.State == Retrying {
			p.Todo = append(p.Todo, a)
		}
		all = append(all, a.Days...)
	}
	slices.SortStableFunc(p.Todo, func(a, b *account) int { return cmp.Compare(a.urgency(), b.urgency()) })
	p.judge()
	slices.SortStableFunc(all, func(a, b Day) int { return a.Date.Compare(b.Date) })
	if len(p.Accounts) > 1 {
		p.Chart = gather(all, data.Made, oneDay, dailySlots).chart("Messages by day, all accounts", data.Made)
	}
	p.Tiles = tilesOf(all, data.Made)
	return p
}

// urgency orders accounts that have trouble.
func (a *account) urgency() int {
	if a.State == NeedsPerson {
		return 0
	}
	return 1
}

// judge says whether everything is well.
func (p *page) judge() {
	counts := make(map[State]int)
	for _, a := range p.Accounts {
		counts[a.State]++
	}
	of := func(n int, one, more string) string {
		switch total := len(p.Accounts); {
		case total == 1:
			return "The account " + one
		case n == total:
			return fmt.Sprintf("All %d accounts %s", total, more)
		case n == 1:
			return fmt.Sprintf("1 of %d accounts %s", total, one)
		default:
			return fmt.Sprintf("%d of %d accounts %s", n, total, more)
		}
	}
	switch {
	case len(p.Accounts) == 0:
		p.Class, p.Verdict = "idle", "There is no account"
	case counts[NeedsPerson] > 0:
		p.Class, p.Verdict = "bad", of(counts[NeedsPerson], "needs a person", "need a person")
	case counts[Retrying] > 0:
		p.Class, p.Verdict = "warn", of(counts[Retrying], "has trouble that may pass", "have trouble that may pass")
		p.Advice = "popfetch tries again by itself. Nobody has to do anything."
	case counts[Well] == 0:
		p.Class, p.Verdict = "idle", of(counts[Unknown], "has not been fetched yet", "have not been fetched yet")
	case counts[Unknown] > 0:
		p.Class, p.Verdict = "good", "Everything is well"
		p.Advice = of(counts[Unknown], "has not been fetched yet.", "have not been fetched yet.")
	default:
		p.Class, p.Verdict = "good", "Everything is well"
	}
}

// tilesOf returns the numbers of the last 30 days.
func tilesOf(all []Day, made time.Time) []tile {
	last := func(days int) Counts { return gather(all, made, oneDay, days).total() }
	today, week, month := last(1), last(7), last(sparkSlots)
	failed := "0"
	if month.Failed > 0 {
		failed = number(month.Failed)
	}
	return []tile{
		{number(today.Delivered), "messages today"},
		{number(week.Delivered), "in 7 days"},
		{number(month.Delivered), "in 30 days"},
		{octets(month.Octets), "of mail in 30 days"},
		{failed, fmt.Sprintf("of %s in 30 days failed", plural(month.Runs, "pass", "passes"))},
	}
}

func newAccount(from *Account, n int, made time.Time) *account {
	a := &account{
		Account: from, ID: fmt.Sprintf("account-%d", n), Class: classes[from.State],
		Since: momentOf(from.Since, made), Success: momentOf(from.Success, made), Ran: momentOf(from.Ran, made),
		Next: momentOf(from.Next, made), HeldSince: momentOf(from.HeldSince, made), Listed: momentOf(from.Maildrop.At, made),
		Spark: newSpark(from.Days, made), Month: gather(from.Days, made, oneDay, sparkSlots).total(),
		Faults: faultsOf(from.Days),
	}
	if from.Next.Before(made) && a.Next != nil {
		a.Next.Ago = strings.TrimSuffix(a.Next.Ago, " ago") + " late"
	}
	if a.Class == "" {
		a.Class = "idle"
	}
	if from.Total.Runs > 0 {
		a.Mean = from.Total.Took / time.Duration(from.Total.Runs)
	}
	for i := range from.Asides {
		a.Asides = append(a.Asides, aside{&from.Asides[i], momentOf(from.Asides[i].Since, made)})
	}
	if len(from.Days) == 0 {
		return a
	}
	a.Daily = gather(from.Days, made, oneDay, dailySlots).chart("Messages by day", made)
	if made.Sub(from.Days[0].Date) > dailySlots*oneDay {
		a.Weekly = gather(from.Days, made, oneWeek, weeklySlots).chart("Messages by week", made)
		a.Weekly.Failed = nil
	}
	a.Months = monthsOf(from.Days)
	a.Sizes = sizesOf(from.Days)
	for i := range from.Days {
		a.Largest, a.Longest = max(a.Largest, from.Days[i].Largest), max(a.Longest, from.Days[i].Longest)
	}
	var labels []string
	var counts []int
	for i, d := range from.Durations {
		label := "up to " + took(d.UpTo)
		if d.UpTo == 0 && i > 0 {
			label = "more than " + took(from.Durations[i-1].UpTo)
		}
		labels, counts = append(labels, label), append(counts, d.Runs)
	}
	a.Times = histogram(labels, counts)
	return a
}

// monthsOf sums up days by month, the latest first.
func monthsOf(days []Day) []month {
	var months []month
	for i := range days {
		name := days[i].Date.Format("Jan 2006")
		if last := len(months) - 1; last < 0 || months[last].Name != name {
			months = append(months, month{Name: name})
		}
		months[len(months)-1].add(days[i].Counts)
	}
	slices.Reverse(months)
	return months
}

// sizesOf counts messages by size. Each row holds two magnitudes of a Day.
func sizesOf(days []Day) []row {
	const first, last, step = 10, 26, 2 // 1 KiB, 64 MiB, a factor of 4
	var labels []string
	for i := first; i <= last; i += step {
		labels = append(labels, "up to "+octets(1<<i))
	}
	labels = append(labels, "more than "+octets(1<<last))
	counts := make([]int, len(labels))
	for i := range days {
		for magnitude, n := range days[i].Sizes {
			at := max(0, (magnitude-first+step-1)/step)
			counts[min(at, len(counts)-1)] += n
		}
	}
	return histogram(labels, counts)
}

// faultsOf counts errors by code, the most frequent first.
func faultsOf(days []Day) []fault {
	byCode := make(map[string]*fault)
	for i := range days {
		for code, n := range days[i].Errors {
			f := byCode[code]
			if f == nil {
				f = &fault{Code: code, First: dayName(days[i].Date)}
				byCode[code] = f
			}
			f.Runs += n
			f.last, f.Last = days[i].Date, dayName(days[i].Date)
		}
	}
	faults := make([]fault, 0, len(byCode))
	for _, code := range slices.Sorted(maps.Keys(byCode)) {
		faults = append(faults, *byCode[code])
	}
	slices.SortStableFunc(faults, func(a, b fault) int { return cmp.Or(cmp.Compare(b.Runs, a.Runs), b.last.Compare(a.last)) })
	return faults
}

// Whereabouts tells the server and the user of an account.
func (a *account) Whereabouts() string {
	return strings.Join([]string{foreign(a.User), foreign(a.Server)}, " at ")
}
