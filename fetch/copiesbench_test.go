package fetch_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen/sqlite"
)

// BenchmarkCopies compares a maildrop whose messages all have one unique-id with one of different
// ids:
//
//	TMPDIR=/dev/shm go test ./fetch -run - -bench Copies -benchtime 3x
//
// Of each run it tells the seconds, the shortest of all rounds, and two ratios: as many copies,
// and five times as many, to 20,000 different ones. The runs are: the first; one with one message
// more; and one that deletes them all. With copies the latter two look at all headers. So do the
// runs of those with different ids, since each message has another number of octets than before.
func BenchmarkCopies(b *testing.B) {
	n := 20_000
	if testing.Short() {
		n = 2000
	}
	cases := []*copiesCase{{name: "different", n: n}, {name: "copies", n: n, copies: true}, {name: "5xcopies", n: 5 * n, copies: true}}
	for range b.N { // in turn
		for _, c := range cases {
			c.round(b)
		}
	}
	for _, run := range []string{"first", "more", "delete"} {
		base := cases[0].best[run].Seconds()
		for _, c := range cases {
			b.ReportMetric(c.best[run].Seconds(), run+"-"+c.name+"-s")
			if c.copies {
				b.ReportMetric(c.best[run].Seconds()/base, run+"-"+c.name+"-ratio")
			}
		}
	}
	b.ReportMetric(0, "ns/op")
}

// copiesCase is one of the maildrops.
type copiesCase struct {
	name   string
	n      int
	copies bool
	best   map[string]time.Duration // by run
}

func (c *copiesCase) messages(n int, listed func(octets int) string) []poptest.Message {
	messages := make([]poptest.Message, n)
	for i := range messages {
		id := "same"
		if !c.copies {
			id = fmt.Sprintf("id-%06d", i)
		}
		messages[i] = letterOf(id, fmt.Sprintf("m%06d", i))
		messages[i].Listed = listed(len(messages[i].Content))
	}
	return messages
}

// round does the three runs.
func (c *copiesCase) round(b *testing.B) {
	b.Helper()
	if c.best == nil {
		c.best = make(map[string]time.Duration)
	}
	honest := func(octets int) string { return fmt.Sprint(octets) }
	other := func(octets int) string { return fmt.Sprint(2 * octets) } // as another server counts them
	if c.copies {
		other = honest
	}
	server := poptest.NewServer(b, poptest.Maildrop{User: user, Password: secret, Messages: c.messages(c.n, honest)})
	dir := b.TempDir()
	store, err := sqlite.Open(b.Context(), filepath.Join(dir, "state"))
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	account := fetch.Account{
		Name: "work", Server: poptest.InClear(server.Addr(), true), User: user, Target: deliver.NewMaildir(filepath.Join(dir, "mail")), Login: credentials().Login,
		POP3: pop3.Options{TLS: pop3.TLSNone},
	}
	runner := &fetch.Runner{Store: store}
	run := func(name, want string) {
		b.Helper()
		begun := time.Now()
		result := runner.Run(b.Context(), []fetch.Account{account})[0]
		took := time.Since(begun)
		if got := outcome(result); got != want || result.Err != nil {
			b.Fatalf("%s, %s: the run came to %q, %v, want %q", c.name, name, got, result.Err, want)
		}
		if best, ok := c.best[name]; !ok || took < best {
			c.best[name] = took
		}
	}
	run("first", fmt.Sprintf("%d listed, %d new, %d delivered", c.n, c.n, c.n))
	drop := server.Drop("")
	drop.SetUIDs(func(int, string) string { return "gone" })
	drop.Remove("gone")
	drop.Add(c.messages(c.n+1, other)...)
	run("more", fmt.Sprintf("%d listed, 1 new, 1 delivered", c.n+1))
	account.Delete.Enabled = true
	run("delete", fmt.Sprintf("%d listed, %d deleted", c.n+1, c.n+1))
}
