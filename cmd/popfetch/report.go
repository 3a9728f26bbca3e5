package main

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/seen"
)

// eventLine is one line of --json. Its field names are part of the contract.
type eventLine struct {
	Time     time.Time `json:"time"`
	Account  string    `json:"account"`
	Event    string    `json:"event"`
	Number   int       `json:"number,omitempty"`
	UniqueID string    `json:"unique_id,omitempty"`
	Messages *int      `json:"messages,omitempty"`
	Octets   *int64    `json:"octets,omitempty"`
	Error    string    `json:"error,omitempty"`
	Code     string    `json:"code,omitempty"`
	Listed   *int      `json:"listed,omitempty"` // Messages are those to be retrieved
	New      *int      `json:"new,omitempty"`
	Status   *int      `json:"status,omitempty"`
	Kind     string    `json:"kind,omitempty"`
	Rule     string    `json:"rule,omitempty"` // of deleted
}

// programEvent is a line of --json about the program itself.
type programEvent struct {
	Time     time.Time `json:"time"`
	Event    string    `json:"event"`
	Accounts *int      `json:"accounts,omitempty"` // how many are polled
}

// The events of the program itself, if it polls.
const (
	programStarted  = "started"
	programReloaded = "reloaded"
	programStopped  = "stopped"
)

// reporter reports the events of runs, as JSON or as lines for a person. The engine calls it with
// one event at a time.
type reporter struct {
	term    *terminal
	view    view
	setting *setting     // see of
	record  *recorder    // nil means that runs are not noted in the history
	notices *notices     // nil means that nothing was reported before
	hooks   *hooks       // nil: the command runs none
	failed  func(error)  // gets each error of standard output; nil if writes of the command itself fail as well
	broken  func() error // returns the first of them

	resident bool
	settings sync.Map                   // of a resident popfetch: the *setting of each account at work
	shown    map[string]map[string]bool // by account, what a resident popfetch has shown on a terminal
	shows    *progress

	alike      map[string][]alike // the refusals of accounts at work, those with one cause together
	warned     map[string]bool    // the accounts at work that were told of tomorrow
	asked      map[string]bool    // the accounts that retrieve messages, and have not finished
	retrieving atomic.Int32       // their number
	unrecorded bool               // a person was told that the history cannot be written
}

// use makes s the setting of an account until done is called.
func (r *reporter) use(account string, s *setting) (done func()) {
	r.settings.Store(account, s)
	return func() { r.settings.Delete(account) }
}

// of returns the setting that an account is run with.
func (r *reporter) of(account string) *setting {
	if s, found := r.settings.Load(account); found {
		return s.(*setting)
	}
	return r.setting
}

// tellAfter returns how long temporary trouble of an account lasts before it is told. A person who
// watches is told at once.
func (r *reporter) tellAfter(account string) time.Duration {
	if r.watched() {
		return 0
	}
	return r.of(account).account(account).TellAfter
}

// watched reports whether a person is told of a fault in each run. A resident popfetch on a terminal
// tells it once.
func (r *reporter) watched() bool {
	return r.view.verbosity > 0 && !r.view.quiet || r.term.talks && !r.resident
}

// speaks reports whether the news of a resident popfetch are told, and the end of trouble however
// short it was.
func (r *reporter) speaks() bool { return r.resident && (r.term.talks || r.term.journal) }

// program reports an event of the program itself.
func (r *reporter) program(e programEvent) {
	if !r.view.json {
		return
	}
	e.Time = time.Now().UTC()
	if err := r.term.printEvent(e); err != nil {
		r.failed(err)
	}
}

// observe reports an event. A fault that lasts from run to run is reported once a day. A person who
// watches gets it each time.
func (r *reporter) observe(e fetch.Event) {
	if r.record != nil {
		if err := r.record.observe(e); err != nil {
			r.warnOfHistory(e, err)
		}
	}
	r.count(e)
	r.shows.observe(e)
	if r.view.json {
		line := newEventLine(e)
		line.Error = tellError(r.of(e.Account), e.Err)
		if err := r.term.printEvent(line); err != nil && r.failed != nil {
			r.failed(err)
		}
	}
	var n notice
	if r.notices != nil {
		n = r.notices.notice(e)
	}
	if r.hooks != nil {
		r.hooks.observe(r.of(e.Account), e, n.hooks)
	}
	watched := r.watched()
	if e.Kind == fetch.Finished {
		r.tellAlike(e.Account)
	}
	if r.isTold(e, n) && !r.isAlike(e) {
		r.tell(e, r.later(e, n, watched))
	}
	if e.Kind == fetch.Finished {
		delete(r.warned, e.Account)
	}
	if n.ended && !r.view.quiet && r.tellsEnd(n.after) {
		r.term.sayf(news, "%s: fetched again after %s", e.Account, inWords(n.after))
	}
}

// tellsEnd reports whether the end of trouble that has lasted so long is told. cron would make a mail
// of it, and mail about nothing but good news is not read for long.
func (r *reporter) tellsEnd(lasted time.Duration) bool {
	if r.resident {
		return r.speaks()
	}
	return (r.watched() || r.term.journal) && lasted >= shortTrouble
}

// warnOfHistory warns that a run could not be noted. That is told once, and not for each account.
func (r *reporter) warnOfHistory(e fetch.Event, err error) {
	missing := "this run is missing in status and report"
	if errors.Is(err, seen.ErrHistoryLost) {
		missing = "earlier runs are missing in status and report"
	}
	warning := fetch.Event{Time: e.Time, Account: e.Account, Kind: fetch.Warning, Code: fetch.CodeHistory,
		Err: fmt.Errorf("%s: %w", missing, err)}
	if r.unrecorded && r.notices != nil {
		r.notices.notice(warning)
		return
	}
	r.unrecorded = true
	r.observe(warning)
}

// isTold reports whether a person is told of an event, if events of its kind are told at all.
func (r *reporter) isTold(e fetch.Event, n notice) bool {
	if r.watched() {
		return true
	}
	if n.early || e.Early || r.resident && errors.As(e.Err, new(signalError)) { // a signal is its normal end
		return false
	}
	repeats := e.Repeated || n.repeats
	if r.resident && r.term.talks {
		return r.isFirst(e, n) || !repeats
	}
	return !repeats
}

// isFirst reports whether a fault was not shown on this terminal. A person may have started popfetch
// to see what is wrong.
func (r *reporter) isFirst(e fetch.Event, n notice) bool {
	if e.Kind == fetch.Finished && e.Err == nil && e.Result.Failed == 0 {
		maps.DeleteFunc(r.shown[e.Account], func(line string, _ bool) bool { return !strings.HasPrefix(line, warningLine) })
	}
	line := n.line
	if e.Kind == fetch.Refused {
		line = "refused: " + e.UniqueID
	}
	if line == "" || r.shown[e.Account][line] {
		return line == ""
	}
	if r.shown == nil {
		r.shown = make(map[string]map[string]bool)
	}
	if r.shown[e.Account] == nil {
		r.shown[e.Account] = make(map[string]bool)
	}
	r.shown[e.Account][line] = true
	return true
}

// later returns the end of the first line of a run about faults that are not told in every run. What
// a signal has stopped does not last.
func (r *reporter) later(e fetch.Event, n notice, watched bool) string {
	stopped := errors.As(e.Err, new(signalError))
	lasts := n.kept && e.Kind == fetch.Finished && e.Err != nil || r.notices != nil && e.Kind == fetch.Refused && !e.Always
	if watched || stopped || !lasts || r.warned[e.Account] {
		return ""
	}
	if r.warned == nil {
		r.warned = make(map[string]bool)
	}
	r.warned[e.Account] = true
	return "; if it lasts, this is told again tomorrow"
}

// alike counts the refusals of one account that have one cause.
type alike struct {
	cause string
	more  int // besides the first, which is told
}

// isAlike reports whether a message is refused for the same cause as one that a person was told of in
// this run. A broken program would otherwise print a line for each message. With --verbose each is
// told.
func (r *reporter) isAlike(e fetch.Event) bool {
	if e.Kind != fetch.Refused || r.view.verbosity > 0 {
		return false
	}
	var refusal *deliver.Error
	cause := e.Err.Error()
	if errors.As(e.Err, &refusal) {
		cause = refusal.Cause()
	}
	if r.alike == nil {
		r.alike = make(map[string][]alike)
	}
	for i := range r.alike[e.Account] {
		if one := &r.alike[e.Account][i]; one.cause == cause {
			one.more++
			return true
		}
	}
	r.alike[e.Account] = append(r.alike[e.Account], alike{cause: cause})
	return false
}

// tellAlike tells how many messages of an account were refused for a cause that was told once.
func (r *reporter) tellAlike(account string) {
	for _, one := range r.alike[account] {
		if one.more > 0 {
			r.term.errorf("%s: refused for the same reason: %d more; %s", account, one.more, one.cause)
		}
	}
	delete(r.alike, account)
}

// count counts the accounts that retrieve messages. A signal does not end them at once.
func (r *reporter) count(e fetch.Event) {
	switch {
	case e.Kind == fetch.Listed && e.Messages > 0 && !r.asked[e.Account]:
		if r.asked == nil {
			r.asked = make(map[string]bool)
		}
		r.asked[e.Account] = true
		r.retrieving.Add(1)
	case e.Kind == fetch.Finished && r.asked[e.Account]:
		delete(r.asked, e.Account)
		r.retrieving.Add(-1)
	}
}

func newEventLine(e fetch.Event) eventLine {
	line := eventLine{Time: e.Time.UTC(), Account: e.Account, Event: string(e.Kind), Number: e.Number, UniqueID: writeID(e.UniqueID), Code: string(e.Code), Rule: e.Rule}
	switch e.Kind {
	case fetch.Marked, fetch.LeftOut:
		line.Messages = &e.Messages
	case fetch.Listed:
		line.Messages, line.Octets, line.Listed, line.New = &e.Messages, &e.Octets, &e.Result.Listed, &e.Result.New
	case fetch.Finished:
		status := mostUrgent(runStatuses(*e.Result))
		line.Messages, line.Octets, line.Status, line.Kind = &e.Messages, &e.Octets, &status, statusKinds[status]
	case fetch.Delivered, fetch.Dropped, fetch.Recognised, fetch.Quarantined, fetch.Refused,
		fetch.Skipped, fetch.Discarded, fetch.Left, fetch.Deleted:
		line.Octets = &e.Octets
	}
	return line
}

// tellError returns an error and its mend on one line, for scripts.
func tellError(s *setting, err error) string {
	if err == nil {
		return ""
	}
	return printable(err.Error()) + printable(strings.ReplaceAll(s.mend(err), "\n", "; "))
}

// messageOf names the message of an event. Without UIDL it may have no unique-id.
func messageOf(e fetch.Event) string {
	if e.UniqueID == "" {
		return fmt.Sprintf("message %d", e.Number)
	}
	return fmt.Sprintf("message %d (unique-id %s)", e.Number, tellID(e.UniqueID))
}

// tell prints an event on standard error. Faults are always printed, warnings unless quiet, and
// messages if verbose. On a terminal each account gets one line at the end. later follows a fault.
func (r *reporter) tell(e fetch.Event, later string) {
	quiet := r.view.quiet
	verbose := r.view.verbosity > 0 && !quiet
	switch e.Kind {
	case fetch.Warning:
		if !quiet {
			r.term.sayf(caution, "%s: %v", e.Account, e.Err)
		}
	case fetch.Quarantined:
		r.term.errorf("%s: %s is quarantined; it is not tried again unless %s says so: %v",
			e.Account, messageOf(e), r.of(e.Account).tryAgain(e.Account), e.Err)
	case fetch.Refused, fetch.Skipped:
		if e.Kind == fetch.Refused || !quiet {
			r.term.errorf("%s: %s is %s: %v%s", e.Account, messageOf(e), e.Kind, e.Err, later)
		}
	case fetch.Deleted:
		if verbose {
			r.term.sayf(news, "%s: message %d (unique-id %s, %d octets) deleted (%s)", e.Account, e.Number, tellID(e.UniqueID), e.Octets, e.Rule)
		}
	case fetch.Delivered, fetch.Dropped, fetch.Recognised:
		if verbose {
			r.term.sayf(news, "%s: message %d (unique-id %s, %d octets) %s", e.Account, e.Number, tellID(e.UniqueID), e.Octets, e.Kind)
		}
	case fetch.Discarded, fetch.Left:
		if verbose {
			r.term.sayf(news, "%s: message %d (unique-id %s, %d octets) %s, as filter_headers says",
				e.Account, e.Number, tellID(e.UniqueID), e.Octets, e.Kind)
		}
	case fetch.Noted:
		if verbose {
			r.term.sayf(news, "%s: %v", e.Account, e.Err)
		}
	case fetch.Marked:
		if verbose {
			r.term.sayf(news, "%s: %d left out of the first run", e.Account, e.Messages)
		}
	case fetch.LeftOut:
		if !quiet {
			r.term.sayf(caution, "%s: %d messages are left out: %v", e.Account, e.Messages, e.Err)
		}
	case fetch.Listed:
		if verbose {
			r.term.sayf(news, "%s: %d to retrieve, %d octets", e.Account, e.Messages, e.Octets)
		}
	case fetch.Finished:
		if e.Err != nil {
			mend, lines, _ := strings.Cut(r.of(e.Account).mend(e.Err), "\n")
			r.term.errorf("%v%s%s\n%s", e.Err, mend, later, lines)
		}
	}
}

// inWords returns a time as people say it, in whole units.
func inWords(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Round(time.Second).Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Round(time.Minute).Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Round(time.Hour).Hours()))
	}
	return fmt.Sprintf("%d days", int((d+12*time.Hour)/(24*time.Hour)))
}
