package config

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// promptPause is how long no further question is asked after one that got no answer.
const promptPause = time.Hour

// prompts keeps a popfetch that polls from asking a person again and again.
var prompts = promptGate{turn: make(chan struct{}, 1)}

// promptGate lets one question at a time through. After a question without an answer, it lets none
// through for a while.
type promptGate struct {
	turn   chan struct{}
	mu     sync.Mutex
	paused map[string]time.Time // until when, by the address of the bus
}

// one calls ask when it is its turn. The function ask reports whether it has asked a person.
func (g *promptGate) one(ctx context.Context, bus string, ask func() (asked bool, err error)) error {
	select {
	case g.turn <- struct{}{}:
		defer func() { <-g.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if until := g.pausedUntil(bus); time.Now().Before(until) {
		return fmt.Errorf("%w; nobody did when popfetch asked, so it asks again only after %s", errLocked, until.Format(time.TimeOnly))
	}
	asked, err := ask()
	if asked && err != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.paused == nil {
			g.paused = make(map[string]time.Time)
		}
		g.paused[bus] = time.Now().Add(promptPause)
	}
	return err
}

func (g *promptGate) pausedUntil(bus string) time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.paused[bus]
}
