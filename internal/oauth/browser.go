package oauth

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// Visit is how Browser deals with a person.
type Visit struct {
	Show   func(address string) error // shows the address to open
	Pasted <-chan string              // the lines that the person types; nil: none
	Wrong  func()                     // says that a line was not the address of this sign-in
}

// Browser signs a person in by a browser (RFC 6749 section 4.1). It shows the address to open once.
// The browser then comes to an address on loopback, where Browser listens (RFC 8252
// section 7.3). A browser on another machine does not reach it. So Browser also takes the address at
// which the browser has ended, if it is pasted.
//
// An answer without the state of this sign-in is told to the browser, and otherwise ignored: any web
// page can send one. The code alone is useless to others, because of PKCE (RFC 7636).
func (c *Client) Browser(ctx context.Context, v Visit) (*Grant, error) {
	limit := cmp.Or(c.SignInTimeout, signInTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, c.fault(Later, fmt.Errorf("nobody has signed in within %v", limit)))
	defer cancel()
	bound, config, err := c.config(ctx)
	if err != nil {
		return nil, err
	}
	r, err := listen(c.Redirect)
	if err != nil {
		return nil, fmt.Errorf("waiting for the browser: %w", err)
	}
	defer r.close()
	config.RedirectURL = r.address
	verifier := oauth2.GenerateVerifier()
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(verifier)}
	for name, value := range c.Extra {
		options = append(options, oauth2.SetAuthURLParam(name, value))
	}
	if err := v.Show(config.AuthCodeURL(r.state, options...)); err != nil {
		return nil, err
	}
	answer, err := r.wait(ctx, v)
	if err != nil {
		return nil, err
	}
	if answer.Get("error") != "" || answer.Get("code") == "" {
		return nil, c.declined(answer)
	}
	token, err := config.Exchange(bound, answer.Get("code"), oauth2.VerifierOption(verifier))
	return c.stamped(c.grant(token, err, answer.Get("code"), verifier, config.ClientSecret))
}

// declined returns the error for an answer without a code (RFC 6749 section 4.1.2.1).
func (c *Client) declined(answer url.Values) error {
	code, unused := answer.Get("error"), answer.Get("code")
	if code == "" {
		return c.fault(Broken, errors.New("its answer in the browser has no code"))
	}
	fault, known := codes[code]
	if !known {
		fault = Refused
	}
	text := "it says " + shown(code, unused)
	if described := answer.Get("error_description"); described != "" {
		text += ": " + shown(described, unused)
	}
	return &Error{Fault: fault, Code: shown(code, unused), Err: fmt.Errorf("%s: %s", c.Provider, text)}
}

// receiver waits on loopback for what the provider's page answers.
type receiver struct {
	state   string
	address string // where the browser is sent
	path    string
	server  *http.Server
	answers chan url.Values
}

// listen begins to wait at the address of redirect. If that has no port, any port is taken.
func listen(redirect string) (*receiver, error) {
	u, err := url.Parse(redirect)
	if err != nil {
		return nil, err
	}
	r := &receiver{state: rand.Text(), path: u.Path, answers: make(chan url.Values, 1)}
	if r.path == "" {
		r.path = "/"
	}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: answerTimeout, MaxHeaderBytes: 64 << 10}
	hosts := []string{u.Hostname()}
	if hosts[0] == "localhost" { // a browser may take either
		hosts = []string{"127.0.0.1", "::1"}
	}
	port := u.Port()
	for i, host := range hosts {
		listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", net.JoinHostPort(host, port))
		if err != nil && i > 0 {
			continue // there may be no IPv6
		}
		if err != nil {
			return nil, err
		}
		_, port, _ = net.SplitHostPort(listener.Addr().String())
		go r.server.Serve(listener) //nolint:errcheck // it ends with close
	}
	u.Host = net.JoinHostPort(u.Hostname(), port)
	r.address = u.String()
	return r, nil
}

// close ends the wait, after the browser has got its page.
func (r *receiver) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = r.server.Shutdown(ctx) // a browser that does not read its page is left alone
}

// wait returns the answer for this sign-in, or what the person has pasted.
func (r *receiver) wait(ctx context.Context, v Visit) (url.Values, error) {
	pasted := v.Pasted
	for {
		select {
		case answer := <-r.answers:
			return answer, nil
		case line, open := <-pasted:
			u, err := url.Parse(strings.TrimSpace(line))
			switch {
			case !open:
				pasted = nil
			case err == nil && r.isMine(u.Query()):
				return u.Query(), nil
			case v.Wrong != nil:
				v.Wrong()
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// isMine reports whether an answer belongs to this sign-in.
func (r *receiver) isMine(answer url.Values) bool {
	return subtle.ConstantTimeCompare([]byte(answer.Get("state")), []byte(r.state)) == 1
}

// ServeHTTP takes the answer that the browser brings.
func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
	switch answer := request.URL.Query(); {
	case request.Method != http.MethodGet, request.URL.Path != r.path:
		http.NotFound(w, request)
	case !r.isMine(answer):
		http.Error(w, "This is not the sign-in that popfetch waits for. Open the address that popfetch shows.", http.StatusBadRequest)
	default:
		select {
		case r.answers <- answer:
		default: // the page was loaded twice
		}
		fmt.Fprintln(w, "popfetch has the answer. Its terminal shows how the sign-in ends. You can close this page.") //nolint:errcheck // the browser may be gone
	}
}
