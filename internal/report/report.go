// Package report makes a page to look at: one HTML file about the accounts of popfetch and what
// became of their mail.
//
// The page needs nothing else. It has no script, loads nothing, and says so to the browser by a
// Content-Security-Policy. It is meant for a telephone, a screen, light or dark, and paper.
//
// Texts of servers and messages are foreign. Write escapes characters that are not printable, and
// html/template keeps the others from becoming markup.
package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"time"
)

// Data is all that a page shows.
type Data struct {
	Made     time.Time // when the state was read; the page shows times in UTC
	Version  string    // of popfetch
	Accounts []Account // in the order in which they are shown
	Sharing  *Sharing  // nil: no workers share the accounts
}

// Sharing is how workers share the accounts of a database.
type Sharing struct {
	Text    string // how it goes, in one line
	Workers []Worker
}

// Worker is a process that polls accounts together with others. It has counted since it started.
type Worker struct {
	Host            string
	Process         int
	Version, Labels string
	Seen            time.Time // when it noted itself last
	Silent          bool      // that is long ago
	AtWork, Jobs    int
	Polls           int
	Late, Latest    time.Duration // how late polls were: on average, and the longest
	Lost, TakeOvers int
}

// State says how an account is.
type State string

// The states of an account, the worst first.
const (
	NeedsPerson State = "needs a person" // it does not get well by itself
	Retrying    State = "tries again"    // trouble that may pass
	Unknown     State = "not fetched yet"
	Well        State = "well"
)

// Account is what is known of one account.
type Account struct {
	Name, Server, User string

	State   State
	Problem string    // what is wrong, on one line; "" if nothing is
	Since   time.Time // when that began; zero: unknown
	Advice  string    // what to do about it; ""
	Command string    // what to type for that; "" if there is nothing to type

	Success time.Time // the last pass that went well; zero: there was none
	Ran     time.Time // the last pass
	Next    time.Time // the next poll; zero: unknown

	Holder    string    // the process that is at work; "": none is, or it is unknown
	HeldSince time.Time // since when it is

	Maildrop Maildrop
	Total    Counts

	// Days are those on which there was a pass, the earliest first. Each Date is a midnight in UTC.
	Days      []Day
	Durations []Duration // of all passes, the shortest first
	Asides    []Aside
	MoreAside int // messages that are set aside besides Asides
}

// Maildrop is what the last listing showed. A zero At means that there was none.
type Maildrop struct {
	At          time.Time
	Listed      int
	Backlog     int // new messages that were not delivered
	Quarantined int
	Due         int // delivered messages that are due for deletion
}

// Counts counts passes and messages.
type Counts struct {
	Runs, Failed       int
	Delivered, Deleted int
	Octets             int64 // of the delivered messages
	Took               time.Duration
}

// Day is what the passes of one day have come to.
type Day struct {
	Date time.Time
	Counts
	Largest int64          // octets of the largest message
	Longest time.Duration  // the longest pass
	Sizes   []int          // Sizes[i] counts messages of 2^(i-1) to 2^i-1 octets
	Errors  map[string]int // passes that did not go well, by the code of the error
}

// Duration counts passes that took at most UpTo, and longer than the Duration before. UpTo is zero
// in the last one, which counts the others.
type Duration struct {
	UpTo time.Duration
	Runs int
}

// Aside is a message that popfetch leaves alone, or tries after all others.
type Aside struct {
	UniqueID string
	Octets   int64  // as announced; 0: unknown
	Kind     string // such as "quarantined"
	Reason   string
	Since    time.Time
	Refusals int
}

//go:embed page.html
var pageText string

// Write writes the page about data.
func Write(w io.Writer, data *Data) error {
	page, err := template.New("page").Funcs(functions).Parse(pageText)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return page.Execute(w, newPage(data))
}
