package main

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/screen"
)

// The values of --progress.
const (
	progressAuto   = "auto"
	progressAlways = "always"
	progressNever  = "never"
)

const (
	// plainPeriod is the time between two lines of progress where bars cannot be shown.
	plainPeriod = 5 * time.Second
	// looksSlow is how long an account may look at its maildrop before a bar says so.
	looksSlow = time.Second
	// speedPeriod is the time over which the shown speed is roughly the mean.
	speedPeriod = 3 * time.Second
	// believable is the largest sum of announced sizes that may be true.
	believable = 1 << 50
	// longestLeft is the longest time left that is shown.
	longestLeft = 100 * time.Hour
)

// progress shows how far the accounts at work are: with bars on a terminal, elsewhere in a line now
// and then. A nil progress shows nothing.
type progress struct {
	term  *terminal
	plain bool
	pass  int // the accounts of a pass that ends; 0: popfetch polls for ever
	now   func() time.Time

	mu    sync.Mutex
	works []*atWork // in the order in which they began
	ended int       // accounts of the pass that have finished
	sum   amounts   // of these
}

// amounts counts what an account has to retrieve, and what of it has come.
type amounts struct {
	messages, of  int // settled, and to be settled
	octets, total int64
	waiting       int64   // messages
	speed         float64 // octets a second
}

// atWork is an account at work.
type atWork struct {
	amounts
	account   string
	counts    *fetch.Progress
	began     time.Time
	retrieves bool
	since     time.Time // when it was measured first, and last
	measured  time.Time
}

// newProgress returns what shows the progress of a run, or nil.
func (p *program) newProgress(accounts []fetch.Account) *progress {
	shown := &progress{term: p.term, plain: !p.term.talks || isDumb(), now: time.Now}
	if p.once {
		shown.pass = len(accounts)
	}
	switch {
	case p.progress == progressNever,
		p.progress == progressAuto && (!p.term.talks || p.view.quiet):
		return nil
	}
	return shown
}

// isDumb reports whether the terminal cannot rewrite lines.
func isDumb() bool {
	name := os.Getenv("TERM")
	return name == "" || name == "dumb"
}

// begin shows progress until end is called.
func (p *progress) begin() (end func()) {
	if p == nil || !p.plain {
		return func() {}
	}
	ended, stopped := make(chan struct{}), make(chan struct{})
	tick := time.NewTicker(plainPeriod)
	go func() {
		defer close(stopped)
		defer (&program{term: p.term}).guard()
		for {
			select {
			case <-tick.C:
				if line := p.line(); line != "" {
					p.term.sayf(news, "%s", line)
				}
			case <-ended:
				tick.Stop()
				return
			}
		}
	}()
	return func() {
		close(ended)
		<-stopped
	}
}

// observe notes an event.
func (p *progress) observe(e fetch.Event) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	at := slices.IndexFunc(p.works, func(w *atWork) bool { return w.account == e.Account })
	if at < 0 && e.Kind != fetch.Started {
		return
	}
	switch e.Kind {
	case fetch.Started:
		p.works = append(p.works, &atWork{account: e.Account, counts: e.Progress, began: p.now()})
	case fetch.Finished:
		p.finish(p.works[at])
		p.works = slices.Delete(p.works, at, at+1)
	default:
		p.works[at].observe(e, p.now())
	}
	p.show()
}

// finish adds an account to the sum of the pass.
func (p *progress) finish(w *atWork) {
	if p.pass == 0 {
		return
	}
	w.measure(p.now())
	p.ended++
	p.sum.messages += w.messages
	p.sum.of += w.messages // what is left is not retrieved in this pass
	p.sum.octets += w.octets
	p.sum.total += w.octets
}

// show begins or ends the bars.
func (p *progress) show() {
	if p.plain {
		return
	}
	if p.pass > 0 && len(p.works) > 0 || slices.ContainsFunc(p.works, func(w *atWork) bool { return w.retrieves }) {
		p.term.screen.Live(p.lines)
	} else {
		p.term.screen.Live(nil)
	}
}

func (w *atWork) observe(e fetch.Event, now time.Time) {
	switch e.Kind {
	case fetch.Listed: // a further session lists what is left
		w.measure(now)
		w.retrieves = w.retrieves || e.Messages > 0
		w.of = w.messages + e.Messages
		w.total = w.octets + e.Octets
	case fetch.Delivered, fetch.Dropped, fetch.Recognised, fetch.Refused, fetch.Quarantined, fetch.Skipped:
		if w.retrieves { // otherwise the message is none of those to be retrieved
			w.messages = min(w.messages+1, w.of)
		}
	}
}

// measure reads the counters, and computes the speed.
func (w *atWork) measure(now time.Time) {
	octets := w.counts.Octets.Load()
	w.waiting = w.counts.Waiting.Load()
	if w.since.IsZero() {
		w.since = now
	} else if passed := now.Sub(w.measured); passed > 0 {
		weight := ageing(passed) / ageing(now.Sub(w.since)) // the first measures count alike
		w.speed += weight * (float64(octets-w.octets)/passed.Seconds() - w.speed)
	}
	w.octets, w.measured = octets, now
}

// ageing returns the share that a time has in a speed.
func ageing(d time.Duration) float64 { return 1 - math.Exp(-float64(d)/float64(speedPeriod)) }

// bars returns a bar for each account, and one for all.
func (p *progress) bars() (each []screen.Bar, all screen.Bar) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, sum, retrieving := p.now(), p.sum, 0
	var looking []screen.Bar
	for _, w := range p.works {
		if !w.retrieves {
			if p.pass > 0 && now.Sub(w.began) >= looksSlow {
				looking = append(looking, screen.Bar{Name: w.account, Part: -1, Messages: "looking"})
			}
			continue
		}
		w.measure(now)
		retrieving++
		sum.add(&w.amounts)
		each = append(each, w.bar(w.account, true))
	}
	each = append(each, looking...)
	name := fmt.Sprintf("%d accounts", retrieving)
	if p.pass > 0 {
		name = fmt.Sprintf("%d/%d accounts", p.ended, p.pass)
	}
	return each, sum.bar(name, p.pass == 0 || p.ended+retrieving == p.pass)
}

func (t *amounts) add(other *amounts) {
	t.messages += other.messages
	t.of += other.of
	t.octets += other.octets
	t.total += other.total
	t.waiting += other.waiting
	t.speed += other.speed
}

// bar makes a bar. The time left is known if all is listed.
func (t *amounts) bar(name string, allListed bool) screen.Bar {
	b := screen.Bar{Name: printable(name), Messages: fmt.Sprintf("%d/%d", t.messages, t.of), Speed: size(t.speed) + "/s"}
	if t.waiting > 0 {
		b.Waiting = fmt.Sprintf("%d waiting", t.waiting)
	}
	if t.total <= 0 || t.total > believable {
		b.Part, b.Octets = float64(t.messages)/float64(max(1, t.of)), size(float64(t.octets))
		return b
	}
	b.Part, b.Octets = min(1, float64(t.octets)/float64(t.total)), sizes(t.octets, t.total)
	left := time.Duration(float64(t.total-t.octets) / max(t.speed, 1) * float64(time.Second))
	if allListed && t.octets < t.total && left < longestLeft {
		b.Left = clockOf(left) + " left"
	}
	return b
}

// lines returns the bars for a terminal of this size. At most half of it is filled. popfetch in the
// background shows none.
func (p *progress) lines(columns, rows int) []string {
	if !isForeground() {
		return nil
	}
	each, all := p.bars()
	most := max(1, rows/2-1)
	several := p.pass > 1 || len(each) > 1
	each = each[:min(len(each), most)]
	if several {
		each = append(each, all)
	}
	return screen.Layout(each, columns)
}

// line returns the progress of all accounts in one line, or "" if none retrieves messages.
func (p *progress) line() string {
	each, all := p.bars()
	if len(each) == 0 || each[0].Part < 0 {
		return ""
	}
	if len(each) == 1 && p.pass <= 1 {
		all = each[0]
	}
	parts := []string{all.Messages + " messages", all.Octets, all.Speed, all.Left, all.Waiting}
	return all.Name + ": " + strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}

// isForeground reports whether popfetch may write on its terminal without disturbing another program.
func isForeground() bool {
	group, err := unix.IoctlGetInt(int(os.Stderr.Fd()), unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp() // the error says that the terminal controls no programs
}

var units = []string{"B", "kB", "MB", "GB", "TB"}

// unitOf returns the unit in which people write so many octets.
func unitOf(octets float64) (name string, factor float64) {
	factor = 1
	at := 0
	for octets >= 999.5*factor && at < len(units)-1 {
		factor *= 1000
		at++
	}
	return units[at], factor
}

func inUnit(octets, factor float64) string {
	if factor == 1 {
		return fmt.Sprintf("%.0f", octets)
	}
	return fmt.Sprintf("%.1f", octets/factor)
}

func size(octets float64) string {
	unit, factor := unitOf(octets)
	return inUnit(octets, factor) + " " + unit
}

// sizes writes a part and the whole in one unit.
func sizes(part, whole int64) string {
	unit, factor := unitOf(float64(max(part, whole)))
	return inUnit(float64(part), factor) + "/" + inUnit(float64(whole), factor) + " " + unit
}

// clockOf writes a time as minutes and seconds, or with hours.
func clockOf(d time.Duration) string {
	s := int(d.Round(time.Second).Seconds())
	if s < 3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}
