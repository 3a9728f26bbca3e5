// Package oauthtest is a provider of OAuth 2 for tests. It keeps to the RFCs, unless a test scripts
// an answer.
package oauthtest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"time"
)

// The paths of the endpoints.
const (
	Authorize = "/authorize"
	Device    = "/device"
	Token     = "/token"
	Revoke    = "/revoke"
)

// Answer is a scripted answer of an endpoint.
type Answer struct {
	Status int    // 0: 200
	Type   string // "": application/json
	Body   string
	Header map[string]string
	Wait   <-chan struct{} // the answer is held back until it is closed
	Cut    bool            // the connection ends instead
}

// Error returns an answer that is an error of OAuth 2 (RFC 6749 section 5.2).
func Error(status int, code, description string) Answer {
	body, _ := json.Marshal(map[string]string{"error": code, "error_description": description}) // it has texts alone
	return Answer{Status: status, Body: string(body)}
}

// Provider is a provider that listens on loopback. Its methods may be called at the same time.
type Provider struct {
	URL string

	mu       sync.Mutex
	life     time.Duration // of access tokens
	interval int           // seconds between two polls of the device flow
	rotates  bool          // a refresh token is good only once
	single   bool          // no refresh token is given
	denied   bool          // the person declines
	waiting  int           // so many polls are told to wait
	scripted map[string][]Answer
	requests []Request
	codes    map[string]url.Values // authorization requests, by code
	tokens   map[string]bool       // refresh tokens that are good
	access   map[string]bool       // access tokens that are good
}

// Request is a request that the provider got.
type Request struct {
	Path          string
	Form          url.Values
	Authorization string
	Address       string // the whole address, with its query
}

// Option changes a provider.
type Option func(*Provider)

// Life is how long an access token is good.
func Life(life time.Duration) Option { return func(p *Provider) { p.life = life } }

// Rotates makes each refresh token good only once. If one is used again, all tokens end.
func Rotates(p *Provider) { p.rotates = true }

// NoRefresh gives no refresh token.
func NoRefresh(p *Provider) { p.single = true }

// Denied makes the person decline.
func Denied(p *Provider) { p.denied = true }

// Waiting makes the device flow wait for so many polls.
func Waiting(polls int) Option { return func(p *Provider) { p.waiting = polls } }

// TB is the part of testing.TB that New needs.
type TB interface {
	Helper()
	Cleanup(func())
}

// New starts a provider, which ends with the test.
func New(t TB, options ...Option) *Provider {
	t.Helper()
	p := &Provider{
		life: time.Hour, interval: 1, scripted: map[string][]Answer{}, codes: map[string]url.Values{},
		tokens: map[string]bool{}, access: map[string]bool{},
	}
	for _, option := range options {
		option(p)
	}
	server := httptest.NewServer(p)
	p.URL = server.URL
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return p
}

// Script makes the endpoint at path give these answers first, one for each request.
func (p *Provider) Script(path string, answers ...Answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.scripted[path] = append(p.scripted[path], answers...)
}

// Requests returns the requests that the endpoint at path has got.
func (p *Provider) Requests(path string) []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	var got []Request
	for _, r := range p.requests {
		if r.Path == path {
			got = append(got, r)
		}
	}
	return got
}

// Accepts reports whether an access token is good.
func (p *Provider) Accepts(token string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.access[token]
}

// End ends all tokens, as if the person had withdrawn the consent.
func (p *Provider) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.tokens)
	clear(p.access)
}

// Grant returns new tokens, as if somebody had signed in.
func (p *Provider) Grant() (access, refresh string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.newTokens()
}

func (p *Provider) newTokens() (access, refresh string) {
	access, refresh = "access-"+rand.Text(), "refresh-"+rand.Text()
	p.access[access], p.tokens[refresh] = true, true
	return access, refresh
}

// ServeHTTP answers a request.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm() // what is wrong with it shows in the form
	answer, scripted := p.note(r)
	if !scripted {
		switch r.URL.Path {
		case Authorize:
			p.authorize(w, r)
			return
		case Device:
			answer = p.device()
		case Token:
			answer = p.token(r.Form)
		case Revoke:
			answer = p.revoke(r.Form)
		default:
			answer = Answer{Status: http.StatusNotFound}
		}
	}
	answer.write(w, r)
}

func (a Answer) write(w http.ResponseWriter, r *http.Request) {
	if a.Wait != nil {
		select {
		case <-a.Wait:
		case <-r.Context().Done():
			return
		}
	}
	if a.Cut {
		panic(http.ErrAbortHandler)
	}
	for name, value := range a.Header {
		w.Header().Set(name, value)
	}
	if a.Type == "" {
		a.Type = "application/json"
	}
	w.Header().Set("Content-Type", a.Type)
	if a.Status == 0 {
		a.Status = http.StatusOK
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write([]byte(a.Body)) // the client may be gone
}

// note notes a request, and returns the scripted answer to it.
func (p *Provider) note(r *http.Request) (_ Answer, scripted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	path := r.URL.Path
	p.requests = append(p.requests, Request{path, r.Form, r.Header.Get("Authorization"), r.URL.String()})
	if len(p.scripted[path]) == 0 {
		return Answer{}, false
	}
	answer := p.scripted[path][0]
	p.scripted[path] = p.scripted[path][1:]
	return answer, true
}

// authorize plays the person, who agrees at once.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	answer := url.Values{"state": {r.Form.Get("state")}}
	if p.denied {
		answer.Set("error", "access_denied")
	} else {
		code := "code-" + rand.Text()
		p.codes[code] = r.Form
		answer.Set("code", code)
	}
	http.Redirect(w, r, r.Form.Get("redirect_uri")+"?"+answer.Encode(), http.StatusFound)
}

func (p *Provider) device() Answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Answer{Body: fmt.Sprintf(`{"device_code":"device-secret","user_code":"WDJB-MJHT","verification_uri":"%s/activate",`+
		`"verification_uri_complete":"%[1]s/activate?user_code=WDJB-MJHT","expires_in":600,"interval":%d}`, p.URL, p.interval)}
}

func (p *Provider) token(form url.Values) Answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch form.Get("grant_type") {
	case "urn:ietf:params:oauth:grant-type:device_code":
		switch {
		case p.waiting > 0:
			p.waiting--
			return Error(http.StatusBadRequest, "authorization_pending", "")
		case p.denied:
			return Error(http.StatusBadRequest, "access_denied", "")
		}
	case "authorization_code":
		asked, known := p.codes[form.Get("code")]
		delete(p.codes, form.Get("code"))
		challenge := sha256.Sum256([]byte(form.Get("code_verifier")))
		if !known || asked.Get("redirect_uri") != form.Get("redirect_uri") || asked.Get("code_challenge_method") != "S256" ||
			asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(challenge[:]) {
			return Error(http.StatusBadRequest, "invalid_grant", "")
		}
	case "refresh_token":
		return p.refresh(form.Get("refresh_token"))
	case "client_credentials":
		if form.Get("client_secret") == "wrong" {
			return Error(http.StatusUnauthorized, "invalid_client", "")
		}
	default:
		return Error(http.StatusBadRequest, "unsupported_grant_type", "")
	}
	return p.granted(p.newTokens())
}

func (p *Provider) refresh(token string) Answer {
	if !p.tokens[token] {
		if p.rotates {
			clear(p.tokens)
		}
		return Error(http.StatusBadRequest, "invalid_grant", "Token has been expired or revoked.")
	}
	access, refresh := p.newTokens()
	if p.rotates {
		delete(p.tokens, token)
	} else {
		delete(p.tokens, refresh)
		refresh = ""
	}
	return p.granted(access, refresh)
}

func (p *Provider) granted(access, refresh string) Answer {
	body := map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": int(p.life.Seconds())}
	if refresh != "" && !p.single {
		body["refresh_token"] = refresh
	}
	text, _ := json.Marshal(body) // it has texts and a number
	return Answer{Body: string(text)}
}

func (p *Provider) revoke(form url.Values) Answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.tokens, form.Get("token"))
	clear(p.access)
	return Answer{}
}
