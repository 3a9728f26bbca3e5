package fetch

import (
	"errors"

	"github.com/popfetch/popfetch/deliver"
)

// hintOfStrangers tells, before the first run of an account retrieves everything, of a target that holds mail of unknown
// origin: perhaps another program has fetched this very maildrop into it, or the state is gone and the server has changed.
// Mail that popfetch has delivered for other accounts is nothing strange.
func (s *session) hintOfStrangers(plan Plan) error {
	a := s.account
	if s.counted || s.known.Records > 0 || s.known.Finished || s.known.Twin != "" || s.found || a.Initial.Limited || a.All || a.State != "" || len(plan.Retrieve) == 0 {
		return nil
	}
	own, others, err := a.Target.Holds(s.soft)
	if errors.Is(err, deliver.ErrMissing) {
		return nil
	}
	if err != nil {
		return s.fail(PhaseTarget, err)
	}
	if own > 0 && others == 0 {
		accounts, err := s.runner.Store.Accounts(s.soft)
		if err != nil {
			return s.fail(PhaseState, err)
		}
		for _, other := range accounts {
			if other.Records > 0 {
				return nil
			}
		}
	}
	if own+others > 0 {
		s.warn(CodeUnrecognisedMail, `nothing is known of this account, and its target holds mail already that is not recognised (messages: %d): all %d of the maildrop are retrieved now, perhaps once more; to fetch only later ones, stop and run: popfetch seen mark --all %s`,
			own+others, len(plan.Retrieve), a.Name)
	}
	return nil
}
