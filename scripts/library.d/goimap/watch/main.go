package main

import (
	"fmt"
	"os"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

func main() {
	counts := make(chan uint32, 10)
	c, err := imapclient.DialTLS(os.Getenv("ADDRESS"), &imapclient.Options{
		UnilateralDataHandler: &imapclient.UnilateralDataHandler{
			Mailbox: func(data *imapclient.UnilateralDataMailbox) {
				if data.NumMessages != nil {
					counts <- *data.NumMessages
				}
			},
		},
	})
	check(err)
	check(c.Login(os.Getenv("NAME"), os.Getenv("PASSWORD")).Wait())
	selected, err := c.Select("INBOX", &imap.SelectOptions{ReadOnly: true}).Wait()
	check(err)
	known := uint32(0)
	for count := selected.NumMessages; ; {
		if count > known {
			fresh := imap.SeqSet{}
			fresh.AddRange(known+1, count)
			messages, err := c.Fetch(fresh, &imap.FetchOptions{UID: true, RFC822Size: true}).Collect()
			check(err)
			for _, m := range messages {
				fmt.Println("new", m.RFC822Size, m.UID)
			}
		}
		known = count
		idle, err := c.Idle()
		check(err)
		count = <-counts
		check(idle.Close())
		check(idle.Wait())
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
