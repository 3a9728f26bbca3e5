package report

import (
	"fmt"
	"math"
	"strings"
	"time"
)

const (
	oneDay  = 24 * time.Hour
	oneWeek = 7 * oneDay
	// These are how many slots the charts have at most, and how many any has at least.
	dailySlots  = 91
	weeklySlots = 60
	sparkSlots  = 30
	leastSlots  = 14
	// A bar of a chart, or for passes that failed, has at least this height of 100.
	leastBar    = 2
	leastFailed = 30
)

// chart is a bar chart over time. Its drawing is stretched to the width of the page, so its texts
// stand beside it.
type chart struct {
	Title   string
	Summary string // what the chart shows, in words
	Slots   int    // the width of the drawing; its height is 100
	Bars    []bar
	Failed  []bar  // the same slots, for passes that failed
	Top     string // the value at the top
	Half    string
	Ticks   []tick
}

// bar is a bar of a chart. X is its slot.
type bar struct {
	X     string
	Y, H  string
	Title string
}

// tick is a text below a chart.
type tick struct {
	Left string // in percent
	Text string
	End  bool // it ends there, and does not begin there
}

// slots holds counts of successive days or weeks.
type slots struct {
	first  time.Time
	length time.Duration
	counts []Counts
}

// gather sums up days into slots that end with the one of the page's day. There are at least
// leastSlots, and at most so many.
func gather(days []Day, made time.Time, length time.Duration, most int) slots {
	last := slotOf(made, length)
	n := leastSlots
	if len(days) > 0 {
		n = max(n, int(last.Sub(slotOf(days[0].Date, length))/length)+1)
	}
	n = min(n, most)
	s := slots{first: last.Add(-time.Duration(n-1) * length), length: length, counts: make([]Counts, n)}
	for i := range days {
		day := &days[i]
		if at := int(slotOf(day.Date, length).Sub(s.first) / length); !day.Date.Before(s.first) && at < n {
			s.counts[at].add(day.Counts)
		}
	}
	return s
}

// slotOf returns the beginning of the slot of a time: a midnight, or that of a Monday.
func slotOf(at time.Time, length time.Duration) time.Time {
	return at.UTC().Truncate(length) // the zero time is a Monday
}

func (c *Counts) add(other Counts) {
	c.Runs += other.Runs
	c.Failed += other.Failed
	c.Delivered += other.Delivered
	c.Deleted += other.Deleted
	c.Octets += other.Octets
	c.Took += other.Took
}

// total sums up all slots.
func (s slots) total() (all Counts) {
	for _, c := range s.counts {
		all.add(c)
	}
	return all
}

// name names a slot.
func (s slots) name(i int) string {
	begin := s.first.Add(time.Duration(i) * s.length)
	if s.length == oneDay {
		return begin.Format("Mon ") + dayName(begin)
	}
	return "Week of " + dayName(begin)
}

// chart draws the messages in the slots, and the passes that failed.
func (s slots) chart(title string, made time.Time) *chart {
	c := &chart{Title: title, Slots: len(s.counts), Ticks: s.ticks()}
	most, best := 0, 0
	for i, n := range s.counts {
		if n.Delivered > most {
			most, best = n.Delivered, i
		}
	}
	top := niceTop(most)
	c.Top, c.Half = short(top), short(top/2)
	for i, n := range s.counts {
		if n.Delivered > 0 {
			text := fmt.Sprintf("%s: %s, %s", s.name(i), plural(n.Delivered, "message"), octets(n.Octets))
			c.Bars = append(c.Bars, newBar(i, float64(n.Delivered)/float64(top), leastBar, text))
		}
		if n.Failed > 0 {
			text := fmt.Sprintf("%s: %s of %s failed", s.name(i), number(n.Failed), plural(n.Runs, "pass", "passes"))
			c.Failed = append(c.Failed, newBar(i, float64(n.Failed)/float64(max(n.Runs, 1)), leastFailed, text))
		}
	}
	last := s.first.Add(time.Duration(len(s.counts))*s.length - oneDay)
	if last.After(made) {
		last = made
	}
	all := s.total()
	c.Summary = fmt.Sprintf("%s to %s: %s, %s", dayName(s.first), dayName(last),
		plural(all.Delivered, "message"), octets(all.Octets))
	if most > 0 {
		c.Summary += fmt.Sprintf("; most of them: %s, %s", number(most), s.name(best))
	}
	if all.Failed > 0 {
		c.Summary += fmt.Sprintf("; %s of %s failed", number(all.Failed), plural(all.Runs, "pass", "passes"))
	}
	return c
}

// newBar makes a bar whose height is a share of the drawing. One that is not zero can be seen.
func newBar(slot int, share, least float64, title string) bar {
	height := max(least, 100*share)
	return bar{X: decimal(float64(slot) + 0.1), Y: decimal(100 - height), H: decimal(height), Title: title}
}

// decimal writes a number with at most one decimal place.
func decimal(n float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", n), ".0") }

// niceTop returns an even number of few digits that is not less than n.
func niceTop(n int) int {
	for step := 1; ; step *= 10 {
		for _, factor := range []int{2, 4, 6, 10} {
			if top := factor * step; top >= n || step > math.MaxInt/100 {
				return top
			}
		}
	}
}

// short writes a round number for the space beside a chart.
func short(n int) string {
	switch {
	case n >= 1e6:
		return decimal(float64(n)/1e6) + "M"
	case n >= 1e4:
		return decimal(float64(n)/1e3) + "k"
	}
	return number(n)
}

// ticks returns the texts below a chart: its first and last slot, and months between them.
func (s slots) ticks() []tick {
	n := len(s.counts)
	last := s.first.Add(time.Duration(n-1) * s.length)
	ticks := []tick{{Left: "0", Text: s.first.Format("2 Jan")}}
	before := 0.0
	for month := firstOfNextMonth(s.first); month.Before(last); month = firstOfNextMonth(month) {
		left := 100 * float64(month.Sub(s.first)) / float64(s.length) / float64(n)
		text, latest := month.Format("Jan"), 72.0 // behind it the last text has no room on a telephone
		if s.length == oneWeek {
			text, latest = month.Format("Jan 06"), 65
		}
		if left-before < 20 || left > latest {
			continue
		}
		ticks = append(ticks, tick{Left: decimal(left), Text: text})
		before = left
	}
	return append(ticks, tick{Left: "100", Text: last.Format("2 Jan"), End: true})
}

func firstOfNextMonth(at time.Time) time.Time {
	return time.Date(at.Year(), at.Month()+1, 1, 0, 0, 0, 0, time.UTC)
}

// spark is a small drawing of the messages of the last days.
type spark struct {
	Slots   int
	Path    string
	Summary string
}

func newSpark(days []Day, made time.Time) spark {
	s := gather(days, made, oneDay, sparkSlots)
	most := 1
	for _, n := range s.counts {
		most = max(most, n.Delivered)
	}
	var path strings.Builder
	for i, n := range s.counts {
		if n.Delivered > 0 {
			height := decimal(max(4, 100*float64(n.Delivered)/float64(most)))
			fmt.Fprintf(&path, "M%d 100v-%sh.8v%sz", i, height, height)
		}
	}
	return spark{len(s.counts), path.String(), fmt.Sprintf("%s in %d days", plural(s.total().Delivered, "message"), len(s.counts))}
}

// row is a line of a histogram: a bar that lies.
type row struct {
	Label string
	Count int
	Width string // of 100
}

// histogram makes rows of counts. It leaves out empty ones at both ends.
func histogram(labels []string, counts []int) []row {
	first, end, most := len(counts), 0, 1
	for i, n := range counts {
		if n > 0 {
			first, end, most = min(first, i), i+1, max(most, n)
		}
	}
	var rows []row
	for i := first; i < end; i++ {
		width := 0.0
		if counts[i] > 0 {
			width = max(0.7, 100*float64(counts[i])/float64(most))
		}
		rows = append(rows, row{labels[i], counts[i], decimal(width)})
	}
	return rows
}
