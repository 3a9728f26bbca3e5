package main

import (
	"context"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/seen"
)

// foretell prints the actions that a run would take.
func (p *program) foretell(ctx context.Context, s *setting, accounts []fetch.Account) error {
	return p.lookAt(ctx, s, (*fetch.Runner).Look, accounts, looker{show: func(survey *fetch.Survey) error {
		for e := range survey.Plan.Retrieve.All() {
			if err := p.foretellOne(survey.Account, "retrieve", e); err != nil {
				return err
			}
		}
		for _, would := range []struct {
			what    string
			entries fetch.Entries
		}{
			{"skip", survey.Plan.Skip}, {"mark", survey.Plan.Mark}, {"recognise", survey.Plan.Recognise}, {"delete", survey.Plan.Delete},
		} {
			for e := range would.entries.All() {
				if err := p.foretellOne(survey.Account, would.what, e); err != nil {
					return err
				}
			}
		}
		return nil
	}})
}

// foretold is one line of --dry-run --json. Its field names are part of the contract.
type foretold struct {
	Account  string `json:"account"`
	Would    string `json:"would"`
	Number   int    `json:"number"`
	UniqueID string `json:"unique_id"`
	Octets   int64  `json:"octets"`
}

func (p *program) foretellOne(account, what string, e seen.Entry) error {
	if p.view.json {
		return p.term.printJSON(foretold{account, what, e.Number, writeID(e.UniqueID), e.Octets})
	}
	return p.term.printf("%s: would %s message %d (unique-id %s, %d octets)\n", account, what, e.Number, writeID(e.UniqueID), e.Octets)
}
