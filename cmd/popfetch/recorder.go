package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// longestError limits the text of an error in the history, in octets.
const longestError = 500

// recorder notes the outcome of each run in the history of its account. It is called with one event
// at a time. The run still has the account's lock when it is noted.
type recorder struct {
	ctx   context.Context
	store seen.Store
	of    func(account string) *setting
	runs  map[string]*recordedRun // those at work, by account
}

// recordedRun is what the events of a run have told so far.
type recordedRun struct {
	began  time.Time
	note   seen.RunNote
	listed bool
}

func newRecorder(ctx context.Context, store seen.Store, r *reporter) *recorder {
	return &recorder{ctx: ctx, store: store, of: r.of, runs: make(map[string]*recordedRun)}
}

// observe counts what happens in a run, and notes the run at its end.
func (r *recorder) observe(e fetch.Event) error {
	if e.Kind == fetch.Started {
		r.runs[e.Account] = &recordedRun{began: e.Time}
	}
	run := r.runs[e.Account]
	if run == nil {
		return nil
	}
	switch e.Kind {
	case fetch.Listed:
		run.listed = true
	case fetch.Delivered:
		run.note.Sizes.Count(e.Octets)
		run.note.Largest = max(run.note.Largest, e.Octets)
	case fetch.Quarantined:
		run.note.Quarantined++
	case fetch.Finished:
		delete(r.runs, e.Account)
		if errors.Is(e.Err, seen.ErrLocked) {
			return nil // the run that has the account is noted
		}
		run.end(e)
		return r.store.NoteRun(r.ctx, r.of(e.Account).stateOf(e.Account), run.note)
	}
	return nil
}

// end fills in the note at the end of a run.
func (run *recordedRun) end(e fetch.Event) {
	n, result := &run.note, e.Result
	n.At, n.Took = e.Time, max(e.Time.Sub(run.began), 0)
	n.Delivered, n.Octets, n.Deleted = result.Delivered, result.Octets, result.Deleted
	if run.listed {
		n.Maildrop = &seen.MaildropNote{Listed: result.Listed, Quarantined: result.Quarantined,
			Backlog: max(result.New-result.Delivered-result.Filtered.Dropped-n.Quarantined, 0) + result.Waiting}
	}
	// If the account was left alone, the server did not reply.
	var failed *login.Error
	n.LoginRefused = errors.As(e.Err, &failed) && failed.Fault == login.Refused &&
		(failed.Until.IsZero() || errors.As(e.Err, new(*pop3.ReplyError)))
	if n.Status = mostUrgent(resultStatuses(*result)); n.Status == exitOK {
		n.Verdict = seen.Succeeded
		return
	}
	n.Code, n.Text = faultOf(e)
	if isPassing(e) {
		n.Verdict = seen.Passing
	}
}

// faultOf returns the code of what was wrong with a run, and a line about it.
func faultOf(e fetch.Event) (code, text string) {
	result := e.Result
	switch {
	case e.Err != nil:
		return string(e.Code), shorten(printable(strings.TrimPrefix(e.Err.Error(), e.Account+": ")))
	case result.Unusable > 0:
		return string(fetch.CodeUnusable), fmt.Sprintf("messages listed in a way that popfetch cannot use: %d", result.Unusable)
	case result.Quarantined > 0:
		return string(fetch.Quarantined), fmt.Sprintf("messages quarantined: %d", result.Quarantined)
	}
	return string(fetch.Refused), fmt.Sprintf("messages refused: %d", result.Failed)
}

// shorten cuts a text that is too long, between two characters.
func shorten(text string) string {
	if len(text) <= longestError {
		return text
	}
	return strings.ToValidUTF8(text[:longestError], "") + "…"
}

// isPassing reports whether a run ended early for a reason that says nothing of the account: a
// signal, or the server's wish to be asked less often.
func isPassing(e fetch.Event) bool {
	return e.Code == fetch.CodeHeld || strings.HasSuffix(string(e.Code), "/login-delay") || errors.As(e.Err, new(signalError))
}

// stateOf returns the name under which the state keeps an account.
func (s *setting) stateOf(account string) string {
	if s.oneShot {
		return stateName(&s.accounts[0])
	}
	return account
}
