package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/internal/refusals"
	"github.com/popfetch/popfetch/seen"
)

const (
	// earlyBatch is how many messages are committed early when no other commit is running.
	// Otherwise the batch grows until that commit ends.
	earlyBatch = 64
	// batchAge is how old a batch that is not full may become.
	batchAge = 500 * time.Millisecond
	// commitGrace is how long the targets may continue after the end of the session, to make
	// durable the messages that arrived completely.
	commitGrace = time.Second
)

// batch is a deliver.Batch together with the future records of its messages.
type batch struct {
	deliver.Batch
	begun      time.Time
	octets     int64
	items      []item
	deliveries []deliver.Delivery
	records    []seen.Record
	headers    []Header // of the same messages, if events are to have them; otherwise nil
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

// add puts a complete message into the batch; digest is that of its header.
func (b *batch) add(it item, d deliver.Delivery, digest seen.Digest) {
	came := d.Receipt().Came
	b.octets += came.Octets
	b.items = append(b.items, it)
	b.deliveries = append(b.deliveries, d)
	b.records = append(b.records, seen.Record{
		Key:    it.Key,
		Kind:   seen.Delivered,
		Listed: it.Octets,
		Digest: digest,
		Came:   seen.Sum(came),
	})
}

// settle fills in where a safe message is. If it is nowhere, it was dropped. had are places where it was
// before, and got no further copy.
func settle(record *seen.Record, receipt deliver.Receipt, had []deliver.Place) {
	record.Places = make([]seen.Place, len(receipt.Places))
	for i, p := range receipt.Places {
		record.Places[i] = seen.Place{Target: p.Target, Name: p.Name, Sum: seen.Sum(p.Sum)}
	}
	for _, p := range had {
		if !slices.ContainsFunc(receipt.Places, func(one deliver.Place) bool { return one.Target == p.Target }) {
			record.Places = append(record.Places, seen.Place{Target: p.Target, Name: p.Name, Sum: seen.Sum(p.Sum)})
		}
	}
	if len(record.Places) == 0 {
		record.Kind = seen.Dropped
	}
}

// committers make batches durable and record them, while the reader fills the next one.
//
//	reader ──full batch──> committer: Batch.Commit → Ledger.Apply → events
type committers struct {
	outcomes *outcomes
	room     *room
	progress *Progress
	limit    deliver.Limit
	guard    func()
	// Ends a little after the session, so that complete messages are committed even if it is cut.
	late context.Context

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
	// One committer is enough if the disk is as fast as the server: two would only get in each
	// other's way. If a commit waits long for the disk or a program, several committers wait at the
	// same time.
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

// commit makes a batch durable, then records it, then reports it. This order is the promise of the
// program. Refused messages are noted one by one. A message whose outcome is unknown is neither
// recorded nor refused: the next run asks the target for it, or delivers it again.
func (c *committers) commit(b *batch) {
	defer func() {
		c.unfinished.Add(-1)
		c.progress.Waiting.Add(-int64(len(b.items)))
		c.room.release(b.items...)
	}()
	// The batch could not be recorded, and would be delivered again. Or it would be refused.
	if failure := c.outcomes.failure(); isOfRecord(failure) || refusals.IsOfTarget(failure) {
		_ = b.Discard()
		return
	}
	if lost := c.outcomes.job.held(PhaseDeliver); lost != nil {
		_ = b.Discard()
		c.outcomes.end(lost)
		return
	}
	err := b.Commit(c.late)
	safe := make([]item, 0, len(b.items))
	records, headers := b.records[:0], b.headers[:0]
	var refused []int
	var unknown error
	for i, d := range b.deliveries {
		switch d.Verdict().Outcome {
		case deliver.Safe:
			settle(&b.records[i], d.Receipt(), b.items[i].drop.again[b.items[i].index])
			if b.records[i].Kind == seen.Dropped && b.items[i].isAgain() {
				continue // nobody wants it by now, and it stays missing where it was
			}
			safe = append(safe, b.items[i])
			records = append(records, b.records[i])
			if b.headers != nil {
				headers = append(headers, b.headers[i])
			}
		case deliver.Refused, deliver.Deferred:
			refused = append(refused, i)
		default:
			unknown = cmp.Or(unknown, d.Verdict().Err)
		}
	}
	if len(safe) > 0 {
		c.outcomes.deliveredAs(safe, records, headers)
	}
	for _, i := range refused {
		if cause := b.deliveries[i].Verdict().Err; errors.Is(err, deliver.ErrCannotRun) {
			c.outcomes.goesLast(b.items[i], cause)
		} else {
			c.outcomes.refuse(b.items[i], cause)
		}
	}
	if err = cmp.Or(err, unknown); err != nil {
		c.outcomes.end(c.outcomes.job.fail(PhaseDeliver, err))
	}
}

const (
	// A RETR is sent only while fewer octets than this are asked for or held, and not yet durable.
	// So the reader never stops with a reply outstanding.
	roomOctets   = 64 << 20
	roomMessages = 64 // of a target that takes one message at a time
	// Of a target that takes many. It covers the window, and the messages that wait for the disk.
	mostRoom = 4000

	// fileOctets is roughly what a file takes besides its octets: it fills up a block, and has a
	// name.
	fileOctets = 4 << 10
	// believable is the largest size in LIST that may be true. A larger one is an error of the
	// server (C0021), and must not prevent the message from being retrieved (behaviour 12).
	believable = 16 << 30
)

// room limits the messages on their way: by memory, and by the free space of the target. Several
// goroutines may call its methods, but only one those that look at the free space.
type room struct {
	target deliver.Target
	most   int // how many messages may be asked for or held

	// How many octets the target has free, as far as is known, besides those asked for.
	left   int64
	passed holding // messages that the target has no space for; see passOver

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

// space reports whether the target has space for e besides the messages on their way. When the
// space that the target last reported is used up, it is asked again. The free space may have
// changed: a program takes messages out of the spool, and others use or free space.
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

// passOver removes from the queue all messages that there is no space for. It is called once
// nothing is on its way any more. One huge message does not block the others; the run ends with an
// error (behaviour 29).
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

// shortage is the error of a transfer that has passed messages over, or nil.
func (r *room) shortage() error {
	if r.passed.messages == 0 {
		return nil
	}
	return fmt.Errorf("no room for %d of the new messages, of %d octets, where %d are free for mail: %w; "+
		"make room, or fetch into another place",
		r.passed.messages, r.passed.octets, max(0, r.left), syscall.ENOSPC)
}
