package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/internal/content"
	"github.com/popfetch/popfetch/internal/headerfilter"
	"github.com/popfetch/popfetch/internal/refusals"
	"github.com/popfetch/popfetch/seen"
)

// around does the sessions of a run between what the account has done before and after them. A run
// that may not log in does neither.
func (j *job) around(sessions func() error) error {
	a := &j.account.Around
	if a.Before != nil {
		if err := a.Before(j.soft); err != nil {
			return j.fail(PhaseBefore, err)
		}
	}
	ended := sessions()
	if a.After == nil {
		return ended
	}
	ctx, cancel := outlasting(j.hard, afterGrace)
	defer cancel()
	j.mu.Lock()
	result := j.result
	j.mu.Unlock()
	result.Err = ended
	err := a.After(ctx, result)
	switch {
	case err == nil:
		return ended
	case ended == nil:
		return j.fail(PhaseAfter, err)
	}
	j.event(Event{Kind: Warning, Code: CodeAfter, Err: err})
	return ended
}

// afterGrace is how long Around.After may still take at the end of a run that was stopped.
const afterGrace = time.Second

// askedAtOnce is how many headers are asked for before the filter gets them. They are in memory, if
// they are short.
const askedAtOnce = 64

// asksFilter reports whether the filter of headers is asked before the message is retrieved. A filter
// is asked once: what it has said of a message is kept, if it still has the same octets in LIST.
func (p *Policy) asksFilter(it item) bool {
	if p.FilterHeaders == nil || p.All {
		return false
	}
	before := it.before()
	return before == nil || before.Asked.IsZero() || before.Listed != it.Octets
}

// question is a message that the filter of headers is asked about.
type question struct {
	item    item
	asked   *headerfilter.Question
	shown   bool // the server has shown the header
	verdict headerfilter.Verdict
}

// ask asks the filter of headers about the messages that are to be retrieved, and leaves in the plan
// only those that it wants. Its verdicts are recorded part by part. The error left says that it was
// not asked about all of them, because it fails again and again; the others can be retrieved.
func (s *session) ask(p *plan) (left, err error) {
	unasked := make([]int32, 0, askedAtOnce)
	for it := range s.drop.items(p.retrieve) {
		if s.job.account.asksFilter(it) {
			it.set(isUnasked)
			unasked = append(unasked, it.index)
		}
	}
	if len(unasked) == 0 {
		return nil, nil
	}
	if err := s.job.checkClock(); err != nil {
		return nil, err
	}
	s.history.unfinished = true
	o := newOutcomes(s)
	for part := range slices.Chunk(unasked, askedAtOnce) {
		if s.job.soft.Err() != nil {
			break
		}
		if err := s.askPart(o, slices.Collect(s.drop.items(part))); err != nil {
			return nil, err
		}
		if o.failure() != nil {
			break
		}
	}
	o.settle(s)
	left = o.failure()
	if left != nil && !refusals.IsOfPlace(left) {
		return nil, left
	}
	waiting := 0
	p.retrieve = slices.DeleteFunc(p.retrieve, func(i int32) bool {
		it := s.drop.item(i)
		if it.is(isUnasked) && !it.is(isSettled) {
			waiting++
		}
		return it.is(isUnasked) || it.fate() != isNew
	})
	if waiting > 0 && s.job.soft.Err() != nil {
		return nil, s.job.fail(PhaseFilter, fmt.Errorf("stopped with %d messages still to ask about: %w", waiting, context.Cause(s.job.soft)))
	}
	return left, nil
}

// askPart asks about some messages. While the filter runs, the session is kept alive.
func (s *session) askPart(o *outcomes, part []item) error {
	if !s.hasTop() {
		return s.job.fail(PhaseIdentify, fmt.Errorf("filter_headers: %w", ErrNoTop))
	}
	questions, err := s.questions(part)
	var shown []*headerfilter.Question
	for i := range questions {
		if questions[i].shown && err == nil {
			shown = append(shown, questions[i].asked)
		} else {
			questions[i].asked.Drop()
		}
	}
	switch {
	case err != nil:
		return err
	case len(shown) == 0 && s.client.Capabilities() == nil: // it refuses CAPA, and has refused each TOP
		return s.job.fail(PhaseIdentify, fmt.Errorf("filter_headers: %w", ErrNoTop))
	}
	answered := s.job.account.FilterHeaders.Ask(s.job.soft, shown, s.job.guard)
	err = s.keepAliveUntil(answered)
	<-answered // also after an error: what it has said is recorded
	return cmp.Or(s.noteAnswers(o, questions), err)
}

// questions asks the server for the headers of messages, and makes a question of each.
func (s *session) questions(part []item) ([]question, error) {
	questions := make([]question, 0, len(part))
	at := make(map[int32]int, len(part))
	for _, it := range part {
		at[it.index] = len(questions)
		questions = append(questions, question{item: it, asked: s.job.account.FilterHeaders.Begin(s.job.soft, s.job.envelope(it))})
	}
	return questions, askHeaders(s, slices.Values(part), topReader[item]{
		listed: entryOf,
		also:   func(it item) io.Writer { return questions[at[it.index]].asked },
		take: func(it item, h *content.Header) {
			it.set(isShown)
			it.drop.digests[it.index] = h.Digest()
			questions[at[it.index]].shown = true
		},
	})
}

// errNoHeader says why a filter of headers could not be asked about a message.
var errNoHeader = errors.New("filter_headers cannot be asked: the server does not show the header (TOP)")

// noteAnswers records what the filter has said, and then reports it. Where it has failed, the message
// waits for the next run, as one that the target has refused.
func (s *session) noteAnswers(o *outcomes, questions []question) error {
	var changes seen.Changes
	var records []seen.Record
	failed := make([]error, len(questions))
	for i := range questions {
		q := &questions[i]
		record := seen.Record{Key: q.item.Key, Kind: seen.Marked, Listed: q.item.Octets, Digest: q.item.digest(), DeliveredAt: s.job.deliveredAt()}
		verdict, err := q.answer()
		switch {
		case err != nil:
			failed[i] = err
			continue
		case verdict == headerfilter.Retrieve:
			changes.Asides = append(changes.Asides, s.chosen(q.item))
		case verdict == headerfilter.Delete:
			record.Kind = seen.Discarded
			fallthrough
		default:
			records = append(records, record)
		}
		q.verdict = verdict
	}
	changes.Records = slices.Values(records)
	if err := s.job.record(changes); err != nil {
		return err
	}
	for i := range questions {
		switch {
		case failed[i] == nil:
			s.tellAnswer(o, &questions[i])
		case o.failure() == nil:
			s.askAgain(o, questions[i].item, failed[i])
		}
	}
	return nil
}

// answer returns what the filter has said.
func (q *question) answer() (headerfilter.Verdict, error) {
	if !q.shown {
		return headerfilter.Leave, errNoHeader
	}
	return q.asked.Answer()
}

// tellAnswer reports a verdict that is recorded.
func (s *session) tellAnswer(o *outcomes, q *question) {
	o.refusals.Asked()
	q.item.unset(isUnasked)
	kind := Left
	switch q.verdict {
	case headerfilter.Retrieve:
		return
	case headerfilter.Delete:
		kind = Discarded
		q.item.decide(isRecorded)
		s.job.count(func(r *Result) { r.Filtered.Discarded++ })
	default:
		q.item.decide(isOld) // it is not safe if the server removes at QUIT what it has shown
		s.job.count(func(r *Result) { r.Filtered.Left++ })
	}
	q.item.set(isSettled)
	s.job.event(eventOf(kind, q.item.Entry, nil))
}

// chosen returns the note that the filter of headers wants the message. If an earlier run has noted
// that something went wrong with it, that stays.
func (s *session) chosen(it item) seen.Aside {
	now := s.job.now()
	note := seen.Aside{Key: it.Key, Reason: seen.Chosen, Listed: it.Octets, Last: now, Asked: now}
	switch before := it.before(); it.reason() {
	case seen.Refused, seen.Suspect, seen.Breaking, seen.Wanted:
		note.Reason, note.Text = before.Reason, before.Text
	}
	return note
}

// askAgain notes a message that the filter of headers said nothing about, so that the next run asks
// again.
func (s *session) askAgain(o *outcomes, it item, err error) {
	switch {
	case s.job.soft.Err() != nil: // perhaps that has ended the filter
	case errors.Is(err, deliver.ErrCannotRun):
		o.goesLast(it, err)
		o.end(s.job.fail(PhaseFilter, err))
	case !errors.Is(err, errNoHeader) && !errors.As(err, new(*headerfilter.Refusal)):
		o.end(s.job.fail(PhaseFilter, err))
	default:
		o.refuse(it, err)
	}
}

// markMissing marks the listed messages that are to be retrieved again, so that they are identified.
// Without TOP, the unique-id and the octets in LIST have to do, as they do for all seen messages.
func (s *session) markMissing() {
	missing, d := s.job.account.Missing, s.drop
	if missing == nil || !s.hasTop() {
		return
	}
	var due []int
	for it := range d.all() {
		if (it.fate() == isSeen || it.is(isCheck)) && missing.Names(it.UniqueID) {
			it.set(isDue)
			due = append(due, int(it.index))
		}
	}
	d.diff.AddDue(d.listing, due...)
}

// chooseMissing finds out, when the messages are identified, which ones are to be retrieved again. A
// record stays as it is until the further copy is safe.
func (s *session) chooseMissing() error {
	missing, d := s.job.account.Missing, s.drop
	if missing == nil {
		return nil
	}
	wanted := func(it item) bool {
		return it.fate() == isSeen && (it.is(isMoved) || missing.Names(it.UniqueID))
	}
	d.again = make(map[int32][]deliver.Place)
	return d.groups(wanted, func(part []item) error {
		records, err := s.job.records(uniqueIDs(part))
		if err != nil {
			return err
		}
		for _, it := range part {
			of := records[it.UniqueID]
			at := slices.IndexFunc(of, func(r seen.Record) bool { return r.Key == it.Key })
			if it.fate() != isSeen || at < 0 {
				continue
			}
			if whole, ok := missing.Whole(&of[at]); ok {
				d.again[it.index] = whole
				it.decide(isNew)
			}
		}
		return nil
	})
}
