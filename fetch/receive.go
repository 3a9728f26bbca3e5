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
		return r.fail(PhaseRetrieve, err)
	}
	e := r.asked[0]
	r.asked = r.asked[1:]
	if isReply(err) {
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
		r.open = &batch{
			Batch:   opened,
			begun:   time.Now(),
			entries: make([]seen.Entry, 0, r.limit.Messages),
			records: make([]seen.Record, 0, r.limit.Messages),
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
	if octets == 0 && (e.Octets > emptyOctets || !r.sizes) {
		return r.suspect(d, e)
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

// emptyOctets is what LIST may announce for a message without octets: servers count a line end that is not there.
const emptyOctets = 2

// suspect gives up a message that ended at once. Dovecot 2.3, Courier and Twisted do not stuff a dot that is the first
// octet of a message, so that it ends there, and what its sender wrote behind it is read as replies (behaviour 38).
func (r *retrieval) suspect(d deliver.Delivery, e seen.Entry) error {
	if err := d.Abort(); err != nil {
		r.end(PhaseDeliver, err)
	}
	cause := &suspectError{key: e.Key, listed: e.Octets}
	r.refuse(e, cause)
	r.release(e)
	return r.fail(PhaseRetrieve, cause)
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
			if rec.DeliveredAt = t.at; t.at.IsZero() {
				rec.DeliveredAt = r.runner.now()
			}
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
	if err := r.setAside(seen.TooLarge, cause, e); err != nil {
		return err
	}
	r.mu.Lock()
	r.result.Skipped++
	r.mu.Unlock()
	if !r.toldTooLarge()[e.Number] {
		r.event(Event{Kind: Skipped, Number: e.Number, UniqueID: e.UniqueID, Octets: e.Octets, Err: cause})
	}
	return r.drain(m)
}

// refuse notes that server or target did not give or take one message; it is tried again in the next run.
func (r *retrieval) refuse(e seen.Entry, cause error) {
	if r.soft.Err() == nil { // a program that the stop has ended has refused nothing
		if err := r.setAside(seen.Refused, cause, e); err != nil {
			r.end(PhaseRecord, errors.Unwrap(err))
		}
	}
	r.mu.Lock()
	r.result.Failed++
	r.mu.Unlock()
	r.event(Event{Kind: Refused, Number: e.Number, UniqueID: e.UniqueID, Octets: e.Octets, Err: cause})
}
