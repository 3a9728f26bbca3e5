package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/mail"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/escape"
	commands "github.com/popfetch/popfetch/internal/program"
)

const (
	// hookGrace is how long hooks may go on after a signal. A run may take seven seconds to end
	// after it, and ending a hook takes another. All that stays within ten seconds.
	hookGrace = 8 * time.Second
	// hookFact is how many characters of a text a hook gets.
	hookFact = 1000
	// hookOutput is how many octets are shown of what a hook prints.
	hookOutput = 1000
)

// errHookStop is the cause that ends hooks after a signal.
var errHookStop = errors.New("popfetch was stopped")

// hooks runs on_new, on_error and on_recovered after the runs of accounts. A hook runs when the
// account's lock is given back, so that it may itself run popfetch. It never changes the outcome of
// a run. The hooks of one account run one after the other.
type hooks struct {
	ctx     context.Context // ends hookGrace after a signal
	term    *terminal
	setting *setting

	mu   sync.Mutex
	runs map[string]*hookedRun  // runs at work, by account
	turn map[string]*sync.Mutex // held by a hook of the account
}

// hookedRun is what hooks need to know of a run.
type hookedRun struct {
	newest  fetch.Header
	number  int    // the message-number of newest
	refusal string // the first message that was refused or quarantined
	failure string // what ended the run
	due     hookTurn
}

// newHooks makes the hooks of a command that fetches. ctx ends with a signal; stop must be called.
func newHooks(ctx context.Context, term *terminal, s *setting) (h *hooks, stop func()) {
	longer, end := context.WithCancelCause(context.WithoutCancel(ctx))
	unwatch := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(hookGrace, func() { end(errHookStop) })
		context.AfterFunc(longer, func() { timer.Stop() })
	})
	h = &hooks{ctx: longer, term: term, setting: s, runs: make(map[string]*hookedRun), turn: make(map[string]*sync.Mutex)}
	return h, func() { unwatch(); end(nil) }
}

// account returns the chosen account of a name.
func (h *hooks) account(name string) *config.Account {
	for i := range h.setting.accounts {
		if a := &h.setting.accounts[i]; a.Name == name {
			return a
		}
	}
	return &config.Account{}
}

// watchTrouble reports whether an account has a hook about trouble.
func (h *hooks) watchTrouble(name string) bool {
	a := h.account(name)
	return a.OnError != "" || a.OnRecovered != ""
}

// observe notes an event of a run, and which hooks about trouble are due.
func (h *hooks) observe(e fetch.Event, due hookTurn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.Kind == fetch.Started {
		h.runs[e.Account] = new(hookedRun)
	}
	run := h.runs[e.Account]
	switch {
	case run == nil:
	case e.Kind == fetch.Delivered && e.Number >= run.number: // batches end in any order
		run.newest, run.number = e.Header, e.Number
	case (e.Kind == fetch.Refused || e.Kind == fetch.Quarantined) && run.refusal == "":
		run.refusal = fmt.Sprintf("%s: %s is %s: %s", e.Account, messageOf(e), e.Kind, tellError(h.setting, e.Err))
	case e.Kind == fetch.Finished:
		run.failure, run.due = tellError(h.setting, e.Err), due
	}
}

// done runs the hooks that are due after a run.
func (h *hooks) done(r fetch.Result) {
	h.mu.Lock()
	run, turn := h.runs[r.Account], h.turn[r.Account]
	delete(h.runs, r.Account)
	if turn == nil {
		turn = new(sync.Mutex)
		h.turn[r.Account] = turn
	}
	h.mu.Unlock()
	if run == nil { // it has not begun
		return
	}
	turn.Lock()
	defer turn.Unlock()
	a := h.account(r.Account)
	facts := []string{
		"POPFETCH_ACCOUNT=" + a.Name,
		"POPFETCH_SERVER=" + a.Server,
		"POPFETCH_USER=" + a.User,
		"POPFETCH_COUNT=" + strconv.Itoa(r.Delivered),
		"POPFETCH_OCTETS=" + strconv.FormatInt(r.Octets, 10),
		"POPFETCH_STATUS=" + strconv.Itoa(mostUrgent(resultStatuses(r))),
	}
	if a.OnRecovered != "" && run.due.recovered {
		since := ""
		if !run.due.since.IsZero() {
			since = run.due.since.UTC().Format(time.RFC3339)
		}
		h.run(a, "on_recovered", a.OnRecovered, append(facts, "POPFETCH_SINCE="+since))
	}
	if a.OnNew != "" && r.Delivered > 0 {
		h.run(a, "on_new", a.OnNew, append(facts,
			"POPFETCH_SENDER="+senderOf(run.newest.From), "POPFETCH_SUBJECT="+factOf(decodeWords(run.newest.Subject))))
	}
	if a.OnError != "" && run.due.failed {
		h.run(a, "on_error", a.OnError, append(facts, "POPFETCH_ERROR="+factOf(run.trouble(r))))
	}
}

// trouble returns what on_error is told about a run.
func (run *hookedRun) trouble(r fetch.Result) string {
	switch {
	case run.failure != "":
		return run.failure
	case run.refusal != "":
		return run.refusal
	}
	return summary(r)
}

// run runs a hook of an account. If it fails, a person is told.
func (h *hooks) run(a *config.Account, key, command string, facts []string) {
	limit := a.HookTimeout
	if a.Deadline > 0 {
		limit = min(limit, a.Deadline)
	}
	ctx, cancel := context.WithTimeoutCause(h.ctx, limit, fmt.Errorf("it did not end within %v", limit))
	defer cancel()
	if ctx.Err() != nil {
		h.term.errorf("%s: %s was not run: %v", a.Name, key, context.Cause(ctx))
		return
	}
	output := commands.Output{Limit: hookOutput}
	started, err := commands.Start(command, func(cmd *exec.Cmd) {
		cmd.Env = commands.Environment(facts...)
		cmd.Stdout, cmd.Stderr = &output, &output
	})
	if err != nil {
		h.term.errorf("%s: %s cannot be run: %v", a.Name, key, err)
		return
	}
	state, interrupted := commands.Wait(ctx, started)
	said := ""
	if state != nil { // otherwise it may still be printing
		said = escape.Lines(bytes.TrimSpace(output.Kept), math.MaxInt)
	}
	if said != "" {
		said = ": " + said
	}
	switch {
	case interrupted != nil:
		h.term.errorf("%s: %s was ended: %v%s", a.Name, key, interrupted, said)
	case !state.Success():
		h.term.errorf("%s: %s failed (%v)%s", a.Name, key, state, said)
	}
}

// senderOf returns the address in a From field, or "" if it has none.
func senderOf(from string) string {
	if addresses, err := (&mail.AddressParser{WordDecoder: &words}).ParseList(from); err == nil && len(addresses) > 0 {
		return factOf(addresses[0].Address)
	}
	from = decodeWords(from) // a field that breaks the rules may have an address all the same
	if _, behind, found := strings.Cut(from, "<"); found {
		if address, _, found := strings.Cut(behind, ">"); found {
			return factOf(address)
		}
	}
	for word := range strings.FieldsSeq(from) {
		if word = strings.Trim(word, "<>(),;:\"'"); strings.Contains(word, "@") {
			return factOf(word)
		}
	}
	return ""
}

// factOf returns a text as a hook gets it: one line of UTF-8, without characters that control a
// terminal or the direction of writing, and not longer than hookFact.
func factOf(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Bidi_Control, r):
			return -1
		case unicode.IsControl(r), r == '\u2028', r == '\u2029', r == unicode.ReplacementChar:
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, " "))
	characters := []rune(strings.Join(strings.Fields(text), " "))
	return strings.TrimSpace(string(characters[:min(len(characters), hookFact)]))
}
