package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/oauth"
	"github.com/popfetch/popfetch/internal/oauthtest"
	"github.com/popfetch/popfetch/internal/systrace"
)

// childVariable makes the test binary a program that prints a token. Its value is the address of the
// provider, and the state folder.
const childVariable = "POPFETCH_TEST_OAUTH"

func TestMain(m *testing.M) {
	if url, dir, found := strings.Cut(os.Getenv(childVariable), " "); found {
		os.Exit(child(url, dir))
	}
	os.Exit(m.Run())
}

func child(url, dir string) int {
	s := &oauth.Source{Client: clientOf(&oauthtest.Provider{URL: url}), Store: oauth.NewFile(dir, "work")}
	token, err := s.Token(context.Background())
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(token)
	return 0
}

// refreshing is a provider and a person whose access token has ended.
type refreshing struct {
	p   *oauthtest.Provider
	s   *oauth.Source
	old *oauth.Grant
	dir string
}

func newRefreshing(t *testing.T, options ...oauthtest.Option) *refreshing {
	t.Helper()
	r := &refreshing{p: oauthtest.New(t, options...), dir: t.TempDir()}
	r.s, r.old = sourceOf(t, r.p, -time.Hour)
	r.s.Store = oauth.NewFile(r.dir, "work")
	write(t, fileOf(r.s), r.old)
	return r
}

// run has a process refresh. It makes the verdict on the nth call that concerns the tokens' folder,
// before or after the call, and reports whether there was one.
func (r *refreshing) run(t *testing.T, nth int, after bool, verdict systrace.Verdict) (met bool, said string) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	env := append(os.Environ(), childVariable+"="+r.p.URL+" "+r.dir)
	_, err = systrace.Run([]string{os.Args[0]}, env, out, time.Minute, func(c *systrace.Call, done bool) systrace.Verdict {
		if !strings.HasPrefix(c.Path, r.dir) || done != after {
			return systrace.Verdict{}
		}
		if nth--; nth != 0 {
			return systrace.Verdict{}
		}
		met = true
		return verdict
	})
	if errors.Is(err, systrace.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return met, strings.TrimSpace(string(text))
}

// TestKill kills a refresh before and after each of its calls. The file always has a whole grant, and
// the next run has a good token. If a provider accepts a refresh token only once, a person may have to
// sign in again.
func TestKill(t *testing.T) {
	t.Parallel()
	for _, once := range []bool{false, true} {
		t.Run(fmt.Sprintf("refresh token is good only once: %v", once), func(t *testing.T) {
			t.Parallel()
			var options []oauthtest.Option
			if once {
				options = append(options, oauthtest.Rotates)
			}
			kills, lost := 0, 0
			for _, after := range []bool{false, true} {
				for nth := 1; ; nth++ {
					r := newRefreshing(t, options...)
					if met, _ := r.run(t, nth, after, systrace.Verdict{Kill: true}); !met {
						break
					}
					kills++
					if !r.isWhole(t, once) {
						lost++
					}
				}
			}
			t.Logf("%d kills; after %d of them somebody must sign in again", kills, lost)
			if kills < 20 || lost > 0 && !once {
				t.Errorf("%d kills, of which %d lost the sign-in", kills, lost)
			}
		})
	}
}

// isWhole checks what a killed process has left. It reports whether the sign-in still holds.
func (r *refreshing) isWhole(t *testing.T, once bool) bool {
	t.Helper()
	onlyFiles(t, fileOf(r.s), true)
	kept := read(t, fileOf(r.s))
	if kept.AccessToken != r.old.AccessToken && !r.p.Accepts(kept.AccessToken) {
		t.Errorf("the file has %+v", kept)
	}
	token, err := r.s.Token(t.Context())
	if err != nil {
		if !once {
			t.Error(err)
		}
		wantFault(t, err, oauth.Refused, "sign in: popfetch login work")
		return false
	}
	if !r.p.Accepts(token) {
		t.Errorf("Token() = %s, which the provider does not accept", token)
	}
	return true
}

// TestBrokenDisk lets each call fail. The run has a token or an error, and the next run has a token.
func TestBrokenDisk(t *testing.T) {
	t.Parallel()
	failed := 0
	for nth := 1; ; nth++ {
		r := newRefreshing(t)
		met, said := r.run(t, nth, false, systrace.Verdict{Fail: syscall.EIO})
		if !met {
			break
		}
		if !r.p.Accepts(said) {
			failed++
			if !strings.Contains(said, "input/output error") {
				t.Errorf("with call %d broken, the run said %q", nth, said)
			}
		}
		r.isWhole(t, false)
	}
	if failed < 5 {
		t.Errorf("%d calls that failed were told", failed)
	}
}
