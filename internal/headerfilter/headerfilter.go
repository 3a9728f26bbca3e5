// Package headerfilter asks a command about the headers of messages: whether a message is to be
// retrieved, deleted without that, or left alone.
package headerfilter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/popfetch/popfetch/deliver"
)

// Verdict is what a filter says about a message.
type Verdict int

// The verdicts, by the exit status that means them. Every other status is no verdict, and means
// what it means of an MDA.
const (
	Retrieve Verdict = 0
	Delete   Verdict = 1 // on the server, without retrieving it
	Leave    Verdict = 2 // on the server, without retrieving it
)

// Filter is a command that gets the header of a message on its standard input, with lines that end
// in LF, and the facts of the message in POPFETCH_* variables, as an MDA does. Its
// methods may be called at the same time.
type Filter struct {
	// An MDA that gets the header as a message, perhaps behind a route.
	program deliver.Target
	atOnce  int
}

// Options are what a filter needs to know besides its command.
type Options struct {
	Timeout  time.Duration // for one message; zero means five minutes
	AtOnce   int           // how many commands may run at once; zero means one
	Envelope []string      // headers that may name the envelope recipient; see deliver.Routing
}

// New returns the filter of a command for /bin/sh -c.
func New(command string, o Options) *Filter {
	f := &Filter{atOnce: max(o.AtOnce, 1)}
	f.program = &deliver.MDA{Command: command, Timeout: o.Timeout, Deliveries: f.atOnce}
	if len(o.Envelope) > 0 {
		f.program = deliver.NewRoute(deliver.Routing{Envelope: o.Envelope, Otherwise: f.program})
	}
	return f
}

// Prepare checks, before a server is contacted, whether the command can be run.
// deliver.ErrCannotRun: the shell does not know it, or may not run it.
func (f *Filter) Prepare(ctx context.Context) error { return named(f.program.Prepare(ctx, false)) }

// Refusal is a failure of the filter for one message. Others may be asked about.
type Refusal struct{ refusal *deliver.Error }

func (r *Refusal) Error() string { return r.refusal.Error() }

// Unwrap returns it as that of an MDA: it has the status, the output, and whether it is temporary.
func (r *Refusal) Unwrap() error { return r.refusal }

// named returns an error of the MDA as one of the filter.
func named(err error) error {
	var refusal *deliver.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &refusal):
		return fmt.Errorf("filter_headers: %w", err)
	}
	own := *refusal
	own.Doing, own.Target = "asking", "filter_headers "+strings.TrimPrefix(own.Target, "MDA ")
	if errors.Is(err, deliver.ErrCannotRun) {
		return fmt.Errorf("%w: %w", deliver.ErrCannotRun, &Refusal{&own})
	}
	return &Refusal{&own}
}

// Question is a message that a filter is to be asked about. Its header is written into it, as it comes
// from the server, with lines that end in CRLF. A short one stays in memory, and a long one goes to a
// file.
type Question struct {
	batch    deliver.Batch
	delivery deliver.Delivery
	verdict  Verdict
	err      error
}

// Begin begins a question. It must be asked, or given up by Drop.
func (f *Filter) Begin(ctx context.Context, env deliver.Envelope) *Question {
	q := new(Question)
	if q.batch, q.err = f.program.Begin(ctx); q.err == nil {
		q.delivery, q.err = q.batch.Create(ctx, env)
	}
	return q
}

// Write never fails. If the header cannot be kept, Answer says so.
func (q *Question) Write(p []byte) (int, error) {
	if q.err == nil {
		_, q.err = q.delivery.Write(p)
	}
	return len(p), nil
}

// Drop gives up a question that was not asked.
func (q *Question) Drop() {
	if q.batch != nil {
		_ = q.batch.Discard() // it holds nothing that is wanted
	}
}

// Ask runs the command for each question, in their order, and at once as often as the filter may. The
// channel that it returns is closed when all have their answers. When ctx ends, the commands are
// ended. guard is deferred by each goroutine.
func (f *Filter) Ask(ctx context.Context, questions []*Question, guard func()) <-chan struct{} {
	unasked := make(chan *Question, len(questions))
	for _, q := range questions {
		unasked <- q
	}
	close(unasked)
	var running sync.WaitGroup
	for range min(len(questions), f.atOnce) {
		running.Add(1)
		go func() {
			defer running.Done()
			defer guard()
			for q := range unasked {
				q.ask(ctx)
			}
		}()
	}
	done := make(chan struct{})
	go func() {
		running.Wait()
		close(done)
	}()
	return done
}

// ask runs the command for this question, when it is its turn.
func (q *Question) ask(ctx context.Context) {
	if q.err == nil {
		q.err = q.delivery.Close()
	}
	if q.err != nil {
		q.Drop()
		return
	}
	broken := q.batch.Commit(ctx)
	said := q.delivery.Verdict()
	var refusal *deliver.Error
	switch errors.As(said.Err, &refusal); {
	case said.Outcome == deliver.Safe:
		q.verdict = Retrieve
	case refusal != nil && (refusal.Status == int(Delete) || refusal.Status == int(Leave)):
		q.verdict = Verdict(refusal.Status)
	case broken != nil:
		q.err = broken
	default:
		q.err = said.Err
	}
}

// Answer returns what the filter has said. A *Refusal means that it has failed for this message. With
// deliver.ErrCannotRun it fails for all others too. Any other error is one of this machine.
func (q *Question) Answer() (Verdict, error) { return q.verdict, named(q.err) }
