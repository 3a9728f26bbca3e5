package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/popfetch/popfetch/internal/pgtest"
	"github.com/popfetch/popfetch/internal/poptest"
)

// crew is a number of accounts, of which workers share a database.
type crew struct {
	*maildrops
	names []string
	url   string
	db    *pgx.Conn
}

// newCrew returns accounts that are polled every interval.
func newCrew(t *testing.T, accounts int, lines ...string) *crew {
	t.Helper()
	c := newCrewAt(t, pgtest.Database(t), accounts, lines...)
	var err error
	if c.db, err = pgx.Connect(t.Context(), c.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.db.Close(context.Background()) })
	return c
}

// newCrewAt is newCrew with a database that the test may stop.
func newCrewAt(t *testing.T, url string, accounts int, lines ...string) *crew {
	t.Helper()
	c := &crew{maildrops: newMaildrops(t), url: url}
	c.top = fmt.Sprintf("state = %q\nlease = \"5s\"\njobs = 20", url)
	for i := range accounts {
		name := fmt.Sprintf("a%02d", i)
		c.names = append(c.names, name)
		c.add(name, lines...)
	}
	return c
}

// mail adds a message to each account.
func (c *crew) mail(id string) {
	c.t.Helper()
	for _, name := range c.names {
		c.servers[name].Drop("mrose").Add(poptest.Message{UniqueID: id, Content: []byte("Subject: " + id + "\r\n\r\n" + name + "\r\n")})
	}
}

// delivered waits until each account has delivered so many messages, and checks that it has no
// more. It returns how long that took.
func (c *crew) delivered(want int) time.Duration {
	c.t.Helper()
	began := time.Now()
	for _, name := range c.names {
		eventually(c.t, fmt.Sprintf("%s has delivered %d messages", name, want), func() bool { return c.mails(name) >= want })
		if got := c.mails(name); got != want {
			c.t.Errorf("%s has delivered %d messages, want %d", name, got, want)
		}
	}
	return time.Since(began)
}

// one returns what a query of the database finds.
func one[T any](c *crew, query string, args ...any) (found T) {
	c.t.Helper()
	if err := c.db.QueryRow(c.t.Context(), query, args...).Scan(&found); err != nil {
		c.t.Fatal(err)
	}
	return found
}
