package fetch

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// tellAgain is when a person is told once more of what lasts: cron makes a mail of every line, and may run popfetch every five
// minutes. It is a little less than a day, so that a daily run tells it each time.
const tellAgain = 23 * time.Hour

// telling is what a person is told of from run to run, a line for each thing: the warnings, and the error that ended a run.
// The lines are the same as long as the thing lasts, whatever its details. All are told again when a day has passed.
type telling struct {
	told   map[string]bool // by earlier runs, within a day
	toldAt time.Time       // since when

	mu  sync.Mutex
	met map[string]bool // by this run
}

const (
	warningLine = "warning: " // and the words, without what they are about
	errorLine   = "error: "   // and the kind
)

// remember takes what earlier runs told of from the standing they have left.
func (t *telling) remember(st seen.Standing, now time.Time) {
	if st.Told == "" || now.Sub(st.ToldAt).Abs() >= tellAgain { // also after a clock that was wrong
		return
	}
	t.told, t.toldAt = make(map[string]bool), st.ToldAt
	for line := range strings.SplitSeq(st.Told, "\n") {
		t.told[line] = true
	}
}

// repeated notes that this run has met something, and tells whether earlier ones told of it.
func (s *session) repeated(line string) bool {
	if s.looking || s.runner.Quiet && strings.HasPrefix(line, warningLine) { // somebody wants to know, or nobody
		return false
	}
	t := &s.telling
	t.mu.Lock()
	defer t.mu.Unlock()
	t.met[line] = true
	return t.told[line]
}

// finished tells how the run ended, and then keeps what was told, for the runs to come.
func (s *session) finished() {
	err := s.result.Err
	e := Event{Kind: Finished, Messages: s.result.Delivered, Octets: s.result.Octets, Err: err}
	if err != nil && !isOfState(err) {
		e.Repeated = s.repeated(errorLine + kindOf(err))
	}
	s.event(e)

	t := &s.telling
	at := s.runner.now() // or when the first of what still lasts was told
	for line := range t.told {
		// A run that ended early has not come to all warnings. One that went well forgets the error; but that the server's
		// LOGIN-DELAY is longer than the time between two runs is so after each of them.
		if err != nil && strings.HasPrefix(line, warningLine) || line == heldLine {
			t.met[line] = true
		}
		if t.met[line] {
			at = t.toldAt
		}
	}
	told := strings.Join(slices.Sorted(maps.Keys(t.met)), "\n")
	if told == "" {
		at = time.Time{}
	}
	_ = s.changeStanding(func(st *seen.Standing) { st.Told, st.ToldAt = told, at }) // else it is told again
}

// isOfState tells whether a fault is one of the state, which may lose what is kept there: it is always told.
func isOfState(err error) bool {
	var run *Error
	if !errors.As(err, &run) || errors.Is(err, seen.ErrLocked) {
		return false
	}
	return run.Phase == PhaseLock || run.Phase == PhaseState || run.Phase == PhaseRecord
}

// heldLine is that of login.Held.
var heldLine = errorLine + kindOf(&Error{Phase: PhaseLogin, Err: &login.Error{Fault: login.Held}})

// kindOf names what is wrong, without what changes from run to run: addresses, times and other numbers, a server's text.
func kindOf(err error) string {
	kinds := make(map[string]bool)
	addKinds(err, kinds)
	return strings.Join(slices.Sorted(maps.Keys(kinds)), ", ") // those of several addresses come in any order
}

func addKinds(err error, kinds map[string]bool) {
	switch e := err.(type) { //nolint:errorlint // each error of the chain is looked at
	case *Error:
		kinds["in "+string(e.Phase)] = true
	case *login.Error:
		kinds[fmt.Sprintf("log-in %d", e.Fault)] = true
		if !e.Until.IsZero() { // refused just now, or left alone for that: it is the same
			kinds["left alone"] = true
		}
		if e.Fault == login.Held || !e.Until.IsZero() {
			return
		}
	case *pop3.ReplyError:
		kinds[strings.TrimSpace("refused "+e.Command+" "+string(e.Code))] = true
	case *pop3.ProtocolError:
		kinds["protocol "+e.Command] = true
	case *net.DNSError:
		kinds[fmt.Sprintf("name unknown %v", e.IsNotFound)] = true
		return
	}
	switch e := err.(type) { //nolint:errorlint // as above
	case interface{ Unwrap() error }:
		if e.Unwrap() != nil {
			addKinds(e.Unwrap(), kinds)
		}
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			addKinds(one, kinds)
		}
	case *pop3.ReplyError, *pop3.ProtocolError:
	case syscall.Errno:
		kinds[e.Error()] = true
	default:
		kind := fmt.Sprintf("%T", err)
		if kind == fmt.Sprintf("%T", errDeadline) { // made by errors.New or, without %w, by fmt.Errorf
			kind = strings.Map(withoutDigits, err.Error())
		}
		kinds[kind] = true
	}
}

func withoutDigits(r rune) rune {
	if unicode.IsDigit(r) || r == '\n' {
		return -1
	}
	return r
}
