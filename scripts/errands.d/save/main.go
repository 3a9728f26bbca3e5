// Save lists a maildrop and saves its messages in the current folder.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/popfetch/popfetch/pop3"
)

func main() {
	ctx := context.Background()
	c, err := pop3.Dial(ctx, "pop.example.org:995", nil)
	check(err)
	check(c.User(ctx, "alice", "tanstaaf"))
	listings, err := c.Listings(ctx)
	check(err)
	for l := range listings.All() {
		fmt.Println(l.Number, l.Octets, l.UniqueID)
	}
	for m, err := range c.Retr(ctx, listings.Messages()) {
		check(err)
		text, err := io.ReadAll(m)
		check(err)
		check(os.WriteFile(fmt.Sprint(m.Number, ".eml"), text, 0o600))
	}
	check(c.Quit(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
