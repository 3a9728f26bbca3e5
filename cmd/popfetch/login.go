package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/term"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/oauth"
)

// login signs a person in with OAuth 2, and keeps what the provider gives.
func (p *program) login(ctx context.Context) error {
	if p.options.status {
		return p.loginStatus(ctx)
	}
	s, users, err := p.signInUsers(ctx)
	for _, user := range users {
		err = errors.Join(err, p.loginUser(ctx, s, user))
	}
	return err
}

// loginUser signs in for an account, or for the user of a mailbox.
func (p *program) loginUser(ctx context.Context, s *setting, a *config.Account) error {
	flow, err := p.flow(s, a)
	if err != nil {
		return err
	}
	client, err := s.oauthClient(a, make(authorities))
	if err != nil {
		return err
	}
	tokens := s.tokens(a.Name)
	if err := tokens.Ready(ctx); err != nil { // before somebody has signed in
		return err
	}
	grant, err := p.signIn(ctx, a, client, flow)
	if err == nil {
		err = tokens.Write(ctx, grant)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", a.Name, err)
	}
	return p.showSignedIn(s, a, grant, flow)
}

// signInUsers returns what the account that the command line names signs in for. It must be something.
func (p *program) signInUsers(ctx context.Context) (*setting, []*config.Account, error) {
	if err := p.refuseServer(); err != nil {
		return nil, nil, err
	}
	if len(p.words) != 1 {
		return nil, nil, usagef("%s: name one account", p.command)
	}
	s, err := p.load(ctx)
	if err != nil {
		return nil, nil, err
	}
	a := &s.accounts[0]
	users := s.signIns(a)
	switch {
	case s.StateDir == "" && s.State == "":
		return nil, nil, noStateDir(s.Config)
	case s.faults[a.Name] != nil:
		return nil, nil, s.faults[a.Name]
	case len(users) > 0:
		return s, users, nil
	case a.OAuth.TokenCommand != "":
		return nil, nil, s.Mistake(a, &a.OAuth.TokenCommand,
			errors.New("gives the account its access tokens, so popfetch does not sign in; use the program that it runs"))
	}
	return nil, nil, &config.Error{File: s.FileOf(a.Name), Key: "account." + a.Name,
		Err: fmt.Errorf("has no table oauth, so nobody signs in; write [account.%s.oauth], as popfetch.toml(5) shows", a.Name)}
}

// flow returns the way to sign in.
func (p *program) flow(s *setting, a *config.Account) (string, error) {
	known := a.OAuth.SignIn()
	flow := known.Flow
	switch {
	case p.device && p.browser:
		return "", usagef("--device and --browser contradict each other")
	case flow == clientCredentials && (p.device || p.browser):
		return "", s.signInMistake(a, &a.OAuth.Flow, fmt.Errorf("is %q, so no person signs in; leave out --device and --browser, or write another flow", flow))
	case p.device:
		flow = "device"
	case p.browser:
		flow = "browser"
	}
	if !slices.Contains(known.Flows, flow) {
		return "", s.signInMistake(a, &a.OAuth.Flow, fmt.Errorf("%s does not sign in by %s; use %s", known.Provider, flow, known.Flows[0]))
	}
	return flow, nil
}

// clientCredentials is the flow in which no person signs in.
const clientCredentials = "client_credentials"

// signIn signs in by one way.
func (p *program) signIn(ctx context.Context, a *config.Account, client *oauth.Client, flow string) (*oauth.Grant, error) {
	switch flow {
	case "device":
		return client.Device(ctx, func(i oauth.Invitation) error { return p.showInvitation(a, client, i) })
	case "browser":
		return client.Browser(ctx, oauth.Visit{
			Show:   func(address string) error { return p.showAddress(a, client, address) },
			Pasted: pastedLines(),
			Wrong: func() {
				p.term.errorf("%s: that is not the address at which this sign-in ends; paste it whole", a.Name)
			},
		})
	}
	return client.ClientCredentials(ctx)
}

// signInStep is a line of login --json. Its field names are part of the contract.
type signInStep struct {
	Account string     `json:"account"`
	Event   string     `json:"event"` // open or signed-in
	URL     string     `json:"url,omitempty"`
	Code    string     `json:"code,omitempty"`
	Expires *time.Time `json:"expires,omitempty"`
}

func (p *program) showInvitation(a *config.Account, client *oauth.Client, i oauth.Invitation) error {
	if p.view.json {
		return p.term.printJSON(signInStep{Account: a.Name, Event: "open", URL: i.URL, Code: i.Code, Expires: &i.Expires})
	}
	also := ""
	if i.Complete != "" {
		also = fmt.Sprintf("\n  or open   %s", i.Complete)
	}
	return p.term.printf("%s: sign in to %s, for %s\nOn this or any other device,\n  open      %s\n  and type  %s%s\nThis waits until %s. Ctrl-C ends it.\n",
		a.Name, client.Provider, printable(a.User), i.URL, i.Code, also, i.Expires.Local().Format(time.TimeOnly))
}

func (p *program) showAddress(a *config.Account, client *oauth.Client, address string) error {
	if p.view.json {
		return p.term.printJSON(signInStep{Account: a.Name, Event: "open", URL: address})
	}
	paste := ""
	if isTerminal(os.Stdin) {
		paste = "If the browser runs on another machine, it ends at a page that it cannot load.\nPaste the address of that page here.\n"
	}
	return p.term.printf("%s: sign in to %s, for %s\nOpen this address in a browser on this machine:\n\n%s\n\n%sThis waits for 10 minutes. Ctrl-C ends it.\n",
		a.Name, client.Provider, printable(a.User), address, paste)
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// pastedLines returns the lines that a person types. Without a terminal there are none.
func pastedLines() <-chan string {
	lines := make(chan string)
	if !isTerminal(os.Stdin) {
		return lines
	}
	go func() { // it ends with the process
		scanner := bufio.NewScanner(os.Stdin)
		for scanner.Scan() {
			lines <- scanner.Text()
		}
	}()
	return lines
}

func (p *program) showSignedIn(s *setting, a *config.Account, grant *oauth.Grant, flow string) error {
	if flow != clientCredentials && grant.RefreshToken == "" {
		p.term.errorf("%s: the provider gave no refresh token, so the sign-in ends with the access token%s; see whether scopes must name offline_access, or what the client is allowed",
			a.Name, endsAt(grant.Expires))
	}
	if p.view.json {
		return p.term.printJSON(signInStep{Account: a.Name, Event: "signed-in"})
	}
	return p.term.printf("%s: signed in; to try it, type: %s\n", a.Name, s.commandLine("check", p.words[0]))
}

// endsAt returns " at" and the time when an access token ends, if that is known.
func endsAt(expires time.Time) string {
	if expires.IsZero() {
		return ""
	}
	return " at " + expires.Local().Format(time.DateTime)
}

// signInStatus is a line of login --status --json. Its field names are part of the contract.
type signInStatus struct {
	Account   string     `json:"account"`
	Provider  string     `json:"provider"`
	SignedIn  bool       `json:"signed_in"`
	Since     *time.Time `json:"since,omitempty"`
	Refreshes bool       `json:"refreshes"`
	Expires   *time.Time `json:"expires,omitempty"`
	Error     string     `json:"error,omitempty"`
	Status    int        `json:"status"`
}

// loginStatus shows which of the chosen accounts are signed in. It contacts nobody.
func (p *program) loginStatus(ctx context.Context) error {
	if err := p.refuseServer(); err != nil {
		return err
	}
	s, err := p.load(ctx)
	if err != nil {
		return err
	}
	if s.StateDir == "" && s.State == "" {
		return noStateDir(s.Config)
	}
	var statuses []int
	shown := make(map[string]bool)
	for i := range s.accounts {
		a := &s.accounts[i]
		users := s.signIns(a)
		if len(users) == 0 && len(p.words) > 0 {
			users = []*config.Account{a}
		}
		for _, user := range users {
			if shown[user.Name] { // another account uses the mailbox too
				continue
			}
			shown[user.Name] = true
			state, grant, err := s.signInStatusOf(ctx, user, a.Name)
			if err != nil {
				statuses = append(statuses, state.Status)
			}
			if err := p.showSignInStatus(user, state, grant, err); err != nil {
				return err
			}
		}
	}
	if len(statuses) > 0 {
		return &runError{statuses}
	}
	return nil
}

// signInStatusOf finds out whether an account is signed in, or the user of a mailbox of the account
// called owner.
func (s *setting) signInStatusOf(ctx context.Context, a *config.Account, owner string) (signInStatus, *oauth.Grant, error) {
	signIn := a.OAuth.SignIn()
	state := signInStatus{Account: a.Name, Provider: signIn.Provider}
	own := signIn.Flow == clientCredentials
	grant, err := s.tokens(a.Name).Read(ctx)
	var fault *oauth.Error
	switch {
	case signIn.ClientID == "":
		err = &config.Error{File: s.FileOf(a.Name), Key: "account." + a.Name, Err: errors.New("has no table oauth with a client_id, so nobody signs in")}
	case errors.As(err, &fault) && fault.Fault == oauth.Refused && own:
		return state, nil, nil // the client gets a token when it needs one
	case err == nil && !(&oauth.Client{TokenURL: signIn.TokenURL, ID: signIn.ClientID}).Owns(grant):
		err = &oauth.Error{Fault: oauth.Refused, Err: errors.New("the sign-in is that of another client or provider")}
	case err == nil && grant.HasEnded(time.Now()) && !own:
		err = &oauth.Error{Fault: oauth.Refused, Err: errors.New("the sign-in has ended")}
	}
	if errors.As(err, &fault) {
		err = fmt.Errorf("%s: %w; type: %s", a.Name, err, s.commandLine("login", owner))
	}
	if err != nil {
		state.Error, state.Status = err.Error(), faultStatus(err)
		return state, nil, err
	}
	state.SignedIn, state.Since = true, &grant.SignedIn
	state.Refreshes = grant.RefreshToken != "" || own
	if !grant.Expires.IsZero() {
		state.Expires = &grant.Expires
	}
	return state, grant, nil
}

func (p *program) showSignInStatus(a *config.Account, state signInStatus, grant *oauth.Grant, err error) error {
	switch {
	case err != nil && !p.view.json:
		p.term.errorf("%v", err)
		return nil
	case p.view.json:
		return p.term.printJSON(state)
	case grant == nil:
		return p.term.printf("%s: the client %s signs in itself when it is needed\n", a.Name, printable(a.OAuth.ClientID))
	}
	refreshed := "; it is refreshed by itself"
	if !state.Refreshes {
		refreshed = ", and then somebody must sign in again"
	}
	ends := "the access token has no known end"
	if state.Expires != nil {
		ends = "the access token ends" + endsAt(grant.Expires)
	}
	return p.term.printf("%s: signed in to %s since %s; %s%s\n", a.Name, state.Provider, grant.SignedIn.Local().Format(time.DateTime), ends, refreshed)
}
