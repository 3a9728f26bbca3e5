package fetch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/seen"
)

const (
	// A RETR is sent only while less than this is asked for or held and not yet durable, so that the reader never
	// stops with a reply outstanding.
	roomOctets   = 64 << 20
	roomMessages = 64   // of a target that takes one message at a time
	mostRoom     = 4000 // of one that takes many: what fills the window, and what waits for the disk
	// enough messages are worth a commit of their own if the disk has nothing else to do; else the batch grows until it has.
	enough = 64
	// batchAge is how old a batch that is not full may become.
	batchAge = 500 * time.Millisecond
	copySize = 64 << 10
	// commitGrace is how much longer than the session the targets may take to make durable what arrived whole.
	commitGrace = time.Second
)

// retrieve retrieves and delivers what is new, and notes what is set aside.
func (s *session) retrieve(plan Plan) error {
	if !s.counted { // a further session retrieves what the first has counted
		s.result.New, s.counted = len(plan.Retrieve), true
	}
	var octets int64
	for _, e := range plan.Retrieve {
		octets += e.Octets
	}
	s.event(Event{Kind: Listed, Messages: len(plan.Retrieve), Octets: octets})
	for _, m := range plan.Quarantined {
		s.putApart(s.listing[m.Index])
	}
	if err := s.mark(plan.Mark); err != nil {
		return err
	}
	if err := s.skip(plan.Skip); err != nil {
		return err
	}
	if len(plan.Retrieve) == 0 {
		return nil
	}
	if err := s.ledger.Ready(s.soft, len(plan.Retrieve)); err != nil {
		return s.fail(PhaseState, err)
	}
	r := newRetrieval(s, plan.Retrieve)
	if err := r.run(); err != nil {
		return err
	}
	s.short = r.noRoom()
	return nil
}

// skip notes the messages that are too large; each is told once.
func (s *session) skip(entries []seen.Entry) error {
	s.result.Skipped = len(entries)
	fresh := slices.DeleteFunc(slices.Clone(entries), s.toldTooLarge)
	if len(fresh) == 0 {
		return nil
	}
	cause := fmt.Errorf("more than max_size allows (%d octets)", s.account.MaxSize)
	asides := make([]seen.Aside, len(fresh))
	for i, e := range fresh {
		asides[i] = s.aside(e, seen.TooLarge, cause)
	}
	if err := s.setAside(asides...); err != nil {
		return err
	}
	for _, e := range fresh {
		s.event(Event{Kind: Skipped, Number: e.Number, UniqueID: e.UniqueID, Octets: e.Octets, Err: cause})
	}
	return nil
}

// toldTooLarge tells whether an earlier run has told of e.
func (s *session) toldTooLarge(e seen.Entry) bool { return s.asides[e.Key].Reason == seen.TooLarge }

// aside is what becomes of a message that was not delivered.
func (s *session) aside(e seen.Entry, reason seen.Reason, cause error) seen.Aside {
	return seen.Aside{Key: e.Key, Reason: reason, Listed: e.Octets, Last: s.runner.now(), Text: cause.Error()}
}

// setAside notes messages that were not delivered.
func (s *session) setAside(asides ...seen.Aside) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.hard), recordTimeout)
	defer cancel()
	if err := s.ledger.Apply(ctx, seen.Changes{Asides: asides}); err != nil {
		return s.fail(PhaseRecord, err)
	}
	return nil
}

// retrieval streams messages into batches; while one batch is made durable by a committer, the next one fills.
//
//	reader (owns the Client) ──full batch──> committers: Batch.Commit → Store.Commit → events
type retrieval struct {
	*session
	limit       deliver.Limit
	room        int           // how many messages may be asked for or held
	queue       []*seen.Entry // not asked for yet
	asked       []seen.Entry  // RETR is sent, in order
	open        *batch        // being filled, nil: none
	full        chan *batch
	join        func() // starts a committer
	joined      int    // how many there are
	header      header
	outline     outline
	buffer      []byte
	gap         bool // see setting
	unconfirmed bool // the last message of the open batch is whole only if the next reply is one
	// roomLeft is how many octets the target has room for, as far as is known, besides what is asked for.
	roomLeft int64
	passed   holding         // there is no room for at the target; see passOver
	late     context.Context // ends a little after hard: what is whole is committed also when the session is being cut

	unfinished atomic.Int32 // batches that were handed over and are not durable yet

	mu    sync.Mutex
	held  holding       // asked for or held, and not yet durable
	freed chan struct{} // tells a waiting reader that held has shrunk
	fatal error         // ends the asking: the target or the store is broken
}

// holding counts messages and their octets, as announced.
type holding struct {
	messages int
	octets   int64
}

func newRetrieval(s *session, queue []*seen.Entry) *retrieval {
	limit := s.account.Target.Limit()
	r := &retrieval{
		session: s,
		limit:   limit,
		queue:   queue,
		room:    max(roomMessages, min(16*limit.Messages, mostRoom)),
		buffer:  make([]byte, copySize),
		freed:   make(chan struct{}, 1),
	}
	r.full = make(chan *batch, r.room) // handing over never waits
	return r
}

// batch is a deliver.Batch with what will be recorded of its messages.
type batch struct {
	deliver.Batch
	begun   time.Time
	octets  int64
	entries []seen.Entry
	records []seen.Record
}

// run asks for the queue and returns when all that arrived whole is durable and recorded, or has failed.
func (r *retrieval) run() error {
	late, cancel := outlasting(r.hard, commitGrace)
	defer cancel()
	r.late = late
	var committers sync.WaitGroup
	r.join = func() {
		committers.Go(func() {
			defer r.runner.guard()
			for b := range r.full {
				r.commit(b)
			}
		})
	}
	err := r.read()
	r.handOver()
	close(r.full)
	if err == nil {
		err = r.settle(&committers)
	}
	committers.Wait()
	switch {
	case r.fatal != nil: // a broken disk is what a person must mend first
		return r.fatal
	case err != nil:
		return err
	case len(r.queue) > 0:
		return r.fail(PhaseRetrieve, fmt.Errorf("stopped with %d messages still to retrieve: %w", len(r.queue), context.Cause(r.soft)))
	}
	return nil
}

// outlasting returns a context that ends a grace after ctx, with the same cause.
func outlasting(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	longer, end := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(grace, func() { end(context.Cause(ctx)) })
		context.AfterFunc(longer, func() { timer.Stop() })
	})
	return longer, func() {
		stop()
		end(nil)
	}
}

// read retrieves until the queue is empty or the asking is ended. Where there is no room, what is outstanding is read,
// and the session lies idle until there is.
func (r *retrieval) read() error {
	r.idle = func() {
		if !r.unconfirmed && r.atLeisure() {
			r.handOver()
		}
	}
	defer func() { r.idle = nil }()
	for len(r.queue) > 0 && !r.ended() {
		busy := r.busy() // before the look at what room is left: what is being committed gives its own back
		if !r.fits(*r.queue[0]) || !r.hasRoom(*r.queue[0]) {
			r.handOver()
			if !busy {
				r.passOver()
			} else if err := r.keepAliveUntil(r.freed); err != nil {
				return err
			}
			continue
		}
		for m, err := range r.client.Retr(r.hard, r.source) {
			if err := r.receive(m, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// source is what Retr asks for next; it ends when there is no room, before and behind what comes alone, and when the asking is
// ended.
func (r *retrieval) source(yield func(int, int64) bool) {
	for len(r.queue) > 0 && !r.ended() && r.fits(*r.queue[0]) && r.hasRoom(*r.queue[0]) {
		e := *r.queue[0]
		alone := r.alone(e)
		if alone && len(r.asked) > 0 {
			return
		}
		r.queue = r.queue[1:]
		r.roomLeft -= needed(e)
		r.asked = append(r.asked, e)
		r.mu.Lock()
		r.held.messages++
		r.held.octets += e.Octets
		r.mu.Unlock()
		if !yield(e.Number, e.Octets) || alone {
			return
		}
	}
}

func (r *retrieval) ended() bool { return r.soft.Err() != nil || r.broken() }

// broken tells whether target or store have failed.
func (r *retrieval) broken() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fatal != nil
}

// unrecordable tells whether the store has failed: what is delivered now would be delivered again.
func (r *retrieval) unrecordable() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	var e *Error
	return errors.As(r.fatal, &e) && e.Phase == PhaseRecord
}

// fits tells whether there is room for e; an empty room takes a message of any size.
func (r *retrieval) fits(e seen.Entry) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.held.messages == 0 ||
		r.held.messages < r.room && r.held.octets+e.Octets <= roomOctets
}

// busy tells whether something is on its way.
func (r *retrieval) busy() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.held.messages > 0
}

// atLeisure tells whether nothing is being made durable.
func (r *retrieval) atLeisure() bool { return r.unfinished.Load() == 0 }

// release gives back the room of entries.
func (r *retrieval) release(entries ...seen.Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held.messages -= len(entries)
	for _, e := range entries {
		r.held.octets -= e.Octets
	}
	select {
	case r.freed <- struct{}{}:
	default:
	}
}

// end ends the asking because of err.
func (r *retrieval) end(phase Phase, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.fatal == nil:
		r.fatal = r.fail(phase, err)
	case phase == PhaseRecord: // nothing may be delivered any more, whatever went wrong before
		r.fatal = r.fail(phase, errors.Join(err, r.fatal))
	}
}

// keepAliveUntil waits for done or the end of the run, and sends NOOP meanwhile (C0027): the
// session lies idle, and servers log an idle client out.
func (r *retrieval) keepAliveUntil(done <-chan struct{}) error {
	tick := time.NewTicker(r.runner.keepAlive())
	defer tick.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-r.hard.Done():
			return r.fail(PhaseRetrieve, context.Cause(r.hard))
		case <-tick.C:
			if err := r.client.Noop(r.hard); err != nil && !isReply(err) {
				return r.fail(PhaseRetrieve, err)
			}
		}
	}
}
