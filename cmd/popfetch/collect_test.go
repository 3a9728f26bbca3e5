package main

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

func TestAfterEachCollection(t *testing.T) {
	var times atomic.Int32
	afterEachCollection(func() { times.Add(1) })
	for want := int32(1); want <= 3; want++ {
		for end := time.Now().Add(20 * time.Second); times.Load() < want && time.Now().Before(end); time.Sleep(time.Millisecond) {
			runtime.GC()
		}
		if got := times.Load(); got < want {
			t.Fatalf("it was called %d times, want %d", got, want)
		}
	}
}

func TestLimitFor(t *testing.T) {
	for live, want := range map[uint64]int64{0: memoryLimit, memoryLimit - spareMemory: memoryLimit, 100 << 20: 100<<20 + spareMemory} {
		if got := limitFor(live); got != want {
			t.Errorf("limitFor(%d) = %d, want %d", live, got, want)
		}
	}
}
