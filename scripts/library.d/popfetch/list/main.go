// Command list prints the octets and the unique-id of each message.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/popfetch/popfetch/pop3"
)

func main() {
	ctx := context.Background()
	c, err := pop3.Dial(ctx, os.Getenv("ADDRESS"), nil)
	check(err)
	check(c.User(ctx, os.Getenv("NAME"), os.Getenv("PASSWORD")))
	listings, err := c.Listings(ctx)
	check(err)
	for l := range listings.All() {
		fmt.Println(l.Octets, l.UniqueID)
	}
	check(c.Quit(ctx))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
