package poptest

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// A device waits until a person decides. Its code serves once.
func TestProvider_device(t *testing.T) {
	t.Parallel()
	p := StartProvider(t, nil)
	begin := func() (userCode string, ask func() TokenAnswer) {
		var device struct {
			DeviceCode string `json:"device_code"`
			UserCode   string `json:"user_code"`
			Address    string `json:"verification_uri"`
			Interval   int
		}
		p.Post(p.Device, url.Values{"client_id": {p.Client}, "scope": {"pop offline_access unknown"}}, &device)
		if device.Interval != 1 || !strings.HasPrefix(device.Address, p.Issuer) {
			t.Errorf("the provider tells a device %+v, want an interval of 1 and an address below %s", device, p.Issuer)
		}
		return device.UserCode, func() TokenAnswer {
			return p.Ask(url.Values{"grant_type": {deviceGrant}, "client_id": {p.Client}, "device_code": {device.DeviceCode}})
		}
	}
	code, ask := begin()
	if got := ask(); got.Error != "authorization_pending" {
		t.Errorf("before the decision: %+v, want authorization_pending", got)
	}
	p.Approve(strings.ToLower(code), "bob")
	got := ask()
	if got.Access == "" || got.Refresh == "" || got.Scope != "pop offline_access" || got.ExpiresIn/10 != 29 {
		t.Errorf("after the approval: %+v, want tokens for 5 minutes with the known scopes", got)
	}
	if again := ask(); again.Error != "access_denied" {
		t.Errorf("a code that has served: %+v, want access_denied", again)
	}
	code, ask = begin()
	form := url.Values{"user_code": {code}, "name": {"bob"}, "password": {p.Users["bob"]}}
	if _, body := p.request(http.PostForm(p.Issuer+"/device", form)); !strings.Contains(body, "Done") || ask().Access == "" {
		t.Errorf("after the form: %s, want tokens", body)
	}
	code, ask = begin()
	p.Deny(code)
	if got := ask(); got.Error != "access_denied" {
		t.Errorf("after the denial: %+v, want access_denied", got)
	}
}

// A browser brings an authorization code to a client at loopback. Only S256 will do.
func TestProvider_browser(t *testing.T) {
	t.Parallel()
	p := StartProvider(t, nil)
	var answer url.Values
	loopback := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer = r.URL.Query()
		fmt.Fprint(w, "back at the client")
	}))
	defer loopback.Close()
	const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636 appendix B
	sum := sha256.Sum256([]byte(verifier))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	address := func(method string) string {
		return p.Authorization + "?" + url.Values{
			"response_type": {"code"}, "client_id": {p.Client}, "redirect_uri": {loopback.URL + "/any/path"}, "state": {"xyz"},
			"scope": {"pop offline_access"}, "code_challenge": {challenge}, "code_challenge_method": {method},
		}.Encode()
	}
	redeem := func(verifier string) TokenAnswer {
		return p.Ask(url.Values{
			"grant_type": {"authorization_code"}, "client_id": {p.Client}, "code": answer["code"],
			"redirect_uri": {loopback.URL + "/any/path"}, "code_verifier": {verifier},
		})
	}
	if status, body := p.Browse(address("S256"), "alice"); status != http.StatusOK || body != "back at the client" {
		t.Fatalf("the browser ends with status %d, %q", status, body)
	}
	if answer.Get("state") != "xyz" {
		t.Errorf("the client gets %v, want its state in it", answer)
	}
	if got := redeem("another" + verifier); got.Error != "invalid_grant" {
		t.Errorf("with a wrong verifier: %+v, want invalid_grant", got)
	}
	if got := redeem(verifier); got.Access == "" || got.Refresh == "" || !p.Active(got.Access) {
		t.Errorf("with the right verifier: %+v, want tokens", got)
	}
	if got := redeem(verifier); got.Error != "invalid_grant" {
		t.Errorf("a code that has served: %+v, want invalid_grant", got)
	}
	p.BrowseDenying(address("S256"))
	if answer.Get("error") != "access_denied" || answer.Get("state") != "xyz" {
		t.Errorf("after the denial the client gets %v, want access_denied", answer)
	}
	p.Browse(address("plain"), "alice")
	if answer.Get("error") != "invalid_request" {
		t.Errorf("by the method plain the client gets %v, want invalid_request", answer)
	}
	checkPages(t, p, address("S256"))
	if answer.Get("code") == "" {
		t.Errorf("after the login_hint the client gets %v, want a code", answer)
	}
}

// checkPages looks at what a person sees.
func checkPages(t *testing.T, p *Provider, address string) {
	t.Helper()
	page, err := http.Get(address)
	if _, body := p.request(page, err); !strings.Contains(body, `type="password"`) {
		t.Errorf("without a hint: %s, want a form", body)
	}
	form := url.Values{"name": {"alice"}, "password": {"wrong"}}
	if _, body := p.request(http.PostForm(page.Request.URL.String(), form)); !strings.Contains(body, "wrong") {
		t.Errorf("a wrong password: %s, want another form", body)
	}
	form.Set("password", p.Users["alice"])
	if _, body := p.request(http.PostForm(page.Request.URL.String(), form)); body != "back at the client" {
		t.Errorf("the right password: %s, want the client's page", body)
	}
	elsewhere := strings.ReplaceAll(address, "http%3A%2F%2F127.0.0.1%3A", "http%3A%2F%2Fpopfetch.example%3A")
	if status, body := p.Browse(elsewhere, "alice"); status != http.StatusBadRequest {
		t.Errorf("with a redirect elsewhere: status %d, %s, want 400", status, body)
	}
	if _, body := p.request(http.Get(address + "&login_hint=bob")); body != "back at the client" {
		t.Errorf("with a hint: %s, want the client's page", body)
	}
}

// A refresh token serves once. If it is used again, all tokens of the sign-in are bad.
func TestProvider_rotation(t *testing.T) {
	t.Parallel()
	p := StartProvider(t, nil)
	first := p.SignIn("alice")
	second := p.Refresh(first.Refresh)
	third := p.Refresh(second.Refresh)
	if third.Refresh == "" || third.Refresh == second.Refresh || !p.Active(first.Access) || !p.Active(third.Access) {
		t.Fatalf("refreshed to %+v and %+v, want other tokens, all good", second, third)
	}
	other := p.SignIn("alice")
	if got := p.Refresh(first.Refresh); got.Error != "invalid_grant" {
		t.Errorf("a used refresh token: %+v, want invalid_grant", got)
	}
	if got := p.Refresh(third.Refresh); got.Error != "invalid_grant" {
		t.Errorf("the last refresh token after a used one: %+v, want invalid_grant", got)
	}
	if p.Active(third.Access) {
		t.Error("the access token is good after a used refresh token")
	}
	if !p.Active(other.Access) || p.Refresh(other.Refresh).Error != "" {
		t.Error("another sign-in suffered")
	}
}

// What is revoked or expired is bad. A token without the scope is not good for the POP3 server.
func TestProvider_bad(t *testing.T) {
	t.Parallel()
	p := StartProvider(t, &ProviderOptions{Life: 2 * time.Second})
	tokens, service := p.SignIn("alice"), p.ServiceToken()
	if !p.Active(tokens.Access) || !p.Active(service.Access) || service.Refresh != "" {
		t.Error("new tokens are bad")
	}
	if p.Active(p.SignIn("alice", "offline_access").Access) {
		t.Error("a token without the scope is good")
	}
	if status := p.Revoke(tokens.Refresh); status != http.StatusOK {
		t.Errorf("revoking: status %d, want 200", status)
	}
	if p.Active(tokens.Access) || p.Refresh(tokens.Refresh).Error != "invalid_grant" {
		t.Error("the revoked tokens are good")
	}
	for limit := time.Now().Add(20 * time.Second); p.Active(service.Access); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("a token of 2 s is good after 20 s")
		}
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {p.Service}, "client_secret": {"wrong"}}
	if got := p.Ask(form); got.Error != "invalid_client" {
		t.Errorf("with a wrong secret: %+v, want invalid_client", got)
	}
	renewed := p.SignIn("bob")
	p.Expire()
	if p.Active(renewed.Access) || !p.Active(p.Refresh(renewed.Refresh).Access) {
		t.Error("Expire must end the access token only")
	}
}
