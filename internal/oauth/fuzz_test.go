package oauth

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode"
)

// The secrets of the fuzzed requests. An answer has their names instead: a provider may repeat them.
// FORM is one as it is in the form of the request, and JSONHUSH is one in JSON.
var fuzzSecrets = strings.NewReplacer("REFRESH", fuzzRefresh, "FORM", url.QueryEscape(fuzzRefresh), "JSONHUSH", `hush\"-B7yL2`, "SECRET", `hush"-B7yL2`, "CODE", "code-C1zM5", "STATE", "state-D3wN8")

const fuzzRefresh = "1//refresh-A4xK9"

// checkError checks an error for a person: it is of the right kind, shows no secret, and is harmless
// on a terminal.
func checkError(t *testing.T, err error) {
	t.Helper()
	var failed *Error
	if !errors.As(err, &failed) || failed.Fault < Later || failed.Fault > Exposed {
		t.Fatalf("the error is %v (%T), want an *Error", err, err)
	}
	for _, part := range []string{"A4xK9", "B7yL2", "C1zM5"} {
		if strings.Contains(err.Error()+failed.Code, part) {
			t.Errorf("the error shows a secret: %v", err)
		}
	}
	if strings.ContainsFunc(err.Error()+failed.Code, func(r rune) bool { return unicode.IsControl(r) || r == '\u202e' }) {
		t.Errorf("the error has control characters: %q", err)
	}
}

// checkGrant checks what was obtained.
func checkGrant(t *testing.T, g *Grant, err error) {
	t.Helper()
	if err != nil {
		checkError(t, err)
		return
	}
	for _, token := range []string{g.AccessToken, g.RefreshToken} {
		if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) || len(token) > maxToken {
			t.Errorf("a token is %q", token)
		}
	}
	if g.AccessToken == "" {
		t.Error("there is no access token")
	}
}

// fuzzClient returns a client whose provider answers as given.
func fuzzClient(transport http.RoundTripper, basic bool) *Client {
	return &Client{
		Provider: "test", ID: "id", Basic: basic, Transport: transport, Redirect: "http://127.0.0.1",
		Secret:  func(context.Context) (string, error) { return fuzzSecrets.Replace("SECRET"), nil },
		AuthURL: "http://test.example/a", DeviceURL: "http://test.example/d", TokenURL: "http://test.example/t", RevokeURL: "http://test.example/r",
	}
}

// askAll makes the requests that end with one answer of the provider. Device and Browser end with one
// that is read as that to ClientCredentials is.
func askAll(t *testing.T, c *Client) {
	t.Helper()
	g, err := c.refresh(t.Context(), fuzzRefresh)
	checkGrant(t, g, err)
	g, err = c.ClientCredentials(t.Context())
	checkGrant(t, g, err)
	if _, err := c.Revoke(t.Context(), &Grant{RefreshToken: fuzzRefresh}); err != nil {
		checkError(t, err)
	}
	stop := errors.New("stop")
	_, err = c.Device(t.Context(), func(i Invitation) error {
		if i.Code == "" || i.Expires.IsZero() || strings.ContainsFunc(i.URL+i.Code+i.Complete, unicode.IsControl) {
			t.Errorf("the person is shown %+v", i)
		}
		return stop
	})
	if !errors.Is(err, stop) {
		checkError(t, err)
	}
}

// repeated returns an answer with the secrets in it that the provider has got.
func repeated(answer string, request *http.Request) string {
	form, _ := io.ReadAll(request.Body) // as far as it came
	if !strings.Contains(string(form), "A4xK9") {
		answer = strings.NewReplacer("REFRESH", "r", "FORM", "f").Replace(answer)
	}
	return fuzzSecrets.Replace(answer)
}

type answering func(*http.Request) *http.Response

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) { return a(r), nil }

// FuzzTokenAnswer lets a provider give any answer to each request for tokens.
func FuzzTokenAnswer(f *testing.F) {
	for _, body := range []string{
		`{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"Bearer","expires_in":3600,"refresh_token":"tGzv3JOkF0XG5Qx2TlKWIA"}`, // RFC 6749 section 5.1
		`{"error":"invalid_request","error_description":"REFRESH FORM JSONHUSH"}`, `{"error":"REFRESH","error_description":"\u001b[2J"}`,
		`{"device_code":"GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS","user_code":"WDJB-MJHT","verification_uri":"https://example.com/device",` +
			`"verification_uri_complete":"https://example.com/device?user_code=WDJB-MJHT","expires_in":1800,"interval":5}`, // RFC 8628 section 3.2
		`access_token=a&token_type=bearer&expires_in=3600`, `{"access_token":"a b","token_type":"Bearer"}`, `{"access_token":"a\u0000","token_type":"mac"}`, `[]`, `null`, ``, `{"expires_in":"1e99"}`,
	} {
		for _, status := range []uint16{200, 302, 400, 401, 503} {
			f.Add(status, "application/json", body, false)
		}
		f.Add(uint16(200), "application/x-www-form-urlencoded", body, true)
		f.Add(uint16(400), "text/html; charset=\"", body, true)
	}
	f.Fuzz(func(t *testing.T, status uint16, kind, body string, basic bool) {
		if status > 999 {
			return
		}
		askAll(t, fuzzClient(answering(func(r *http.Request) *http.Response {
			answer := repeated(body, r)
			return &http.Response{
				StatusCode: int(status), Status: answer, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(answer)), Request: r,
			}
		}), basic))
	})
}

// FuzzHTTPAnswer does the same with answers that need not be HTTP.
func FuzzHTTPAnswer(f *testing.F) {
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + `{"access_token":"a","token_type":"Bearer"}`,
		"HTTP/1.1 307 REFRESH\r\nLocation: http://elsewhere.example/?SECRET\r\n\r\n", "HTTP/1.1 REFRESH FORM SECRET\r\n\r\n", "REFRESH\r\n", "HTTP/1.1 200 OK\r\nREFRESH SECRET\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: REFRESH\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: SECRET\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nREFRESH\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "+OK POP3 \x1b[2J\r\n", "",
	} {
		f.Add(answer)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		transport := &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go func() {
				defer server.Close()
				if request, err := http.ReadRequest(bufio.NewReader(server)); err == nil {
					_, _ = io.WriteString(server, repeated(answer, request)) // the client may have closed
				}
			}()
			return client, nil
		}}
		askAll(t, fuzzClient(transport, false))
	})
}

// FuzzBrowserAnswer lets a browser come with anything, and a person paste it. Only an answer with the
// state counts. The page shows nothing of it.
func FuzzBrowserAnswer(f *testing.F) {
	for _, query := range []string{
		"state=STATE&code=CODE", "code=CODE", "state=STATE&error=access_denied&error_description=the+person+declined%1b&code=CODE", "state=STATE&error=CODE&code=CODE",
		"state=STATE&error=x&error_description=CODE+%E2%80%AE&code=CODE", "state=STATE", "state=&code=CODE", "state=a&state=STATE", "state=STATE;code=CODE", "%zz", "<script>", "state=STATE&code=a%00b",
	} {
		f.Add(query, false)
		f.Add(query, true)
	}
	f.Fuzz(func(t *testing.T, query string, pasted bool) {
		query = fuzzSecrets.Replace(query)
		r := &receiver{state: fuzzSecrets.Replace("STATE"), path: "/", answers: make(chan url.Values, 1)}
		ctx, cancel := context.WithCancel(t.Context())
		lines := make(chan string, 1)
		if pasted {
			lines <- " http://127.0.0.1/?" + query + "\n"
		} else {
			request := httptest.NewRequest(http.MethodGet, "/", nil)
			request.URL.RawQuery = query
			page := httptest.NewRecorder()
			r.ServeHTTP(page, request)
			if body := page.Body.String(); !strings.HasPrefix(body, "popfetch has the answer. ") && !strings.HasPrefix(body, "This is not the sign-in ") {
				t.Errorf("the page is %q", body)
			}
		}
		came := &url.URL{RawQuery: query}
		if pasted {
			var err error
			if came, err = url.Parse(strings.TrimSpace("http://127.0.0.1/?" + query)); err != nil {
				came = new(url.URL)
			}
		}
		mine := came.Query().Get("state") == r.state
		if !mine {
			cancel()
		}
		answer, err := r.wait(ctx, Visit{Pasted: lines})
		cancel()
		if (err == nil) != mine {
			t.Fatalf("with %q wait() = %v, %v, want an answer: %v", query, answer, err, mine)
		}
		if answer.Get("code") != fuzzSecrets.Replace("CODE") && strings.Contains(answer.Encode(), "C1zM5") {
			return // it is no secret then
		}
		if mine && (answer.Get("error") != "" || answer.Get("code") == "") {
			checkError(t, fuzzClient(nil, false).declined(answer))
		}
	})
}
