// Package refusals counts what servers, targets and filters refuse, and says which refusals count against
// their message.
//
// A broken place is not a broken message. A program with a fault, a full disk, or a server that has
// reached some limit refuses every message. So a refusal counts against its message only if another
// one went through the same place since this one was first refused. If a place refuses many in a
// row, the run leaves the others for the next one.
package refusals

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/internal/faultwords"
	"github.com/popfetch/popfetch/internal/headerfilter"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// mostInARow is how many refusals in a row show that a place is probably broken.
const mostInARow = 20

// passage is what went through one place: messages that came whole from the server, or were
// delivered to the target.
type passage struct {
	count     int       // in this run
	at        time.Time // when the last one did, in whichever run
	inARow    int       // refusals since then, in this run
	refusedAt time.Time // the last of all refusals in this run
}

// Refusal is a refusal of this run after which nothing has gone through its place yet.
type Refusal struct {
	Entry  seen.Entry
	Cause  error
	Before int // refusals that counted earlier
	at     int // passage.count
}

// ErrAll says that a place refuses so many messages in a row that it is probably broken.
var ErrAll = faultwords.New("refuses-all", fmt.Sprintf("%d messages in a row were refused", mostInARow))

// IsOfPlace reports whether an error ended the asking because server or target would probably refuse
// all other messages too.
func IsOfPlace(err error) bool {
	return errors.Is(err, deliver.ErrCannotRun) || errors.Is(err, ErrAll)
}

// IsOfTarget reports whether that place is the target.
func IsOfTarget(err error) bool {
	var refusal *deliver.Error
	return IsOfPlace(err) && errors.As(err, &refusal)
}

// Tally counts what the server and the target have refused, and what went through. Several
// goroutines may call its methods.
type Tally struct {
	now func() time.Time

	mu      sync.Mutex
	server  passage
	target  passage
	filter  passage   // of headers; no other run needs to know of it
	doubted []Refusal // they may still turn out to count
}

// New takes over what earlier runs have found out. A later time than now was noted while the
// clock was wrong.
func New(now func() time.Time, st seen.Standing) *Tally {
	r := &Tally{now: now}
	if !st.CameAt.After(now()) {
		r.server.at = st.CameAt
	}
	if !st.ThroughAt.After(now()) {
		r.target.at = st.ThroughAt
	}
	return r
}

// placeOf returns the place that has refused a message.
func (r *Tally) placeOf(cause error) *passage {
	var filter *headerfilter.Refusal
	var target *deliver.Error
	switch {
	case errors.As(cause, &filter):
		return &r.filter
	case errors.As(cause, &target):
		return &r.target
	}
	return &r.server
}

// Came notes that a message came whole from the server.
func (r *Tally) Came() { r.passed(&r.server, 1) }

// Through notes that the target has taken n messages.
func (r *Tally) Through(n int) { r.passed(&r.target, n) }

// Asked notes that a filter of headers has said something about a message.
func (r *Tally) Asked() { r.passed(&r.filter, 1) }

// passed notes that n messages went through a place now. That is later than all refusals so far, even
// within one millisecond.
func (r *Tally) passed(p *passage, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.count += n
	p.inARow = 0
	if p.at = r.now(); seen.Millis(p.at) <= seen.Millis(p.refusedAt) {
		p.at = p.refusedAt.Add(time.Millisecond)
	}
}

// Counts notes a refusal, and reports whether it counts by now. before is what was set aside under the key of the message.
func (r *Tally) Counts(e *seen.Entry, cause error, before *seen.Aside) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.placeOf(cause)
	p.refusedAt = r.now()
	p.inARow++
	switch {
	case !isForGood(cause):
		return false
	case !before.Since.IsZero() && p.at.After(before.Since):
		return true
	}
	r.doubted = append(r.doubted, Refusal{*e, cause, before.Count, p.count})
	return false
}

// AreTooMany reports whether the place that has refused a message has refused too many in a row.
func (r *Tally) AreTooMany(cause error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.placeOf(cause).inARow >= mostInARow
}

// Proved returns the refusals that have turned out to count: other messages went through after them.
// It is called when all messages of a session are settled, as are the methods below.
func (r *Tally) Proved() (proved []Refusal) {
	r.doubted = slices.DeleteFunc(r.doubted, func(one Refusal) bool {
		counts := r.placeOf(one.Cause).count > one.at
		if counts {
			proved = append(proved, one)
		}
		return counts
	})
	return proved
}

// None reports whether nothing was refused in this run.
func (r *Tally) None() bool { return r.server.refusedAt.IsZero() && r.target.refusedAt.IsZero() }

// Note changes a standing to what later runs need to know.
func (r *Tally) Note(st *seen.Standing) {
	if r.server.count > 0 {
		st.CameAt = r.server.at
	}
	if r.target.count > 0 {
		st.ThroughAt = r.target.at
	}
}

// isForGood reports whether a refusal counts. A refusal for now, or a session that broke, says
// nothing about the message.
func isForGood(cause error) bool {
	var target *deliver.Error
	var reply *pop3.ReplyError
	switch {
	case errors.As(cause, &target):
		return !target.Temporary
	case errors.As(cause, &reply):
		return reply.Code != pop3.CodeSysTemp && reply.Code != pop3.CodeInUse
	}
	return false
}

// IsFileLimit reports whether a limit on the size of files has refused the message. A person must
// raise it, and is told in every run.
func IsFileLimit(cause error) bool { return errors.Is(cause, syscall.EFBIG) }

// Same reports whether an earlier run noted text for the same cause.
func Same(text string, cause error) bool {
	var target *deliver.Error
	if errors.As(cause, &target) {
		return text == target.Cause() || strings.HasPrefix(text, target.Cause()+": ")
	}
	return text == cause.Error()
}
