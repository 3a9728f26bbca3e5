package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/resident"
)

// health is how the accounts of a resident popfetch are, for a service manager. Its methods may be
// called at the same time.
type health struct {
	mu       sync.Mutex
	names    []string             // in the order of the configuration
	accounts map[string]condition // those that were polled
}

// condition is how an account is.
type condition struct {
	trouble string // "": none
	since   time.Time
}

func newHealth() *health { return &health{accounts: make(map[string]condition)} }

// keep forgets the accounts that are no longer polled.
func (h *health) keep(polled []resident.Account) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.names = nil
	accounts := make(map[string]condition)
	for _, a := range polled {
		if a.Interval == 0 {
			continue
		}
		h.names = append(h.names, a.Name)
		if known, polledYet := h.accounts[a.Name]; polledYet {
			accounts[a.Name] = known
		}
	}
	h.accounts = accounts
}

// note notes the result of a poll, and reports whether the text has changed.
func (h *health) note(r *fetch.Result, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	is := condition{trouble: troubleOf(r), since: now}
	before, polledYet := h.accounts[r.Account]
	if before.trouble != "" && is.trouble != "" {
		is.since = before.since
	}
	h.accounts[r.Account] = is
	return !polledYet || before.trouble != is.trouble
}

// text returns one line: "3 accounts; 2 well; work: server unreachable since 14:02".
func (h *health) text() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	well := 0
	var troubled []string
	for _, name := range h.names {
		is, polledYet := h.accounts[name]
		switch {
		case is.trouble != "":
			troubled = append(troubled, fmt.Sprintf("%s: %s since %s", printable(name), is.trouble, clockTime(is.since, time.Now())))
		case polledYet:
			well++
		}
	}
	text := fmt.Sprintf("%s; %d well", accountsOf(len(h.names)), well)
	if more := len(troubled) - mostNamed; more > 0 {
		troubled = append(troubled[:mostNamed], fmt.Sprintf("%d more in trouble", more))
	}
	return strings.Join(append([]string{text}, troubled...), "; ")
}

// accountsOf returns "1 account", "2 accounts".
func accountsOf(n int) string {
	if n == 1 {
		return "1 account"
	}
	return fmt.Sprintf("%d accounts", n)
}

// troubleOf returns in a few words what ended a run; "" if nothing did, or if it passes by itself.
func troubleOf(r *fetch.Result) string {
	if r.Err == nil {
		if r.Failed > 0 {
			return "messages refused"
		}
		return ""
	}
	status, phase := faultStatus(r.Err), phaseOf(r.Err)
	switch {
	case phase == fetch.PhaseLock && status == exitTempFail:
		return "fetched by another popfetch"
	case phase == fetch.PhaseLock, phase == fetch.PhaseState, phase == fetch.PhaseRecord:
		return "state unusable"
	case phase == fetch.PhaseTarget, phase == fetch.PhaseDeliver:
		return "mail cannot be delivered"
	case phase == fetch.PhaseOpen && status == exitTempFail:
		return "server unreachable"
	case phase == fetch.PhaseLogin && status == exitTempFail:
		return "no log-in for now"
	}
	return troubles[status]
}

// troubles names the faults of statuses, where the phase does not say more.
var troubles = map[int]string{
	exitNoHost:      "server unknown",
	exitUnavailable: "server lacks what is needed",
	exitSoftware:    "fault in popfetch",
	exitCantCreate:  "mail cannot be delivered",
	exitIO:          "input or output failed",
	exitTempFail:    "session broke off",
	exitProtocol:    "server broke the protocol",
	exitNoPerm:      "refused by the server, or not trusted",
	exitConfig:      "configuration wrong",
}
