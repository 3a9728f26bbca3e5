package fetch

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// receive takes one reply to RETR. Its error ends the session; what is wrong with one message does not.
func (r *retrieval) receive(m *pop3.Message, err error) error {
	if err != nil && !isReply(err) { // also after the last message, where octets follow that nobody asked for
		return r.lose(err)
	}
	r.unconfirmed = false
	r.handOverFull()
	e := r.asked[0]
	r.asked = r.asked[1:]
	defer func() {
		if len(r.asked) == 0 {
			r.gap = false
		}
	}()
	if isReply(err) {
		r.gap = true
		r.refuse(e, err)
		r.release(e)
		return nil
	}
	if r.broken() { // nothing can be kept; reading on keeps the session in step for QUIT
		r.release(e)
		return r.drain(m)
	}
	if err := r.deliver(e, m); err != nil {
		return err
	}
	if !r.unconfirmed {
		r.handOverFull()
	}
	return nil
}

// lose takes the error that ended the session while a status line, or nothing, was due.
func (r *retrieval) lose(err error) error {
	if len(r.asked) > 0 {
		r.brokeAt(r.asked[0], err)
	}
	if r.unconfirmed && isOutOfStep(err) {
		last := r.open.entries[len(r.open.entries)-1]
		r.discard()
		why := fmt.Sprintf("what followed it is no reply: %v", err)
		r.suspect(last, r.outline.octets, why)
		err = fmt.Errorf("%w: %w", &suspectError{last.Number, why}, err)
	}
	return r.fail(PhaseRetrieve, err)
}

// handOverFull hands the open batch over if it is full, or is worth it and would not have to wait. So batches are small, and
// soon durable, where the disk is fast, and where it is slow many messages share one wait for it.
func (r *retrieval) handOverFull() {
	b := r.open
	if b == nil {
		return
	}
	full := len(b.records) >= r.limit.Messages || b.octets >= r.limit.Octets
	if full || len(b.records) >= enough && r.atLeisure() {
		r.handOver()
	}
}

// discard gives up the open batch; its messages are retrieved again.
func (r *retrieval) discard() {
	b := r.open
	r.open, r.unconfirmed = nil, false
	if err := b.Discard(); err != nil {
		r.end(PhaseDeliver, err)
	}
	r.release(b.entries...)
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
		if len(r.twins[e.Number]) > 0 || b.octets+e.Octets > r.limit.Octets || time.Since(b.begun) > batchAge && r.atLeisure() {
			r.handOver()
		}
	}
	if r.open == nil {
		opened, err := r.account.Target.Begin(r.hard)
		if err != nil {
			return nil, err
		}
		r.open = &batch{
			Batch:   opened,
			begun:   time.Now(),
			entries: make([]seen.Entry, 0, min(r.limit.Messages, 2*enough)),
			records: make([]seen.Record, 0, min(r.limit.Messages, 2*enough)),
		}
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
	r.outline.reset(e.Octets)
	for {
		n, err := m.Read(r.buffer)
		_, _ = r.outline.Write(r.buffer[:n]) // it never fails, nor does the next one
		if limit := r.account.MaxSize; limit > 0 && r.outline.octets > limit {
			return r.tooLarge(d, e, m)
		}
		_, _ = r.header.Write(r.buffer[:n])
		if _, writeErr := d.Write(r.buffer[:n]); writeErr != nil {
			return r.giveUp(e, m, errors.Join(writeErr, d.Abort()))
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			r.brokeAt(e, err)
			return r.fail(PhaseRetrieve, errors.Join(fmt.Errorf("message %d: %w", e.Number, err), d.Abort()))
		}
	}
	if whole, err := r.makeSure(d, e); !whole {
		return err
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
		Digest: r.header.digest(),
		Came:   seen.Sum{Octets: receipt.Octets, SHA256: receipt.SHA256},
		Places: []seen.Place{{Name: receipt.Place, Sum: seen.Sum{Octets: receipt.Octets, SHA256: receipt.SHA256}}},
	})
	// What is larger than announced may hold a part of the next reply, and where nothing is announced it may be cut. Both
	// show when the next one is read.
	r.unconfirmed = len(r.asked) > 0 && r.outline.excess() > 0 || e.Octets <= 0
	if twins := r.twins[e.Number]; len(twins) > 0 {
		return r.compare(twins)
	}
	return nil
}

// compare looks whether the one message of the open batch was delivered before, which nothing but its octets could show
// (no TOP, or copies of which one was refused); then it is recorded and not delivered again.
func (r *retrieval) compare(twins []*twin) error {
	b := r.open
	for _, t := range twins {
		if rec := b.records[0]; !t.taken && t.sha256 == rec.Came.SHA256 && t.octets == rec.Came.Octets {
			t.taken = true
			r.open, r.unconfirmed = nil, false
			if err := b.Discard(); err != nil {
				r.end(PhaseDeliver, err)
			}
			rec.Places = []seen.Place{{Name: t.place, Sum: rec.Came}}
			if rec.DeliveredAt = t.at; t.at.IsZero() {
				rec.DeliveredAt = r.runner.now()
			}
			if err := r.record([]seen.Record{rec}); err != nil {
				r.end(PhaseRecord, errors.Unwrap(err))
			} else {
				r.mu.Lock()
				r.result.Recognised++
				r.retrieved[b.entries[0].Number], r.tried[b.entries[0].Key] = true, true
				r.mu.Unlock()
				r.event(Event{Kind: Recognised, Number: b.entries[0].Number, UniqueID: rec.UniqueID, Octets: rec.Came.Octets})
			}
			r.release(b.entries...)
			return nil
		}
	}
	if !r.unconfirmed {
		r.handOver()
	}
	return nil
}

// tooLarge gives up a message that is larger than LIST had announced and than the account allows.
func (r *retrieval) tooLarge(d deliver.Delivery, e seen.Entry, m *pop3.Message) error {
	if err := d.Abort(); err != nil {
		r.end(PhaseDeliver, err)
	}
	defer r.release(e)
	cause := fmt.Errorf("more than max_size allows (%d octets), though LIST announced %d", r.account.MaxSize, e.Octets)
	if err := r.setAside(r.aside(e, seen.TooLarge, cause)); err != nil {
		return err
	}
	r.mu.Lock()
	r.result.Skipped++
	r.mu.Unlock()
	if !r.toldTooLarge(e) {
		r.event(Event{Kind: Skipped, Number: e.Number, UniqueID: e.UniqueID, Octets: e.Octets, Err: cause})
	}
	return r.drain(m)
}
