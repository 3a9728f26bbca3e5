package fetch

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// A broken place is not a broken message. A program with a fault, a full disk, or a server that has
// reached some limit refuses every message. So a refusal counts against its message only if another
// one went through the same place since this one was first refused. If a place refuses many in a
// row, the run leaves the others for the next one.
const mostInARow = 20

// passage is what went through one place: messages that came whole from the server, or were
// delivered to the target.
type passage struct {
	count     int       // in this run
	at        time.Time // when the last one did, in whichever run
	inARow    int       // refusals since then, in this run
	refusedAt time.Time // the last of all refusals in this run
}

// refusal is a refusal of this run after which nothing has gone through its place yet.
type refusal struct {
	entry  seen.Entry
	cause  error
	before int // refusals that counted earlier
	at     int // passage.count
}

// errRefusesAll says that a place refuses so many messages in a row that it is probably broken.
var errRefusesAll = fmt.Errorf("%d messages in a row were refused", mostInARow)

// isOfPlace reports whether an error ended the asking because server or target would probably refuse
// all other messages too.
func isOfPlace(err error) bool {
	return errors.Is(err, deliver.ErrCannotRun) || errors.Is(err, errRefusesAll)
}

// isOfTarget reports whether that place is the target.
func isOfTarget(err error) bool {
	var refusal *deliver.Error
	return isOfPlace(err) && errors.As(err, &refusal)
}

// refusals counts what the server and the target have refused, and what went through. Several
// goroutines may call its methods.
type refusals struct {
	now func() time.Time

	mu      sync.Mutex
	server  passage
	target  passage
	doubted []refusal // they may still turn out to count
}

// newRefusals takes over what earlier runs have found out. A later time than now was noted while the
// clock was wrong.
func newRefusals(now func() time.Time, st seen.Standing) *refusals {
	r := &refusals{now: now}
	if !st.CameAt.After(now()) {
		r.server.at = st.CameAt
	}
	if !st.ThroughAt.After(now()) {
		r.target.at = st.ThroughAt
	}
	return r
}

// placeOf returns the place that has refused a message.
func (r *refusals) placeOf(cause error) *passage {
	var target *deliver.Error
	if errors.As(cause, &target) {
		return &r.target
	}
	return &r.server
}

// came notes that a message came whole from the server.
func (r *refusals) came() { r.passed(&r.server, 1) }

// through notes that the target has taken n messages.
func (r *refusals) through(n int) { r.passed(&r.target, n) }

// passed notes that n messages went through a place now. That is later than all refusals so far, even
// within one millisecond.
func (r *refusals) passed(p *passage, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.count += n
	p.inARow = 0
	if p.at = r.now(); seen.Millis(p.at) <= seen.Millis(p.refusedAt) {
		p.at = p.refusedAt.Add(time.Millisecond)
	}
}

// counts notes a refusal, and reports whether it counts by now. before is what was set aside.
func (r *refusals) counts(it item, cause error, before *seen.Aside) bool {
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
	r.doubted = append(r.doubted, refusal{*it.Entry, cause, before.Count, p.count})
	return false
}

// areTooMany reports whether the place that has refused a message has refused too many in a row.
func (r *refusals) areTooMany(cause error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.placeOf(cause).inARow >= mostInARow
}

// proved returns the refusals that have turned out to count: other messages went through after them.
// It is called when all messages of a session are settled, as are the methods below.
func (r *refusals) proved() (proved []refusal) {
	r.doubted = slices.DeleteFunc(r.doubted, func(one refusal) bool {
		counts := r.placeOf(one.cause).count > one.at
		if counts {
			proved = append(proved, one)
		}
		return counts
	})
	return proved
}

// none reports whether nothing was refused in this run.
func (r *refusals) none() bool { return r.server.refusedAt.IsZero() && r.target.refusedAt.IsZero() }

// note changes a standing to what later runs need to know.
func (r *refusals) note(st *seen.Standing) {
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

// isFileLimit reports whether a limit on the size of files has refused the message. A person must
// raise it, and is told in every run.
func isFileLimit(cause error) bool { return errors.Is(cause, syscall.EFBIG) }

// sameRefusal reports whether an earlier run noted text for the same cause.
func sameRefusal(text string, cause error) bool {
	var target *deliver.Error
	if errors.As(cause, &target) {
		return text == target.Cause() || strings.HasPrefix(text, target.Cause()+": ")
	}
	return text == cause.Error()
}

// where is where a session of a run ended at a message.
type where uint8

const (
	nowhere where = iota // it ended otherwise
	atRETR
	atDELE
	atLook // its header was asked for, to make its id or to find out whether its record is still true
)

// breaks are the sessions of a run that ended at a message. Each costs that message, and no other one
// its delivery or deletion.
type breaks struct {
	where where // of this session
	entry seen.Entry
	ended bool // this session has ended well

	n      [atLook + 1]int // earlier sessions, by where
	err    error           // what ended the first of them
	turn   bool            // all else is done, and the messages at which sessions end have their turn
	putOff []seen.Aside    // those messages

	undeletable map[seen.Key]bool // messages at whose DELE a session ended
}

// mostBreaks limits the sessions of a run that end at a RETR.
const mostBreaks = 3

// begin is called when a session begins.
func (b *breaks) begin() { b.where, b.ended = nowhere, false }

// at notes that the session ends at a message.
func (b *breaks) at(w where, e *seen.Entry) { b.where, b.entry = w, *e }

// breaks reports whether an earlier session has ended at the message. One that the operator wants
// again keeps that reason, whatever has happened since.
func (it item) breaks() bool {
	before := it.before()
	return before != nil && (before.Reason == seen.Breaking || before.Reason == seen.Wanted && before.Text != "")
}
