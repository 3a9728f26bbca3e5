package oauth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/oauth2"

	"github.com/popfetch/popfetch/internal/escape"
)

// Fault says what a person can do about an Error.
type Fault int

// The kinds of faults.
const (
	Later     Fault = iota + 1 // the provider is unreachable, slow or has trouble, or nobody signed in in time
	Refused                    // nobody is signed in, or the provider refuses the person, the client or the token
	Broken                     // the provider's answer is not one of OAuth 2
	State                      // the file of the tokens cannot be read or written
	Uncreated                  // its folder cannot be made
	Exposed                    // others can read the file or change its folder
)

// Error means that there is no access token.
type Error struct {
	Fault Fault
	Code  string // the provider's error code (RFC 6749 section 5.2), escaped; "" if it gave none
	Err   error
}

func (e *Error) Error() string { return e.Err.Error() }

// IsTemporary reports whether there may be a token at the next try.
func (e *Error) IsTemporary() bool { return e.Fault == Later }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// longestText bounds how much of a provider's text is shown, in octets.
const longestText = 300

// shown returns a text of the provider, fit for a terminal. It masks secrets that the provider may
// repeat, also as they were in a form, and as package http quotes them.
func shown(text string, secrets ...string) string {
	for _, secret := range secrets {
		if secret != "" {
			quoted := strconv.Quote(secret)
			text = strings.NewReplacer(secret, "***", url.QueryEscape(secret), "***", quoted[1:len(quoted)-1], "***").Replace(text)
		}
	}
	return escape.Text([]byte(text), longestText)
}

// harmless returns err, or its text if that must not be shown as it is: package http repeats parts of
// an answer that is not HTTP.
func harmless(err error, secrets []string) error {
	if text := shown(err.Error(), secrets...); text != err.Error() {
		return errors.New(text)
	}
	return err
}

// fault returns an error that names the provider.
func (c *Client) fault(f Fault, err error) error {
	return &Error{Fault: f, Err: fmt.Errorf("%s: %w", c.Provider, err)}
}

// failure turns an error of the oauth2 package into one that says what it means. Its own texts have
// whole answers in them, and thus perhaps tokens. The secrets are those of the request.
func (c *Client) failure(err error, secrets ...string) error {
	var answer *oauth2.RetrieveError
	var request *url.Error
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &answer):
		return c.refusal(answer, secrets)
	case errors.Is(err, errTooLong):
		return c.fault(Broken, errTooLong)
	case errors.As(err, &certificate):
		return c.fault(Refused, fmt.Errorf("%w; if you trust its authority, name that in tls_ca", certificate))
	case errors.As(err, &request):
		return c.fault(Later, harmless(request.Err, secrets))
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, errSilent):
		return c.fault(Later, err)
	}
	return c.fault(Broken, errors.New("its answer has no access token, or is not the JSON of OAuth 2"))
}

// codes say which of the provider's error codes do not mean that it refuses.
var codes = map[string]Fault{
	"server_error":            Later, // RFC 6749 section 4.1.2.1
	"temporarily_unavailable": Later,
	"expired_token":           Later, // RFC 8628 section 3.5
}

// refusal turns an answer that is an error into an Error (RFC 6749 section 5.2).
func (c *Client) refusal(answer *oauth2.RetrieveError, secrets []string) error {
	status, code := answer.Response.StatusCode, answer.ErrorCode
	fault, known := codes[code]
	switch {
	case known:
	case status >= 500, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		fault = Later
	case code != "":
		fault = Refused
	case status == http.StatusUnauthorized:
		fault = Refused
	default:
		fault = Broken
	}
	text := fmt.Sprintf("it answers with the status %d", status)
	switch {
	case code == "expired_token":
		text = "the code has expired"
	case code != "":
		text = "it says " + shown(code, secrets...)
		if answer.ErrorDescription != "" {
			text += ": " + shown(answer.ErrorDescription, secrets...)
		}
		if code == "invalid_client" || code == "unauthorized_client" {
			text += "; see whether client_id and client_secret are right, and what the client is allowed"
		}
	case status >= 300 && status < 400:
		text += ", a redirect, which is not followed; see whether the address is right"
	case fault == Broken:
		text += " and no error of OAuth 2; see whether the address is right"
	}
	return &Error{Fault: fault, Code: shown(code, secrets...), Err: fmt.Errorf("%s: %s", c.Provider, text)}
}
