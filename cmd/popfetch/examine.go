package main

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/doctor"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/seen"
)

// examiner examines accounts for the command check.
type examiner struct {
	p      *program
	s      *setting
	visits *doctor.Visits

	mu          sync.Mutex
	examination map[string]*examination // by account
}

// examination is what was found out about one account.
type examination struct {
	account     *config.Account
	session     doctor.Session
	findings    []doctor.Finding
	certificate *doctor.Certificate // nil: none was shown
}

// check looks at an account like fetch.Runner.Check, and examines all that it depends on. A fault that
// a run would end with, and that Check does not look for, becomes the survey's Unready.
func (e *examiner) check(ctx context.Context, r *fetch.Runner, account *fetch.Account) (*fetch.Survey, error) {
	at := slices.IndexFunc(e.s.accounts, func(a config.Account) bool { return a.Name == account.Name })
	x := &examination{account: &e.s.accounts[at]}
	watched := *account
	watched.POP3.Step = x.session.Note
	survey, err := r.Check(ctx, &watched)
	if ctx.Err() == nil {
		way := doctor.Way{Server: account.Server, Options: account.POP3, Via: via(x.account), Visits: e.visits, Trust: trust(x.account)}
		x.findings = way.Examine(ctx, &x.session, err)
	}
	now := time.Now()
	x.addSession(e.s, err, now)
	if survey != nil {
		x.addMaildrop(e, survey, account)
		x.addPlaces(ctx, e, survey, account)
	} else {
		x.addFault(e.s, err, now)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.examination[account.Name] = x
	return survey, err
}

// trust returns all that an account accepts a server by.
func trust(a *config.Account) string {
	return fmt.Sprintf("%q %q %q %v %q %v %q", a.TLSServerName, a.TLSFingerprint, a.TLSCA, a.TLSCAOnly, a.TLSMinVersion, a.TLSLegacy, a.TLSCert)
}

// take returns what was found out about an account, once.
func (e *examiner) take(account string) *examination {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := e.examination[account]
	delete(e.examination, account)
	return x
}

// via returns the key of what connects in place of popfetch itself; empty: nothing does.
func via(a *config.Account) string {
	switch {
	case a.ConnectCommand != "":
		return "connect_command"
	case !a.Proxy.IsZero():
		return "proxy"
	}
	return ""
}

func (x *examination) add(f doctor.Finding) { x.findings = append(x.findings, f) }

// addSession adds what the session has shown, as far as it got; err has ended it.
func (x *examination) addSession(setting *setting, err error, now time.Time) {
	s, a := &x.session, x.account
	greeted := !s.GreetedAt.IsZero()
	if s.TLS != nil || a.TLS == "none" && greeted {
		x.add(doctor.TLS(s, a.Server, via(a)))
	}
	if s.TLS != nil {
		x.certificate = doctor.Describe(s.TLS.PeerCertificates[0])
		x.add(doctor.Certificates(s.TLS, a.TLSFingerprint, now))
	}
	if greeted {
		x.add(doctor.Greeting(s))
	}
	if greeted && endedPhase(err) != fetch.PhaseOpen {
		x.add(doctor.Capabilities(s))
		x.add(doctor.Mechanisms(ways(a).Explain(login.Announced{Caps: s.AtLogin, TLS: s.TLS, Timestamp: s.HasTimestamp()})))
	}
	if s.LoggedIn {
		x.add(doctor.Login(a.User))
	}
	if err == nil {
		x.add(doctor.Clock(s, writtenAt(setting.StateDir), now))
	}
}

// writtenAt returns when the state was written last, or the zero time. What a database has was written
// by other clocks.
func writtenAt(stateDir string) time.Time {
	if stateDir == "" {
		return time.Time{}
	}
	info, err := os.Stat(filepath.Join(stateDir, stateTable))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// addMaildrop adds what the listing, and what the server announces for the user, mean.
func (x *examination) addMaildrop(e *examiner, survey *fetch.Survey, account *fetch.Account) {
	x.add(doctor.UniqueIDs(uniqueIDs(survey.Listing), survey.Unusable))
	x.add(doctor.Delay(survey.Capabilities, x.account.Interval))
	x.add(doctor.Expire(survey.Capabilities, doctor.Retention{Deletes: account.Delete.Enabled, After: account.Delete.After}))
	octets, fresh := totals(survey)
	f := doctor.Finding{Check: doctor.CheckMaildrop, State: doctor.OK, Text: fmt.Sprintf("%d messages (%d octets), %d new", len(survey.Listing), octets, fresh)}
	if survey.Failed > 0 {
		f.State, f.Mend = doctor.Fault, "run check again; if it lasts, tell whoever runs the server"
		f.Text += fmt.Sprintf(", and %d of which the server shows too little", survey.Failed)
	}
	if n := len(survey.Plan.Quarantined); n > 0 {
		f.State, f.Mend = doctor.Fault, e.s.tryAgain(account.Name)+" has what is quarantined tried again"
		f.Text += fmt.Sprintf(", %d quarantined", n)
	}
	x.add(f)
}

// uniqueIDs returns a listing as the package doctor wants it. A unique-id that begins with a blank is
// popfetch's own.
func uniqueIDs(listing []seen.Entry) iter.Seq[doctor.Listed] {
	return func(yield func(doctor.Listed) bool) {
		for _, e := range listing {
			if !yield(doctor.Listed{Number: e.Number, UniqueID: e.UniqueID, Copy: e.Copy, Made: strings.HasPrefix(e.UniqueID, " ")}) {
				return
			}
		}
	}
}

// totals returns the octets of all listed messages, or the largest number, and the number of new ones.
func totals(survey *fetch.Survey) (octets int64, fresh int) {
	for _, e := range survey.Listing {
		octets += min(e.Octets, math.MaxInt64-octets)
	}
	return octets, survey.Plan.Retrieve.Len() + survey.Plan.Skip.Len()
}

// addPlaces adds what becomes of the mail here: the target and the state.
func (x *examination) addPlaces(ctx context.Context, e *examiner, survey *fetch.Survey, account *fetch.Account) {
	x.addTargets(ctx, e, survey, account)
	if e.s.State != "" {
		x.add(e.p.database.finding(e.s.Config))
		return
	}
	state, create, err := stateFolder(e.s.StateDir, cmp.Or(account.State, account.Name), survey.Plan.Retrieve.Len()).Examine()
	x.add(state)
	if err != nil && survey.Unready == nil {
		if create {
			err = fmt.Errorf("the state %w: %w", seen.ErrCreate, err)
		}
		survey.Unready = &fetch.Error{Account: account.Name, Phase: fetch.PhaseState, Err: err}
	}
}

// addTargets adds what each place is like to which the account's mail may go.
func (x *examination) addTargets(ctx context.Context, e *examiner, survey *fetch.Survey, account *fetch.Account) {
	switch {
	case survey.Unready != nil:
		x.add(unready(survey.Unready))
		return
	case e.s.oneShot && !config.NamesTarget(e.p.source.oneShot):
		x.add(doctor.Finding{Check: doctor.CheckTarget, State: doctor.OK, Text: "none is named, and check needs none"})
		return
	}
	used := e.s.Uses(x.account)
	for i := range used {
		f := targetFinding(ctx, &used[i], survey.Needed)
		if name := used[i].Name; name != "" {
			f.Text = name + ": " + f.Text
		}
		x.add(f)
		if f.State == doctor.Fault && survey.Unready == nil {
			survey.Unready = &fetch.Error{Account: account.Name, Phase: fetch.PhaseDeliver, Err: fmt.Errorf("%s: %w", f.Text, syscall.ENOSPC)}
		}
	}
}

// targetFinding returns what a target is like that has been tried. New mail takes so many octets.
func targetFinding(ctx context.Context, t *config.Target, needed int64) doctor.Finding {
	switch {
	case t.Mbox == config.StandardOutput:
		return doctor.Stream()
	case t.MDA != "" || len(t.MDAArgv) > 0:
		return doctor.Program(t.Kind(), t.MaxDeliveries)
	case t.Maildir == "" && t.Mbox == "":
		return doctor.Server(t.Kind(), strings.TrimPrefix(t.Where(), t.Kind()+" "), t.MaxDeliveries)
	}
	path := deliver.PathAt(t.Maildir+t.Mbox, time.Now())
	room, err := deliver.NewMaildir(doctor.Existing(path)).Room(ctx)
	if err != nil {
		room = math.MaxInt64
	}
	return doctor.Maildir(path, room, needed)
}
