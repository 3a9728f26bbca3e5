package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// schedule makes the kernel treat popfetch as batch work. A thread that wakes up then waits until
// the processor is free, and interrupts no other thread. Threads hand messages to each other
// thousands of times in a second. A tenth of the time was spent on such switches, most of all with
// a server on the same machine.
//
// The nice value stays. New threads and programs inherit the setting. If the kernel refuses,
// popfetch is only slower.
func schedule() {
	for changeThreads() {
		// A thread that was not changed yet may have started another one meanwhile.
	}
}

// changeThreads changes all threads, and reports whether it has changed any.
func changeThreads() (changed bool) {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return false
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			continue
		}
		attr, err := unix.SchedGetAttr(id, 0)
		if err != nil || attr.Policy != unix.SCHED_NORMAL {
			continue // a person has chosen another policy
		}
		attr.Policy = unix.SCHED_BATCH
		changed = unix.SchedSetAttr(id, attr, 0) == nil || changed
	}
	return changed
}
