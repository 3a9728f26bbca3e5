package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"
)

// Invitation is what a person needs to sign in on any device (RFC 8628 section 3.2). Its texts are
// fit for a terminal.
type Invitation struct {
	URL      string
	Code     string    // to be typed there
	Complete string    // the URL with the code in it, or ""
	Expires  time.Time // zero: the provider does not say
}

// usualExpiry is how long a person has if the provider does not say.
const usualExpiry = 15 * time.Minute

// Device signs a person in by a code that is typed on any device (RFC 8628). It calls show once, and
// then waits until the person has agreed, or the code has expired. While the provider is unreachable,
// it asks again.
func (c *Client) Device(ctx context.Context, show func(Invitation) error) (*Grant, error) {
	bound, config, err := c.config(ctx)
	if err != nil {
		return nil, err
	}
	authenticated := context.WithValue(ctx, oauth2.HTTPClient, c.http(ctx, c.authentication(config)))
	answer, err := config.DeviceAuth(authenticated, c.secretParameters(config)...)
	if err != nil {
		return nil, c.failure(err, config.ClientSecret)
	}
	invitation, err := c.invitation(answer)
	if err != nil {
		return nil, err
	}
	if err := show(invitation); err != nil {
		return nil, err
	}
	for {
		token, err := config.DeviceAccessToken(bound, answer)
		switch {
		case err == nil:
			return c.stamped(c.grant(token, nil))
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case !time.Now().Before(answer.Expiry):
			return nil, c.fault(Later, errors.New("the code has expired; sign in anew"))
		}
		failed := c.failure(err, answer.DeviceCode, config.ClientSecret)
		if !isPassing(failed) {
			return nil, failed
		}
		answer.Interval += slower // RFC 8628 section 3.5
	}
}

// slower is by how many seconds the interval grows after trouble.
const slower = 5

// isPassing reports whether the provider has trouble that may pass while a person signs in.
func isPassing(err error) bool {
	var fault *Error
	return errors.As(err, &fault) && fault.Fault == Later && fault.Code != "expired_token"
}

// invitation checks the answer to a device authorization request, and completes it.
func (c *Client) invitation(answer *oauth2.DeviceAuthResponse) (Invitation, error) {
	if answer.Expiry.IsZero() {
		answer.Expiry = time.Now().Add(usualExpiry)
	}
	answer.Interval = min(max(answer.Interval, 0), int64(usualExpiry/time.Second)) // 0 means the usual one
	switch {
	case answer.DeviceCode == "", answer.UserCode == "":
		return Invitation{}, c.fault(Broken, errors.New("its answer has no code"))
	case !isWebAddress(answer.VerificationURI):
		return Invitation{}, c.fault(Broken, fmt.Errorf("its answer has no address to open, but %q", shown(answer.VerificationURI)))
	}
	i := Invitation{URL: shown(answer.VerificationURI), Code: shown(answer.UserCode), Expires: answer.Expiry}
	if isWebAddress(answer.VerificationURIComplete) {
		i.Complete = shown(answer.VerificationURIComplete)
	}
	return i, nil
}

// isWebAddress reports whether a person can open the address in a browser.
func isWebAddress(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// authentication returns a function that adds the client's secret to a request, for those to which the
// oauth2 package does not (RFC 8628 section 3.1, RFC 7009 section 2.1).
func (c *Client) authentication(config *oauth2.Config) func(*http.Request) {
	return func(request *http.Request) {
		if c.Basic { // encoded as RFC 6749 section 2.3.1 says
			request.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(config.ClientSecret))
		}
	}
}

// secretParameters returns the secret for such a request, if it is a parameter.
func (c *Client) secretParameters(config *oauth2.Config) []oauth2.AuthCodeOption {
	if c.Basic || config.ClientSecret == "" {
		return nil
	}
	return []oauth2.AuthCodeOption{oauth2.SetAuthURLParam("client_secret", config.ClientSecret)}
}
