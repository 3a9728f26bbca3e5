// Command delete saves each message and deletes it on the server.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/popfetch/popfetch/pop3"
)

func main() {
	ctx := context.Background()
	c, err := pop3.Dial(ctx, os.Getenv("ADDRESS"), nil)
	check(err)
	_, err = c.Capa(ctx)
	check(err)
	check(c.User(ctx, os.Getenv("NAME"), os.Getenv("PASSWORD")))
	listings, err := c.Listings(ctx)
	check(err)
	for m, err := range c.Retr(ctx, listings.Messages()) {
		check(err)
		file, err := os.Create(fmt.Sprint(m.Number, ".eml"))
		check(err)
		_, err = io.Copy(file, m)
		check(err)
		check(file.Sync())
		check(file.Close())
	}
	for _, err := range c.Dele(ctx, listings.Numbers()) {
		check(err)
	}
	check(c.Quit(ctx))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
