package oauth_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/oauth"
	"github.com/popfetch/popfetch/internal/oauthtest"
)

// clientOf returns a client of a provider.
func clientOf(p *oauthtest.Provider) *oauth.Client {
	return &oauth.Client{
		Provider: "test", ID: "popfetch", Scopes: []string{"pop", "offline_access"}, Redirect: "http://127.0.0.1",
		AuthURL: p.URL + oauthtest.Authorize, DeviceURL: p.URL + oauthtest.Device,
		TokenURL: p.URL + oauthtest.Token, RevokeURL: p.URL + oauthtest.Revoke,
	}
}

// sourceOf returns a source of a person who has signed in, and whose access token has a rest of its
// life of an hour.
func sourceOf(t *testing.T, p *oauthtest.Provider, rest time.Duration) (*oauth.Source, *oauth.Grant) {
	t.Helper()
	access, refresh := p.Grant()
	s := &oauth.Source{Client: clientOf(p), Store: oauth.NewFile(t.TempDir(), "work"), LoginCommand: "popfetch login work"}
	now := time.Now()
	g := &oauth.Grant{
		TokenURL: s.Client.TokenURL, ClientID: s.Client.ID, SignedIn: now.Add(-48 * time.Hour),
		AccessToken: access, RefreshToken: refresh, Obtained: now.Add(-time.Hour), Expires: now.Add(rest),
	}
	write(t, fileOf(s), g)
	return s, g
}

// fileOf returns the file of a source.
func fileOf(s *oauth.Source) *oauth.File { return s.Store.(*oauth.File) }

func write(t *testing.T, f *oauth.File, g *oauth.Grant) {
	t.Helper()
	if err := f.Write(t.Context(), g); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, f *oauth.File) *oauth.Grant {
	t.Helper()
	g, err := f.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// wantFault checks the fault of an error, and that its text has these parts and no secret.
func wantFault(t *testing.T, err error, want oauth.Fault, parts ...string) {
	t.Helper()
	var got *oauth.Error
	if !errors.As(err, &got) || got.Fault != want {
		t.Fatalf("error = %v (%T), want the fault %d", err, err, want)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error = %q, want %q in it", err, part)
		}
	}
	for _, secret := range []string{"access-", "refresh-", "code-", "device-secret", "hush"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("error = %q, which shows a secret", err)
		}
	}
}

// onlyFiles checks which files are in the folder of the tokens, and their modes.
func onlyFiles(t *testing.T, f *oauth.File, killed bool) {
	t.Helper()
	folder := filepath.Dir(f.Path())
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(folder, entry.Name())
		if path != f.Path() && path != f.Path()+".lock" && (!killed || path != f.Path()+".new") || info.Mode().Perm() != 0o600 {
			t.Errorf("%s is left with the mode %o", path, info.Mode())
		}
	}
}

// browse opens an address as a browser does, and returns the page at which it ends.
func browse(t *testing.T, address string) (status int, page string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Error(err)
	}
	return answer.StatusCode, string(body)
}

// refusing is a transport to a provider that is down.
type refusing struct{}

func (refusing) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("connection refused")
}

func ended(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	cancel(errors.New("told to end"))
	return ctx
}

func cancellable(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return ctx, cancel
}

// secret returns a client secret as it is configured.
func secret(s string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return s, nil }
}

// fullDisk returns a folder on a disk without room for a grant.
func fullDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("popfetch-test", dir, "tmpfs", 0, "size=16k"); err != nil {
		t.Skipf("a tmpfs cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}
