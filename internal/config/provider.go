package config

import "maps"

// provider is what popfetch knows of a provider of OAuth 2.
type provider struct {
	auth, token, device, revoke string
	scopes                      []string
	appScopes                   []string // for client_credentials
	redirect                    string
	flows                       []string // the usual one first
	extra                       map[string]string
	basic                       bool // a client secret goes into a header
}

// The ways to sign in.
const (
	flowDevice  = "device"
	flowBrowser = "browser"
	flowClient  = "client_credentials"
)

// usualRedirect is where a browser is sent (RFC 8252 section 7.3).
const usualRedirect = "http://127.0.0.1"

// usualTenant serves accounts of organizations and of persons.
const usualTenant = "common"

// providers are the values of the key provider. Their manuals are linked in docs/providers.md.
var providers = map[string]func(OAuth) provider{
	"google": func(OAuth) provider {
		return provider{
			auth:     "https://accounts.google.com/o/oauth2/v2/auth",
			token:    "https://oauth2.googleapis.com/token",
			revoke:   "https://oauth2.googleapis.com/revoke",
			scopes:   []string{"https://mail.google.com/"},
			redirect: usualRedirect,
			flows:    []string{flowBrowser}, // its device flow does not serve mail
			extra:    map[string]string{"access_type": "offline", "prompt": "consent"},
		}
	},
	"microsoft": func(o OAuth) provider {
		tenant := o.Tenant
		if tenant == "" {
			tenant = usualTenant
		}
		at := "https://login.microsoftonline.com/" + tenant + "/oauth2/v2.0/"
		return provider{
			auth: at + "authorize", token: at + "token", device: at + "devicecode",
			scopes:    []string{"https://outlook.office.com/POP.AccessAsUser.All", "offline_access"},
			appScopes: []string{"https://outlook.office365.com/.default"},
			redirect:  "http://localhost", // it knows no other without a port
			flows:     []string{flowDevice, flowBrowser, flowClient},
		}
	},
	"yahoo": func(OAuth) provider {
		return provider{
			auth:     "https://api.login.yahoo.com/oauth2/request_auth",
			token:    "https://api.login.yahoo.com/oauth2/get_token",
			revoke:   "https://api.login.yahoo.com/oauth2/revoke",
			scopes:   []string{"mail-w"},
			redirect: "http://localhost",
			flows:    []string{flowBrowser},
			basic:    true,
		}
	},
}

// providerWords are the values of the key provider.
var providerWords = []string{"google", "microsoft", "yahoo"}

// resolve returns what is known of the provider of o.
func (o OAuth) resolve() provider {
	if known := providers[o.Provider]; known != nil {
		return known(o)
	}
	p := provider{
		auth: o.AuthURL, token: o.TokenURL, device: o.DeviceURL, revoke: o.RevokeURL,
		redirect: usualRedirect, basic: !o.ClientSecret.IsZero(), // RFC 6749 section 2.3.1
	}
	if p.device != "" {
		p.flows = append(p.flows, flowDevice)
	}
	if p.auth != "" {
		p.flows = append(p.flows, flowBrowser)
	}
	p.flows = append(p.flows, flowClient)
	return p
}

// SignIn is how an account obtains access tokens. Everything is filled in.
type SignIn struct {
	Provider  string // google, microsoft, yahoo, or the host of the token endpoint
	AuthURL   string
	TokenURL  string
	DeviceURL string // "": the provider has no device flow
	RevokeURL string // "": the provider cannot revoke tokens
	Flow      string // device, browser or client_credentials
	Flows     []string
	ClientID  string
	Secret    Secret // the zero value: the client has none
	Basic     bool   // the secret goes into a header
	Scopes    []string
	Redirect  string
	Extra     map[string]string
}

// SignIn returns how the account obtains access tokens. It returns the zero value if token_command
// gives them.
func (o OAuth) SignIn() SignIn {
	if o.ClientID == "" {
		return SignIn{}
	}
	p := o.resolve()
	s := SignIn{
		Provider: o.Provider, AuthURL: p.auth, TokenURL: p.token, DeviceURL: p.device, RevokeURL: p.revoke,
		Flow: o.Flow, Flows: p.flows, ClientID: o.ClientID, Secret: o.ClientSecret, Basic: p.basic,
		Scopes: o.Scopes, Redirect: o.RedirectURI, Extra: map[string]string{},
	}
	if s.Provider == "" {
		s.Provider = hostOf(s.TokenURL)
	}
	if s.Flow == "" {
		s.Flow = p.flows[0]
	}
	if len(s.Scopes) == 0 {
		s.Scopes = p.scopes
		if s.Flow == flowClient {
			s.Scopes = p.appScopes
		}
	}
	if s.Redirect == "" {
		s.Redirect = p.redirect
	}
	maps.Copy(s.Extra, p.extra)
	maps.Copy(s.Extra, o.Extra)
	return s
}
