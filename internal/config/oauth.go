package config

import (
	"context"
	"fmt"
	"slices"

	"github.com/popfetch/popfetch/internal/hosts"
)

// OAuth is the value of the key oauth: where an access token of OAuth 2 comes from. The zero value
// means that the account has a password.
type OAuth struct {
	TokenCommand string // for /bin/sh -c; the token is the first line of the output
}

// IsZero reports whether the account has no access token.
func (o OAuth) IsZero() bool { return o == OAuth{} }

// tokenGroup has the sources of a token; a table has exactly one.
const tokenGroup group = 1

var oauthKeys = table[OAuth]{
	{
		name: "token_command", group: tokenGroup, example: `"oama access alice@example.org"`,
		field:   fill(func(o *OAuth) *string { return &o.TokenCommand }, text(value.command)),
		aliases: []string{"tokencommand", "access_token_command"},
	},
}

// tokenMechanisms are the mechanisms that take an access token.
var tokenMechanisms = []string{"oauthbearer", "xoauth2"}

// Token returns an access token: the first line that the command prints. The command runs for at
// most a minute, in a process group of its own. If it gives no token, the error is a *SecretError. No
// error contains the token. Several goroutines may call Token at the same time.
func (o OAuth) Token(ctx context.Context) (string, error) {
	r, _ := oauthKeys.filling(&o, &o.TokenCommand)
	return Secret{Command: o.TokenCommand}.resolve(ctx, r.name, "the token")
}

// oauthFits checks that the account logs in by a mechanism that takes a token, and that nobody on the
// way can read the token.
func oauthFits(d *draft[Account]) error {
	a := d.result
	for _, name := range a.Auth {
		if !slices.Contains(tokenMechanisms, name) && name != "external" {
			return fmt.Errorf("is not used where %s names %s; write %s, or remove one of them",
				d.named(&a.Auth), name, listed(tokenMechanisms, "or"))
		}
	}
	if a.TLS == "none" && (!hosts.IsLoopback(a.Server) || a.ConnectCommand != "") {
		return fmt.Errorf("an access token is not sent without TLS, and %s is none; remove that", d.named(&a.TLS))
	}
	return nil
}

// tokenMechanismsNeedOAuth checks that a mechanism that takes a token has one.
func tokenMechanismsNeedOAuth(d *draft[Account]) error {
	if d.has(&d.result.OAuth) {
		return nil
	}
	for _, name := range d.result.Auth {
		if slices.Contains(tokenMechanisms, name) {
			return fmt.Errorf("%q logs in by an access token; write the table %s", name, d.name(&d.result.OAuth))
		}
	}
	return nil
}
