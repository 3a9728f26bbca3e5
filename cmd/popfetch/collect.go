package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// A run makes little garbage and holds little memory. By default the garbage collector would run
// after every few megabytes. It may run less often, until the program comes near the memory that it
// is meant to live in.
const (
	collectPercent = 800
	memoryLimit    = 38 << 20 // octets
	spareMemory    = 8 << 20  // octets besides live memory, near the limit; the runtime itself takes some 5 MiB of them
	// spareForAccount is how many octets more each account of a database adds. Thousands of accounts
	// are much live memory, and reading them makes much garbage.
	spareForAccount = 8 << 10
)

// collected is how many accounts collectFor was told of. The limit of memory is that of the process,
// and so is this.
var collected atomic.Int64

// collectSeldom makes the garbage collector run seldom, up to a limit of memory. A listing of a
// million messages needs more than memoryLimit. Then the collector would run all the time and find
// nothing. So after each collection the limit becomes the live memory and some more, if that is
// larger.
func collectSeldom() {
	debug.SetGCPercent(collectPercent)
	debug.SetMemoryLimit(memoryLimit)
	afterEachCollection(setLimit)
}

// collectFor makes the collector run more seldom where there are so many accounts.
func collectFor(accounts int) {
	collected.Store(int64(accounts))
	setLimit()
}

// setLimit sets the limit of memory by what was live at the last collection.
func setLimit() {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	debug.SetMemoryLimit(limitFor(live[0].Value.Uint64(), collected.Load()))
}

func limitFor(live uint64, accounts int64) int64 {
	return max(memoryLimit, int64(live)+spareMemory+accounts*spareForAccount) //nolint:gosec // no memory is that large
}

// collectEvery is the least time between two collections of an idleCollector.
const collectEvery = 10 * time.Second

// idleCollector gives memory back to the system when a popfetch that polls has nothing to do. Otherwise
// the garbage of polls would fill all the memory that the program may take, and stay there.
type idleCollector struct {
	mu      sync.Mutex
	working int // accounts
	last    time.Time
}

// begin says that an account is at work until end is called.
func (c *idleCollector) begin() (end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.working++
	return func() {
		if c.isDue() {
			debug.FreeOSMemory()
		}
	}
}

func (c *idleCollector) isDue() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.working--
	if c.working > 0 || time.Since(c.last) < collectEvery {
		return false
	}
	c.last = time.Now()
	return true
}

// afterEachCollection calls do after each garbage collection, in a goroutine of its own. The
// collection frees an object that nothing refers to, and its cleanup calls do.
func afterEachCollection(do func()) {
	unused := new([64]byte) // too large to share a block of memory with a live object
	runtime.AddCleanup(unused, func(struct{}) {
		do()
		afterEachCollection(do)
	}, struct{}{})
}
