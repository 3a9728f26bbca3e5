package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/seen"
)

// foretell prints the actions that a run would take, and their total.
func (p *program) foretell(ctx context.Context, s *setting, accounts []fetch.Account) error {
	return p.lookAt(ctx, s, p.lookAtHeaders(fetch.OfPlanned), accounts, looker{show: p.foretellAll})
}

func (p *program) foretellAll(survey *fetch.Survey) error {
	var totals []string
	for _, would := range []struct {
		what    string
		entries fetch.Entries
	}{
		{"retrieve", survey.Plan.Retrieve},
		{"skip", survey.Plan.Skip}, {"skip", survey.Plan.LeftOut}, {"mark", survey.Plan.Mark}, {"recognise", survey.Plan.Recognise}, {"delete", survey.Plan.Delete},
	} {
		var octets int64
		for e := range would.entries.All() {
			octets += e.Octets
			if err := p.foretellOne(survey, would.what, e, showHeader(survey.Headers[e.Number])); err != nil {
				return err
			}
		}
		if n := would.entries.Len(); n > 0 {
			totals = append(totals, fmt.Sprintf("%s %d (%d octets)", would.what, n, octets))
		}
	}
	if n := survey.Plan.Wait.Len(); n > 0 {
		totals = append(totals, fmt.Sprintf("leave %d to later passes", n))
	}
	switch {
	case p.view.json:
		return nil
	case len(totals) > 0:
		p.tellNoHeaders(survey)
		return p.term.printf("%s: in all it would %s\n", survey.Account, strings.Join(totals, ", "))
	case p.term.columns > 0:
		return p.term.printf("%s: nothing to do\n", survey.Account)
	}
	return nil
}

// foretold is one line of --dry-run --json. Its field names are part of the contract.
type foretold struct {
	Account  string `json:"account"`
	Would    string `json:"would"`
	Number   int    `json:"number"`
	UniqueID string `json:"unique_id"`
	Octets   int64  `json:"octets"`
	Date     string `json:"date,omitempty"`
	From     string `json:"from,omitempty"`
	Subject  string `json:"subject,omitempty"`
	Rule     string `json:"rule,omitempty"` // of delete
}

func (p *program) foretellOne(survey *fetch.Survey, what string, e seen.Entry, h shownHeader) error {
	rule, by := "", ""
	if what == "delete" {
		rule = survey.Plan.Rules[e.Number]
		by = " (" + rule + ")"
	}
	if p.view.json {
		return p.term.printJSON(foretold{survey.Account, what, e.Number, writeID(e.UniqueID), e.Octets, h.date, h.from, h.subject, rule})
	}
	return p.term.printf("%s: would %s message %d (unique-id %s, %d octets)%s%s\n", survey.Account, what, e.Number, writeID(e.UniqueID), e.Octets, by, h.summary())
}
