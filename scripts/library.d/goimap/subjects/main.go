package main

import (
	"fmt"
	"os"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

func main() {
	c, err := imapclient.DialTLS(os.Getenv("ADDRESS"), nil)
	check(err)
	check(c.Login(os.Getenv("NAME"), os.Getenv("PASSWORD")).Wait())
	selected, err := c.Select("INBOX", &imap.SelectOptions{ReadOnly: true}).Wait()
	check(err)
	if selected.NumMessages == 0 {
		return
	}
	all := imap.SeqSet{}
	all.AddRange(1, selected.NumMessages)
	messages, err := c.Fetch(all, &imap.FetchOptions{Envelope: true}).Collect()
	check(err)
	for _, m := range messages {
		fmt.Println(m.Envelope.Subject)
	}
	check(c.Logout().Wait())
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
