// Package hosts counts the sessions of this process at each server host. A host may allow an address
// only a few at once, and tells so only by refusing one more.
package hosts

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// boundFor is how long the number of sessions that a host allows is remembered.
const boundFor = 24 * time.Hour

// IsLoopback reports whether a server, host:port, is named as this machine.
func IsLoopback(server string) bool {
	host, _, err := net.SplitHostPort(server)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// Hosts are the hosts at which a process has sessions. The zero value is ready.
type Hosts struct {
	mu     sync.Mutex
	byName map[string]*Host
}

// Of returns the host of a server. Its port does not matter.
func (h *Hosts) Of(server string) *Host {
	name, _, err := net.SplitHostPort(server)
	if err != nil {
		name = server
	}
	name = strings.ToLower(name)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byName == nil {
		h.byName = make(map[string]*Host)
	}
	if h.byName[name] == nil {
		h.byName[name] = &Host{ended: make(chan struct{})}
	}
	return h.byName[name]
}

// Host counts the sessions at one host. Several goroutines may call its methods.
type Host struct {
	mu     sync.Mutex
	trying int // sessions that are being opened
	in     int // sessions that are logged in
	// When it last refused a session because of others, and how many it has let in at once since.
	// Zero: that never happened.
	fullAt time.Time
	peak   int
	sure   bool          // a session that had waited for another one to end was let in
	ended  chan struct{} // closed when the next session ends
}

// Enter waits until the host allows a session; then LetIn or GiveUp must be called.
func (h *Host) Enter(ctx context.Context, now func() time.Time) error {
	for {
		h.mu.Lock()
		full := h.isLimited(now()) && h.trying+h.in >= max(1, h.peak)
		if !full {
			h.trying++
		}
		ended := h.ended
		h.mu.Unlock()
		if !full {
			return nil
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (h *Host) isLimited(now time.Time) bool {
	return !h.fullAt.IsZero() && now.Sub(h.fullAt).Abs() < boundFor
}

// LetIn notes that a session is logged in, perhaps after it was refused and has waited; Leave must be
// called.
func (h *Host) LetIn(waited bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.trying--
	h.in++
	h.peak = max(h.peak, h.in)
	h.sure = h.sure || waited
}

// GiveUp ends an attempt at a session.
func (h *Host) GiveUp() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.trying--
	h.wake()
}

// Leave ends a session that was let in.
func (h *Host) Leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.in--
	h.wake()
}

func (h *Host) wake() {
	close(h.ended)
	h.ended = make(chan struct{})
}

// Others returns how many sessions there are besides one.
func (h *Host) Others() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.trying + h.in - 1
}

// NoteFull notes that the host refuses more sessions than it has let in.
func (h *Host) NoteFull(at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fullAt, h.peak = at, h.in
}

// NoteOther takes that back: a session that had waited was refused for another reason.
func (h *Host) NoteOther() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fullAt, h.peak, h.sure = time.Time{}, h.in, false
}

// Bound returns how many sessions the host allows, and when that was found out. The zero time means
// that it is not known.
func (h *Host) Bound() (sessions int, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.sure {
		return 0, time.Time{}
	}
	return max(1, h.peak), h.fullAt
}

// Recall notes what another process has found out, unless this one knows better. Zero sessions mean
// that nothing is known.
func (h *Host) Recall(sessions int, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if sessions > 0 && at.After(h.fullAt) {
		h.peak, h.fullAt = sessions, at
	}
}
