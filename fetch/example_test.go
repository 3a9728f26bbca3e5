package fetch_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/seen/sqlite"
)

// Fetch the new messages of one account into a Maildir, over TLS, and delete on the server what was
// delivered a month ago.
func ExampleRunner_Run() {
	ctx := context.Background()
	store, err := sqlite.Open(ctx, "/home/alice/.local/state/popfetch")
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	credentials := &login.Credentials{
		User: "alice",
		Password: func(context.Context) (string, error) {
			return os.Getenv("MAIL_PASSWORD"), nil
		},
	}
	runner := fetch.Runner{
		Store: store,
		Observe: func(e fetch.Event) {
			if e.Kind == fetch.Delivered {
				fmt.Println(e.Account, e.UniqueID, e.Octets)
			}
		},
	}
	results := runner.Run(ctx, []fetch.Account{{
		Name:   "work",
		Server: "pop.example.org:995",
		User:   "alice",
		Login:  credentials.Login,
		Target: deliver.NewMaildir("/home/alice/Maildir"),
		Policy: fetch.Policy{Delete: fetch.DeletePolicy{Enabled: true, After: 30 * 24 * time.Hour}},
	}})
	for _, result := range results {
		fmt.Println(result.Account, result.Delivered, result.Err)
	}
}
