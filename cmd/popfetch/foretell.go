package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/popfetch/popfetch/fetch"
)

// foretell prints the actions that a run would take, and their total. With --fail-empty, it is an
// error if the run would retrieve nothing.
func (p *program) foretell(ctx context.Context, s *setting, accounts []fetch.Account) error {
	var fresh atomic.Int64
	err := p.lookAt(ctx, s, p.lookAtHeaders(fetch.OfPlanned), accounts, looker{show: func(survey *fetch.Survey) error {
		fresh.Add(int64(survey.Plan.Retrieve.Len()))
		return p.foretellAll(survey)
	}})
	if err == nil && p.failEmpty && fresh.Load() == 0 {
		return errEmpty
	}
	return err
}

func (p *program) foretellAll(survey *fetch.Survey) error {
	asks, drops := numbersOf(survey.Plan.Asks), numbersOf(survey.Plan.Drop)
	counts := make(map[string]*foretoldTotal)
	var totals []string
	for _, would := range []struct {
		what    string
		entries fetch.Entries
	}{
		{"retrieve", survey.Plan.Retrieve}, {"move", survey.Plan.Move},
		{"skip", survey.Plan.Skip}, {"skip", survey.Plan.LeftOut}, {"mark", survey.Plan.Mark}, {"recognise", survey.Plan.Recognise}, {"delete", survey.Plan.Delete},
	} {
		for e := range would.entries.All() {
			h := showHeader(survey.Headers[e.Number])
			line := foretold{Account: survey.Account, Would: would.what, Number: e.Number, UniqueID: writeID(e.UniqueID), Octets: e.Octets,
				Date: h.date, From: h.from, Subject: h.subject}
			switch would.what {
			case "retrieve":
				line.Asks = asks[e.Number]
				if drops[e.Number] {
					line.Would = "drop"
				}
			case "delete":
				line.Rule = survey.Plan.Rules[e.Number]
			}
			total := counts[line.Would]
			if total == nil {
				total = new(foretoldTotal)
				counts[line.Would] = total
			}
			total.n++
			total.octets += e.Octets
			if err := p.foretellOne(&line, h); err != nil {
				return err
			}
		}
	}
	for _, what := range []string{"retrieve", "drop", "move", "skip", "mark", "recognise", "delete"} {
		if total := counts[what]; total != nil {
			totals = append(totals, fmt.Sprintf("%s %d (%d octets)", what, total.n, total.octets))
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

type foretoldTotal struct {
	n      int
	octets int64
}

// numbersOf returns the message-numbers of entries.
func numbersOf(entries fetch.Entries) map[int]bool {
	numbers := make(map[int]bool, entries.Len())
	for e := range entries.All() {
		numbers[e.Number] = true
	}
	return numbers
}

// foretold is one line of --dry-run --json. Its field names are part of the contract.
type foretold struct {
	Account  string `json:"account"`
	Would    string `json:"would"`
	Number   int    `json:"number"`
	UniqueID string `json:"unique_id"`
	Octets   int64  `json:"octets"`
	// filter_headers is asked first, and may say otherwise
	Asks    bool   `json:"asks,omitempty"`
	Date    string `json:"date,omitempty"`
	From    string `json:"from,omitempty"`
	Subject string `json:"subject,omitempty"`
	Rule    string `json:"rule,omitempty"` // of delete
}

func (p *program) foretellOne(line *foretold, h shownHeader) error {
	if p.view.json {
		return p.term.printJSON(*line)
	}
	why := ""
	switch {
	case line.Asks:
		why = " unless filter_headers says otherwise"
	case line.Rule != "":
		why = " (" + line.Rule + ")"
	}
	return p.term.printf("%s: would %s message %d (unique-id %s, %d octets)%s%s\n",
		line.Account, line.Would, line.Number, line.UniqueID, line.Octets, why, h.summary())
}
