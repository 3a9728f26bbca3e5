package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch/custody"
	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/seen"
)

// verifiedMessage is one line of verify --json, about a message that is not as it was delivered. Its
// field names are part of the contract.
type verifiedMessage struct {
	Account  string `json:"account"`
	UniqueID string `json:"unique_id"`
	Copy     int    `json:"copy,omitempty"`
	State    string `json:"state"`
	Target   string `json:"target,omitempty"`
	Place    string `json:"place,omitempty"`
	Octets   int64  `json:"octets"`
	SHA256   string `json:"sha256,omitempty"`
}

// The states of messages in the output of verify.
const (
	stateMissing     = "missing"
	stateAltered     = "altered"
	stateRepaired    = "repaired"
	stateNotRepaired = "not-repaired"
	stateWouldRepair = "would-repair"
)

// verifiedAccount is the line of verify --json about an account, behind those about its messages. Its
// field names are part of the contract.
type verifiedAccount struct {
	Account      string   `json:"account"`
	Whole        int      `json:"whole"`
	Missing      int      `json:"missing"`
	Altered      int      `json:"altered"`
	Unverifiable int      `json:"unverifiable"`
	Targets      []string `json:"unverifiable_targets,omitempty"`
	Repaired     *int     `json:"repaired,omitempty"`
	Error        string   `json:"error,omitempty"`
}

// verify finds out whether the delivered messages still lie where they were delivered, and as they
// were. It goes by the state alone. With --repair, it then fetches again what is missing.
func (p *program) verify(ctx context.Context) error {
	if p.dryRun && !p.repair {
		return usagef("--dry-run works only with fetching and verify --repair; verify itself changes nothing")
	}
	s, err := p.load(ctx)
	if err != nil {
		return err
	}
	how := toRead
	if p.repair && !p.dryRun {
		how = toWrite
	}
	store, err := p.openStore(ctx, s.Config, how)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // each commit was durable by itself
	var mend *repair
	if p.repair {
		if mend, err = p.newRepair(ctx, s, store); err != nil {
			return err
		}
	}
	var statuses []int
	for i := range s.accounts {
		v, err := p.newVerification(ctx, s, &s.accounts[i], store)
		if err != nil {
			return err
		}
		found, err := v.run(ctx, mend, i)
		if err != nil {
			return err
		}
		statuses = append(statuses, found...)
	}
	if len(statuses) > 0 {
		return &runError{statuses}
	}
	return nil
}

// verification verifies the messages of one account.
type verification struct {
	p     *program
	store seen.Store
	name  string // of the account
	state string // the name of its records
	parts map[string]deliver.Target

	lists        map[string]*deliver.Checklist // by the target's name
	unverifiable map[string]bool               // the names of targets that cannot tell
	missing      *custody.Missing
	rows         *table
	sum          verifiedAccount
}

func (p *program) newVerification(ctx context.Context, s *setting, a *config.Account, store seen.Store) (*verification, error) {
	target, err := p.target(ctx, s, a, make(authorities))
	if err != nil {
		return nil, err
	}
	v := &verification{
		p: p, store: store, name: a.Name, state: a.Name, parts: deliver.Parts(target),
		lists: make(map[string]*deliver.Checklist), unverifiable: make(map[string]bool),
		missing: custody.NewMissing(), rows: p.term.table("ACCOUNT", "STATE", "UNIQUE-ID", "TARGET", "PLACE"),
		sum: verifiedAccount{Account: a.Name},
	}
	if s.oneShot {
		v.state = stateName(a)
	}
	return v, nil
}

// run verifies the account and shows what it has found. It returns the statuses of what is wrong. An
// error means that nothing can be shown.
func (v *verification) run(ctx context.Context, mend *repair, index int) (statuses []int, err error) {
	failed := v.inspect(ctx)
	if failed == nil {
		failed, err = v.show(ctx)
	}
	if err != nil {
		return nil, err
	}
	if failed != nil {
		v.p.term.errorf("%s: %v", v.name, failed)
		v.sum.Error = printable(failed.Error())
		statuses = append(statuses, verifyStatus(failed))
	}
	left := v.missing.Len()
	if mend != nil && left > 0 {
		var found []int
		if found, left, err = mend.run(ctx, v, index); err != nil {
			return nil, err
		}
		statuses = append(statuses, found...)
	}
	if left > 0 {
		statuses = append(statuses, exitAltered)
	}
	return statuses, v.sumUp()
}

// verifyStatus returns the status of a target or a state that cannot be read. A missing Maildir is one
// of these, since nothing is to be made here.
func verifyStatus(err error) int {
	if status := faultStatus(err); status == exitTempFail {
		return status
	}
	return exitIO
}

// ledger returns the records of the account.
func (v *verification) ledger(ctx context.Context) (seen.Ledger, error) {
	return v.store.Look(ctx, v.state, "", "")
}

// inspect lists all places, and lets each target look for its own.
func (v *verification) inspect(ctx context.Context) error {
	ledger, err := v.ledger(ctx)
	if err != nil {
		return err
	}
	for r, err := range ledger.All(ctx) {
		if err != nil {
			return err
		}
		if r.Kind != seen.Delivered {
			continue
		}
		for i := range r.Places {
			if !v.verifiable(&r.Places[i]) {
				continue
			}
			list := v.lists[r.Places[i].Target]
			if list == nil {
				list = deliver.NewChecklist(ledger.Account().Records)
				v.lists[r.Places[i].Target] = list
			}
			list.Add(placeIn(&r.Places[i]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v.lists)) {
		err := v.parts[name].(deliver.Inspector).Inspect(ctx, v.lists[name]) //nolint:forcetypeassert // see verifiable
		if err != nil && name != "" {
			err = fmt.Errorf("target %s: %w", name, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// verifiable reports whether a place can be looked at.
func (v *verification) verifiable(p *seen.Place) bool {
	_, ok := v.parts[p.Target].(deliver.Inspector)
	return ok && p.Name != "" && p.SHA256 != [32]byte{}
}

func placeIn(p *seen.Place) deliver.Place {
	return deliver.Place{Target: p.Target, Name: p.Name, Sum: deliver.Sum(p.Sum)}
}

// show shows the messages that are not whole, and counts all. The error failed means that the state
// cannot be read.
func (v *verification) show(ctx context.Context) (failed, err error) {
	ledger, failed := v.ledger(ctx)
	if failed != nil {
		return failed, nil
	}
	for r, failed := range ledger.All(ctx) {
		if failed != nil {
			return failed, v.rows.flush()
		}
		if r.Kind != seen.Delivered {
			continue
		}
		if err := v.judge(&r); err != nil {
			return nil, err
		}
	}
	return nil, v.rows.flush()
}

// judge counts one message, and shows each place where it is not whole.
func (v *verification) judge(r *seen.Record) error {
	whole := make([]bool, len(r.Places))
	worst, looked := deliver.Whole, false
	for i := range r.Places {
		p := &r.Places[i]
		if whole[i] = !v.verifiable(p); whole[i] {
			v.unverifiable[p.Target] = true
			continue
		}
		condition, known := v.lists[p.Target].Condition(placeIn(p))
		if !known { // the message was delivered while the targets were looked at
			return nil
		}
		looked, worst, whole[i] = true, min(worst, condition), condition == deliver.Whole
		if whole[i] {
			continue
		}
		state := stateMissing
		if condition == deliver.Altered {
			state = stateAltered
		}
		if err := v.showMessage(state, r, p); err != nil {
			return err
		}
	}
	switch {
	case !looked:
		v.sum.Unverifiable++
		return nil
	case worst == deliver.Whole:
		v.sum.Whole++
		return nil
	case worst == deliver.Altered:
		v.sum.Altered++
	default:
		v.sum.Missing++
	}
	v.missing.Add(r, whole)
	return nil
}

// showMessage shows a message in a state; p is the place that has caused it, or nil.
func (v *verification) showMessage(state string, r *seen.Record, p *seen.Place) error {
	line := verifiedMessage{Account: v.name, UniqueID: writeID(r.UniqueID), Copy: r.Copy, State: state, Octets: r.Came.Octets}
	if p != nil {
		line.Target, line.Place, line.Octets, line.SHA256 = p.Target, p.Name, p.Octets, fmt.Sprintf("%x", p.SHA256)
	}
	if v.p.view.json {
		return v.p.term.printJSON(line)
	}
	return v.rows.row(printable(line.Account), line.State, line.UniqueID, printable(line.Target), printable(line.Place))
}

// sumUp shows the sums of the account.
func (v *verification) sumUp() error {
	if err := v.rows.flush(); err != nil {
		return err
	}
	v.sum.Targets = append(v.sum.Targets, slices.Sorted(maps.Keys(v.unverifiable))...)
	if v.p.view.json {
		return v.p.term.printJSON(v.sum)
	}
	if v.p.view.quiet || v.sum.Error != "" {
		return nil
	}
	return v.p.term.printf("%s: %s\n", printable(v.name), v.sum.text())
}

// text returns the sums for a person.
func (a *verifiedAccount) text() string {
	parts := []string{fmt.Sprintf("%d whole", a.Whole)}
	for _, count := range []struct {
		n    int
		what string
	}{{a.Missing, stateMissing}, {a.Altered, stateAltered}} {
		if count.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count.n, count.what))
		}
	}
	if a.Repaired != nil {
		parts = append(parts, fmt.Sprintf("%d repaired", *a.Repaired))
	}
	if a.Unverifiable > 0 {
		parts = append(parts, fmt.Sprintf("%d not verifiable", a.Unverifiable))
	}
	text := strings.Join(parts, ", ")
	if len(a.Targets) == 0 {
		return text
	}
	named := make([]string, len(a.Targets))
	for i, name := range a.Targets {
		if named[i] = printable(name); name == "" {
			named[i] = "the account's own target"
		}
	}
	return text + "; nothing can be verified at " + strings.Join(named, ", ")
}
