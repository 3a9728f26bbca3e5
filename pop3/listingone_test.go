package pop3

import (
	"slices"
	"testing"
)

// A server may answer UIDL for one message by a whole listing, or without the number. The session
// stays in step, and only the listing of the message itself counts.
func TestUIDLNumber_odd(t *testing.T) {
	const whole = "1 a\\r\\n2 b\\r\\n3 c\\r\\n.\\r\\n"
	for _, test := range []struct {
		name, reply string
		asks        bool // NOOP is needed to tell what the reply is
		want        UniqueIDListing
		has         bool // b, the unique-id of message 2
	}{
		{"C0036/as it should be", `+OK 2 b\r\n`, false, UniqueIDListing{2, "b"}, true},
		{"C0036/another unique-id", `+OK 2 x\r\n`, false, UniqueIDListing{2, "x"}, false},
		{"C0036/without the number", `+OK b\r\n`, true, UniqueIDListing{2, "b"}, true},
		{"C0036/another, without the number", `+OK x\r\n`, true, UniqueIDListing{2, "x"}, false},
		{"C0036/whole listing", `+OK\r\n` + whole, true, UniqueIDListing{2, "b"}, true},
		{"C0036/whole listing behind words", `+OK unique-id listing follows\r\n` + whole, true, UniqueIDListing{2, "b"}, true},
		{"C0036/whole listing behind a word", `+OK follows\r\n` + whole, true, UniqueIDListing{2, "b"}, true},
		{"C0036/whole listing, another unique-id", `+OK 3 messages\r\n1 b\r\n2 x\r\n.\r\n`, true, UniqueIDListing{2, "x"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			reply := "S- " + test.reply
			noop := "\nC: NOOP\nS: +OK"
			script := "C: UIDL 2\n" + reply
			if test.asks {
				script += noop
			}
			c := transaction(t, script+noop)
			got, err := c.UIDLNumber(t.Context(), 2)
			noError(t, "UIDLNumber(2)", err)
			equal(t, "UIDLNumber(2)", got, test.want)
			noError(t, "Noop()", c.Noop(t.Context()))

			script = "C: UIDL 2\n" + reply
			if test.name != "C0036/as it should be" && test.name != "C0036/without the number" {
				script += noop // only the unique-id that is asked for needs no proof
			}
			c = transaction(t, script+noop)
			has, err := c.HasUID(t.Context(), UniqueIDListing{2, "b"})
			noError(t, "HasUID(2 b)", err)
			equal(t, "HasUID(2 b)", has, test.has)
			noError(t, "Noop()", c.Noop(t.Context()))
		})
	}
	for name, reply := range map[string]string{
		"C0036/nothing":                          `+OK\r\n`,
		"C0036/another number":                   `+OK 1 b\r\n`,
		"C0036/whole listing, of other messages": `+OK\r\n1 b\r\n3 b\r\n.\r\n`,
		"C0036/whole listing, of no message":     `+OK\r\n.\r\n`,
	} {
		t.Run(name, func(t *testing.T) {
			c := transaction(t, "C: UIDL 2\nS- "+reply+"\nC: NOOP\nS: +OK")
			_, err := c.HasUID(t.Context(), UniqueIDListing{2, "b"})
			outOfStep(t, c, "HasUID(2 b)", err)
		})
	}
	t.Run("C0036/messages with a unique-id like a word", func(t *testing.T) {
		c := transaction(t, `C: UIDL 1
			S- +OK 1 messages\r\n1 a\r\n.\r\n
			C: NOOP
			S: +OK`)
		has, err := c.HasUID(t.Context(), UniqueIDListing{1, "a"})
		noError(t, "HasUID(1 a)", err)
		equal(t, "HasUID(1 a)", has, true)
	})
}

// Some servers end a refusal by a line with a dot where a positive reply would have one.
func TestRefusal_dot(t *testing.T) {
	for _, test := range []struct {
		name, script string
		open         func(t *testing.T, script string) *Client
	}{
		{"pipelined", "C: TOP 1 0\nC: TOP 2 0\nC: TOP 3 0\nS: -ERR no\nS: .\nS: +OK\nS: two\nS: .\nS: -ERR no\nS: .\nC: NOOP\nS: +OK", pipelined},
		{"one at a time", "C: TOP 1 0\nS: -ERR no\nS: .\nC: TOP 2 0\nS: +OK\nS: two\nS: .\nC: TOP 3 0\nS: -ERR no\nS: .\nC: NOOP\nS: +OK", transaction},
		{"late", "C: TOP 1 0\nS: -ERR no\nC: TOP 2 0\nS: .\nS: +OK\nS: two\nS: .\nC: TOP 3 0\nS: -ERR no\nC: NOOP\nS: .\nS: +OK", transaction},
	} {
		t.Run("C0032/"+test.name, func(t *testing.T) {
			c := test.open(t, test.script)
			equal(t, "Top()", bodies(c.Top(t.Context(), slices.Values([]int{1, 2, 3}), 0)),
				[]string{"1: error: server refused TOP: no", "2: two\r\n", "3: error: server refused TOP: no"})
			noError(t, "Noop()", c.Noop(t.Context()))
		})
	}
	t.Run("V0007/listings", func(t *testing.T) {
		c := transaction(t, "C: STAT\nS: +OK 1 1\nC: LIST\nS: -ERR no\nS: .\nC: UIDL\nS: -ERR no\nS: .\nC: NOOP\nS: +OK")
		l, err := c.Listings(t.Context())
		noError(t, "Listings()", err)
		refusal(t, "ScanErr", l.ScanErr, "")
		refusal(t, "UIDErr", l.UIDErr, "")
		noError(t, "Noop()", c.Noop(t.Context()))
	})
	// Nothing else is passed over: it may be what is left of a message that ended too early.
	for name, reply := range map[string]string{
		"behaviour 38/two dots":                  `-ERR no\r\n.\r\n.\r\n`,
		"behaviour 38/a dot after a message":     `+OK\r\none\r\n.\r\n.\r\n`,
		"behaviour 38/a line after the refusal":  `-ERR no\r\ntext\r\n`,
		"behaviour 38/a blank after the refusal": `-ERR no\r\n\r\n`,
	} {
		t.Run(name, func(t *testing.T) {
			c := transaction(t, "C: TOP 1 0\nS- "+reply)
			var last error
			for _, err := range c.Top(t.Context(), slices.Values([]int{1}), 0) {
				last = err
			}
			outOfStep(t, c, "Top()", last)
		})
	}
	t.Run("behaviour 38/a dot after a refused UIDL for one message", func(t *testing.T) {
		c := transaction(t, "C: UIDL 1\nS: -ERR no\nC: NOOP\nS: .")
		_, err := c.UIDLNumber(t.Context(), 1)
		refusal(t, "UIDLNumber(1)", err, "")
		outOfStep(t, c, "Noop()", c.Noop(t.Context()))
	})
}

// An empty line in a listing, or before it, says nothing. It is no message that cannot be used.
func TestListings_emptyLine(t *testing.T) {
	for name, script := range map[string]string{
		"C0038/first":             `+OK\r\n\r\n1 a\r\n2 b\r\n.\r\n`,
		"C0038/within":            `+OK\r\n1 a\r\n\r\n2 b\r\n.\r\n`,
		"C0038/before the status": `\r\n+OK\r\n1 a\r\n2 b\r\n.\r\n`,
	} {
		t.Run(name, func(t *testing.T) {
			c := transaction(t, "C: STAT\nS: +OK 2 2\nC: LIST\nS: +OK\nS: 1 1\nS: 2 1\nS: .\nC: UIDL\nS- "+script+"\nC: NOOP\nS: +OK")
			l, err := c.Listings(t.Context())
			noError(t, "Listings()", err)
			equal(t, "Malformed", l.Malformed, 0)
			equal(t, "UIDs", l.UIDs, []UniqueIDListing{{1, "a"}, {2, "b"}})
			noError(t, "Noop()", c.Noop(t.Context()))
		})
	}
	t.Run("behaviour 9/two before the status", func(t *testing.T) {
		c := transaction(t, "C: UIDL\nS:\nS:\nS: +OK\nS: .")
		_, err := c.UIDL(t.Context())
		outOfStep(t, c, "UIDL()", err)
	})
}

// All joins LIST and UIDL by message-number, and Messages has the form that Retr takes.
func TestListings_All(t *testing.T) {
	for _, test := range []struct {
		name     string
		listings Listings
		want     []Listing
	}{
		{"C0011/in the order of LIST", Listings{
			Scan: []ScanListing{{7, 70}, {2, 20}}, UIDs: []UniqueIDListing{{2, "b"}, {7, "a"}},
		}, []Listing{{7, 70, "a"}, {2, 20, "b"}}},
		{"C0038/one lacks a line", Listings{
			Scan: []ScanListing{{1, 10}, {2, 20}}, UIDs: []UniqueIDListing{{3, "c"}, {2, "b"}},
		}, []Listing{{1, 10, ""}, {2, 20, "b"}, {3, 0, "c"}}},
		{"C0037/no unique-ids", Listings{Scan: []ScanListing{{1, 10}}}, []Listing{{1, 10, ""}}},
		{"C0031/no sizes", Listings{UIDs: []UniqueIDListing{{1, "a"}}}, []Listing{{1, 0, "a"}}},
		{"C0020/no messages", Listings{}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			equal(t, "All()", slices.Collect(test.listings.All()), test.want)
			for range test.listings.All() { // a loop may be left at any time
				break
			}
			var got []Listing
			for n, octets := range test.listings.Messages() {
				got = append(got, Listing{Number: n, Octets: octets})
			}
			want := slices.Clone(test.want)
			for i := range want {
				want[i].UniqueID = ""
			}
			equal(t, "Messages()", got, want)
		})
	}
}
