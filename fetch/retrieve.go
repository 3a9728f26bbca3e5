package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

const (
	// A RETR is sent only while less than this is asked for or held and not yet durable, so that the reader never
	// stops with a reply outstanding.
	roomOctets   = 64 << 20
	roomMessages = 64 // or four batches, whichever is more
	// batchAge is how old a batch that is not full may become.
	batchAge = 500 * time.Millisecond
	copySize = 64 << 10
)

// retrieve records what the target holds already, retrieves and delivers what is new, and notes what is set aside.
func (s *session) retrieve(plan Plan) error {
	s.result.New = len(plan.Retrieve)
	var octets int64
	for _, e := range plan.Retrieve {
		octets += e.Octets
	}
	s.event(Event{Kind: Listed, Messages: len(plan.Retrieve), Octets: octets})
	if err := s.recognise(plan.Recognise); err != nil {
		return err
	}
	if err := s.skip(plan.Skip); err != nil {
		return err
	}
	if len(plan.Retrieve) == 0 {
		return nil
	}
	return newRetrieval(s, plan.Retrieve).run()
}

// skip notes the messages that are too large; each is told once.
func (s *session) skip(entries []seen.Entry) error {
	s.result.Skipped = len(entries)
	known := make(map[int]bool)
	for _, m := range s.diff.Aside {
		if m.Reason == seen.TooLarge {
			known[s.listing[m.Index].Number] = true
		}
	}
	for _, e := range entries {
		if known[e.Number] {
			continue
		}
		err := fmt.Errorf("%d octets are more than max_size allows", e.Octets)
		if err := s.setAside(e, seen.TooLarge, err); err != nil {
			return err
		}
		s.event(Event{Kind: Skipped, Number: e.Number, UniqueID: e.UniqueID, Octets: e.Octets, Err: err})
	}
	return nil
}

// setAside notes a message that was not delivered.
func (s *session) setAside(e seen.Entry, reason seen.Reason, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.hard), recordTimeout)
	defer cancel()
	now := s.runner.now()
	err := s.runner.Store.SetAside(ctx, s.known.ID, seen.Aside{
		Key: e.Key, Reason: reason, Listed: e.Octets, Count: 1, Since: now, Last: now, Text: cause.Error(),
	})
	if err != nil {
		return s.fail(PhaseRecord, err)
	}
	return nil
}

// retrieval streams messages into batches; while one batch is made durable by a committer, the next one fills.
//
//	reader (owns the Client) ──full batch──> committers: Batch.Commit → Store.Commit → events
type retrieval struct {
	*session
	limit  deliver.Limit
	queue  []seen.Entry // not asked for yet
	asked  []seen.Entry // RETR is sent, in order
	open   *batch       // being filled, nil: none
	full   chan *batch
	header header
	buffer []byte

	mu    sync.Mutex
	held  room          // asked for or held, and not yet durable
	freed chan struct{} // tells a waiting reader that held has shrunk
	fatal error         // ends the asking: the target or the store is broken
}

// room counts messages and their octets, as announced.
type room struct {
	messages int
	octets   int64
}

func newRetrieval(s *session, queue []seen.Entry) *retrieval {
	limit := s.account.Target.Limit()
	return &retrieval{
		session: s,
		limit:   limit,
		queue:   queue,
		full:    make(chan *batch, max(roomMessages, 4*limit.Messages)), // all that room allows: handing over never waits
		buffer:  make([]byte, copySize),
		freed:   make(chan struct{}, 1),
	}
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
	var committers sync.WaitGroup
	for range r.limit.Batches {
		committers.Go(func() {
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

// read retrieves until the queue is empty or the asking is ended. Where there is no room, what is outstanding is read,
// and the session lies idle until there is.
func (r *retrieval) read() error {
	r.idle = r.handOver
	defer func() { r.idle = nil }()
	for len(r.queue) > 0 && !r.ended() {
		if !r.fits(r.queue[0]) {
			r.handOver()
			if err := r.keepAliveUntil(r.freed); err != nil {
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

// source is what Retr asks for next; it ends when there is no room, or when the asking is ended.
func (r *retrieval) source(yield func(int, int64) bool) {
	for len(r.queue) > 0 && !r.ended() && r.fits(r.queue[0]) {
		e := r.queue[0]
		r.queue = r.queue[1:]
		r.asked = append(r.asked, e)
		r.mu.Lock()
		r.held.messages++
		r.held.octets += e.Octets
		r.mu.Unlock()
		if !yield(e.Number, e.Octets) {
			return
		}
	}
}

func (r *retrieval) ended() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fatal != nil || r.soft.Err() != nil
}

// fits tells whether there is room for e; an empty room takes a message of any size.
func (r *retrieval) fits(e seen.Entry) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.held.messages == 0 ||
		r.held.messages < max(roomMessages, 4*r.limit.Messages) && r.held.octets+e.Octets <= roomOctets
}

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
	if r.fatal == nil {
		r.fatal = r.fail(phase, err)
	}
}

// keepAliveUntil waits for done, the end of the run or an end of the asking, and sends NOOP meanwhile (C0027): the
// session lies idle, and servers log an idle client out.
func (r *retrieval) keepAliveUntil(done <-chan struct{}) error {
	tick := time.NewTicker(r.runner.keepAlive())
	defer tick.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-r.hard.Done():
			return r.fail(PhaseDeliver, context.Cause(r.hard))
		case <-tick.C:
			if err := r.client.Noop(r.hard); err != nil && !isReply(err) {
				return r.fail(PhaseRetrieve, err)
			}
		}
	}
}

// settle waits until the committers have done their work.
func (r *retrieval) settle(committers *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() {
		committers.Wait()
		close(done)
	}()
	err := r.keepAliveUntil(done)
	<-done // also after an error: whatever is delivered gets recorded
	return err
}

// receive takes one reply to RETR. Its error ends the session; what is wrong with one message does not.
func (r *retrieval) receive(m *pop3.Message, err error) error {
	if m == nil {
		return r.fail(PhaseRetrieve, err)
	}
	e := r.asked[0]
	r.asked = r.asked[1:]
	if isReply(err) {
		r.refuse(e, err)
		r.release(e)
		return nil
	}
	if err != nil {
		return r.fail(PhaseRetrieve, err)
	}
	if r.ended() && r.fatal != nil { // nothing can be kept; reading on keeps the session in step for QUIT
		r.release(e)
		return r.drain(m)
	}
	if err := r.deliver(e, m); err != nil {
		return err
	}
	if b := r.open; b != nil && (len(b.records) >= r.limit.Messages || b.octets >= r.limit.Octets) {
		r.handOver()
	}
	return nil
}

func (r *retrieval) drain(m *pop3.Message) error {
	if _, err := io.Copy(io.Discard, m); err != nil {
		return r.fail(PhaseRetrieve, err)
	}
	return nil
}

// batchFor returns the batch that e belongs into, after it has handed over one that is full or old. A message that may be
// known already has a batch of its own, which can be discarded.
func (r *retrieval) batchFor(e seen.Entry) (*batch, error) {
	if b := r.open; b != nil {
		if len(r.twins[e.Number]) > 0 || b.octets+e.Octets > r.limit.Octets || time.Since(b.begun) > batchAge {
			r.handOver()
		}
	}
	if r.open == nil {
		opened, err := r.account.Target.Begin(r.hard)
		if err != nil {
			return nil, err
		}
		r.open = &batch{Batch: opened, begun: time.Now()}
	}
	return r.open, nil
}

// deliver streams m into the open batch. Its error is one of the session; an error of the target ends the asking, and the
// rest of the message is read so that the session stays in step.
func (r *retrieval) deliver(e seen.Entry, m *pop3.Message) error {
	b, err := r.batchFor(e)
	if err == nil {
		var d deliver.Delivery
		if d, err = b.Create(r.hard, r.envelope(e)); err == nil {
			return r.stream(b, d, e, m)
		}
	}
	return r.giveUp(e, m, err)
}

// giveUp ends the asking because the target is broken, and reads the rest of m.
func (r *retrieval) giveUp(e seen.Entry, m *pop3.Message, err error) error {
	r.end(PhaseDeliver, err)
	r.release(e)
	return r.drain(m)
}

func (r *retrieval) envelope(e seen.Entry) deliver.Envelope {
	return deliver.Envelope{
		Token:    r.token(e),
		Account:  r.account.Name,
		User:     r.account.User,
		Server:   r.account.Server,
		UniqueID: e.UniqueID,
		Octets:   e.Octets,
	}
}

// stream writes m to d; only when io.EOF has shown that m is whole does d become part of the batch.
func (r *retrieval) stream(b *batch, d deliver.Delivery, e seen.Entry, m *pop3.Message) error {
	r.header.reset()
	var octets int64
	for {
		n, err := m.Read(r.buffer)
		octets += int64(n)
		if limit := r.account.MaxSize; limit > 0 && octets > limit {
			return r.tooLarge(d, e, m)
		}
		_, _ = r.header.Write(r.buffer[:n]) // it never fails
		if _, writeErr := d.Write(r.buffer[:n]); writeErr != nil {
			return r.giveUp(e, m, errors.Join(writeErr, d.Abort()))
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return r.fail(PhaseRetrieve, errors.Join(fmt.Errorf("message %d: %w", e.Number, err), d.Abort()))
		}
	}
	if err := d.Close(); err != nil {
		return r.giveUp(e, m, err)
	}
	receipt := d.Receipt()
	b.octets += receipt.Octets
	b.entries = append(b.entries, e)
	b.records = append(b.records, seen.Record{
		Key:    e.Key,
		Kind:   seen.Delivered,
		Listed: e.Octets,
		Octets: receipt.Octets,
		Digest: r.header.digest(),
		SHA256: receipt.SHA256,
		Place:  receipt.Place,
	})
	if twins := r.twins[e.Number]; len(twins) > 0 {
		return r.compare(twins)
	}
	return nil
}

// compare looks whether the one message of the open batch was delivered before, which nothing but its octets could show
// (no TOP, or copies of which one was refused); then it is recorded and not delivered again.
func (r *retrieval) compare(twins []twin) error {
	b := r.open
	for _, t := range twins {
		if rec := b.records[0]; t.sha256 == rec.SHA256 && t.octets == rec.Octets {
			r.open = nil
			if err := b.Discard(); err != nil {
				r.end(PhaseDeliver, err)
			}
			rec.Place = t.place
			rec.DeliveredAt = r.runner.now()
			if err := r.record([]seen.Record{rec}); err != nil {
				r.end(PhaseRecord, errors.Unwrap(err))
			} else {
				r.mu.Lock()
				r.result.Recognised++
				r.retrieved[b.entries[0].Number] = true
				r.mu.Unlock()
				r.event(Event{Kind: Recognised, Number: b.entries[0].Number, UniqueID: rec.UniqueID, Octets: rec.Octets})
			}
			r.release(b.entries...)
			return nil
		}
	}
	r.handOver()
	return nil
}

// tooLarge gives up a message that is larger than LIST had announced and than the account allows.
func (r *retrieval) tooLarge(d deliver.Delivery, e seen.Entry, m *pop3.Message) error {
	if err := d.Abort(); err != nil {
		r.end(PhaseDeliver, err)
	}
	defer r.release(e)
	cause := fmt.Errorf("more than max_size allows (%d octets), though LIST announced %d", r.account.MaxSize, e.Octets)
	if err := r.setAside(e, seen.TooLarge, cause); err != nil {
		return err
	}
	r.mu.Lock()
	r.result.Skipped++
	r.mu.Unlock()
	r.event(Event{Kind: Skipped, Number: e.Number, UniqueID: e.UniqueID, Octets: e.Octets, Err: cause})
	return r.drain(m)
}

// refuse notes that server or target did not give or take one message; it is tried again in the next run.
func (r *retrieval) refuse(e seen.Entry, cause error) {
	if err := r.setAside(e, seen.Refused, cause); err != nil {
		r.end(PhaseRecord, errors.Unwrap(err))
	}
	r.mu.Lock()
	r.result.Failed++
	r.mu.Unlock()
	r.event(Event{Kind: Refused, Number: e.Number, UniqueID: e.UniqueID, Octets: e.Octets, Err: cause})
}

// handOver gives the open batch to a committer. It is called at message boundaries only.
func (r *retrieval) handOver() {
	b := r.open
	r.open = nil
	switch {
	case b == nil:
	case len(b.records) == 0:
		_ = b.Discard() // it holds nothing
	default:
		r.full <- b
	}
}

// commit makes a batch durable, then records it, then tells of it. This order is what the program promises.
func (r *retrieval) commit(b *batch) {
	defer r.release(b.entries...)
	err := b.Commit(r.hard)
	var refused *deliver.Error
	switch {
	case errors.As(err, &refused) && len(b.entries) == 1:
		r.refuse(b.entries[0], err)
		return
	case err != nil:
		r.end(PhaseDeliver, err)
		return
	}
	now := r.runner.now()
	for i := range b.records {
		b.records[i].DeliveredAt = now
	}
	if err := r.record(b.records); err != nil {
		r.end(PhaseRecord, errors.Unwrap(err))
		return
	}
	r.mu.Lock()
	for i, e := range b.entries {
		r.result.Delivered++
		r.result.Octets += b.records[i].Octets
		r.retrieved[e.Number] = true
	}
	r.mu.Unlock()
	for i, e := range b.entries {
		r.event(Event{Kind: Delivered, Number: e.Number, UniqueID: e.UniqueID, Octets: b.records[i].Octets})
	}
}
