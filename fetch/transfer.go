package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/popfetch/popfetch/internal/content"
	"github.com/popfetch/popfetch/internal/refusals"
	"github.com/popfetch/popfetch/pop3"
)

// transfer retrieves the planned messages and streams them into batches, which committers make
// durable and record. One goroutine, the reader, does everything else; it owns the session.
type transfer struct {
	session    *session
	outcomes   *outcomes
	room       *room
	committers *committers
	progress   *Progress

	queue   []int32 // not asked for yet, by index
	planned int     // how many messages have records if all of the queue get theirs
	asked   []item  // RETR is sent, in order
	open    *batch  // being filled, or nil
	content content.Content
	buffer  []byte
	// A reply was negative, and not all replies that were due with it are read.
	gap bool
	// unconfirmed says that only a valid next reply proves the last message of the open batch
	// complete.
	unconfirmed bool
}

func newTransfer(s *session, o *outcomes, queue []int32, progress *Progress) *transfer {
	limit := s.job.account.Target.Limit()
	room := newRoom(s.job.account.Target, limit)
	return &transfer{
		session:  s,
		outcomes: o,
		room:     room,
		progress: progress,
		committers: &committers{outcomes: o, room: room, progress: progress, limit: limit,
			guard: s.job.guard, full: make(chan *batch, room.most)},
		queue:   queue,
		planned: len(queue) + s.drop.count(isRecorded),
		buffer:  make([]byte, copySize),
	}
}

// run asks for the queue. It returns when all complete messages are durable and recorded, or have
// failed. With left, some messages wait for a later run, but the session goes on, and the others may
// be deleted.
//
// A transfer waits for the committers even if nothing is to be deleted: a server may delete at QUIT
// what was retrieved (RFC 2449 section 6.7).
func (t *transfer) run() (left, err error) {
	late, cancel := outlasting(t.session.job.hard, commitGrace)
	defer cancel()
	t.committers.late = late
	err = t.read()
	t.handOver()
	finished := t.committers.finished()
	if err == nil {
		err = t.session.keepAliveUntil(finished)
	}
	<-finished // also after an error: delivered messages get recorded
	t.outcomes.settle(t.session)
	fatal := t.outcomes.failure()
	switch {
	case fatal != nil && !refusals.IsOfPlace(fatal): // a person must mend a broken disk first
		return nil, fatal
	case err != nil:
		return nil, err
	case fatal != nil:
		return t.waiting(fatal), nil
	case len(t.queue) > 0:
		return nil, t.session.job.fail(PhaseRetrieve, fmt.Errorf("stopped with %d messages still to retrieve: %w",
			len(t.queue), context.Cause(t.session.job.soft)))
	}
	if err := t.room.shortage(); err != nil {
		return t.session.job.fail(PhaseDeliver, err), nil
	}
	return nil, nil
}

// waiting adds to the error of a place how many messages wait because of it.
func (t *transfer) waiting(fatal error) error {
	var e *Error
	errors.As(fatal, &e)
	n := t.planned - t.session.drop.count(isRecorded)
	return t.session.job.fail(e.Phase, fmt.Errorf("%w; messages that wait: %d", e.Err, n))
}

// read retrieves until the queue is empty or the asking ends. If there is no room, it reads the
// outstanding replies, and the session lies idle until there is room.
func (t *transfer) read() error {
	t.session.idle = func() {
		if !t.unconfirmed && t.committers.idle() {
			t.handOver()
		}
	}
	defer func() { t.session.idle = nil }()
	for len(t.queue) > 0 && !t.ended() {
		// Asked first, because a commit that ends meanwhile makes room.
		busy := t.room.busy()
		if !t.hasRoom(t.next()) {
			t.handOver()
			if !busy {
				t.queue = t.room.passOver(t.session.drop, t.queue)
			} else if err := t.session.keepAliveUntil(t.room.freed); err != nil {
				return err
			}
			continue
		}
		for m, err := range t.session.client.Retr(t.session.job.hard, t.source) {
			if err := t.receive(m, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// source yields the messages that Retr asks for next. It ends when there is no room, before and
// after a message that must come alone, and when the asking ends.
func (t *transfer) source(yield func(int, int64) bool) {
	for len(t.queue) > 0 && !t.ended() && t.hasRoom(t.next()) {
		it := t.next()
		alone := t.alone(it)
		if alone && len(t.asked) > 0 {
			return
		}
		t.queue = t.queue[1:]
		t.asked = append(t.asked, it)
		t.room.take(it.Entry)
		if !yield(it.Number, it.Octets) || alone {
			return
		}
	}
}

// next returns the first message of the queue.
func (t *transfer) next() item { return t.session.drop.item(t.queue[0]) }

// ended reports whether no more is to be asked for.
func (t *transfer) ended() bool {
	return t.session.job.soft.Err() != nil || t.session.job.held(PhaseRetrieve) != nil || t.outcomes.failure() != nil
}

// hasRoom reports whether a message may be asked for now.
func (t *transfer) hasRoom(it item) bool {
	if !t.room.fits(it.Entry) {
		return false
	}
	ok, err := t.room.space(t.session.job.soft, it.Entry)
	if err != nil {
		t.outcomes.end(t.session.job.fail(PhaseDeliver, err))
	}
	return ok
}

// alone reports whether a message is asked for with nothing outstanding, so that its end can be
// verified.
func (t *transfer) alone(it item) bool {
	return t.session.memory.pace.lockstep || it.Octets <= 0 || t.session.history.suspects[it.Key] != nil
}

// keepAliveUntil waits for done or the end of the run, and sends NOOP meanwhile (C0027), because
// servers log an idle client out. After a long wait it asks whether the server has done so.
// Otherwise the commands that follow would get no reply, and pipelining would be blamed.
func (s *session) keepAliveUntil(done <-chan struct{}) error {
	tick := time.NewTicker(s.job.keepAlive)
	defer tick.Stop()
	for began := time.Now(); ; {
		select {
		case <-done:
			if time.Since(began) > s.job.keepAlive/mayLogOut {
				return s.isAlive()
			}
			return nil
		case <-s.job.hard.Done():
			return s.job.fail(PhaseRetrieve, context.Cause(s.job.hard))
		case <-tick.C:
			if err := s.isAlive(); err != nil {
				return err
			}
		}
	}
}

// mayLogOut is the part of job.keepAlive after which a server may have logged an idle client out.
const mayLogOut = 6

// isAlive sends NOOP and returns an error if the session has ended. The server may have said why,
// which is then read as the reply to the first NOOP.
func (s *session) isAlive() error {
	err := s.client.Noop(s.job.hard)
	if isReply(err) {
		err = s.client.Noop(s.job.hard)
	}
	switch {
	case err == nil, isReply(err):
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		err = fmt.Errorf("%w: %w", errLoggedOut, err)
	}
	return s.job.fail(PhaseRetrieve, err)
}

// receive takes one reply to RETR. An error ends the session; a fault of one message is no error.
func (t *transfer) receive(m *pop3.Message, err error) error {
	// This may be after the last message: octets came that nobody asked for.
	if err != nil && !isReply(err) {
		return t.lose(err)
	}
	t.unconfirmed = false
	t.handOverIfFull()
	it := t.asked[0]
	t.asked = t.asked[1:]
	defer func() {
		if len(t.asked) == 0 {
			t.gap = false
		}
	}()
	if isReply(err) {
		t.gap = true
		if t.outcomes.failure() == nil { // otherwise the message waits for the next run, like those not asked for
			t.outcomes.refuse(it, err)
		}
		t.room.release(it)
		return nil
	}
	it.set(isShown)
	// Nothing can be kept. Reading on keeps the session in step for QUIT.
	if t.outcomes.failure() != nil {
		t.room.release(it)
		return t.drain(m)
	}
	if err := t.deliver(it, m); err != nil {
		return err
	}
	if !t.unconfirmed {
		t.handOverIfFull()
	}
	return nil
}

// lose takes the error that ended the session while a status line, or nothing, was due.
func (t *transfer) lose(err error) error {
	if len(t.asked) > 0 && t.session.job.held(PhaseRetrieve) == nil {
		t.brokeAt(t.asked[0], err)
	}
	if t.unconfirmed && isOutOfStep(err) {
		last := t.open.items[len(t.open.items)-1]
		t.discard()
		why := fmt.Sprintf("what followed it is no reply: %v", err)
		t.outcomes.suspect(last, t.content.Outline.Octets, why)
		err = fmt.Errorf("%w: %w", &suspectError{last.Number, why}, err)
	}
	return t.session.job.fail(PhaseRetrieve, err)
}

// handOver gives the open batch to a committer. It is called at message boundaries only.
func (t *transfer) handOver() {
	b := t.open
	t.open, t.unconfirmed = nil, false
	if b != nil {
		t.committers.handOver(b)
	}
}

// handOverIfFull hands the open batch over if it is full, or large enough and no commit is running.
// So batches are small, and soon durable, if the disk is fast. If it is slow, many messages share
// one wait for it.
func (t *transfer) handOverIfFull() {
	b := t.open
	if b == nil {
		return
	}
	limit := t.committers.limit
	full := len(b.records) >= limit.Messages || b.octets >= limit.Octets
	if full || len(b.records) >= earlyBatch && t.committers.idle() {
		t.handOver()
	}
}

// discard gives up the open batch; its messages are retrieved again.
func (t *transfer) discard() {
	b := t.open
	t.open, t.unconfirmed = nil, false
	if err := b.Discard(); err != nil {
		t.outcomes.end(t.session.job.fail(PhaseDeliver, err))
	}
	t.room.release(b.items...)
	t.progress.Waiting.Add(-int64(len(b.items)))
}

// drain reads the rest of an unwanted message, so that the session stays in step.
func (t *transfer) drain(m *pop3.Message) error {
	if _, err := io.Copy(io.Discard, m); err != nil {
		return t.session.job.fail(PhaseRetrieve, err)
	}
	return nil
}

// batchFor returns the batch for a message. Before, it hands over a batch that is full or old. A
// message that may be known already gets a batch of its own, which can be discarded.
func (t *transfer) batchFor(it item) (*batch, error) {
	limit := t.committers.limit
	if b := t.open; b != nil {
		old := time.Since(b.begun) > batchAge && t.committers.idle()
		if len(it.twins()) > 0 || b.octets+it.Octets > limit.Octets || old {
			t.handOver()
		}
	}
	if t.open == nil {
		opened, err := t.session.job.account.Target.Begin(t.session.job.hard)
		if err != nil {
			return nil, err
		}
		t.open = newBatch(opened, limit)
	}
	return t.open, nil
}
