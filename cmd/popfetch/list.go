package main

import (
	"context"

	"github.com/popfetch/popfetch/fetch"
)

// list prints the messages on the server.
func (p *program) list(ctx context.Context) error {
	return p.look(ctx, (*fetch.Runner).Look, looker{show: p.showListing})
}

// listed is one line of list --json. Its field names are part of the contract.
type listed struct {
	Account  string `json:"account"`
	Number   int    `json:"number"`
	UniqueID string `json:"unique_id"`
	Octets   int64  `json:"octets"`
	State    string `json:"state"` // seen, new, too-large, left out or quarantined
	Error    string `json:"error,omitempty"`
}

func (p *program) showListing(survey *fetch.Survey) error {
	states := make(map[int]string)
	for e := range survey.Plan.Retrieve.All() {
		states[e.Number] = "new"
	}
	for e := range survey.Plan.Skip.All() {
		states[e.Number] = "too-large"
	}
	for e := range survey.Plan.Mark.All() {
		states[e.Number] = "left out" // by initial
	}
	causes := make(map[int]string)
	for _, m := range survey.Plan.Quarantined {
		number := survey.Listing[m.Index].Number
		states[number], causes[number] = "quarantined", printable(m.Text)
	}
	for _, e := range survey.Listing {
		state, cause := states[e.Number], causes[e.Number]
		if state == "" {
			state = "seen"
		}
		var err error
		if p.view.json {
			err = p.term.printJSON(listed{survey.Account, e.Number, writeID(e.UniqueID), e.Octets, state, cause})
		} else {
			if cause != "" {
				state += "\t" + cause
			}
			err = p.term.printf("%s\t%d\t%s\t%d\t%s\n", survey.Account, e.Number, writeID(e.UniqueID), e.Octets, state)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
