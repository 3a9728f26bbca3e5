package oauth

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"
)

// Revoke makes the provider forget a grant (RFC 7009). A grant that the provider does not know any
// more is no error. If the provider cannot revoke, Revoke does nothing and returns false.
func (c *Client) Revoke(ctx context.Context, g *Grant) (revoked bool, err error) {
	token, hint := g.RefreshToken, "refresh_token"
	if token == "" {
		token, hint = g.AccessToken, "access_token"
	}
	if c.RevokeURL == "" || token == "" {
		return false, nil
	}
	ctx, config, err := c.config(ctx)
	if err != nil {
		return false, err
	}
	form := url.Values{"token": {token}, "token_type_hint": {hint}}
	if !c.Basic {
		form.Set("client_id", c.ID)
		if config.ClientSecret != "" {
			form.Set("client_secret", config.ClientSecret)
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.RevokeURL, strings.NewReader(form.Encode()))
	if err != nil {
		return false, fmt.Errorf("asking for the revocation: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := c.http(ctx, c.authentication(config)).Do(request)
	if err != nil {
		return false, c.failure(err, token, config.ClientSecret)
	}
	refusal := readRefusal(answer)
	if answer.StatusCode/100 == 2 || refusal.ErrorCode == "invalid_token" || refusal.ErrorCode == "invalid_grant" {
		return true, nil
	}
	return false, c.refusal(refusal, []string{token, config.ClientSecret})
}

// readRefusal reads the error in an answer, which may have none.
func readRefusal(answer *http.Response) *oauth2.RetrieveError {
	refusal := &oauth2.RetrieveError{Response: answer}
	var said struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.NewDecoder(answer.Body).Decode(&said) == nil {
		refusal.ErrorCode, refusal.ErrorDescription = said.Error, said.Description
	}
	return refusal
}
