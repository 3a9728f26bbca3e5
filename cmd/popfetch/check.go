package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/doctor"
	"github.com/popfetch/popfetch/internal/screen"
	"github.com/popfetch/popfetch/pop3"
)

// check logs in and reports. It delivers and deletes nothing.
func (p *program) check(ctx context.Context) error {
	s, accounts, err := p.toLookAt(ctx)
	if err != nil {
		return err
	}
	e := &examiner{p: p, s: s, examination: make(map[string]*examination), visits: doctor.NewVisits(p.atOnce(s))}
	tells := !p.view.json && p.term.talks && p.term.columns > 0
	check := func(r *fetch.Runner, ctx context.Context, account *fetch.Account) (*fetch.Survey, error) {
		return e.check(ctx, r, account)
	}
	return p.lookAt(ctx, s, check, accounts, looker{show: e.show, fail: e.showFailed, tells: tells})
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
	examined
}

// failedCheck is a line of check --json for an account that could not be looked at. Its field names
// are part of the contract.
type failedCheck struct {
	Account string `json:"account"`
	Error   string `json:"error"`
	Code    string `json:"code"`
	Status  int    `json:"status"`
	Kind    string `json:"kind"`
	examined
}

// examined is what both have. Its field names are part of the contract.
type examined struct {
	Checks      []doctor.Finding    `json:"checks"`
	Certificate *doctor.Certificate `json:"certificate,omitempty"`
}

func (e *examiner) showFailed(s *setting, account string, err error) error {
	x := e.take(account)
	if !e.p.view.json {
		return e.p.term.printf("%s: cannot be fetched now\n%s", account, e.report(x.findings))
	}
	status := faultStatus(err)
	return e.p.term.printJSON(failedCheck{account, tellError(s, err), string(fetch.CodeOf(err)), status, statusKinds[status], examined{x.findings, x.certificate}})
}

func (e *examiner) show(survey *fetch.Survey) error {
	x := e.take(survey.Account)
	if !e.p.view.json {
		return e.p.term.printf("%s: logged in\n%s", survey.Account, e.report(x.findings))
	}
	protection := "none"
	if survey.TLS != nil {
		protection = tls.VersionName(survey.TLS.Version) + " " + tls.CipherSuiteName(survey.TLS.CipherSuite)
	}
	octets, fresh := totals(survey)
	status := mostUrgent(surveyStatuses(survey))
	return e.p.term.printJSON(checked{survey.Account, survey.Greeting, protection, escaped(survey.Capabilities), len(survey.Listing), fresh, octets,
		status, statusKinds[status], examined{x.findings, x.certificate}})
}

// reported are the warnings that a report tells in its own words.
var reported = []fetch.Code{fetch.CodeClearText, fetch.CodeOldTLS, fetch.CodeExpire, fetch.CodeUnusable}

// except returns observe without the events that have one of these codes.
func except(observe func(fetch.Event), codes []fetch.Code) func(fetch.Event) {
	return func(e fetch.Event) {
		if !slices.Contains(codes, e.Code) {
			observe(e)
		}
	}
}

// The columns of a report: a state, the name of a check, and a text.
const (
	stateColumns = 8
	checkColumns = 13
)

// report returns a line for each finding, and one for each mend. On a terminal, long ones are
// continued on further lines, and the home folder is ~, so that the whole fits on a screen.
func (e *examiner) report(findings []doctor.Finding) string {
	var text strings.Builder
	indent := strings.Repeat(" ", stateColumns)
	home, _ := os.UserHomeDir()
	for _, f := range findings {
		if e.p.term.columns > 0 && len(home) > 1 {
			f.Text = strings.ReplaceAll(f.Text, home+"/", "~/")
		}
		line := fmt.Sprintf("%-*s%-*s%s", stateColumns, f.State, checkColumns, f.Check, printable(f.Text))
		text.WriteString(fold(line, indent, e.p.term.columns))
		if f.Mend != "" {
			text.WriteString(fold(indent+"mend: "+printable(f.Mend), indent, e.p.term.columns))
		}
		if f.Paste != "" {
			text.WriteString(indent + f.Paste + "\n") // uncut, to be copied
		}
	}
	return text.String()
}

// fold breaks a line at blanks so that it fits, and begins each further line with indent. A word that
// is too long stays whole.
func fold(line, indent string, columns int) string {
	var text strings.Builder
	for columns > len(indent) && screen.Width(line) > columns {
		at, used := -1, 0
		for i, r := range line {
			if used += screen.Width(string(r)); used > columns+1 {
				break
			}
			if r == ' ' && strings.Trim(line[:i], " ") != "" {
				at = i
			}
		}
		if at < 0 {
			break
		}
		text.WriteString(strings.TrimRight(line[:at], " ") + "\n")
		line = indent + strings.TrimLeft(line[at:], " ")
	}
	return text.String() + line + "\n"
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
