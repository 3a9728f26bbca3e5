package fetch

import (
	"fmt"
	"slices"
	"syscall"

	"github.com/popfetch/popfetch/seen"
)

const (
	// fileOctets is what a file takes besides its octets, roughly: it fills up a block, and has a name.
	fileOctets = 4 << 10
	// believable is what LIST may announce of a message that there is; beyond, it is a slip of the server (C0021), which must not keep
	// the message from coming (behaviour 12).
	believable = 16 << 30
)

// needed is how much room a message takes at the target, by what LIST announced.
func needed(e seen.Entry) int64 {
	if e.Octets > believable {
		return fileOctets
	}
	return e.Octets + fileOctets
}

// hasRoom tells whether the target has room for e besides what is on its way. The target is asked when what it told last is
// used up: what a program has taken leaves the spool again, and others make room or take it.
func (r *retrieval) hasRoom(e seen.Entry) bool {
	if needed(e) <= r.roomLeft {
		return true
	}
	free, err := r.account.Target.Room(r.soft)
	if err != nil {
		r.end(PhaseDeliver, err)
		return false
	}
	r.mu.Lock()
	r.roomLeft = free - min(r.held.octets, believable) - int64(r.held.messages)*fileOctets
	r.mu.Unlock()
	return needed(e) <= r.roomLeft
}

// passOver takes from the queue what there is no room for, once nothing is on its way any more. One huge message does not keep
// the others from coming; the run ends with an error (behaviour 29).
func (r *retrieval) passOver() {
	var octets int64
	queued := len(r.queue)
	r.queue = slices.DeleteFunc(r.queue, func(e *seen.Entry) bool {
		if needed(*e) <= r.roomLeft {
			return false
		}
		octets += e.Octets
		return true
	})
	r.passed.messages += queued - len(r.queue)
	r.passed.octets += octets
}

// noRoom is the error of a run that has passed messages over, nil if it has not.
func (r *retrieval) noRoom() error {
	if r.passed.messages == 0 {
		return nil
	}
	return r.fail(PhaseDeliver, fmt.Errorf("no room for %d of the new messages, of %d octets, where %d are free for mail: %w; make room, or fetch into another place",
		r.passed.messages, r.passed.octets, max(0, r.roomLeft), syscall.ENOSPC))
}
