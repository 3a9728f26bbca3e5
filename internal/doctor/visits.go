package doctor

import (
	"context"
	"fmt"
	"sync"
)

// Visits are the connections to further addresses of servers. Thousands of accounts may have one server,
// so each address is visited once, and the accounts share the finding. Goroutines may share Visits.
type Visits struct {
	slots chan struct{}

	mu       sync.Mutex
	findings map[string]func() Finding // by Way.key; each waits for its visit
}

// NewVisits returns Visits of which only so many are made at once.
func NewVisits(atOnce int) *Visits {
	return &Visits{slots: make(chan struct{}, max(1, atOnce)), findings: make(map[string]func() Finding)}
}

// key identifies a visit.
func (w *Way) key(addr string) string {
	return fmt.Sprintf("%d %q %q %q", w.Options.TLS, addr, w.Server, w.Trust)
}

// once returns the finding of the first visit with this key. It is empty if ctx ends before the visit.
func (v *Visits) once(ctx context.Context, key string, visit func() Finding) Finding {
	if v == nil {
		return visit()
	}
	v.mu.Lock()
	first := v.findings[key]
	if first == nil {
		first = sync.OnceValue(func() Finding { return v.inSlot(ctx, visit) })
		v.findings[key] = first
	}
	v.mu.Unlock()
	return first()
}

// inSlot waits for a slot, and makes the visit.
func (v *Visits) inSlot(ctx context.Context, visit func() Finding) Finding {
	select {
	case v.slots <- struct{}{}:
		defer func() { <-v.slots }()
		return visit()
	case <-ctx.Done():
		return Finding{}
	}
}
