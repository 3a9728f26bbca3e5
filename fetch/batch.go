package fetch

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/seen"
)

const (
	// earlyBatch is how many messages are committed early when no other commit is running; else the
	// batch grows until one ends.
	earlyBatch = 64
	// batchAge is how old a batch that is not full may become.
	batchAge = 500 * time.Millisecond
	// commitGrace is how much longer than the session the targets may take to make durable what
	// arrived whole.
	commitGrace = time.Second
)

// batch is a deliver.Batch with what will be recorded of its messages.
type batch struct {
	deliver.Batch
	begun      time.Time
	octets     int64
	items      []item
	deliveries []deliver.Delivery
	records    []seen.Record
}

func newBatch(opened deliver.Batch, limit deliver.Limit) *batch {
	most := min(limit.Messages, 2*earlyBatch)
	return &batch{
		Batch:      opened,
		begun:      time.Now(),
		items:      make([]item, 0, most),
		deliveries: make([]deliver.Delivery, 0, most),
		records:    make([]seen.Record, 0, most),
	}
}

// add puts a whole message, whose header has the digest, into the batch.
func (b *batch) add(it item, d deliver.Delivery, digest seen.Digest) {
	receipt := d.Receipt()
	places := make([]seen.Place, len(receipt.Places))
	for i, p := range receipt.Places {
		places[i] = seen.Place{Target: p.Target, Name: p.Name, Sum: seen.Sum(p.Sum)}
	}
	b.octets += receipt.Came.Octets
	b.items = append(b.items, it)
	b.deliveries = append(b.deliveries, d)
	b.records = append(b.records, seen.Record{
		Key:    it.Key,
		Kind:   seen.Delivered,
		Listed: it.Octets,
		Digest: digest,
		Came:   seen.Sum(receipt.Came),
		Places: places,
	})
}

// committers make batches durable and record them, while the reader fills the next one.
//
//	reader ──full batch──> committer: Batch.Commit → Ledger.Apply → events
type committers struct {
	outcomes *outcomes
	room     *room
	limit    deliver.Limit
	guard    func()
	late     context.Context // ends a little after the session: what is whole is committed also when that is cut

	full       chan *batch // handing over never waits
	started    int
	running    sync.WaitGroup
	unfinished atomic.Int32 // batches that were handed over and are not durable yet
}

// idle reports whether nothing is being made durable.
func (c *committers) idle() bool { return c.unfinished.Load() == 0 }

// handOver gives a batch to a committer.
func (c *committers) handOver(b *batch) {
	if len(b.records) == 0 {
		_ = b.Discard() // it holds nothing
		return
	}
	c.unfinished.Add(1)
	c.full <- b
	// One committer is enough for a disk that is as fast as the server: two would only get in each
	// other's way. Where each waits for the disk, or for a program, more of them share the wait.
	needed := c.started == 0 || len(c.full) > 1 || c.limit.Messages == 1
	if needed && c.started < max(1, c.limit.Batches) {
		c.started++
		c.running.Add(1)
		go func() {
			defer c.running.Done()
			defer c.guard()
			for b := range c.full {
				c.commit(b)
			}
		}()
	}
}

// finished returns a channel that is closed when all batches that were handed over are settled. No
// batch may be handed over any more.
func (c *committers) finished() <-chan struct{} {
	close(c.full)
	done := make(chan struct{})
	go func() {
		c.running.Wait()
		close(done)
	}()
	return done
}

// commit makes a batch durable, then records it, then tells of it. This order is what the program
// promises. What was refused is noted one by one. A message whose outcome is unknown is neither
// recorded nor refused: the next run asks the target for it, or delivers it again.
func (c *committers) commit(b *batch) {
	defer func() {
		c.unfinished.Add(-1)
		c.room.release(b.items...)
	}()
	if isOfRecord(c.outcomes.failure()) { // it could not be recorded, and would be delivered again
		_ = b.Discard()
		return
	}
	err := b.Commit(c.late)
	safe := make([]item, 0, len(b.items))
	records := b.records[:0]
	var refused []int
	var unknown error
	for i, d := range b.deliveries {
		switch d.Verdict().Outcome {
		case deliver.Safe:
			safe = append(safe, b.items[i])
			records = append(records, b.records[i])
		case deliver.Refused, deliver.Deferred:
			refused = append(refused, i)
		default:
			unknown = cmp.Or(unknown, d.Verdict().Err)
		}
	}
	if len(safe) > 0 {
		c.outcomes.deliveredAs(safe, records)
	}
	for _, i := range refused {
		c.outcomes.refuse(b.items[i], b.deliveries[i].Verdict().Err)
	}
	if err = cmp.Or(err, unknown); err != nil {
		c.outcomes.end(c.outcomes.job.fail(PhaseDeliver, err))
	}
}

const (
	// A RETR is sent only while less than this is asked for or held and not yet durable, so that
	// the reader never stops with a reply outstanding.
	roomOctets   = 64 << 20
	roomMessages = 64   // of a target that takes one message at a time
	mostRoom     = 4000 // of one that takes many: what fills the window, and what waits for the disk

	// fileOctets is what a file takes besides its octets, roughly: it fills up a block, and has a
	// name.
	fileOctets = 4 << 10
	// believable is what LIST may announce of a message that there is. Beyond, it is a slip of the
	// server (C0021), which must not keep the message from coming (behaviour 12).
	believable = 16 << 30
)

// room bounds what is on its way: by memory, and by the space that the target has. Its methods may
// be called by several goroutines, but for those that look at the target's space.
type room struct {
	target deliver.Target
	most   int // how many messages may be asked for or held

	left   int64   // how many octets the target has space for, as far as is known, besides what is asked for
	passed holding // what the target has no space for; see passOver

	mu    sync.Mutex
	held  holding       // asked for or held, and not yet durable
	freed chan struct{} // tells a waiting reader that held has shrunk
}

// holding counts messages and their octets, as announced.
type holding struct {
	messages int
	octets   int64
}

func newRoom(target deliver.Target, limit deliver.Limit) *room {
	return &room{target: target, most: max(roomMessages, min(16*limit.Messages, mostRoom)), freed: make(chan struct{}, 1)}
}

// fits reports whether e may be asked for. An empty room takes a message of any size.
func (r *room) fits(e *seen.Entry) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.held.messages == 0 || r.held.messages < r.most && r.held.octets+e.Octets <= roomOctets
}

// busy reports whether something is on its way.
func (r *room) busy() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.held.messages > 0
}

// take gives room to a message that is asked for.
func (r *room) take(e *seen.Entry) {
	r.left -= needed(e)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held.messages++
	r.held.octets += e.Octets
}

// release takes the room of messages back.
func (r *room) release(items ...item) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held.messages -= len(items)
	for _, it := range items {
		r.held.octets -= it.Octets
	}
	select {
	case r.freed <- struct{}{}:
	default:
	}
}

// needed returns how much space a message takes at the target, by what LIST announced.
func needed(e *seen.Entry) int64 {
	if e.Octets > believable {
		return fileOctets
	}
	return e.Octets + fileOctets
}

// space reports whether the target has space for e besides what is on its way. The target is asked
// when what it said last is used up: what a program has taken leaves the spool again, and others
// make room or take it.
func (r *room) space(ctx context.Context, e *seen.Entry) (bool, error) {
	if needed(e) <= r.left {
		return true, nil
	}
	free, err := r.target.Room(ctx)
	if err != nil {
		return false, err
	}
	r.mu.Lock()
	r.left = free - min(r.held.octets, believable) - int64(r.held.messages)*fileOctets
	r.mu.Unlock()
	return needed(e) <= r.left, nil
}

// passOver returns the queue without what there is no space for, once nothing is on its way any
// more. One huge message does not keep the others from coming; the run ends with an error
// (behaviour 29).
func (r *room) passOver(d *maildrop, queue []int32) []int32 {
	return slices.DeleteFunc(queue, func(i int32) bool {
		it := d.item(i)
		if needed(it.Entry) <= r.left {
			return false
		}
		r.passed.messages++
		r.passed.octets += it.Octets
		return true
	})
}

// shortage is the error of a transfer that has passed messages over, nil if it has not.
func (r *room) shortage() error {
	if r.passed.messages == 0 {
		return nil
	}
	return fmt.Errorf("no room for %d of the new messages, of %d octets, where %d are free for mail: %w; make room, or fetch into another place",
		r.passed.messages, r.passed.octets, max(0, r.left), syscall.ENOSPC)
}
