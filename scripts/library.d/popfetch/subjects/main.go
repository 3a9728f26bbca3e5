// Command subjects prints the subject of each message.
package main

import (
	"context"
	"fmt"
	"net/mail"
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
	for m, err := range c.Top(ctx, listings.Numbers(), 0) {
		check(err)
		message, err := mail.ReadMessage(m)
		check(err)
		fmt.Println(message.Header.Get("Subject"))
	}
	check(c.Quit(ctx))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
