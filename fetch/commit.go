package fetch

import (
	"errors"
	"sync"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/seen"
)

// settle waits until the committers have done their work. So QUIT waits for that even where nothing is deleted: a server may delete
// at QUIT what was retrieved (RFC 2449 section 6.7).
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

// handOver gives the open batch to a committer. It is called at message boundaries only.
func (r *retrieval) handOver() {
	b := r.open
	r.open, r.unconfirmed = nil, false
	switch {
	case b == nil:
	case len(b.records) == 0:
		_ = b.Discard() // it holds nothing
	default:
		r.unfinished.Add(1)
		r.full <- b
		r.joinIfNeeded()
	}
}

// joinIfNeeded starts another committer where batches wait. One is enough for a disk that is as fast as the server: two would
// only get in each other's way. Where each waits for the disk, or for a program, more of them share the wait.
func (r *retrieval) joinIfNeeded() {
	waiting := len(r.full)
	needed := r.joined == 0 || waiting > 1 || r.limit.Messages == 1
	if needed && r.joined < max(1, r.limit.Batches) {
		r.joined++
		r.join()
	}
}

// commit makes a batch durable, then records it, then tells of it. This order is what the program promises.
func (r *retrieval) commit(b *batch) {
	defer func() {
		r.unfinished.Add(-1)
		r.release(b.entries...)
	}()
	if r.unrecordable() {
		_ = b.Discard()
		return
	}
	err := b.Commit(r.late)
	entries, records := make([]seen.Entry, 0, len(b.entries)), b.records[:0]
	for i, d := range b.deliveries {
		switch v := d.Verdict(); v.Outcome {
		case deliver.Safe:
			entries, records = append(entries, b.entries[i]), append(records, b.records[i])
		case deliver.Refused, deliver.Deferred:
			r.refuse(b.entries[i], v.Err)
		}
	}
	if err != nil {
		r.end(PhaseDeliver, err)
	}
	if len(records) > 0 {
		r.keep(entries, records)
	}
}

// keep records messages, which are durable, and tells of them.
func (r *retrieval) keep(entries []seen.Entry, records []seen.Record) {
	now := r.runner.now()
	for i := range records {
		records[i].DeliveredAt = now
	}
	if err := r.record(records); err != nil {
		r.end(PhaseRecord, errors.Unwrap(err))
		return
	}
	r.mu.Lock()
	for i, e := range entries {
		r.result.Delivered++
		r.result.Octets += records[i].Octets
		r.retrieved[e.Number], r.tried[e.Key] = true, true
	}
	r.mu.Unlock()
	for i, e := range entries {
		r.event(Event{Kind: Delivered, Number: e.Number, UniqueID: e.UniqueID, Octets: records[i].Octets})
	}
}
