package oauth_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/oauth"
	"github.com/popfetch/popfetch/internal/oauthtest"
)

func TestSource_Token(t *testing.T) {
	t.Parallel()
	for rest, refreshed := range map[time.Duration]bool{time.Hour: false, 5 * time.Minute: false, 30 * time.Second: true, -time.Hour: true} {
		t.Run(rest.String(), func(t *testing.T) {
			t.Parallel()
			p := oauthtest.New(t)
			s, old := sourceOf(t, p, rest)
			token, err := s.Token(t.Context())
			if err != nil || !p.Accepts(token) || (token != old.AccessToken) != refreshed {
				t.Errorf("Token() = %v, %v; want one that is good, another one: %v", token, err, refreshed)
			}
			if again, err := s.Token(t.Context()); again != token || err != nil {
				t.Errorf("Token() again = %v, %v; want the same", again, err)
			}
			if n := len(p.Requests(oauthtest.Token)); n > 1 || n == 1 != refreshed {
				t.Errorf("the provider got %d requests", n)
			}
			kept := read(t, fileOf(s))
			if kept.AccessToken != token || kept.RefreshToken != old.RefreshToken || !kept.SignedIn.Equal(old.SignedIn) {
				t.Errorf("the file has %+v", kept)
			}
			onlyFiles(t, fileOf(s), false)
		})
	}
}

// TestSource_Token_short checks that a token with a short life is used, too.
func TestSource_Token_short(t *testing.T) {
	t.Parallel()
	p := oauthtest.New(t, oauthtest.Life(20*time.Second))
	s, _ := sourceOf(t, p, -time.Second)
	first, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if second, err := s.Token(t.Context()); second != first || err != nil {
		t.Errorf("Token() = %v, %v; want the first one again", second, err)
	}
}

func TestSource_Renew(t *testing.T) {
	t.Parallel()
	p := oauthtest.New(t)
	s, old := sourceOf(t, p, time.Hour)
	renewed, err := s.Renew(t.Context(), old.AccessToken)
	if err != nil || renewed == old.AccessToken || !p.Accepts(renewed) {
		t.Fatalf("Renew() = %v, %v; want another token", renewed, err)
	}
	// Another run has a token of before, and learns now that it is refused.
	if got, err := s.Renew(t.Context(), old.AccessToken); got != renewed || err != nil {
		t.Errorf("Renew(old) = %v, %v; want the one that is there", got, err)
	}
	// A token that was just given is not replaced.
	if got, err := s.Renew(t.Context(), renewed); got != renewed || err != nil {
		t.Errorf("Renew(new) = %v, %v; want the same", got, err)
	}
	if n := len(p.Requests(oauthtest.Token)); n != 1 {
		t.Errorf("the provider got %d requests, want 1", n)
	}
	// If the clock was set back, nobody knows when it was given.
	g := read(t, fileOf(s))
	g.Obtained = time.Now().Add(time.Hour)
	write(t, fileOf(s), g)
	if got, err := s.Renew(t.Context(), renewed); got == renewed || err != nil {
		t.Errorf("Renew() = %v, %v; want another token", got, err)
	}
}

// TestSource_rotation has eight runs refresh at the same time. Each refresh token is good only once.
func TestSource_rotation(t *testing.T) {
	t.Parallel()
	p := oauthtest.New(t, oauthtest.Rotates)
	s, old := sourceOf(t, p, -time.Hour)
	var wg sync.WaitGroup
	tokens := make([]string, 8)
	for i := range tokens {
		run := &oauth.Source{Client: clientOf(p), Store: s.Store}
		wg.Add(1)
		go func() {
			defer wg.Done()
			var err error
			if tokens[i], err = run.Token(t.Context()); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	for _, token := range tokens {
		if !p.Accepts(token) || token != tokens[0] {
			t.Errorf("a run got %q, want %q as the others", token, tokens[0])
		}
	}
	if n := len(p.Requests(oauthtest.Token)); n != 1 {
		t.Errorf("the provider got %d requests, want 1", n)
	}
	if kept := read(t, fileOf(s)); kept.RefreshToken == old.RefreshToken {
		t.Error("the file still has the old refresh token")
	}
	onlyFiles(t, fileOf(s), false)
}

// TestSource_lostAnswer plays a crash between the provider's answer and the file. The old refresh
// token is then tried again. Whether it is good is the provider's decision.
func TestSource_lostAnswer(t *testing.T) {
	t.Parallel()
	for _, rotates := range []bool{false, true} {
		t.Run(fmt.Sprint(rotates), func(t *testing.T) {
			t.Parallel()
			var options []oauthtest.Option
			if rotates {
				options = append(options, oauthtest.Rotates)
			}
			p := oauthtest.New(t, options...)
			s, old := sourceOf(t, p, -time.Hour)
			if _, err := s.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			write(t, fileOf(s), old) // as if it had never been replaced
			token, err := s.Token(t.Context())
			if rotates {
				wantFault(t, err, oauth.Refused, "invalid_grant", "popfetch login work")
				return
			}
			if err != nil || !p.Accepts(token) {
				t.Errorf("Token() = %v, %v", token, err)
			}
		})
	}
}

// TestSource_noRoom checks that a refresh token is not used up if the answer could not be kept.
func TestSource_noRoom(t *testing.T) {
	t.Parallel()
	p := oauthtest.New(t)
	s, _ := sourceOf(t, p, -time.Hour)
	disk := fullDisk(t)
	s.Store = oauth.NewFile(disk, "work")
	if err := os.MkdirAll(disk+"/oauth", 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := s.Token(t.Context())
	wantFault(t, err, oauth.State, "no space left")
	wantFault(t, fileOf(s).Ready(t.Context()), oauth.State, "no space left")
	if n := len(p.Requests(oauthtest.Token)); n != 0 {
		t.Errorf("the provider got %d requests, want none", n)
	}
}

func TestSource_signedOut(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*oauth.Grant)
		text   string
	}{
		"nobody":           {nil, "nobody is signed in"},
		"other client":     {func(g *oauth.Grant) { g.ClientID = "other" }, "another client or provider"},
		"other provider":   {func(g *oauth.Grant) { g.TokenURL = "https://other.example.org" }, "another client or provider"},
		"no refresh token": {func(g *oauth.Grant) { g.RefreshToken = "" }, "gave no refresh token"},
		"revoked":          {func(g *oauth.Grant) { g.RefreshToken = "refresh-of-yesterday" }, "Token has been expired or revoked."},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := oauthtest.New(t)
			s, g := sourceOf(t, p, -time.Hour)
			if test.change == nil {
				s.Store = oauth.NewFile(t.TempDir(), "work")
			} else {
				test.change(g)
				write(t, fileOf(s), g)
			}
			_, err := s.Token(t.Context())
			wantFault(t, err, oauth.Refused, test.text, "sign in: popfetch login work")
		})
	}
}

// TestSource_keeps checks that trouble of the provider leaves the grant as it is.
func TestSource_keeps(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 4096)
	tests := map[string]struct {
		answer oauthtest.Answer
		fault  oauth.Fault // 0: it is a good answer
		text   string
	}{
		"server_error":      {oauthtest.Error(500, "server_error", "oops"), oauth.Later, "it says server_error: oops"},
		"500":               {oauthtest.Answer{Status: 500, Type: "text/html", Body: "<h1>refresh-"}, oauth.Later, "status 500"},
		"503":               {oauthtest.Answer{Status: 503}, oauth.Later, "status 503"},
		"429":               {oauthtest.Answer{Status: 429}, oauth.Later, "status 429"},
		"slow":              {oauthtest.Answer{Wait: make(chan struct{})}, oauth.Later, "no answer within 50ms"},
		"cut":               {oauthtest.Answer{Cut: true}, oauth.Later, "EOF"},
		"not found":         {oauthtest.Answer{Status: 404}, oauth.Broken, "status 404 and no error of OAuth 2"},
		"redirect":          {oauthtest.Answer{Status: 307, Header: map[string]string{"Location": "/elsewhere"}}, oauth.Broken, "a redirect, which is not followed"},
		"unauthorized":      {oauthtest.Answer{Status: 401}, oauth.Refused, "status 401"},
		"invalid_client":    {oauthtest.Error(401, "invalid_client", "no \x1b[1mclient"), oauth.Refused, `no \x1b[1mclient; see whether client_id`},
		"html":              {oauthtest.Answer{Type: "text/html", Body: "<html>sign in to the hotel's network</html>"}, oauth.Broken, "not the JSON of OAuth 2"},
		"wrong type":        {oauthtest.Answer{Type: "text/plain", Body: `{"access_token":"access-x","token_type":"Bearer"}`}, oauth.Broken, "no access token"},
		"empty":             {oauthtest.Answer{}, oauth.Broken, "not the JSON of OAuth 2"},
		"null":              {oauthtest.Answer{Body: " null\n"}, oauth.Broken, "no access token"},
		"no token":          {oauthtest.Answer{Body: `{"token_type":"Bearer"}`}, oauth.Broken, "no access token"},
		"other type":        {oauthtest.Answer{Body: `{"access_token":"access-x","token_type":"mac"}`}, oauth.Broken, "of the type MAC, not Bearer"},
		"huge":              {oauthtest.Answer{Body: `{"access_token":"` + strings.Repeat("x", 1<<20)}, oauth.Broken, "longer than 1 MiB"},
		"long token":        {oauthtest.Answer{Body: `{"access_token":"` + long + `","token_type":"Bearer"}`}, 0, ""},
		"too long token":    {oauthtest.Answer{Body: `{"access_token":"` + strings.Repeat(long, 17) + `","token_type":"Bearer"}`}, oauth.Broken, "cannot be sent"},
		"control in token":  {oauthtest.Answer{Body: `{"access_token":"access-x\r\nDELE 1","token_type":"Bearer"}`}, oauth.Broken, "cannot be sent"},
		"200 with an error": {oauthtest.Error(200, "invalid_scope", ""), oauth.Refused, "it says invalid_scope"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := oauthtest.New(t)
			s, old := sourceOf(t, p, -time.Hour)
			if s.Client.AnswerTimeout = time.Minute; test.answer.Wait != nil {
				s.Client.AnswerTimeout = 50 * time.Millisecond
			}
			p.Script(oauthtest.Token, test.answer)
			token, err := s.Token(t.Context())
			if test.fault == 0 {
				if token != long || err != nil {
					t.Errorf("Token() = %d octets, %v", len(token), err)
				}
				return
			}
			wantFault(t, err, test.fault, "test: ", test.text)
			if got := read(t, fileOf(s)); got.RefreshToken != old.RefreshToken || got.AccessToken != old.AccessToken {
				t.Errorf("the file has %+v", got)
			}
			onlyFiles(t, fileOf(s), false)
			s.Client.AnswerTimeout = 0
			if token, err := s.Token(t.Context()); err != nil || !p.Accepts(token) {
				t.Errorf("afterwards Token() = %v, %v", token, err)
			}
			if n := len(p.Requests("/elsewhere")); n != 0 {
				t.Error("the redirect was followed")
			}
		})
	}
}

func TestSource_down(t *testing.T) {
	t.Parallel()
	p := oauthtest.New(t)
	s, _ := sourceOf(t, p, -time.Hour)
	s.Client.Transport = refusing{}
	_, err := s.Token(t.Context())
	wantFault(t, err, oauth.Later, "connection refused")
}

// TestSource_repeats checks that a provider that repeats secrets in its texts does not get them shown.
func TestSource_repeats(t *testing.T) {
	t.Parallel()
	p := oauthtest.New(t)
	s, old := sourceOf(t, p, -time.Hour)
	p.Script(oauthtest.Token, oauthtest.Error(400, "invalid_request", "bad token "+old.RefreshToken))
	_, err := s.Token(t.Context())
	wantFault(t, err, oauth.Refused, "bad token ***")
}

// TestSource_toldToEnd checks that an answer is kept even if the run is told to end meanwhile.
func TestSource_toldToEnd(t *testing.T) {
	t.Parallel()
	p := oauthtest.New(t, oauthtest.Rotates)
	s, old := sourceOf(t, p, -time.Hour)
	held := make(chan struct{})
	p.Script(oauthtest.Token, oauthtest.Answer{Body: `{"access_token":"access-new","refresh_token":"refresh-new","token_type":"Bearer"}`, Wait: held})
	ctx, cancel := cancellable(t)
	go func() {
		for len(p.Requests(oauthtest.Token)) == 0 && t.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
		cancel()
		close(held)
	}()
	if token, err := s.Token(ctx); token != "access-new" || err != nil {
		t.Errorf("Token() = %q, %v", token, err)
	}
	if got := read(t, fileOf(s)); got.RefreshToken == old.RefreshToken {
		t.Error("the new refresh token is lost")
	}
	// A run that was told to end before asks nobody.
	write(t, fileOf(s), old)
	if _, err := s.Token(ended(t.Context())); err == nil {
		t.Error("Token() after the end succeeded")
	}
	if n := len(p.Requests(oauthtest.Token)); n != 1 {
		t.Errorf("the provider got %d requests, want 1", n)
	}
}

func TestSource_own(t *testing.T) {
	t.Parallel()
	p := oauthtest.New(t)
	s := &oauth.Source{Client: clientOf(p), Store: oauth.NewFile(t.TempDir(), "work"), Own: true}
	s.Client.Secret, s.Client.Basic = secret("hush"), true
	first, err := s.Token(t.Context())
	if err != nil || !p.Accepts(first) {
		t.Fatalf("Token() = %v, %v", first, err)
	}
	if again, err := s.Token(t.Context()); again != first || err != nil {
		t.Errorf("Token() again = %v, %v; want the same", again, err)
	}
	got := p.Requests(oauthtest.Token)
	if len(got) != 1 || got[0].Form.Get("grant_type") != "client_credentials" || got[0].Form.Has("client_secret") {
		t.Fatalf("the provider got %+v", got)
	}
	if name, password, ok := (&http.Request{Header: http.Header{"Authorization": {got[0].Authorization}}}).BasicAuth(); !ok || name != "popfetch" || password != "hush" {
		t.Errorf("the client was sent as %q", got[0].Authorization)
	}
	s.Client.Secret, s.Client.Basic = secret("wrong"), false
	g := read(t, fileOf(s))
	g.Expires = time.Now().Add(-time.Minute)
	write(t, fileOf(s), g)
	_, err = s.Token(t.Context())
	wantFault(t, err, oauth.Refused, "invalid_client")
}

// TestSource_revoked checks that the token of a sign-in that has ended is not given out again, and
// that it may come back.
func TestSource_revoked(t *testing.T) {
	t.Parallel()
	p := oauthtest.New(t)
	s, old := sourceOf(t, p, time.Hour)
	p.Script(oauthtest.Token, oauthtest.Error(400, "invalid_grant", ""), oauthtest.Error(400, "interaction_required", ""))
	_, err := s.Renew(t.Context(), old.AccessToken)
	wantFault(t, err, oauth.Refused, "has ended or was revoked")
	if g := read(t, fileOf(s)); !g.HasEnded(time.Now()) || old.HasEnded(time.Now()) {
		t.Error("the file does not show that the sign-in has ended")
	}
	_, err = s.Token(t.Context())
	wantFault(t, err, oauth.Refused, "has ended or was revoked", "popfetch login work")
	if token, err := s.Renew(t.Context(), old.AccessToken); err != nil || !p.Accepts(token) || token == old.AccessToken {
		t.Errorf("Renew() = %v, %v; want another token", token, err)
	}
}
