package main

import (
	"crypto/tls"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/pop3"
)

// check logs in and reports; it retrieves and changes nothing.
func (p *program) check(c *cli.Context) error {
	return p.look(c, (*fetch.Runner).Check, p.showCheck)
}

// list prints what is on the server.
func (p *program) list(c *cli.Context) error {
	return p.look(c, (*fetch.Runner).Look, p.showListing)
}

func (p *program) look(c *cli.Context, look lookFunc, show func(*cli.Context, *fetch.Survey) error) error {
	s, err := p.load(c)
	if err != nil {
		return err
	}
	accounts, err := p.fetchAccounts(s)
	if err != nil {
		return err
	}
	for i := range accounts {
		accounts[i].All = false // what is seen is shown as seen
	}
	store, err := s.openStoreToLook(c.Context)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // nothing was written
	return p.lookAt(c, p.runner(s, store, nil), look, accounts, func(survey *fetch.Survey) error { return show(c, survey) })
}

// checked is one line of check --json. Its field names are part of the contract.
type checked struct {
	Account      string              `json:"account"`
	Greeting     string              `json:"greeting"`
	TLS          string              `json:"tls"`
	Capabilities map[string][]string `json:"capabilities"`
	Listed       int                 `json:"listed"`
	New          int                 `json:"new"`
	Octets       int64               `json:"octets"`
}

func (p *program) showCheck(c *cli.Context, survey *fetch.Survey) error {
	var octets int64
	for _, e := range survey.Listing {
		octets += e.Octets
	}
	protection := "none"
	if survey.TLS != nil {
		protection = tls.VersionName(survey.TLS.Version) + " " + tls.CipherSuiteName(survey.TLS.CipherSuite)
	}
	fresh := len(survey.Plan.Retrieve) + len(survey.Plan.Skip)
	if c.Bool("json") {
		return p.term.printJSON(checked{survey.Account, survey.Greeting, protection, escaped(survey.Capabilities), len(survey.Listing), fresh, octets})
	}
	return p.term.printf("%s: logged in\n  greeting      %s\n  tls           %s\n  capabilities  %s\n  messages      %d (%d octets), %d new\n",
		survey.Account, survey.Greeting, protection, tellCapabilities(survey.Capabilities), len(survey.Listing), octets, fresh)
}

// escaped are capabilities with each word fit for people and logs.
func escaped(capabilities pop3.Capabilities) map[string][]string {
	shown := make(map[string][]string, len(capabilities))
	for name, params := range capabilities {
		words := make([]string, len(params))
		for i, param := range params {
			words[i] = pop3.Escape(param)
		}
		shown[pop3.Escape(name)] = words
	}
	return shown
}

// toldCapabilities is how many capabilities a person is told; no honest server has as many.
const toldCapabilities = 64

// tellCapabilities shows each capability with its parameters, in one line.
func tellCapabilities(capabilities pop3.Capabilities) string {
	var told []string
	for _, name := range slices.Sorted(maps.Keys(capabilities)) {
		told = append(told, pop3.Escape(strings.Join(append([]string{name}, capabilities[name]...), " ")))
	}
	switch more := len(told) - toldCapabilities; {
	case len(told) == 0:
		return "none announced"
	case more > 0:
		told = append(told[:toldCapabilities], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(told, ", ")
}

// listed is one line of list --json. Its field names are part of the contract.
type listed struct {
	Account  string `json:"account"`
	Number   int    `json:"number"`
	UniqueID string `json:"unique_id"`
	Octets   int64  `json:"octets"`
	State    string `json:"state"` // seen, new, too-large or quarantined
	Error    string `json:"error,omitempty"`
}

func (p *program) showListing(c *cli.Context, survey *fetch.Survey) error {
	states := make(map[int]string)
	for _, e := range survey.Plan.Retrieve {
		states[e.Number] = "new"
	}
	for _, e := range survey.Plan.Skip {
		states[e.Number] = "too-large"
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
		if c.Bool("json") {
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

// config prints the configuration in force, or only tells whether it is valid.
func (p *program) config(c *cli.Context) error {
	s, err := p.load(c)
	if err != nil {
		return err
	}
	if c.Bool("check") {
		return s.checkFiles()
	}
	s.Accounts = s.accounts
	var text strings.Builder
	if err := s.Write(&text); err != nil {
		return err
	}
	return p.term.printf("%s", text.String())
}
