// Mboxrun makes one run of some users of a server, who all share an mbox. Tests kill it.
//
//	mboxrun STATE SERVER MBOX DELETE USER…
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
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4] == "true", os.Args[5:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func password(context.Context) (string, error) { return "tanstaaf", nil }

func run(state, server, mbox string, remove bool, users []string) error {
	ctx := context.Background()
	store, err := sqlite.Open(ctx, state)
	if err != nil {
		return err
	}
	defer store.Close()
	const patience = 20 * time.Second
	var accounts []fetch.Account
	for i, user := range users {
		name := "work"
		if i > 0 {
			name += "-" + user
		}
		accounts = append(accounts, fetch.Account{
			Name: name, Server: server, User: user,
			Target: deliver.NewMbox(mbox, deliver.NewFileBook(filepath.Join(state, name+".mbox"))),
			Policy: fetch.Policy{Delete: fetch.DeletePolicy{Enabled: remove}},
			POP3: pop3.Options{
				TLS: pop3.TLSNone, DialTimeout: patience, GreetingTimeout: patience,
				ReplyTimeout: patience, StallTimeout: patience,
			},
			Login: (&login.Credentials{User: user, Password: password}).Login,
		})
	}
	for _, result := range (&fetch.Runner{Store: store}).Run(ctx, accounts) {
		if result.Err == nil && result.Failed > 0 {
			result.Err = fmt.Errorf("%d messages failed", result.Failed)
		}
		if result.Err != nil {
			return result.Err
		}
	}
	return nil
}
