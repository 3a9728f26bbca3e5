// Command watch prints each new message.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/popfetch/popfetch/pop3"
)

func main() {
	known := make(map[string]bool)
	for ; ; time.Sleep(time.Second) {
		ctx := context.Background()
		c, err := pop3.Dial(ctx, os.Getenv("ADDRESS"), nil)
		check(err)
		check(c.User(ctx, os.Getenv("NAME"), os.Getenv("PASSWORD")))
		listings, err := c.Listings(ctx)
		check(err)
		for l := range listings.All() {
			if !known[l.UniqueID] {
				fmt.Println("new", l.Octets, l.UniqueID)
			}
			known[l.UniqueID] = true
		}
		check(c.Quit(ctx))
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
