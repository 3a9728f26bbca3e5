package oauth_test

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/oauth"
	"github.com/popfetch/popfetch/internal/oauthtest"
)

func TestDevice(t *testing.T) {
	t.Parallel()
	p := oauthtest.New(t, oauthtest.Waiting(1))
	c := clientOf(p)
	c.Secret = secret("hush")
	var shown []oauth.Invitation
	g, err := c.Device(t.Context(), func(i oauth.Invitation) error {
		shown = append(shown, i)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(shown) != 1 || shown[0].Code != "WDJB-MJHT" || shown[0].URL != p.URL+"/activate" || shown[0].Complete != p.URL+"/activate?user_code=WDJB-MJHT" ||
		time.Until(shown[0].Expires) < 9*time.Minute || time.Until(shown[0].Expires) > 10*time.Minute {
		t.Errorf("the person was shown %+v", shown)
	}
	wantGrant(t, p, c, g)
	if asked := p.Requests(oauthtest.Device); len(asked) != 1 || asked[0].Form.Get("client_secret") != "hush" {
		t.Errorf("the provider was asked for a code by %+v", asked)
	}
	polls := p.Requests(oauthtest.Token)
	if len(polls) != 2 || polls[0].Form.Get("client_secret") != "hush" || polls[0].Form.Get("device_code") != "device-secret" {
		t.Errorf("the provider got the polls %+v", polls)
	}
	if asked := p.Requests(oauthtest.Device); len(asked) != 1 || asked[0].Form.Get("scope") != "pop offline_access" || asked[0].Form.Get("client_id") != "popfetch" {
		t.Errorf("the provider got %+v", asked)
	}
}

// wantGrant checks what signing in has brought.
func wantGrant(t *testing.T, p *oauthtest.Provider, c *oauth.Client, g *oauth.Grant) {
	t.Helper()
	if !p.Accepts(g.AccessToken) || g.RefreshToken == "" || !c.Owns(g) || time.Since(g.SignedIn) > time.Minute || time.Until(g.Expires) < 50*time.Minute {
		t.Errorf("the grant is %+v", g)
	}
}

// TestDevice_basic checks that a client with a secret shows it by a header, too, if it must.
func TestDevice_basic(t *testing.T) {
	t.Parallel()
	p := oauthtest.New(t)
	c := clientOf(p)
	c.Secret, c.Basic = secret("hush"), true
	if _, err := c.Device(t.Context(), func(oauth.Invitation) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for _, r := range append(p.Requests(oauthtest.Device), p.Requests(oauthtest.Token)...) {
		if name, password, ok := (&http.Request{Header: http.Header{"Authorization": {r.Authorization}}}).BasicAuth(); !ok || name != "popfetch" || password != "hush" || r.Form.Has("client_secret") {
			t.Errorf("%s got the client as %q, %v", r.Path, r.Authorization, r.Form)
		}
	}
}

func TestBrowser_nobody(t *testing.T) {
	t.Parallel()
	c := clientOf(oauthtest.New(t))
	c.SignInTimeout = 50 * time.Millisecond
	_, err := c.Browser(t.Context(), oauth.Visit{Show: func(string) error { return nil }})
	wantFault(t, err, oauth.Later, "nobody has signed in within 50ms")
}

// TestDevice_trouble checks that a sign-in outlasts trouble of the provider.
func TestDevice_trouble(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]oauthtest.Answer{
		"slow_down": oauthtest.Error(400, "slow_down", ""), // the oauth2 package waits longer by itself
		"500":       {Status: 500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := oauthtest.New(t)
			p.Script(oauthtest.Token, answer)
			c := clientOf(p)
			began := time.Now()
			g, err := c.Device(t.Context(), func(oauth.Invitation) error { return nil })
			if err != nil {
				t.Fatal(err)
			}
			wantGrant(t, p, c, g)
			if n := len(p.Requests(oauthtest.Token)); n != 2 || time.Since(began) < 7*time.Second {
				t.Errorf("the provider got %d polls within %v; want 2, the second one 6 seconds later", n, time.Since(began))
			}
		})
	}
}

func TestDevice_errors(t *testing.T) {
	t.Parallel()
	body := func(text string) oauthtest.Answer { return oauthtest.Answer{Body: text} }
	tests := map[string]struct {
		device, token oauthtest.Answer
		fault         oauth.Fault
		text          string
	}{
		"access_denied":  {token: oauthtest.Error(400, "access_denied", ""), fault: oauth.Refused, text: "it says access_denied"},
		"expired_token":  {token: oauthtest.Error(400, "expired_token", ""), fault: oauth.Later, text: "the code has expired"},
		"invalid_grant":  {token: oauthtest.Error(400, "invalid_grant", "device-secret is wrong"), fault: oauth.Refused, text: "*** is wrong"},
		"broken token":   {token: body(`{}`), fault: oauth.Broken, text: "no access token"},
		"invalid_client": {device: oauthtest.Error(401, "invalid_client", ""), fault: oauth.Refused, text: "invalid_client"},
		"not there":      {device: oauthtest.Answer{Status: 404}, fault: oauth.Broken, text: "status 404"},
		"down":           {device: oauthtest.Answer{Cut: true}, fault: oauth.Later, text: "EOF"},
		"null":           {device: body("null"), fault: oauth.Broken, text: "has no code"},
		"html":           {device: body("<html>"), fault: oauth.Broken, text: "not the JSON"},
		"no code":        {device: body(`{"device_code":"device-secret","verification_uri":"https://x.example.org"}`), fault: oauth.Broken, text: "has no code"},
		"no address":     {device: body(`{"device_code":"d","user_code":"u"}`), fault: oauth.Broken, text: "no address to open"},
		"bad address":    {device: body(`{"device_code":"d","user_code":"u","verification_uri":"javascript:x"}`), fault: oauth.Broken, text: `"javascript:x"`},
		"expired":        {device: body(`{"device_code":"d","user_code":"u","verification_uri":"https://x.example.org","expires_in":1,"interval":5}`), fault: oauth.Later, text: "the code has expired; sign in anew"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := oauthtest.New(t)
			if test.device.Status != 0 || test.device.Body != "" || test.device.Cut {
				p.Script(oauthtest.Device, test.device)
			}
			p.Script(oauthtest.Token, test.token)
			_, err := clientOf(p).Device(t.Context(), func(oauth.Invitation) error { return nil })
			wantFault(t, err, test.fault, "test: ", test.text)
		})
	}
}

// TestDevice_harmless checks that a provider cannot write to the terminal.
func TestDevice_harmless(t *testing.T) {
	t.Parallel()
	p := oauthtest.New(t)
	p.Script(oauthtest.Device, oauthtest.Answer{Body: `{"device_code":"d","user_code":"\u001b[2J","verification_uri":"https://x.example.org/\u202e","expires_in":9}`})
	stop := errors.New("stop")
	_, err := clientOf(p).Device(t.Context(), func(i oauth.Invitation) error {
		if strings.ContainsAny(i.Code+i.URL+i.Complete, "\x1b\u202e") {
			t.Errorf("the person is shown %q", i)
		}
		return stop
	})
	if !errors.Is(err, stop) {
		t.Errorf("Device() = %v, want the error of show", err)
	}
}

func TestDevice_interrupted(t *testing.T) {
	t.Parallel()
	p := oauthtest.New(t, oauthtest.Waiting(1000))
	ctx, cancel := cancellable(t)
	began := time.Now()
	_, err := clientOf(p).Device(ctx, func(oauth.Invitation) error {
		cancel()
		return nil
	})
	if !errors.Is(err, ctx.Err()) || time.Since(began) > 4*time.Second {
		t.Errorf("Device() = %v after %v", err, time.Since(began))
	}
}

func TestBrowser(t *testing.T) {
	t.Parallel()
	for _, redirect := range []string{"http://127.0.0.1", "http://localhost", "http://[::1]/back/here"} {
		t.Run(redirect, func(t *testing.T) {
			t.Parallel()
			p := oauthtest.New(t)
			c := clientOf(p)
			c.Redirect, c.Extra, c.Secret = redirect, map[string]string{"login_hint": "alice"}, secret("hush")
			opened := make(chan string, 1)
			var wg sync.WaitGroup
			defer wg.Wait()
			g, err := c.Browser(t.Context(), oauth.Visit{Show: func(address string) error {
				wg.Add(1)
				go func() {
					defer wg.Done()
					status, page := browse(t, address)
					if status != http.StatusOK || !strings.Contains(page, "popfetch has the answer") {
						t.Errorf("the browser ends at the status %d, %q", status, page)
					}
				}()
				opened <- address
				return nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			wantGrant(t, p, c, g)
			wantAddress(t, <-opened, redirect)
			if got := p.Requests(oauthtest.Token); len(got) != 1 || got[0].Form.Get("client_secret") != "hush" || got[0].Address != oauthtest.Token {
				t.Errorf("the provider got %+v", got)
			}
		})
	}
}

// wantAddress checks that the address to open has what the RFCs ask for, and nothing secret.
func wantAddress(t *testing.T, address, redirect string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	names := []string{"client_id", "code_challenge", "code_challenge_method", "login_hint", "redirect_uri", "response_type", "scope", "state"}
	var got []string
	for name := range q {
		got = append(got, name)
	}
	slices.Sort(got)
	back, err := url.Parse(q.Get("redirect_uri"))
	want, _ := url.Parse(redirect)
	if !slices.Equal(got, names) || q.Get("code_challenge_method") != "S256" || len(q.Get("state")) < 26 || q.Get("login_hint") != "alice" ||
		err != nil || back.Hostname() != want.Hostname() || back.Path != want.Path || back.Port() == "" {
		t.Errorf("the address is %s", address)
	}
	if strings.Contains(address, "hush") {
		t.Error("the address has the client's secret")
	}
}

// TestBrowser_wrongState checks that an answer of another sign-in, or of a web page that makes one up,
// does not count.
func TestBrowser_wrongState(t *testing.T) {
	t.Parallel()
	p := oauthtest.New(t)
	c := clientOf(p)
	var wg sync.WaitGroup
	defer wg.Wait()
	g, err := c.Browser(t.Context(), oauth.Visit{Show: func(address string) error {
		u, err := url.Parse(address)
		if err != nil {
			return err
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			back := u.Query().Get("redirect_uri")
			for _, wrong := range []string{"?state=other&code=code-x", "?code=code-x", "?error=access_denied", "?state=&code=code-x"} {
				if status, page := browse(t, back+wrong); status != http.StatusBadRequest || !strings.Contains(page, "not the sign-in") {
					t.Errorf("%s ends at the status %d, %q", wrong, status, page)
				}
			}
			if status, _ := browse(t, back+"/favicon.ico"); status != http.StatusNotFound {
				t.Errorf("another path ends at the status %d", status)
			}
			browse(t, address)
		}()
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	wantGrant(t, p, c, g)
}

func TestBrowser_pasted(t *testing.T) {
	t.Parallel()
	p := oauthtest.New(t)
	c := clientOf(p)
	pasted, wrong := make(chan string, 4), 0
	g, err := c.Browser(t.Context(), oauth.Visit{Show: func(address string) error {
		// The browser is on another machine: it learns where to go, and cannot go there.
		client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			return err
		}
		answer, err := client.Do(request)
		if err != nil {
			return err
		}
		pasted <- "what do I do?"
		pasted <- "http://127.0.0.1/?state=other&code=code-x"
		pasted <- "  " + answer.Header.Get("Location") + "\r"
		return answer.Body.Close()
	}, Pasted: pasted, Wrong: func() { wrong++ }})
	if err != nil {
		t.Fatal(err)
	}
	wantGrant(t, p, c, g)
	if wrong != 2 {
		t.Errorf("%d lines were called wrong, want 2", wrong)
	}
}

func TestBrowser_errors(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		query string // of the browser's answer, besides the state; "": as the provider says
		token oauthtest.Answer
		fault oauth.Fault
		text  string
	}{
		"denied":        {fault: oauth.Refused, text: "it says access_denied"},
		"described":     {query: "error=server_error&error_description=later%1B", fault: oauth.Later, text: `it says server_error: later\x1b`},
		"no code":       {query: "other=1", fault: oauth.Broken, text: "has no code"},
		"wrong code":    {query: "code=code-x", fault: oauth.Refused, text: "invalid_grant"},
		"repeated code": {query: "code=code-x", token: oauthtest.Error(400, "invalid_request", "code-x"), fault: oauth.Refused, text: "***"},
		"broken token":  {query: "code=code-x", token: oauthtest.Answer{Body: "[]"}, fault: oauth.Broken, text: "not the JSON"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := oauthtest.New(t, oauthtest.Denied)
			if test.token.Body != "" {
				p.Script(oauthtest.Token, test.token)
			}
			var wg sync.WaitGroup
			_, err := clientOf(p).Browser(t.Context(), oauth.Visit{Show: func(address string) error {
				u, err := url.Parse(address)
				if err == nil && test.query != "" {
					address = u.Query().Get("redirect_uri") + "?" + test.query + "&state=" + u.Query().Get("state")
				}
				wg.Add(1)
				go func() {
					defer wg.Done()
					browse(t, address)
				}()
				return err
			}})
			wg.Wait()
			wantFault(t, err, test.fault, "test: ", test.text)
		})
	}
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	for _, basic := range []bool{false, true} {
		p := oauthtest.New(t)
		s, g := sourceOf(t, p, time.Hour)
		s.Client.Secret, s.Client.Basic = secret("hush"), basic
		revoked, err := s.Client.Revoke(t.Context(), g)
		if !revoked || err != nil || p.Accepts(g.AccessToken) {
			t.Errorf("Revoke() = %v, %v", revoked, err)
		}
		got := p.Requests(oauthtest.Revoke)
		if len(got) != 1 || got[0].Form.Get("token") != g.RefreshToken || got[0].Form.Has("client_secret") == basic || (got[0].Authorization != "") != basic {
			t.Errorf("the provider got %+v", got)
		}
	}
}

func TestRevoke_errors(t *testing.T) {
	t.Parallel()
	p := oauthtest.New(t)
	s, g := sourceOf(t, p, time.Hour)
	p.Script(oauthtest.Revoke, oauthtest.Answer{Status: 204}, oauthtest.Answer{Status: 503}, oauthtest.Error(400, "invalid_token", ""), oauthtest.Error(400, "unsupported_token_type", g.RefreshToken))
	if revoked, err := s.Client.Revoke(t.Context(), g); !revoked || err != nil {
		t.Errorf("Revoke() with the status 204 = %v, %v", revoked, err)
	}
	_, err := s.Client.Revoke(t.Context(), g)
	wantFault(t, err, oauth.Later, "status 503")
	if revoked, err := s.Client.Revoke(t.Context(), g); !revoked || err != nil {
		t.Errorf("Revoke() of an unknown token = %v, %v", revoked, err)
	}
	_, err = s.Client.Revoke(t.Context(), g)
	wantFault(t, err, oauth.Refused, "unsupported_token_type: ***")
	s.Client.RevokeURL = ""
	if revoked, err := s.Client.Revoke(t.Context(), g); revoked || err != nil {
		t.Errorf("Revoke() without an address = %v, %v", revoked, err)
	}
}
