// Command composed makes one run of an account with a target over other targets, for the kill tests.
//
//	composed TARGET ADDRESS FOLDER DELETE MDA
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen/sqlite"
)

func main() {
	kind, address, dir, mda := os.Args[1], os.Args[2], os.Args[3], os.Args[5]
	account := fetch.Account{
		Name: "work", Server: address, User: "mrose", Target: target(kind, dir, mda),
		POP3: pop3.Options{
			TLS: pop3.TLSNone, ReplyTimeout: 20 * time.Second, GreetingTimeout: 20 * time.Second, StallTimeout: 20 * time.Second,
		},
		Policy: fetch.Policy{Delete: fetch.DeletePolicy{Enabled: os.Args[4] == "true"}},
	}
	credentials := &login.Credentials{User: "mrose", Password: func(context.Context) (string, error) { return "tanstaaf", nil }}
	account.Login = credentials.Login
	ctx := context.Background()
	store, err := sqlite.Open(ctx, filepath.Join(dir, "state"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(74)
	}
	runner := fetch.Runner{Store: store, Observe: func(e fetch.Event) {
		if e.Err != nil {
			fmt.Fprintln(os.Stderr, e.Kind, e.UniqueID, e.Err)
		}
	}}
	for _, result := range runner.Run(ctx, []fetch.Account{account}) {
		if result.Err != nil || result.Failed > 0 {
			fmt.Fprintln(os.Stderr, result.Failed, result.Err)
			os.Exit(75)
		}
	}
	if err := store.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(74)
	}
}

// target makes the target of that kind in a folder.
func target(kind, dir, mda string) deliver.Target {
	notes := func(name string) string { return filepath.Join(dir, "state", name) }
	maildir := deliver.Member{Name: "mail", Target: deliver.NewMaildir(filepath.Join(dir, "Maildir"))}
	second := deliver.Member{Name: "second", Target: deliver.NewMaildir(filepath.Join(dir, "Second"))}
	program := deliver.Member{Name: "mda", Target: &deliver.MDA{Command: mda}}
	filtered := func(inner deliver.Target) deliver.Target {
		return deliver.NewFilter(deliver.Filter{Command: `echo "X-Filtered: $$"; cat`, Notes: deliver.NewFileBook(notes("filter"))}, inner)
	}
	switch kind {
	case "two Maildirs":
		return deliver.NewFan([]deliver.Member{maildir, second}, deliver.NewFileBook(notes("fan")))
	case "Maildir and MDA":
		return deliver.NewFan([]deliver.Member{program, maildir}, deliver.NewFileBook(notes("fan")))
	case "filter":
		return filtered(maildir.Target)
	case "all":
		fan := deliver.NewFan([]deliver.Member{maildir, second, program}, deliver.NewFileBook(notes("fan")))
		route := deliver.NewRoute(deliver.Routing{
			Envelope: []string{"Delivered-To"}, Rules: []deliver.Rule{{Headers: []string{"X-Filtered"}, Equals: "no", Target: deliver.Drop{}}}, Otherwise: fan,
		})
		return filtered(deliver.NewHeaders([]string{"received", "popfetch"}, route))
	default:
		panic("no such target: " + kind)
	}
}
