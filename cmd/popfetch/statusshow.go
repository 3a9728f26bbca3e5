package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/popfetch/popfetch/internal/screen"
	"github.com/popfetch/popfetch/seen"
)

// statusLine is one line of status --json. Its field names are part of the contract. A field that is
// null is unknown, or there is nothing to tell.
type statusLine struct {
	Account        string     `json:"account"`
	LastSuccess    *time.Time `json:"last_success"`
	LastError      *time.Time `json:"last_error"`
	ErrorSince     *time.Time `json:"error_since"`
	NextPoll       *time.Time `json:"next_poll"`
	Process        *int       `json:"process"`
	ProcessSince   *time.Time `json:"process_since"`
	LeftAloneUntil *time.Time `json:"left_alone_until"`
	Quarantined    int        `json:"quarantined"`
	DeletionsDue   *int       `json:"deletions_due"`
	Backlog        *int       `json:"backlog"`
	Listed         *int       `json:"listed"`
	Status         *int       `json:"status"`
	Code           *string    `json:"code"`
	Error          *string    `json:"error"`
}

func newStatusLine(a *accountState) statusLine {
	h := &a.history
	line := statusLine{
		Account: a.name, LastSuccess: utcOf(h.SucceededAt),
		LastError: utcOf(h.Error.At), ErrorSince: utcOf(h.Error.Since), NextPoll: utcOf(h.NextAt),
		LeftAloneUntil: utcOf(a.leftAlone), Quarantined: a.quarantined, DeletionsDue: a.due,
	}
	if a.holder != nil {
		line.Process, line.ProcessSince = &a.holder.Process, utcOf(a.holder.Since)
	}
	if !h.MaildropAt.IsZero() {
		line.Backlog, line.Listed = &h.Maildrop.Backlog, &h.Maildrop.Listed
	}
	if !h.Error.At.IsZero() {
		line.Status, line.Code, line.Error = &h.Error.Status, &h.Error.Code, &h.Error.Text
	}
	return line
}

// utcOf returns a time in UTC with whole seconds; nil: there is none.
func utcOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Second)
	return &t
}

// narrowTable is the width below which a table has fewer columns.
const narrowTable = 64

// showTable prints a line for each account. On a terminal, what does not fit into a table stands in
// lines below it.
func (p *program) showTable(all []accountState, now time.Time) error {
	narrow := p.term.columns > 0 && p.term.columns < narrowTable
	rows := p.term.table("ACCOUNT", "LAST SUCCESS", "NEXT POLL", "NEW", "14 DAYS")
	if narrow {
		rows = p.term.table("ACCOUNT", "SUCCESS", "NEW", "7 DAYS")
	}
	var below strings.Builder
	for i := range all {
		a := &all[i]
		name, notes := printable(a.name), a.notes(now)
		cells := []string{name, lastSuccess(a, now), nextPoll(a, now), backlogOf(a),
			spark(a.history.Days, now, p.term.unicode)}
		if narrow {
			bars := []rune(cells[4])
			cells = []string{cells[0], cells[1], cells[3], string(bars[sparkDays/2:])}
		}
		if p.term.columns > 0 {
			for _, note := range notes {
				below.WriteString(wrap(name+": "+note, p.term.columns))
			}
		} else {
			cells = append(cells, strings.Join(notes, "; "))
		}
		if err := rows.row(cells...); err != nil {
			return err
		}
	}
	if err := rows.flush(); err != nil {
		return err
	}
	return p.term.printf("%s", below.String())
}

func lastSuccess(a *accountState, now time.Time) string {
	if a.history.SucceededAt.IsZero() {
		return "never"
	}
	return ago(a.history.SucceededAt, now)
}

// ago tells when something happened. A time in the future comes from a clock that was wrong.
func ago(t, now time.Time) string {
	if t.After(now.Add(time.Minute)) {
		return "in " + inWords(t.Sub(now))
	}
	return inWords(max(now.Sub(t), 0)) + " ago"
}

func nextPoll(a *accountState, now time.Time) string {
	switch next := a.history.NextAt; {
	case a.holder != nil:
		return "at work"
	case a.shared != nil:
		return a.sharedNextPoll()
	case next.IsZero():
		return "-"
	case next.Before(now.Add(-time.Minute)):
		return inWords(now.Sub(next)) + " late"
	default:
		return "in " + inWords(max(next.Sub(now), 0))
	}
}

// backlogOf tells how many new messages wait on the server, as far as is known.
func backlogOf(a *accountState) string {
	if a.history.MaildropAt.IsZero() {
		return "-"
	}
	return strconv.Itoa(a.history.Maildrop.Backlog)
}

// oldNews is the age at which an error that is over is no longer shown to a person.
const oldNews = sparkDays * 24 * time.Hour

// notes tells what is special about an account.
func (a *accountState) notes(now time.Time) (notes []string) {
	if a.holder != nil {
		text := "a run is at work"
		if a.holder.Process > 0 && !a.holder.Since.IsZero() {
			text = printable(a.holder.Name()) + " is at work since " + clockTime(a.holder.Since, now)
		}
		notes = append(notes, text)
	}
	notes = append(notes, a.sharedNotes(now)...)
	if e := &a.history.Error; a.fails() {
		notes = append(notes, fmt.Sprintf("fails since %s (%s), last %s, status %d: %s",
			clockTime(e.Since, now), inWords(max(now.Sub(e.Since), 0)), ago(e.At, now), e.Status, e.Text))
	} else if !e.At.IsZero() && now.Sub(e.At) < oldNews {
		text, _, _ := strings.Cut(e.Text, "; ") // behind it is what there was to do
		notes = append(notes, fmt.Sprintf("last error %s, over since, status %d: %s",
			ago(e.At, now), e.Status, text))
	}
	if !a.leftAlone.IsZero() {
		notes = append(notes, "left alone until "+clockTime(a.leftAlone, now))
	}
	if a.quarantined > 0 {
		notes = append(notes, fmt.Sprintf("%d quarantined", a.quarantined))
	}
	if a.due != nil && *a.due > 0 {
		notes = append(notes, fmt.Sprintf("%d due for deletion", *a.due))
	}
	return notes
}

// clockTime tells a time of day, and the date unless it is today's.
func clockTime(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("15:04")
	}
	return t.Format("2006-01-02 15:04")
}

// wrap breaks a text into lines that fit. All but the first are indented.
func wrap(text string, columns int) string {
	const indent = "  "
	var out, line strings.Builder
	for word := range strings.FieldsSeq(text) {
		if line.Len() > 0 && screen.Width(line.String())+1+screen.Width(word) > columns {
			out.WriteString(line.String() + "\n")
			line.Reset()
			line.WriteString(indent)
		} else if line.Len() > 0 {
			line.WriteByte(' ')
		}
		line.WriteString(word)
	}
	return out.String() + line.String() + "\n"
}

// sparkDays is how many days a sparkline shows.
const sparkDays = 14

// sparks are the levels of a sparkline, and plainSparks those for a terminal without Unicode.
var sparks, plainSparks = []rune("▁▂▃▄▅▆▇█"), []rune("01234567")

// spark draws the messages that were delivered on each of the last days, today last. The day with
// most messages has the highest level, and one without any the lowest.
func spark(days []seen.Day, now time.Time, unicode bool) string {
	levels := plainSparks
	if unicode {
		levels = sparks
	}
	counts := make([]int, sparkDays)
	most := 0
	for _, d := range days {
		ago := int(seen.DateOf(now).Sub(d.Date) / (24 * time.Hour))
		if ago >= 0 && ago < sparkDays {
			counts[sparkDays-1-ago] = d.Delivered
			most = max(most, d.Delivered)
		}
	}
	line := make([]rune, sparkDays)
	for i, n := range counts {
		level := 0
		if n > 0 { // rounded up, so that one message among many shows
			level = (n*(len(levels)-1) + most - 1) / most
		}
		line[i] = levels[level]
	}
	return string(line)
}

// hasUnicode reports whether the locale of the environment writes UTF-8.
func hasUnicode() bool {
	for _, variable := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := os.Getenv(variable); locale != "" {
			charset := strings.ToLower(strings.ReplaceAll(locale, "-", ""))
			return strings.Contains(charset, "utf8")
		}
	}
	return false
}
