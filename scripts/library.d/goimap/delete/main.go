package main

import (
	"fmt"
	"io"
	"os"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

func main() {
	c, err := imapclient.DialTLS(os.Getenv("ADDRESS"), nil)
	check(err)
	check(c.Login(os.Getenv("NAME"), os.Getenv("PASSWORD")).Wait())
	selected, err := c.Select("INBOX", nil).Wait()
	check(err)
	if selected.NumMessages == 0 {
		return
	}
	all := imap.SeqSet{}
	all.AddRange(1, selected.NumMessages)
	whole := &imap.FetchItemBodySection{Peek: true}
	fetch := c.Fetch(all, &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{whole}})
	for m := fetch.Next(); m != nil; m = fetch.Next() {
		for item := m.Next(); item != nil; item = m.Next() {
			if body, is := item.(imapclient.FetchItemDataBodySection); is {
				file, err := os.Create(fmt.Sprint(m.SeqNum, ".eml"))
				check(err)
				_, err = io.Copy(file, body.Literal)
				check(err)
				check(file.Sync())
				check(file.Close())
			}
		}
	}
	check(fetch.Close())
	check(c.Store(all, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close())
	check(c.Expunge().Close())
	check(c.Logout().Wait())
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
