package poptest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// TokenAnswer is an answer of a provider's token endpoint (RFC 6749 sections 5.1 and 5.2).
type TokenAnswer struct {
	Access    string `json:"access_token"`
	Refresh   string `json:"refresh_token"`
	ExpiresIn int    `json:"expires_in"`
	Scope     string `json:"scope"`
	Error     string `json:"error"`
}

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// Approve lets the device that shows this code have tokens of the user.
func (p *Provider) Approve(userCode, user string) {
	p.t.Helper()
	p.act("/approve", url.Values{"user_code": {userCode}, "user": {user}})
}

// Deny denies the device that shows this code.
func (p *Provider) Deny(userCode string) {
	p.t.Helper()
	p.act("/deny", url.Values{"user_code": {userCode}})
}

// Expire makes all access tokens expire that were issued so far. Refresh tokens stay good.
func (p *Provider) Expire() {
	p.t.Helper()
	p.act("/expire", nil)
}

func (p *Provider) act(path string, form url.Values) {
	p.t.Helper()
	if status, body := p.request(http.PostForm(p.Issuer+path, form)); status != http.StatusOK {
		p.t.Fatalf("%s %s: status %d: %s", path, form.Encode(), status, body)
	}
}

// Browse opens an address as a person's browser does, and signs in as the user. It follows all
// redirects, the one to the client too. It returns status and text of the last page.
func (p *Provider) Browse(address, user string) (status int, body string) {
	p.t.Helper()
	return p.browse(address, "user", user)
}

// BrowseDenying does the same as Browse, but the person declines.
func (p *Provider) BrowseDenying(address string) (status int, body string) {
	p.t.Helper()
	return p.browse(address, "deny", "1")
}

// browse adds a parameter to the address of the login page.
func (p *Provider) browse(address, key, value string) (int, string) {
	p.t.Helper()
	browser := &http.Client{CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), p.Issuer+"/login?") {
			query := r.URL.Query()
			query.Set(key, value)
			r.URL.RawQuery = query.Encode()
		}
		return nil
	}}
	return p.request(browser.Get(address))
}

// SignIn signs a user in by a device code and returns the tokens. Without scopes it asks for
// Scope and offline_access.
func (p *Provider) SignIn(user string, scopes ...string) TokenAnswer {
	p.t.Helper()
	if len(scopes) == 0 {
		scopes = []string{p.Scope, "offline_access"}
	}
	var device struct {
		DeviceCode string `json:"device_code"`
		UserCode   string `json:"user_code"`
	}
	p.Post(p.Device, url.Values{"client_id": {p.Client}, "scope": {strings.Join(scopes, " ")}}, &device)
	p.Approve(device.UserCode, user)
	return p.mustAsk(url.Values{"grant_type": {deviceGrant}, "client_id": {p.Client}, "device_code": {device.DeviceCode}})
}

// ServiceToken returns a token of the service by client credentials.
func (p *Provider) ServiceToken() TokenAnswer {
	p.t.Helper()
	return p.mustAsk(url.Values{
		"grant_type": {"client_credentials"}, "scope": {p.Scope},
		"client_id": {p.Service}, "client_secret": {p.ServiceSecret},
	})
}

// Refresh uses a refresh token. The answer may be an error.
func (p *Provider) Refresh(token string) TokenAnswer {
	p.t.Helper()
	return p.Ask(url.Values{"grant_type": {"refresh_token"}, "client_id": {p.Client}, "refresh_token": {token}})
}

// Ask sends a form to the token endpoint. The answer may be an error.
func (p *Provider) Ask(form url.Values) TokenAnswer {
	p.t.Helper()
	var answer TokenAnswer
	p.Post(p.Token, form, &answer)
	return answer
}

func (p *Provider) mustAsk(form url.Values) TokenAnswer {
	p.t.Helper()
	answer := p.Ask(form)
	if answer.Error != "" || answer.Access == "" {
		p.t.Fatalf("the provider gives no token: %+v", answer)
	}
	return answer
}

// Active reports whether an access token is good for the POP3 server (RFC 7662).
func (p *Provider) Active(token string) bool {
	p.t.Helper()
	form := strings.NewReader(url.Values{"token": {token}}.Encode())
	request, err := http.NewRequest(http.MethodPost, p.Introspection, form)
	if err != nil {
		p.t.Fatalf("asking about a token: %v", err)
	}
	request.SetBasicAuth(p.Resource, p.ResourceSecret)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	status, body := p.request(http.DefaultClient.Do(request))
	var answer struct{ Active *bool }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Active == nil {
		p.t.Fatalf("asking about a token: status %d: %s", status, body)
	}
	return *answer.Active
}

// Revoke revokes a token of Client (RFC 7009). It returns the status.
func (p *Provider) Revoke(token string) int {
	p.t.Helper()
	status, _ := p.request(http.PostForm(p.Revocation, url.Values{"client_id": {p.Client}, "token": {token}}))
	return status
}

// Post sends a form and reads the JSON of the reply into answer, whatever its status is.
func (p *Provider) Post(address string, form url.Values, answer any) {
	p.t.Helper()
	status, body := p.request(http.PostForm(address, form))
	if err := json.Unmarshal([]byte(body), answer); err != nil {
		p.t.Fatalf("%s: status %d: %s", address, status, body)
	}
}

// request reads a reply.
func (p *Provider) request(reply *http.Response, err error) (status int, body string) {
	p.t.Helper()
	if err != nil {
		p.t.Fatalf("asking the provider: %v", err)
	}
	defer func() { _ = reply.Body.Close() }()
	octets, err := io.ReadAll(reply.Body)
	if err != nil {
		p.t.Fatalf("reading the provider's reply: %v", err)
	}
	return reply.StatusCode, string(octets)
}
