// Package oauth obtains access tokens of OAuth 2 (RFC 6749) and keeps them between runs.
//
// A person signs in once, by Client.Device or Client.Browser. What the provider then gives is kept
// in a File. A Source takes the access token from there for each log-in, and has it refreshed when
// it ends.
//
// An error is a *Error if the provider or the File is its reason. No error contains a token, a code
// or a client secret.
package oauth

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// Client is what one account needs to obtain tokens from its provider. Its methods may be called at
// the same time.
type Client struct {
	Provider string // its name, for people

	AuthURL   string // for Browser
	DeviceURL string // for Device
	TokenURL  string
	RevokeURL string // "": the provider cannot revoke tokens

	ID     string
	Secret func(context.Context) (string, error) // nil: the client has none
	// Basic sends ID and Secret in the header Authorization, not as parameters (RFC 6749
	// section 2.3.1).
	Basic bool

	Scopes   []string
	Redirect string            // for Browser: a URL on loopback; without port, any port
	Extra    map[string]string // further parameters of the authorization request

	Transport http.RoundTripper // nil: http.DefaultTransport
	// AnswerTimeout bounds one request to the provider; 0 means 20 seconds. A POP3 session may be
	// waiting meanwhile.
	AnswerTimeout time.Duration
	SignInTimeout time.Duration // bounds Browser's wait for a person; 0 means 10 minutes
}

const (
	answerTimeout = 20 * time.Second
	signInTimeout = 10 * time.Minute
	// maxAnswer bounds an answer, in octets.
	maxAnswer = 1 << 20
	// maxToken bounds a token, in octets. Servers take no longer lines.
	maxToken = 64 << 10
)

// config returns the client as the oauth2 package has it, and a context for its functions.
func (c *Client) config(ctx context.Context) (context.Context, *oauth2.Config, error) {
	config := &oauth2.Config{
		ClientID: c.ID,
		Scopes:   c.Scopes,
		Endpoint: oauth2.Endpoint{AuthURL: c.AuthURL, DeviceAuthURL: c.DeviceURL, TokenURL: c.TokenURL, AuthStyle: oauth2.AuthStyleInParams},
	}
	if c.Basic {
		config.Endpoint.AuthStyle = oauth2.AuthStyleInHeader
	}
	if c.Secret != nil {
		secret, err := c.Secret(ctx)
		if err != nil {
			return ctx, nil, err
		}
		config.ClientSecret = secret
	}
	return context.WithValue(ctx, oauth2.HTTPClient, c.http(ctx, nil)), config, nil
}

// http returns a client whose requests end with ctx. It calls prepare, if that is not nil, with each
// request. It follows no redirects: they would carry secrets to an address that nobody has configured.
func (c *Client) http(ctx context.Context, prepare func(*http.Request)) *http.Client {
	next := c.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	return &http.Client{
		Transport:     &transport{ctx, cmp.Or(c.AnswerTimeout, answerTimeout), prepare, next},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// transport bounds each request in time, and each answer in size. The oauth2 package does neither,
// and makes some requests without a context.
type transport struct {
	ctx     context.Context //nolint:containedctx // see above
	limit   time.Duration
	prepare func(*http.Request)
	next    http.RoundTripper
}

// errSilent means that there was no answer in time.
var errSilent = errors.New("no answer")

// errTooLong means that an answer is longer than maxAnswer.
var errTooLong = errors.New("its answer is longer than 1 MiB")

func (t *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeoutCause(t.ctx, t.limit, fmt.Errorf("%w within %v", errSilent, t.limit))
	defer cancel()
	request = request.Clone(ctx)
	if t.prepare != nil {
		t.prepare(request)
	}
	answer, err := t.next.RoundTrip(request)
	if err == nil {
		var body []byte
		body, err = io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
		_ = answer.Body.Close() // it was only read
		if bytes.Equal(bytes.TrimSpace(body), []byte("null")) {
			body = []byte("{}") // the oauth2 package panics at null
		}
		answer.Body = io.NopCloser(bytes.NewReader(body))
		if len(body) > maxAnswer {
			err = errTooLong
		}
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// ClientCredentials obtains a token for the client itself (RFC 6749 section 4.4).
func (c *Client) ClientCredentials(ctx context.Context) (*Grant, error) {
	ctx, config, err := c.config(ctx)
	if err != nil {
		return nil, err
	}
	own := clientcredentials.Config{
		ClientID: config.ClientID, ClientSecret: config.ClientSecret, TokenURL: config.Endpoint.TokenURL,
		Scopes: config.Scopes, AuthStyle: config.Endpoint.AuthStyle,
	}
	token, err := own.Token(ctx)
	return c.grant(token, err, config.ClientSecret)
}

// refresh obtains another access token for a refresh token (RFC 6749 section 6).
func (c *Client) refresh(ctx context.Context, refreshToken string) (*Grant, error) {
	ctx, config, err := c.config(ctx)
	if err != nil {
		return nil, err
	}
	token, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: refreshToken}).Token()
	return c.grant(token, err, refreshToken, config.ClientSecret)
}

// grant checks what the provider gave. The secrets are those that it got.
func (c *Client) grant(token *oauth2.Token, err error, secrets ...string) (*Grant, error) {
	if err != nil {
		return nil, c.failure(err, secrets...)
	}
	for _, secret := range []string{token.AccessToken, token.RefreshToken} {
		if !isToken(secret) {
			return nil, c.fault(Broken, errors.New("its answer has a token that cannot be sent: it has blanks or control octets, or more than 64 KiB"))
		}
	}
	if kind := token.Type(); kind != "Bearer" {
		return nil, c.fault(Broken, fmt.Errorf("its token is of the type %s, not Bearer", shown(kind)))
	}
	return &Grant{
		AccessToken: token.AccessToken, RefreshToken: token.RefreshToken,
		Obtained: time.Now().UTC().Truncate(time.Second), Expires: token.Expiry.UTC().Truncate(time.Second),
	}, nil
}

// isToken reports whether s can be sent as a token.
func isToken(s string) bool {
	for _, octet := range []byte(s) {
		if octet <= ' ' || octet > '~' {
			return false
		}
	}
	return len(s) <= maxToken
}
