package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/popfetch/popfetch/internal/oauthtest"
	"github.com/popfetch/popfetch/internal/poptest"
)

// providersKey is the key of a script's providers of OAuth 2, by name.
type providersKey struct{}

// oauthCommands are the commands of scripts about signing in; TestScript describes them.
var oauthCommands = map[string]func(*testscript.TestScript, bool, []string){
	"provider":       cmdProvider,
	"providerwhen":   cmdProviderWhen,
	"providerend":    cmdProviderEnd,
	"providercount":  cmdProviderCount,
	"providerbrowse": cmdProviderBrowse,
}

func providerOf(ts *testscript.TestScript, name string) *oauthtest.Provider {
	p := ts.Value(providersKey{}).(map[string]*oauthtest.Provider)[name]
	if p == nil {
		ts.Fatalf("there is no provider %s", name)
	}
	return p
}

func cmdProvider(ts *testscript.TestScript, neg bool, args []string) {
	all := servers(ts, neg, len(args) >= 1, "provider NAME option...")
	var options []oauthtest.Option
	for _, arg := range args[1:] {
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "rotates":
			options = append(options, oauthtest.Rotates)
		case "norefresh":
			options = append(options, oauthtest.NoRefresh)
		case "denied":
			options = append(options, oauthtest.Denied)
		case "life":
			life, err := time.ParseDuration(value)
			ts.Check(err)
			options = append(options, oauthtest.Life(life))
		default:
			ts.Fatalf("provider knows no %s", key)
		}
	}
	p := oauthtest.New(all.t, options...)
	ts.Value(providersKey{}).(map[string]*oauthtest.Provider)[args[0]] = p
	ts.Setenv(args[0], p.URL)
}

func cmdProviderWhen(ts *testscript.TestScript, neg bool, args []string) {
	servers(ts, neg, len(args) >= 3, "providerwhen NAME PATH STATUS [CODE TEXT]")
	status, err := strconv.Atoi(args[2])
	ts.Check(err)
	answer := oauthtest.Answer{Status: status, Body: "no"}
	if len(args) > 3 {
		answer = oauthtest.Error(status, args[3], strings.Join(args[4:], " "))
	}
	providerOf(ts, args[0]).Script(args[1], answer)
}

func cmdProviderEnd(ts *testscript.TestScript, neg bool, args []string) {
	servers(ts, neg, len(args) == 1, "providerend NAME")
	providerOf(ts, args[0]).End()
}

func cmdProviderCount(ts *testscript.TestScript, neg bool, args []string) {
	servers(ts, neg, len(args) == 3, "providercount NAME N PATH")
	if got := len(providerOf(ts, args[0]).Requests(args[2])); strconv.Itoa(got) != args[1] {
		ts.Fatalf("%s got %d requests for %s, want %s", args[0], got, args[2], args[1])
	}
}

// cmdProviderBrowse opens the first address in a file, as soon as it is there. It says where the
// browser ends.
func cmdProviderBrowse(ts *testscript.TestScript, neg bool, args []string) {
	servers(ts, neg, len(args) == 1, "providerbrowse FILE")
	address := regexp.MustCompile(`http://\S+/authorize\S+`)
	for until := time.Now().Add(30 * time.Second); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		if found := address.Find(text); err == nil && found != nil {
			page, err := openPage(string(found))
			ts.Check(err)
			ts.Logf("the browser ends at: %s", page)
			return
		}
	}
	ts.Fatalf("%s has no address to open", args[0])
}

func openPage(address string) (string, error) {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, page)
	}
	return string(page), err
}

// takeTokensOf is the server's side of a mechanism, which asks a provider whether tokens are good.
func takeTokensOf(p *oauthtest.Provider) poptest.Mechanism {
	return func(_ *poptest.Session, _ []byte, ask func([]byte) ([]byte, error)) (string, error) {
		message, err := ask(nil)
		if err != nil {
			return "", err
		}
		user, _, _ := strings.Cut(strings.TrimPrefix(string(message), "n,a="), ",")
		_, token, _ := strings.Cut(string(message), "\x01auth=Bearer ")
		if p.Accepts(strings.TrimSuffix(token, "\x01\x01")) {
			return user, nil
		}
		if _, err := ask([]byte(`{"status":"invalid_token"}`)); err != nil {
			return "", err
		}
		return "", errors.New("[AUTH] no")
	}
}
