package fetch

import (
	"errors"
	"sync"

	"github.com/popfetch/popfetch/deliver"
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
	entries := b.entries
	defer func() {
		r.unfinished.Add(-1)
		r.release(entries...)
	}()
	if r.unrecordable() {
		_ = b.Discard()
		return
	}
	safe, err := b.Commit(r.late)
	b.entries, b.records = b.entries[:safe], b.records[:safe]
	var refused *deliver.Error
	switch {
	case errors.As(err, &refused) && len(entries) == 1:
		r.refuse(entries[0], err)
	case err != nil:
		r.end(PhaseDeliver, err)
	}
	if safe > 0 {
		r.keep(b)
	}
}

// keep records the messages of a batch, which are durable, and tells of them.
func (r *retrieval) keep(b *batch) {
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
		r.result.Octets += b.records[i].Came.Octets
		r.retrieved[e.Number], r.tried[e.Key] = true, true
	}
	r.mu.Unlock()
	for i, e := range b.entries {
		r.event(Event{Kind: Delivered, Number: e.Number, UniqueID: e.UniqueID, Octets: b.records[i].Came.Octets})
	}
}
