package poptest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// ProviderOptions are the options of [StartProvider]. Nil means the zero value.
type ProviderOptions struct {
	// Life is how long access tokens are good. Zero means 5 minutes. The provider tells it in whole
	// seconds, rounded down, so less than 2 s is told as nothing.
	Life time.Duration
}

// Provider is a running OpenID provider. It belongs to one test. The methods may be called
// concurrently.
type Provider struct {
	Endpoints
	// Users maps names to passwords. It is alice and bob.
	Users map[string]string `json:"users"`
	// Client is the id of a public client. It has authorization codes with PKCE, device codes and
	// refresh tokens. It may redirect to any port and path of loopback.
	Client string `json:"client_id"`
	// Service is a client that has client credentials only. It has a maildrop of its own name.
	Service       string `json:"service_id"`
	ServiceSecret string `json:"service_secret"`
	// Resource is the client that may introspect tokens: the POP3 server.
	Resource       string `json:"resource_id"`
	ResourceSecret string `json:"resource_secret"`
	// Scope is the scope without which a token is not good for the POP3 server.
	Scope string `json:"scope"`

	t   TB
	end func()
}

// Endpoints are the addresses of a provider. Their scheme is http.
type Endpoints struct {
	Issuer        string `json:"issuer"`
	Authorization string `json:"authorization_endpoint"`
	Device        string `json:"device_authorization_endpoint"`
	Token         string `json:"token_endpoint"`
	Introspection string `json:"introspection_endpoint"`
	Revocation    string `json:"revocation_endpoint"`
	Keys          string `json:"jwks_uri"`
}

// providerDir is the folder of the provider's module, below that of popfetch's.
var providerDir = filepath.Join("internal", "oauth", "realprovider")

// providerStart is held while a provider starts, so that a process builds it once.
var providerStart sync.Mutex

// StartProvider builds the provider in internal/oauth/realprovider and runs it. If its modules
// cannot be downloaded, the test is skipped. With POPFETCH_TEST_PROVIDER=1 the test fails instead.
// If the test fails, it shows the log.
func StartProvider(t TB, options *ProviderOptions) *Provider {
	t.Helper()
	if options == nil {
		options = &ProviderOptions{}
	}
	life := options.Life
	if life == 0 {
		life = 5 * time.Minute
	}
	providerStart.Lock()
	defer providerStart.Unlock()
	p := &Provider{t: t}
	dir, missing := findUpwards(providerDir)
	if missing == nil {
		err := p.run(dir, life)
		if err == nil {
			return p
		}
		if missing = modulesMissing(dir); missing == nil {
			t.Fatalf("starting the provider: %v", err)
		}
	}
	if os.Getenv("POPFETCH_TEST_PROVIDER") == "1" {
		t.Fatalf("POPFETCH_TEST_PROVIDER=1, but the provider cannot be built: %v", missing)
	}
	t.Skipf("the provider cannot be built: %v", missing)
	return nil
}

// run starts the program and reads its first line. Go keeps the built program in its cache. The
// program ends when its standard input is closed, even if this process is killed.
func (p *Provider) run(dir string, life time.Duration) error {
	cmd := exec.Command("go", "run", "-C", dir, ".", "-for", "10m", "-life", life.String())
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("opening a pipe: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("opening a pipe: %w", err)
	}
	log := new(bytes.Buffer)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("running go: %w", err)
	}
	p.end = sync.OnceFunc(func() {
		_ = stdin.Close()
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait() // how it ended does not matter
	})
	if err := json.NewDecoder(stdout).Decode(p); err != nil {
		p.end()
		return fmt.Errorf("reading its addresses: %w; its log:\n%s", err, log)
	}
	p.t.Cleanup(func() {
		p.end()
		if p.t.Failed() {
			p.t.Logf("the provider's log:\n%s", log)
		}
	})
	return nil
}

// Stop ends the provider, so that nothing listens at its endpoints. The test's cleanup does it too.
func (p *Provider) Stop() { p.end() }

// modulesMissing returns why the modules of a folder cannot be had, or nil if all are there.
func modulesMissing(dir string) error {
	log := new(bytes.Buffer)
	list := exec.Command("go", "list", "-C", dir, "-deps", ".")
	list.Stderr = log
	if err := list.Run(); err != nil {
		return fmt.Errorf("go list: %w: %s", err, bytes.TrimSpace(log.Bytes()))
	}
	return nil
}

// findUpwards returns the path of a folder in the working folder or in one above it.
func findUpwards(name string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("looking for the working folder: %w", err)
	}
	for {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		if filepath.Dir(dir) == dir {
			return "", errors.New("there is no " + name + " above the working folder")
		}
		dir = filepath.Dir(dir)
	}
}

// Dovecot returns options for [StartDovecot]. Dovecot then has the mechanisms OAUTHBEARER and
// XOAUTH2 besides the others, and asks the provider about each token. It has a maildrop for each
// user, with the same password, and for the service. It takes no password for a token.
func (p *Provider) Dovecot() *DovecotOptions {
	p.t.Helper()
	users := map[string]string{p.Service: p.ServiceSecret}
	for name, password := range p.Users {
		users[name] = password
	}
	at := p.Resource + ":" + p.ResourceSecret + "@"
	file := filepath.Join(p.t.TempDir(), "dovecot-oauth2.conf.ext")
	text := "introspection_mode = post\n" +
		"introspection_url = " + strings.Replace(p.Introspection, "://", "://"+at, 1) + "\n" +
		"username_attribute = username\nactive_attribute = active\nactive_value = true\n" +
		"scope = " + p.Scope + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		p.t.Fatalf("writing Dovecot's configuration: %v", err)
	}
	return &DovecotOptions{
		Users: users,
		Extra: "auth_mechanisms = $auth_mechanisms oauthbearer xoauth2\n",
		Passdb: `passdb {
  driver = oauth2
  mechanisms = oauthbearer xoauth2
  args = ` + file + `
  result_failure = return-fail
}`,
	}
}
