package report

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

var made = time.Date(2026, 11, 30, 13, 20, 0, 0, time.UTC)

// sample makes an account with so many days of mail.
func sample(name string, days int, seed uint64) Account {
	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
	a := Account{Name: name, Server: "pop.example.org:995", User: name + "@example.org", State: Well,
		Success: made.Add(-3 * time.Minute), Ran: made.Add(-3 * time.Minute), Next: made.Add(2 * time.Minute)}
	busy := 1 + random.IntN(60)
	for i := days - 1; i >= 0; i-- {
		d := Day{Date: made.Truncate(oneDay).Add(-time.Duration(i) * oneDay), Sizes: make([]int, 28)}
		d.Runs = 288
		d.Delivered = random.IntN(busy + 1)
		if weekday := d.Date.Weekday(); weekday == time.Saturday || weekday == time.Sunday {
			d.Delivered /= 4
		}
		for range d.Delivered {
			magnitude := 10 + int(random.ExpFloat64()*3)
			magnitude = min(magnitude, 27)
			octets := int64(1)<<magnitude - 1
			d.Octets, d.Largest = d.Octets+octets, max(d.Largest, octets)
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
		a.Durations = append(a.Durations, Duration{UpTo: []time.Duration{1e8, 3e8, 1e9, 3e9, 1e10, 3e10, 6e10, 18e10, 0}[i], Runs: n})
	}
	a.Maildrop = Maildrop{At: a.Ran, Listed: 1234}
	return a
}

func TestDraft(t *testing.T) {
	folder := os.Getenv("REPORT_DRAFT")
	if folder == "" {
		t.Skip()
	}
	small := &Data{Made: made, Version: "popfetch 1.0", Accounts: []Account{sample("work", 3, 1)}}
	large := &Data{Made: made, Version: "popfetch 1.0"}
	for i := range 30 {
		large.Accounts = append(large.Accounts, sample(fmt.Sprintf("account-%d", i), 400, uint64(i)))
	}
	bad := &large.Accounts[3]
	bad.Name = "work"
	bad.State, bad.Problem, bad.Since = NeedsPerson, `work: login: the server refused the log-in: plain: server refused PASS: [AUTH] wrong password for aVeryLongUserNameWithoutAnyBlanks@a-long-domain-name.example.org`, made.Add(-50*time.Hour)
	bad.Advice, bad.Command = "Look at user and password; then run:", "popfetch check work --config /home/alice/.config/popfetch/config.toml"
	bad = &large.Accounts[7]
	bad.State, bad.Problem, bad.Since = Retrying, "account-7: open: dial tcp 192.0.2.1:995: connect: connection refused", made.Add(-50*time.Minute)
	large.Accounts[9] = Account{Name: "new", Server: "pop.example.net:995", User: "bob", State: Unknown}
	bad = &large.Accounts[12]
	bad.State, bad.Problem = NeedsPerson, "2 messages are quarantined"
	bad.Command = "popfetch seen forget account-12 --quarantined"
	bad.Maildrop.Quarantined, bad.Maildrop.Backlog = 2, 17
	bad.Asides = []Aside{
		{"000000364a0d\u202e5c<script>alert(1)</script>", 34567, "quarantined", "MDA procmail: exit status 65: \x1b[31mmessage is evil\u2066", made.Add(-400 * time.Hour), 5},
		{"UID-with-a-very-long-name-that-has-no-blank-in-it-0123456789-0123456789", 0, "too large", "more than max_size allows (1048576 octets)", made.Add(-4 * time.Hour), 0},
	}
	for name, data := range map[string]*Data{"small": small, "large": large} {
		var page bytes.Buffer
		if err := Write(&page, data); err != nil {
			t.Fatal(err)
		}
		t.Log(name, page.Len())
		os.WriteFile(folder+"/"+name+".html", page.Bytes(), 0o600)
	}
}
