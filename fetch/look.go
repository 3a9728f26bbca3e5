package fetch

import (
	"context"
	"crypto/tls"
	"io"
	"iter"
	"maps"
	"math"
	"slices"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch/policy"
	"github.com/popfetch/popfetch/internal/content"
	"github.com/popfetch/popfetch/internal/program"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// Survey is the result of a look at an account. A look delivers, deletes and records nothing. It
// may retrieve messages to identify them, and it notes the result of the log-in.
type Survey struct {
	Account      string
	Greeting     string
	Capabilities pop3.Capabilities
	TLS          *tls.ConnectionState // nil: clear text
	Listing      []seen.Entry
	Plan         Plan   // what a run would do now
	Held         []Held // what a run would retrieve although the target holds it; of LookFor alone
	// Found are the records that a run would make of Plan.Recognise; of LookFor alone. The target has
	// synced their messages.
	Found    []seen.Record
	Needed   int64 // octets that a run needs at the target for Plan.Retrieve, by what LIST announces
	Unusable int   // listed without a usable number or unique-id
	Unlisted int   // unique-ids that Policy.Select names, and that are not listed
	Failed   int   // listed, but the server shows too little of them to make their ids
	// Unready is what keeps the target from taking messages. Only Check finds it out.
	Unready error
	// Headers has those that were asked for, by message-number. It lacks messages whose TOP was
	// refused, and all if the server has no TOP.
	Headers map[int]Header
}

// Headers says of which messages a look asks for the headers.
type Headers int

// The zero value asks for none.
const (
	NoHeaders Headers = iota
	OfPlanned         // of those that a run would retrieve, recognise, skip, mark or delete
	OfListed
)

// Plan is what a run would do with the listed messages.
type Plan struct {
	Retrieve    Entries      // in the order in which RETR would be sent
	Asks        Entries      // of those, the ones that the filter of headers would be asked about before
	Recognise   Entries      // held by the target already: recorded, not retrieved
	Skip        Entries      // larger than the account's limit
	Drop        Entries      // of those to be retrieved, the ones that a route drops; of LookAtHeaders alone
	Move        Entries      // known under another unique-id: their records get the one that is listed now
	Mark        Entries      // left out of the first run: recorded as marked, not retrieved
	LeftOut     Entries      // sent before the time that the account sets
	Wait        Entries      // left to a later pass
	Quarantined []seen.Match // left alone
	Delete      Entries
	Rules       map[int]string // of Delete, by message-number; see policy.Rule
	Seen        int            // listed and recorded, so not retrieved
}

// Entries are messages of a listing. They share its memory, because they may be millions.
type Entries struct {
	listing []seen.Entry
	indexes []int32
}

// Len returns how many there are.
func (e Entries) Len() int { return len(e.indexes) }

// All yields them in their order.
func (e Entries) All() iter.Seq[seen.Entry] {
	return func(yield func(seen.Entry) bool) {
		for _, i := range e.indexes {
			if !yield(e.listing[i]) {
				return
			}
		}
	}
}

// Look logs in, lists and plans as a run does, and quits. It counts as one of the accounts at work.
func (r *Runner) Look(ctx context.Context, account *Account) (*Survey, error) {
	return r.look(ctx, account, looking)
}

// LookAtHeaders is Look, and also asks for headers by TOP. It finds out which messages a route would
// drop.
func (r *Runner) LookAtHeaders(ctx context.Context, account *Account, of Headers) (*Survey, error) {
	return r.lookAlso(ctx, account, looking, func(s *session, survey *Survey) (err error) {
		if survey.Headers, err = s.showHeaders(&survey.Plan, of); err == nil {
			survey.Plan.Drop, err = s.dropped(survey.Plan.Retrieve)
		}
		return err
	})
}

// Check is Look, but it also logs in to an account that is left alone because its log-ins were
// refused. If the log-in succeeds, the account is no longer left alone.
func (r *Runner) Check(ctx context.Context, account *Account) (*Survey, error) {
	return r.look(ctx, account, checking)
}

func (r *Runner) look(ctx context.Context, account *Account, purpose purpose) (*Survey, error) {
	return r.lookAlso(ctx, account, purpose, func(*session, *Survey) error { return nil })
}

// LookFor is Look, but it also looks for the messages that have no record among all that finder
// holds: by their tokens, and by their headers if another program has delivered them. It needs TOP.
func (r *Runner) LookFor(ctx context.Context, account *Account, finder deliver.Finder) (*Survey, error) {
	return r.lookAlso(ctx, account, searching, func(s *session, survey *Survey) (err error) {
		survey.Found = s.found
		if !s.hasTop() {
			return s.job.fail(PhaseIdentify, ErrNoTop)
		}
		unknown := func(yield func(item) bool) {
			for it := range s.drop.all() {
				if it.fate() != isSeen && it.fate() != isRecorded && !yield(it) {
					return
				}
			}
		}
		survey.Held, err = s.findHeld(unknown, finder)
		return err
	})
}

// lookAlso goes through the phases of a run up to its plan, with a ledger that ignores all writes. The
// function also adds to the survey before QUIT.
func (r *Runner) lookAlso(ctx context.Context, account *Account, purpose purpose, also func(*session, *Survey) error) (*Survey, error) {
	leave, err := r.enter(ctx)
	if err != nil {
		return nil, &Error{Account: account.Name, Phase: PhaseOpen, Err: err}
	}
	defer leave()
	j := r.newJob(ctx, account)
	defer j.end()
	if err := j.lookUp(r.Store); err != nil {
		return nil, err
	}
	if j.finder != nil && purpose != searching {
		j.finder = readOnlyFinder{j.finder}
	}
	observe := j.observe
	j.observe = func(e Event) {
		if e.Kind != Recognised && e.Code != CodeSizeChanged { // nothing is recorded
			observe(e)
		}
	}
	if err := j.lacks(); err != nil {
		return nil, err
	}
	m, err := recall(j, purpose)
	if err != nil {
		return nil, err
	}
	if err := m.admit(); err != nil {
		return nil, err
	}
	for h := newHistory(); ; { // as run does, but nothing is retrieved that could be put off
		h.sessions++
		h.breaks.begin()
		survey, err := surveyOnce(j, m, h, also)
		if !h.adapt(err, m) && !h.goOn(err, new(maildrop), m) {
			j.tellUnlisted(h)
			return survey, err
		}
		if err := m.pause(); err != nil {
			return nil, err
		}
	}
}

// surveyOnce is one session of a look.
func surveyOnce(j *job, m *memory, h *history, also func(*session, *Survey) error) (*Survey, error) {
	s, err := open(j, m, h)
	if err != nil {
		return nil, err
	}
	defer s.close()
	p, err := s.study()
	if err != nil {
		return nil, s.leave(err)
	}
	survey := &Survey{
		Account:      j.account.Name,
		Greeting:     s.client.Greeting(),
		Capabilities: s.client.Capabilities(),
		Listing:      s.drop.listing,
		Plan:         s.exported(p),
		Unusable:     j.result.Unusable,
		Unlisted:     len(h.intake.unlisted),
		Failed:       j.result.Failed,
	}
	for e := range survey.Plan.Retrieve.All() {
		survey.Needed += min(needed(&e), math.MaxInt64-survey.Needed)
	}
	if survey.Plan.Delete, survey.Plan.Rules, err = s.foresee(p); err != nil {
		return nil, s.leave(err)
	}
	if err := also(s, survey); err != nil {
		return nil, s.leave(err)
	}
	if state, ok := s.client.TLSState(); ok {
		survey.TLS = &state
	}
	if prober, ok := j.account.Target.(deliver.Prober); ok && m.purpose == checking {
		if err := prober.Probe(j.soft, !j.ledger.Account().Delivered); err != nil {
			survey.Unready = j.fail(PhaseTarget, err)
		}
	}
	if _, err := s.sayQuit(false); err != nil {
		return nil, err
	}
	return survey, nil
}

// showHeaders asks for the headers that a person wants to see.
func (s *session) showHeaders(p *Plan, of Headers) (map[int]Header, error) {
	items := s.drop.all()
	switch of {
	case NoHeaders:
		return nil, nil
	case OfPlanned:
		planned := slices.Concat(p.Retrieve.indexes, p.Recognise.indexes, p.Skip.indexes, p.Mark.indexes, p.Delete.indexes)
		slices.Sort(planned)
		items = s.drop.items(slices.Compact(planned))
	}
	shown := make(map[int]Header)
	err := s.headers(items, func(it item, h *content.Header) {
		shown[it.Number] = showHeader(h)
	})
	return shown, err
}

// mostHead is how many octets of a header a look keeps.
const mostHead = 1 << 20

// dropped returns the messages that the target would drop, by their headers.
func (s *session) dropped(retrieve Entries) (Entries, error) {
	target := s.job.account.Target
	if !deliver.MayDrop(target) {
		return Entries{}, nil
	}
	head := program.Output{Limit: mostHead}
	var dropped []int32
	err := askHeaders(s, s.drop.items(retrieve.indexes), topReader[item]{
		listed: entryOf,
		also: func(item) io.Writer {
			head.Kept = head.Kept[:0]
			return &head
		},
		take: func(it item, _ *content.Header) {
			it.set(isShown)
			if deliver.Drops(target, s.job.envelope(it), head.Kept) {
				dropped = append(dropped, it.index)
			}
		},
	})
	return s.entries(dropped), err
}

// exported makes a Plan for the caller of the look.
func (s *session) exported(p *plan) Plan {
	// Mostly no copy, which a listing of millions would notice.
	retrieve := append(slices.Clip(p.retrieve), slices.Concat(p.later, p.next)...)
	all := Plan{
		Retrieve:  s.entries(retrieve),
		Recognise: s.entries(p.recognised),
		Skip:      s.entries(p.skip),
		Mark:      s.entries(p.mark),
		LeftOut:   s.entries(p.leftOut),
		Wait:      s.entries(p.wait),
		Seen:      p.seen,
	}
	var asks []int32
	for it := range s.drop.items(all.Retrieve.indexes) {
		if s.job.account.asksFilter(it) {
			asks = append(asks, it.index)
		}
	}
	all.Asks = s.entries(asks)
	var moved []int32
	for it := range s.drop.all() {
		if it.is(isMoved) {
			moved = append(moved, it.index)
		}
	}
	all.Move = s.entries(moved)
	for it := range s.drop.items(p.quarantined) {
		all.Quarantined = append(all.Quarantined, seen.Match{Index: int(it.index), Aside: *it.before()})
	}
	return all
}

func (s *session) entries(indexes []int32) Entries { return Entries{s.drop.listing, indexes} }

// foresee returns the messages that a run with this plan would delete, and their rules: those that may
// be deleted now, and those that it would deliver before.
func (s *session) foresee(p *plan) (Entries, map[int]string, error) {
	rules := &s.job.account.Delete
	if rules.Keep {
		return Entries{}, nil, nil
	}
	chosen := make(map[int32]policy.Rule)
	err := s.drop.groups(s.mayRemove, func(part []item) error {
		doomed, err := s.choose(part)
		for _, d := range doomed {
			chosen[d.item.index] = d.rule
		}
		return err
	})
	if err != nil {
		return Entries{}, nil, err
	}
	for _, i := range slices.Concat(p.retrieve, p.later, p.next, p.recognised) {
		it := s.drop.item(i)
		if !s.job.account.Select.Names(it.UniqueID) {
			continue
		}
		if rule := rules.AtOnce(it.Octets, it.stays()); rule != policy.None {
			chosen[i] = rule
		}
	}
	ruleOf := make(map[int]string, len(chosen))
	for i, rule := range chosen {
		ruleOf[s.drop.listing[i].Number] = string(rule)
	}
	return s.entries(slices.Sorted(maps.Keys(chosen))), ruleOf, nil
}
