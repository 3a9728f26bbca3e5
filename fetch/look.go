package fetch

import (
	"context"
	"crypto/tls"
	"slices"

	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// Survey is what a look at an account has shown; nothing was retrieved, changed or recorded but the server's LOGIN-DELAY.
type Survey struct {
	Account      string
	Greeting     string
	Capabilities pop3.Capabilities
	TLS          *tls.ConnectionState // nil: clear text
	Listing      []seen.Entry
	Plan         Plan // what a run would do now
	Unusable     int  // listed without a usable number or unique-id
}

// Look logs in, lists and plans as a run does, and quits. It counts among the accounts at work.
func (r *Runner) Look(ctx context.Context, account *Account) (*Survey, error) {
	return r.look(ctx, account, false)
}

// Check is Look also for an account that is left alone because its log-ins were refused. One that succeeds ends that, one
// that does not changes nothing.
func (r *Runner) Check(ctx context.Context, account *Account) (*Survey, error) {
	return r.look(ctx, account, true)
}

func (r *Runner) look(ctx context.Context, account *Account, checking bool) (*Survey, error) {
	leave, err := r.enter(ctx)
	if err != nil {
		return nil, &Error{Account: account.Name, Phase: PhaseOpen, Err: err}
	}
	defer leave()
	s := newSession(ctx, r, account)
	defer s.release()
	ledger, err := r.Store.Look(s.soft, account.stateName(), account.Server, account.User)
	if err != nil {
		return nil, s.fail(PhaseState, err)
	}
	s.ledger, s.known, s.looking, s.checking = ledger, ledger.Account(), true, checking
	st, err := s.standing()
	if err != nil {
		return nil, err
	}
	if err := s.begin(st); err != nil {
		return nil, err
	}
	for { // as run does
		s.passes++
		survey, err := s.survey()
		if !s.goesOn(err) {
			return survey, err
		}
		if err := s.pause(); err != nil {
			return nil, err
		}
	}
}

// survey is one session of a look.
func (s *session) survey() (*Survey, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	if err := s.list(); err != nil {
		return nil, s.leave(err)
	}
	plan, err := s.plan()
	if err != nil {
		return nil, s.leave(err)
	}
	if plan.Delete, err = s.foresee(plan); err != nil {
		return nil, s.leave(err)
	}
	survey := &Survey{
		Account:      s.account.Name,
		Greeting:     s.client.Greeting(),
		Capabilities: s.client.Capabilities(),
		Listing:      s.listing,
		Plan:         plan,
		Unusable:     s.result.Unusable,
	}
	if state, ok := s.client.TLSState(); ok {
		survey.TLS = &state
	}
	if err := s.client.Quit(s.hard); err != nil {
		return nil, s.fail(PhaseQuit, err)
	}
	return survey, nil
}

// foresee tells what the run that plan is for would delete: what may be deleted now, and what it would have delivered by then.
func (s *session) foresee(plan Plan) ([]seen.Entry, error) {
	if !s.account.Delete.Enabled {
		return nil, nil
	}
	candidates, err := s.candidates(s.removable())
	if err != nil {
		return nil, err
	}
	entries := planDeletion(candidates, s.account.Delete, s.runner.now())
	if s.account.Delete.After == 0 {
		for _, e := range plan.Retrieve {
			entries = append(entries, *e)
		}
		entries = append(entries, plan.Recognise...)
	}
	slices.SortFunc(entries, func(a, b seen.Entry) int { return a.Number - b.Number })
	return entries, nil
}
