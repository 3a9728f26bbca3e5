package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// A run makes little garbage and holds little, so that by default the collector would work after
// each few megabytes; it may wait longer, until the program comes near the memory that it is to
// live in.
const (
	collectPercent = 800
	memoryLimit    = 44 << 20 // octets
	spareMemory    = 12 << 20 // octets besides what lives, where that comes near the limit; the runtime itself takes some 5 MiB of it
)

// collectSeldom arranges that. A listing of a million messages takes more than the limit by itself,
// and then the collector would work without end and find nothing: so after each time that it has
// worked, the limit becomes what lives and some more, if that is more.
func collectSeldom() {
	debug.SetGCPercent(collectPercent)
	debug.SetMemoryLimit(memoryLimit)
	afterEachCollection(func() {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		debug.SetMemoryLimit(limitFor(live[0].Value.Uint64()))
	})
}

func limitFor(live uint64) int64 { return max(memoryLimit, int64(live)+spareMemory) } //nolint:gosec // no memory is that large

// afterEachCollection calls do, in a goroutine of its own, when the collector has worked: it takes
// away what nothing refers to.
func afterEachCollection(do func()) {
	unused := new([64]byte) // too large to share its memory with anything that lives
	runtime.AddCleanup(unused, func(struct{}) {
		do()
		afterEachCollection(do)
	}, struct{}{})
}
