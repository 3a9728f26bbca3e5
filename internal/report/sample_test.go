package report

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// made is when the pages of tests are made, a Monday.
var made = time.Date(2026, 11, 30, 13, 20, 0, 0, time.UTC)

// foreignText has all that a stranger may try.
const foreignText = "</title><script>alert(1)</script> \" onload='x' --> ]]> \u202egpj.exe\u2066 \x1b[31m \xff &amp; {{.}}"

// pageOf returns the page about accounts.
func pageOf(t *testing.T, accounts ...Account) string {
	t.Helper()
	var page bytes.Buffer
	if err := Write(&page, &Data{Made: made, Version: "popfetch 1.0", Accounts: accounts}); err != nil {
		t.Fatal(err)
	}
	return page.String()
}

// sample makes an account that was fetched every five minutes for so many days.
func sample(name string, days int, seed uint64) Account {
	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
	a := Account{
		Name: name, Server: "pop.example.org:995", User: name + "@example.org", State: Well,
		Success: made.Add(-3 * time.Minute), Ran: made.Add(-3 * time.Minute), Next: made.Add(2 * time.Minute),
		Maildrop: Maildrop{At: made.Add(-3 * time.Minute), Listed: 1234},
	}
	busy := 1 + random.IntN(60)
	for i := days - 1; i >= 0; i-- {
		d := Day{Date: slotOf(made, oneDay).Add(-time.Duration(i) * oneDay), Sizes: make([]int, 28)}
		d.Runs, d.Delivered = 288, random.IntN(busy+1)
		if weekday := d.Date.Weekday(); weekday == time.Saturday || weekday == time.Sunday {
			d.Delivered /= 4
		}
		for range d.Delivered {
			magnitude := min(10+int(random.ExpFloat64()*3), 27)
			size := int64(1)<<magnitude - 1
			d.Octets, d.Largest = d.Octets+size, max(d.Largest, size)
			d.Sizes[magnitude]++
		}
		d.Took, d.Longest = 288*400*time.Millisecond, 40*time.Second
		if random.IntN(20) == 0 {
			d.Failed = random.IntN(288)
			d.Errors = map[string]int{"open/timed-out": d.Failed}
		}
		a.Total.add(d.Counts)
		a.Days = append(a.Days, d)
	}
	for i, n := range []int{120, 4000, 900, 300, 50, 12, 3, 0, 1} {
		bounds := []time.Duration{1e8, 3e8, 1e9, 3e9, 1e10, 3e10, 6e10, 18e10, 0}
		a.Durations = append(a.Durations, Duration{UpTo: bounds[i], Runs: n})
	}
	return a
}

// manySamples makes 30 accounts with the longest history. Some have trouble, and texts that are long
// or foreign.
func manySamples() []Account {
	var accounts []Account
	for i := range 30 {
		accounts = append(accounts, sample(fmt.Sprintf("account-%d", i+1), 400, uint64(i)))
	}
	a := &accounts[3]
	a.Name, a.State, a.Since = "work", NeedsPerson, made.Add(-50*time.Hour)
	a.Problem = "login: the server refused the log-in: plain: server refused PASS: [AUTH] wrong password for " +
		"aVeryLongUserNameWithoutAnyBlanks@a-very-long-domain-name-without-any-blanks.example.org"
	a.Advice, a.Command = "Look at user and password. This examines the account:",
		"popfetch check work --config /home/alice/.config/popfetch/config.toml"
	a.Total.Deleted = 1234567
	a = &accounts[7]
	a.State, a.Problem, a.Since = Retrying, "open: dial tcp 192.0.2.1:995: connect: connection refused", made.Add(-50*time.Minute)
	accounts[9] = Account{Name: "Büro – نص", Server: "pop.example.net:995", User: "bob", State: Unknown}
	a = &accounts[12]
	a.Name, a.State, a.Problem = foreignText, NeedsPerson, "2 messages are quarantined"
	a.Advice, a.Command = "This tries them again:", "popfetch seen forget account-13 --quarantined"
	a.Maildrop.Quarantined, a.Maildrop.Backlog, a.Maildrop.Due = 2, 17, 3
	a.Days[399].Errors = map[string]int{foreignText: 3, "login/refused/pass/auth": 2}
	a.Asides = []Aside{
		{"000000364a0d" + foreignText, 34567, "quarantined", "MDA procmail: exit status 65: " + foreignText, made.Add(-400 * time.Hour), 5},
		{"UID-of-a-server-that-likes-long-names-and-no-blanks-0123456789-0123456789", 0, "too large", "more than max_size", made.Add(-4 * time.Hour), 0},
	}
	a.MoreAside = 12345
	return accounts
}
