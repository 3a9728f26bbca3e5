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
	// after it, and ending a hook takes another. All that stays within nine seconds.
	hookGrace = 7500 * time.Millisecond
	// hookFact is how many characters of a text a hook gets.
	hookFact = 1000
	// hookOutput is how many octets are shown of what a hook prints.
	hookOutput = 1000
)

// errHookStop is the cause that ends hooks after a signal.
var errHookStop = errors.New("popfetch was stopped")

// hooks runs on_new, on_error and on_recovered after the runs of accounts. A hook runs when the
// account's lock is given back, so that it may itself run popfetch. It never changes the outcome of
// a run, and no run waits for it. The hooks of one account run one after the other.
type hooks struct {
	ctx   context.Context // ends hookGrace after a signal
	term  *terminal
	guard func() // deferred by each goroutine

	mu    sync.Mutex
	runs  map[string]*hookedRun  // runs at work, by account
	queue map[string][]*hookCall // by account, the hook that runs and those that wait for it
	all   sync.WaitGroup         // the accounts that have hooks to run
}

// hookedRun is what hooks need to know of a run.
type hookedRun struct {
	account config.Account
	newest  fetch.Header
	number  int    // the message-number of newest
	refusal string // the first message that was refused or quarantined
	failure string // what ended the run
	due     hookTurn
}

// hookCall is one call of a hook.
type hookCall struct {
	*hookedRun
	key, command string
	result       fetch.Result
	started      bool
}

// The keys of hooks.
const (
	onNew       = "on_new"
	onError     = "on_error"
	onRecovered = "on_recovered"
)

// newHooks makes the hooks of a command that fetches. ctx ends with a signal. finish must be called
// after the last run; it waits for the hooks.
func newHooks(ctx context.Context, p *program) (h *hooks, finish func()) {
	longer, end := context.WithCancelCause(context.WithoutCancel(ctx))
	unwatch := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(hookGrace, func() { end(errHookStop) })
		context.AfterFunc(longer, func() { timer.Stop() })
	})
	h = &hooks{ctx: longer, term: p.term, guard: p.guard, runs: make(map[string]*hookedRun), queue: make(map[string][]*hookCall)}
	return h, func() {
		h.all.Wait()
		unwatch()
		end(nil)
	}
}

// watchTrouble reports whether an account at work has a hook about trouble.
func (h *hooks) watchTrouble(account string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	run := h.runs[account]
	return run != nil && (run.account.OnError != "" || run.account.OnRecovered != "")
}

// observe notes an event of a run, and which hooks about trouble are due. The account is run with s.
func (h *hooks) observe(s *setting, e fetch.Event, due hookTurn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.Kind == fetch.Started {
		h.runs[e.Account] = &hookedRun{account: s.account(e.Account)}
	}
	run := h.runs[e.Account]
	switch {
	case run == nil:
	case e.Kind == fetch.Delivered && e.Number >= run.number: // batches end in any order
		run.newest, run.number = e.Header, e.Number
	case (e.Kind == fetch.Refused || e.Kind == fetch.Quarantined) && run.refusal == "":
		run.refusal = fmt.Sprintf("%s: %s is %s: %s", e.Account, messageOf(e), e.Kind, tellError(s, e.Err))
	case e.Kind == fetch.Finished:
		run.failure, run.due = tellError(s, e.Err), due
	}
}

// done starts the hooks that are due after a run, or has them wait for others of the account.
func (h *hooks) done(r fetch.Result) {
	h.mu.Lock()
	defer h.mu.Unlock()
	run := h.runs[r.Account]
	if run == nil { // it has not begun
		return
	}
	delete(h.runs, r.Account)
	idle := len(h.queue[r.Account]) == 0
	a := &run.account
	for _, one := range []struct {
		key, command string
		due          bool
	}{
		{onRecovered, a.OnRecovered, run.due.recovered},
		{onNew, a.OnNew, r.Delivered > 0},
		{onError, a.OnError, run.due.failed},
	} {
		if one.command != "" && one.due {
			h.add(&hookCall{hookedRun: run, key: one.key, command: one.command, result: r})
		}
	}
	if idle && len(h.queue[r.Account]) > 0 {
		h.all.Add(1)
		go h.work(r.Account)
	}
}

// add adds a call to those of its account. News join a call that has not started, so that there are
// never many.
func (h *hooks) add(call *hookCall) {
	queue := h.queue[call.account.Name]
	for _, other := range queue {
		if call.key == onNew && other.key == onNew && !other.started {
			call.result.Delivered += other.result.Delivered
			call.result.Octets += other.result.Octets
			*other = *call
			return
		}
	}
	h.queue[call.account.Name] = append(queue, call)
}

// work runs the hooks of an account until none is left.
func (h *hooks) work(account string) {
	defer h.all.Done()
	defer h.guard()
	for call := h.next(account, false); call != nil; call = h.next(account, true) {
		h.run(call)
	}
}

// next returns the first call of an account, or nil. Before, it removes the one that has ended.
func (h *hooks) next(account string, ended bool) *hookCall {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ended {
		h.queue[account] = h.queue[account][1:]
	}
	if len(h.queue[account]) == 0 {
		delete(h.queue, account)
		return nil
	}
	first := h.queue[account][0]
	first.started = true
	return first
}

// factsOf returns what the environment of every hook tells of its account.
func factsOf(a *config.Account) []string {
	return []string{"POPFETCH_ACCOUNT=" + a.Name, "POPFETCH_SERVER=" + a.Server, "POPFETCH_USER=" + a.User}
}

// facts returns what the environment of a hook tells.
func (c *hookCall) facts() []string {
	facts := append(factsOf(&c.account),
		"POPFETCH_COUNT="+strconv.Itoa(c.result.Delivered),
		"POPFETCH_OCTETS="+strconv.FormatInt(c.result.Octets, 10),
		"POPFETCH_STATUS="+strconv.Itoa(mostUrgent(resultStatuses(c.result))),
	)
	switch c.key {
	case onNew:
		return append(facts, "POPFETCH_SENDER="+senderOf(c.newest.From), "POPFETCH_SUBJECT="+factOf(decodeWords(c.newest.Subject)))
	case onError:
		return append(facts, "POPFETCH_ERROR="+factOf(c.trouble()))
	}
	since := ""
	if !c.due.since.IsZero() {
		since = c.due.since.UTC().Format(time.RFC3339)
	}
	return append(facts, "POPFETCH_SINCE="+since)
}

// trouble returns what on_error is told about a run.
func (c *hookCall) trouble() string {
	switch {
	case c.failure != "":
		return c.failure
	case c.refusal != "":
		return c.refusal
	}
	return summary(c.result)
}

// run runs a hook. If it fails, a person is told.
func (h *hooks) run(c *hookCall) {
	if err := runHook(h.ctx, c.command, &c.account, c.facts()); err != nil {
		h.term.errorf("%s: %s %v", c.account.Name, c.key, err)
	}
}

// runHook runs a command of the configuration, and limits its time. The error says what it did
// instead of ending with status 0, and what it printed.
func runHook(ctx context.Context, command string, a *config.Account, facts []string) error {
	limit := a.HookTimeout
	if a.Deadline > 0 {
		limit = min(limit, a.Deadline)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it did not end within %v", limit))
	defer cancel()
	if ctx.Err() != nil {
		return fmt.Errorf("was not run: %w", context.Cause(ctx))
	}
	output := commands.Output{Limit: hookOutput}
	started, err := commands.Start(command, func(cmd *exec.Cmd) {
		cmd.Env = commands.Environment(facts...)
		cmd.Stdout, cmd.Stderr = &output, &output
	})
	if err != nil {
		return fmt.Errorf("cannot be run: %w", err)
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
		return fmt.Errorf("was ended: %w%s", interrupted, said)
	case !state.Success():
		return fmt.Errorf("failed (%v)%s", state, said)
	}
	return nil
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
