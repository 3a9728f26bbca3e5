package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/pop3"
)

// check logs in and reports. It delivers and deletes nothing.
func (p *program) check(ctx context.Context) error {
	return p.look(ctx, (*fetch.Runner).Check, looker{show: p.showCheck, fail: p.showFailedCheck})
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
	Status       int                 `json:"status"` // that of this account alone
	Kind         string              `json:"kind,omitempty"`
}

// failedCheck is a line of check --json for an account that could not be looked at. Its field names
// are part of the contract.
type failedCheck struct {
	Account string `json:"account"`
	Error   string `json:"error"`
	Code    string `json:"code"`
	Status  int    `json:"status"`
	Kind    string `json:"kind"`
}

func (p *program) showFailedCheck(s *setting, account string, err error) error {
	if !p.view.json {
		return nil // standard error has it
	}
	status := faultStatus(err)
	return p.term.printJSON(failedCheck{account, tellError(s, err), string(fetch.CodeOf(err)), status, statusKinds[status]})
}

func (p *program) showCheck(survey *fetch.Survey) error {
	var octets int64
	for _, e := range survey.Listing {
		octets += e.Octets
	}
	protection := "none"
	if survey.TLS != nil {
		protection = tls.VersionName(survey.TLS.Version) + " " + tls.CipherSuiteName(survey.TLS.CipherSuite)
	}
	fresh := survey.Plan.Retrieve.Len() + survey.Plan.Skip.Len()
	if p.view.json {
		status := mostUrgent(surveyStatuses(survey))
		return p.term.printJSON(checked{survey.Account, survey.Greeting, protection, escaped(survey.Capabilities), len(survey.Listing), fresh, octets, status, statusKinds[status]})
	}
	return p.term.printf("%s: logged in\n  greeting      %s\n  tls           %s\n  capabilities  %s\n  messages      %d (%d octets), %d new\n",
		survey.Account, survey.Greeting, protection, tellCapabilities(survey.Capabilities), len(survey.Listing), octets, fresh)
}

// escaped returns capabilities with each word fit for people and logs.
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

// toldCapabilities is how many capabilities a person is shown. No honest server has so many.
const toldCapabilities = 64

// tellCapabilities returns one line with each capability and its parameters.
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
