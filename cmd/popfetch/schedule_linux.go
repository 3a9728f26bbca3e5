package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// schedule tells the kernel that this is work in batches: a thread that wakes up waits until the
// processor is free, and pushes nobody aside. Threads hand messages to each other thousands of
// times in a second, and a tenth of the time went into such changes, most of all beside a server on
// the same machine. The nice value stays. Threads and programs that are started from here inherit
// it. Where the kernel refuses, nothing is lost but time.
func schedule() {
	for changeThreads() {
		// A thread that was not changed yet may have started another one meanwhile.
	}
}

// changeThreads reports whether it has changed any.
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
			continue // somebody has chosen another
		}
		attr.Policy = unix.SCHED_BATCH
		changed = unix.SchedSetAttr(id, attr, 0) == nil || changed
	}
	return changed
}
