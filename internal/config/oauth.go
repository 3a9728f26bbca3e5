package config

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/popfetch/popfetch/internal/hosts"
)

// OAuth is the value of the key oauth: where an access token of OAuth 2 comes from. The zero value
// means that the account has a password. Either TokenCommand or ClientID is set. The fields below
// ClientID say what the person has written; SignIn fills in the rest.
type OAuth struct {
	TokenCommand string // for /bin/sh -c; the token is the first line of the output

	ClientID     string
	ClientSecret Secret
	Provider     string // one of google, microsoft and yahoo; "": the URLs are set
	AuthURL      string
	TokenURL     string
	DeviceURL    string
	RevokeURL    string
	Scopes       []string
	Tenant       string // of microsoft
	Flow         string
	RedirectURI  string
	Extra        map[string]string
}

// IsZero reports whether the account has no access token.
func (o OAuth) IsZero() bool { return o.TokenCommand == "" && o.ClientID == "" }

// The groups of the table oauth: a token comes from a command or a client, a provider is known or
// described, and a client has at most one secret.
const (
	tokenGroup group = iota + 1
	endpointGroup
	clientSecretGroup
)

var oauthKeys = table[OAuth]{
	{
		name: "provider", group: endpointGroup, needless: []func(*draft[OAuth]) string{besideTokenCommand},
		field: fill(func(o *OAuth) *string { return &o.Provider }, oneOf(providerWords...)),
	},
	{
		name: "client_id", group: tokenGroup,
		field:   fill(func(o *OAuth) *string { return &o.ClientID }, text(value.printable)),
		check:   clientHasProvider,
		aliases: []string{"clientid", "oauth2_client_id"},
	},
	{
		name: "client_secret", group: clientSecretGroup, needless: []func(*draft[OAuth]) string{besideTokenCommand},
		field:  fill(func(o *OAuth) *string { return &o.ClientSecret.Password }, text(value.printable)),
		secret: func(o *OAuth) []any { return []any{&o.ClientSecret.File, &o.ClientSecret.Command} },
	},
	{
		name: "client_secret_file", group: clientSecretGroup, needless: []func(*draft[OAuth]) string{besideTokenCommand},
		field: fill(func(o *OAuth) *string { return &o.ClientSecret.File }, text(value.secretFile)),
	},
	{
		name: "client_secret_command", group: clientSecretGroup, needless: []func(*draft[OAuth]) string{besideTokenCommand},
		field: fill(func(o *OAuth) *string { return &o.ClientSecret.Command }, text(value.command)),
	},
	{
		name: "tenant", needless: []func(*draft[OAuth]) string{besideTokenCommand},
		field: fill(func(o *OAuth) *string { return &o.Tenant }, text(value.tenant)),
		check: tenantIsOfMicrosoft,
	},
	{
		name: "flow", needless: []func(*draft[OAuth]) string{besideTokenCommand},
		field: fill(func(o *OAuth) *string { return &o.Flow }, oneOf(flowDevice, flowBrowser, flowClient)),
		check: flowFits,
	},
	{
		name: "redirect_uri", needless: []func(*draft[OAuth]) string{besideTokenCommand, besideClientFlow},
		check:   browserFits,
		field:   fill(func(o *OAuth) *string { return &o.RedirectURI }, text(value.redirect)),
		aliases: []string{"redirect_url", "redirecturi"},
	},
	{
		name: "extra", needless: []func(*draft[OAuth]) string{besideTokenCommand, besideClientFlow},
		check: browserFits,
		field: fill(func(o *OAuth) *map[string]string { return &o.Extra }, parameters),
	},
	{
		name: "scopes", needless: []func(*draft[OAuth]) string{besideTokenCommand},
		field:   fill(func(o *OAuth) *[]string { return &o.Scopes }, words),
		aliases: []string{"scope"},
	},
	{
		name: "auth_url", needless: []func(*draft[OAuth]) string{besideTokenCommand, besideProvider},
		field:   fill(func(o *OAuth) *string { return &o.AuthURL }, text(value.endpoint)),
		aliases: []string{"authorize_url", "auth_uri", "authorization_endpoint"},
	},
	{
		name: "token_url", group: endpointGroup, needless: []func(*draft[OAuth]) string{besideTokenCommand},
		field:   fill(func(o *OAuth) *string { return &o.TokenURL }, text(value.endpoint)),
		aliases: []string{"token_uri", "token_endpoint"},
	},
	{
		name: "device_url", needless: []func(*draft[OAuth]) string{besideTokenCommand, besideProvider},
		field:   fill(func(o *OAuth) *string { return &o.DeviceURL }, text(value.endpoint)),
		aliases: []string{"devicecode_url", "device_authorization_endpoint"},
	},
	{
		name: "revoke_url", needless: []func(*draft[OAuth]) string{besideTokenCommand, besideProvider},
		field:   fill(func(o *OAuth) *string { return &o.RevokeURL }, text(value.endpoint)),
		aliases: []string{"revocation_endpoint"},
	},
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

// ResolveSecret returns the client secret, as Secret.Resolve returns a password.
func (o OAuth) ResolveSecret(ctx context.Context) (string, error) {
	key := ""
	for _, r := range oauthKeys.members(clientSecretGroup) {
		if r.toml(&o) != "" {
			key = r.name
		}
	}
	return o.ClientSecret.resolve(ctx, key, "the client secret")
}

// besideTokenCommand returns why a key has no meaning if another program signs in, or "".
func besideTokenCommand(d *draft[OAuth]) string {
	if command := &d.result.TokenCommand; d.has(command) {
		return "is not used together with " + d.named(command)
	}
	return ""
}

// besideProvider returns why the endpoints of a known provider are not written, or "".
func besideProvider(d *draft[OAuth]) string {
	if provider := &d.result.Provider; d.has(provider) {
		return "is not used together with " + d.named(provider)
	}
	return ""
}

// besideClientFlow returns why a key about the browser has no meaning if no person signs in, or "".
func besideClientFlow(d *draft[OAuth]) string {
	if flow := &d.result.Flow; *flow == flowClient {
		return "is not used where " + d.named(flow) + " is " + flowClient
	}
	return ""
}

// browserFits checks that a browser can be sent to the provider.
func browserFits(d *draft[OAuth]) error {
	if auth := &d.result.AuthURL; d.has(&d.result.TokenURL) && !d.has(auth) {
		return fmt.Errorf("is not used without %s; write that too, or remove this", d.name(auth))
	}
	return nil
}

// clientHasProvider checks that the client of an account is somebody's, and that it can sign in.
func clientHasProvider(d *draft[OAuth]) error {
	o := d.result
	switch {
	case !d.has(&o.Provider) && !d.has(&o.TokenURL):
		return fmt.Errorf("has no provider; write %s = %s, or %s",
			d.name(&o.Provider), alternatives(providerWords), d.name(&o.TokenURL))
	case d.has(&o.TokenURL) && len(o.resolve().flows) == 1 && o.Flow == "":
		return fmt.Errorf("cannot sign in; write %s or %s too, or %s = %q",
			d.name(&o.DeviceURL), d.name(&o.AuthURL), d.name(&o.Flow), flowClient)
	}
	return secretFits(d)
}

// secretFits checks that the client has a secret if the provider gives it one, and else none.
func secretFits(d *draft[OAuth]) error {
	o := d.result
	none := o.ClientSecret.IsZero()
	switch {
	case o.Provider == "microsoft" && o.Flow != flowClient && !none:
		return errors.New("has no secret at microsoft, since persons sign in; remove the key of the secret")
	case (o.Provider == "google" || o.Provider == "yahoo") && none:
		return fmt.Errorf("has a secret at %s; write %s or %s too", o.Provider, d.name(&o.ClientSecret.File), d.name(&o.ClientSecret.Command))
	}
	return nil
}

// tenantIsOfMicrosoft checks that the provider has tenants.
func tenantIsOfMicrosoft(d *draft[OAuth]) error {
	if d.result.Provider != "microsoft" {
		return errors.New("is a key for microsoft alone; remove it")
	}
	return nil
}

// flowFits checks that the provider allows the way to sign in.
func flowFits(d *draft[OAuth]) error {
	o := d.result
	flows := o.resolve().flows
	if !slices.Contains(flows, o.Flow) {
		if o.Provider == "" {
			return fmt.Errorf("%q needs the address for it; write %s", o.Flow,
				d.name(map[string]any{flowDevice: &o.DeviceURL, flowBrowser: &o.AuthURL}[o.Flow]))
		}
		return fmt.Errorf("%s does not allow %q for mail; write %s", o.Provider, o.Flow, alternatives(flows))
	}
	if o.Flow != flowClient {
		return nil
	}
	shared := []string{"", usualTenant, "consumers", "organizations"}
	if o.Provider == "microsoft" && slices.Contains(shared, o.Tenant) {
		return fmt.Errorf("%q needs the organization's own %s; write its id or domain", flowClient, d.name(&o.Tenant))
	}
	if o.ClientSecret.IsZero() {
		return fmt.Errorf("%q needs a secret; write %s or %s", flowClient,
			d.name(&o.ClientSecret.File), d.name(&o.ClientSecret.Command))
	}
	return nil
}

// oauthFits checks that the account logs in by a mechanism that takes a token, and that nobody on the
// way can read the token.
func oauthFits(d *draft[Account]) error {
	a := d.result
	for _, name := range a.Auth {
		if !slices.Contains(tokenMechanisms, name) && !slices.Contains(secretless, name) {
			return fmt.Errorf("is not used where %s names %s; write %s, or remove one of them",
				d.named(&a.Auth), name, listed(tokenMechanisms, "or"))
		}
	}
	if a.TLS == "none" && (!hosts.IsLoopback(a.Server) || a.ConnectCommand != "" || !a.Proxy.IsZero()) {
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
