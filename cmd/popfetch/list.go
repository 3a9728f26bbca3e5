package main

import (
	"context"
	"strconv"

	"github.com/popfetch/popfetch/fetch"
)

// list prints the messages on the server.
func (p *program) list(ctx context.Context) error {
	head := []string{"ACCOUNT", "NUMBER", "UNIQUE-ID", "OCTETS", "STATE"}
	if p.headers {
		head = append(head, "DATE", "FROM", "SUBJECT")
	}
	rows := p.term.table(append(head, "")...) // the last column is for the cause of a quarantine
	err := p.look(ctx, p.lookAtHeaders(fetch.OfListed), looker{show: func(survey *fetch.Survey) error {
		p.tellNoHeaders(survey)
		return p.showListing(rows, survey)
	}})
	if printed := rows.flush(); err == nil {
		err = printed
	}
	return err
}

// listed is one line of list --json. Its field names are part of the contract.
type listed struct {
	Account  string `json:"account"`
	Number   int    `json:"number"`
	UniqueID string `json:"unique_id"`
	Octets   int64  `json:"octets"`
	State    string `json:"state"` // seen, new, too-large, old, left out or quarantined
	Error    string `json:"error,omitempty"`
	Date     string `json:"date,omitempty"`
	From     string `json:"from,omitempty"`
	Subject  string `json:"subject,omitempty"`
}

func (p *program) showListing(rows *table, survey *fetch.Survey) error {
	states := make(map[int]string)
	for e := range survey.Plan.Retrieve.All() {
		states[e.Number] = "new"
	}
	for e := range survey.Plan.Skip.All() {
		states[e.Number] = "too-large"
	}
	for e := range survey.Plan.LeftOut.All() {
		states[e.Number] = "old" // by since
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
		state, cause, header := states[e.Number], causes[e.Number], showHeader(survey.Headers[e.Number])
		if state == "" {
			state = "seen"
		}
		var err error
		if p.view.json {
			err = p.term.printJSON(listed{survey.Account, e.Number, writeID(e.UniqueID), e.Octets, state, cause, header.date, header.from, header.subject})
		} else {
			cells := []string{survey.Account, strconv.Itoa(e.Number), writeID(e.UniqueID), strconv.FormatInt(e.Octets, 10), state}
			if p.headers {
				cells = append(cells, header.date, header.from, header.subject)
			}
			if cause != "" {
				cells = append(cells, cause)
			}
			err = rows.row(cells...)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
