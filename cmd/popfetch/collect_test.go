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
	for _, test := range []struct {
		live     uint64
		accounts int64
		want     int64
	}{
		{0, 0, memoryLimit},
		{memoryLimit - spareMemory, 0, memoryLimit},
		{100 << 20, 0, 100<<20 + spareMemory},
		{0, 1000, memoryLimit},
		{100 << 20, 10000, 100<<20 + spareMemory + 10000*spareForAccount},
	} {
		if got := limitFor(test.live, test.accounts); got != test.want {
			t.Errorf("limitFor(%d, %d) = %d, want %d", test.live, test.accounts, got, test.want)
		}
	}
}
