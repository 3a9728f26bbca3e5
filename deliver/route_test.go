package deliver

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The first rule that matches decides, by any of the fields, on the unfolded value.
func TestRoute_rules(t *testing.T) {
	list := Rule{Headers: []string{"List-Id"}, Match: regexp.MustCompile(`(?i)<dev\.example\.org>`)}
	equals := Rule{Headers: []string{"X-Flag", "X-Other"}, Equals: "Yes, it is"}
	sales := Rule{Recipient: "sales@*.example.?rg"}
	begins := Rule{Headers: []string{"subject"}, Match: regexp.MustCompile(`^=\?utf-8\?q\?x`)}
	for name, c := range map[string]struct {
		message string
		rules   []Rule
		want    int // the rule; -1: none
	}{
		"matches":                {"List-Id: Dev <DEV.example.org>\r\n\r\n", []Rule{list}, 0},
		"lines that end in LF":   {"A: b\nList-Id: Dev <dev.example.org>\n\n", []Rule{list}, 0},
		"another case":           {"LIST-ID: <dev.example.org>\r\n\r\n", []Rule{list}, 0},
		"a blank before the :":   {"List-Id : <dev.example.org>\r\n\r\n", []Rule{list}, 0},
		"no header end":          {"A: b\r\nList-Id: <dev.example.org>", []Rule{list}, 0},
		"folded":                 {"List-Id: Dev\r\n <dev.\r\n\texample.org>\r\n\r\n", []Rule{list}, -1},
		"folded between":         {"List-Id: Dev\r\n\t<dev.example.org>\r\n\r\n", []Rule{list}, 0},
		"the second field":       {"List-Id: <a>\r\nList-Id: <dev.example.org>\r\n\r\n", []Rule{list}, 0},
		"in the body":            {"A: b\r\n\r\nList-Id: <dev.example.org>\r\n", []Rule{list}, -1},
		"in the body, LF":        {"A: b\n\nList-Id: <dev.example.org>\n", []Rule{list}, -1},
		"no header":              {"\r\nList-Id: <dev.example.org>\r\n", []Rule{list}, -1},
		"a longer name":          {"X-List-Id: <dev.example.org>\r\n\r\n", []Rule{list}, -1},
		"empty":                  {"", []Rule{list}, -1},
		"the first rule decides": {"List-Id: <dev.example.org>\r\nX-Flag: Yes, it is\r\n\r\n", []Rule{sales, equals, list}, 1},
		"equals":                 {"x-other: \t Yes, it is \t\r\n\r\n", []Rule{equals}, 0},
		"equals, folded":         {"X-Flag: Yes,\r\n it is\r\n\r\n", []Rule{equals}, 0},
		"equals in case":         {"X-Flag: yes, it is\r\n\r\n", []Rule{equals}, -1},
		"equals the whole":       {"X-Flag: Yes, it is not\r\n\r\n", []Rule{equals}, -1},
		"not decoded":            {"Subject: =?utf-8?q?x?=\r\n\r\n", []Rule{begins}, 0},
		"a recipient":            {"Delivered-To: Sales@Shop.Example.org\r\n\r\n", []Rule{list, sales}, 1},
		"a recipient, all of it": {"Delivered-To: sales@shop.example.org.net\r\n\r\n", []Rule{sales}, -1},
		"a recipient by * alone": {"To: sales@shop.example.org\r\n\r\n", []Rule{{Recipient: "*"}}, -1},
		"a dot is no pattern":    {"Delivered-To: sales@shopxexample.org\r\n\r\n", []Rule{{Recipient: "sales@shop.*"}}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 3, len(c.message) + 1} {
				r := Routing{Envelope: []string{"Delivered-To"}}
				var targets []*scripted
				for _, rule := range c.rules {
					targets = append(targets, newScripted())
					rule.Target = targets[len(targets)-1]
					r.Rules = append(r.Rules, rule)
				}
				targets = append(targets, newScripted())
				r.Otherwise = targets[len(targets)-1]
				deliverOne(t, NewRoute(r), token(1), slices.Collect(slices.Chunk([]byte(c.message), size))...)
				for i, target := range targets {
					wanted := i == c.want || c.want < 0 && i == len(targets)-1
					if got := target.got(1); wanted && !slices.Equal(got, []string{string(toLF([]byte(c.message)))}) || !wanted && len(got) > 0 {
						t.Errorf("in pieces of %d: target %d got %q, want %t the message", size, i, got, wanted)
					}
				}
			}
		})
	}
}

// The envelope recipient is that of the first header with a usable address. It is never guessed.
func TestRoute_recipient(t *testing.T) {
	names := []string{"X-Envelope-To", "Delivered-To"}
	for header, want := range map[string]string{
		"Delivered-To: a@example.org\r\n":                                "a@example.org",
		"delivered-to:  <a@example.org> \r\n":                            "a@example.org",
		"Delivered-To: Alice <a@example.org>\r\n":                        "a@example.org",
		"Delivered-To: a@example.org\r\nX-Envelope-To: b@example.org":    "b@example.org",
		"Delivered-To: a@example.org\r\nDelivered-To: b@example.org\r\n": "a@example.org",
		"To: a@example.org\r\nCc: a@example.org\r\n":                     "",
		"Delivered-To: a b@example.org\r\n":                              "",
		"Delivered-To: a\x01b@example.org\r\n":                           "",
		"Delivered-To: a\x7fb@example.org\r\n":                           "",
		"Delivered-To:\r\n":                                              "",
		"Delivered-To: " + strings.Repeat("a", 254) + "\r\n":             strings.Repeat("a", 254),
		"Delivered-To: " + strings.Repeat("a", 255) + "\r\n":             "",
		"X-Envelope-To: \x01\r\nDelivered-To: a@example.org\r\n":         "a@example.org",
		"X-Envelope-To: x y\r\nX-Envelope-To: a@example.org\r\n":         "",
	} {
		target := newScripted()
		deliverOne(t, NewRoute(Routing{Envelope: names, Otherwise: target}), token(1), []byte(header+"\r\n\r\n"))
		if got := target.envs[0].Recipient; got != want {
			t.Errorf("the recipient of %q = %q, want %q", header, got, want)
		}
	}
}

// What is dropped is Safe and nowhere.
func TestRoute_drop(t *testing.T) {
	other := newScripted()
	r := NewRoute(Routing{Rules: []Rule{{Headers: []string{"X-Spam"}, Match: regexp.MustCompile("."), Target: Drop{}}}, Otherwise: other})
	receipt, v := bring(t, r, 1, "X-Spam: yes\r\n\r\ntext\r\n")
	if v.Outcome != Safe || len(receipt.Places) != 0 || receipt.Came.Octets != 18 || len(other.messages) != 0 {
		t.Errorf("%+v, %+v, the other target got %d; want Safe, 18 octets, no place, none", v, receipt, len(other.messages))
	}
}

// A header that does not end is held up to a bound. Then what is there decides.
func TestRoute_longHeader(t *testing.T) {
	m, other := newMaildir(t), newScripted()
	r := NewRoute(Routing{Rules: []Rule{{Headers: []string{"X-Early"}, Equals: "yes", Target: m}, {Headers: []string{"X-Late"}, Equals: "yes", Target: Drop{}}}, Otherwise: other})
	long := "X-Early: yes\r\nX-Long: " + strings.Repeat("x", mostHead) + "\r\nX-Late: yes\r\n\r\nbody\r\n"
	d := create(t, begin(t, r), token(1))
	for piece := range slices.Chunk([]byte(long), 64<<10) {
		write(t, d, piece)
		if held := cap(d.(*routeDelivery).head.held); held > 2*mostHead+64<<10 {
			t.Fatalf("%d octets are held, want about %d", held, mostHead)
		}
	}
	closeDelivery(t, d)
	deliverOne(t, r, token(2), []byte(strings.Replace(long, "X-Early", "X-Other", 1)))
	if len(other.got(2)) != 1 {
		t.Errorf("a field behind the bound was looked at")
	}
}

// A batch holds messages for several targets, also for one that takes one message at a time.
func TestRoute_batch(t *testing.T) {
	m, program := newMaildir(t), newScripted()
	program.limit.Messages = 1
	notes := below(t, "notes")
	byFan := NewFan([]Member{{"program", program}}, NewFileBook(notes))
	r := NewRoute(Routing{Rules: []Rule{{Headers: []string{"X-To"}, Equals: "program", Target: byFan}}, Otherwise: NewFan([]Member{{"mail", m}}, NewFileBook(below(t, "other")))})
	if got := r.Limit().Messages; got != mixedMessages {
		t.Errorf("Limit().Messages = %d, want %d, since the fan has notes", got, mixedMessages)
	}
	if got := NewRoute(Routing{Otherwise: m, Rules: []Rule{{Recipient: "*", Target: program}}}).Limit().Messages; got != 1 {
		t.Errorf("Limit().Messages = %d, want 1, since a crash would repeat the batch to the program", got)
	}
	batch := begin(t, r)
	var closed []Delivery
	for n := range 10 {
		d := create(t, batch, token(n))
		write(t, d, fmt.Appendf(nil, "X-To: %s\r\n\r\n%d\r\n", []string{"program", "mail"}[n%2], n))
		closeDelivery(t, d)
		closed = append(closed, d)
	}
	commit(t, batch, closed...)
	if program.commits != 5 || len(inMaildir(t, m)) != 5 {
		t.Errorf("%d for the program, %d in the Maildir, want 5 each", program.commits, len(inMaildir(t, m)))
	}
	for n, d := range closed {
		if got := d.Receipt().Places; len(got) != 1 || got[0].Target != []string{"program", "mail"}[n%2] {
			t.Errorf("the places of message %d = %+v, want the name of its target", n, got)
		}
	}
	r.(Recorder).Recorded(token(0), token(2))
	if noted, err := NewNotes[fanNote](NewFileBook(notes)).All(); len(noted) != 3 || err != nil {
		t.Errorf("%d notes (%v) are left, want 3", len(noted), err)
	}
}

// A message that any target holds is found, whatever the rules say now.
func TestRoute_found(t *testing.T) {
	first, second, program := newMaildir(t), newMaildir(t), newScripted()
	program.limit.Messages = 1
	r := NewRoute(Routing{
		Rules:     []Rule{{Recipient: "x", Target: program}, {Recipient: "y", Target: NewFan([]Member{{"first", first}}, NewFileBook(below(t, "1")))}},
		Otherwise: NewFan([]Member{{"second", second}}, NewFileBook(below(t, "2"))),
	})
	deliverOne(t, first, token(1), []byte("one\r\n"))
	deliverOne(t, second, token(2), []byte("two\r\n"))
	finder, _ := AsFinder(r)
	for n, want := range map[int]string{1: "first", 2: "second"} {
		places := foundIn(t, r, n)
		if len(places) != 1 {
			t.Fatalf("Find() of message %d = %q, want one place", n, places)
		}
		if got := finder.PlaceOf(places[0]); got.Target != want || PlacesOf(finder, places[0])[0] != got {
			t.Errorf("PlaceOf() = %+v, want target %s", got, want)
		}
		if got := openPlace(t, finder, places[0]); got != map[int]string{1: "one\n", 2: "two\n"}[n] {
			t.Errorf("Open() = %q, want message %d", got, n)
		}
		if err := finder.Sync(t.Context(), places); err != nil {
			t.Errorf("Sync() = %v, want no error", err)
		}
	}
	if own, _, err := finder.Holds(t.Context()); own != 2 || err != nil {
		t.Errorf("Holds() = %d, %v, want 2", own, err)
	}
	if all := collect(t, finder.Places(t.Context())); len(all) != 2 {
		t.Errorf("Places() = %q, want both", all)
	}
	if err := finder.Sync(t.Context(), []string{"7:x"}); err == nil {
		t.Error("Sync() at no target succeeded, want an error")
	}
}

// An error of the target that is chosen is that of the message.
func TestRoute_errors(t *testing.T) {
	refusing, broken := newScripted(), newScripted()
	refusing.write, broken.commit = refusal(true), errors.New("broken")
	r := NewRoute(Routing{Rules: []Rule{{Headers: []string{"A"}, Equals: "1", Target: refusing}}, Otherwise: broken})
	if _, v := bring(t, r, 1, "A: 1\r\n\r\n"); v.Outcome != Deferred {
		t.Errorf("the verdict = %+v, want the refusal", v)
	}
	if _, v := bring(t, r, 2, "A: 2\r\n\r\n"); v.Outcome != Unknown || !errors.Is(v.Err, broken.commit) {
		t.Errorf("the verdict = %+v, want Unknown and why", v)
	}
	// The header has not ended when the message has: Close chooses the target, which refuses.
	if _, v := bring(t, r, 3, "A: 1\r\n"); v.Outcome != Deferred {
		t.Errorf("the verdict = %+v, want the refusal", v)
	}
	d := create(t, begin(t, r), token(4))
	if err := d.Abort(); err != nil {
		t.Errorf("Abort() before a target is chosen = %v, want no error", err)
	}
}

// All targets are prepared, and probed.
func TestRoute_Prepare(t *testing.T) {
	dir := t.TempDir()
	one, two := NewMaildir(filepath.Join(dir, "one")), NewMaildir(filepath.Join(dir, "two"))
	r := NewRoute(Routing{Rules: []Rule{{Recipient: "x", Target: one}}, Otherwise: two})
	if err := r.Prepare(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*Maildir{one, two} {
		if err := os.Rename(m.path, m.path+"-gone"); err != nil {
			t.Fatal(err)
		}
		if err := r.Prepare(t.Context(), false); !errors.Is(err, ErrMissing) {
			t.Errorf("Prepare() without %s = %v, want ErrMissing", m.path, err)
		}
		if err := r.(Prober).Probe(t.Context(), false); !errors.Is(err, ErrMissing) {
			t.Errorf("Probe() without %s = %v, want ErrMissing", m.path, err)
		}
		if err := os.Rename(m.path+"-gone", m.path); err != nil {
			t.Fatal(err)
		}
	}
	if room, err := r.Room(t.Context()); room <= 0 || err != nil {
		t.Errorf("Room() = %d, %v, want some", room, err)
	}
}

// A target may be given in several rules, and is then one target.
func TestRoute_sameTarget(t *testing.T) {
	m := newMaildir(t)
	r := NewRoute(Routing{Rules: []Rule{{Recipient: "x", Target: m}, {Recipient: "y", Target: m}}, Otherwise: m})
	deliverOne(t, m, token(1), []byte("one\r\n"))
	if places := foundIn(t, r, 1); len(places) != 1 {
		t.Errorf("Find() = %q, want one place", places)
	}
}

// benchmarkMessage is a message of usual size with a usual header.
var benchmarkMessage = func() []byte {
	var b bytes.Buffer
	for i := range 25 {
		fmt.Fprintf(&b, "X-Header-%d: a value of a usual length, which is like this\r\n\t(and a fold)\r\n", i)
	}
	b.WriteString("\r\n")
	for b.Len() < 10<<10 {
		b.WriteString("a line of the body that is not very long\r\n")
	}
	return b.Bytes()
}()

// BenchmarkRoute delivers messages to one of two Maildirs, through ten rules, and into one without
// rules.
func BenchmarkRoute(b *testing.B) {
	maildir := func(b *testing.B) *Maildir {
		dir, err := os.MkdirTemp("/dev/shm", "popfetch-bench-") // the disk of others would disturb
		if err != nil {
			b.Skip(err)
		}
		b.Cleanup(func() { _ = os.RemoveAll(dir) })
		m := NewMaildir(filepath.Join(dir, "Maildir"))
		if err := m.Prepare(b.Context(), true); err != nil {
			b.Fatal(err)
		}
		return m
	}
	deliver := func(b *testing.B, target Target) {
		b.SetBytes(100 * int64(len(benchmarkMessage)))
		for n := 0; b.Loop(); {
			batch, err := target.Begin(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			for range 100 {
				d, err := batch.Create(b.Context(), Envelope{Token: token(n)})
				if err != nil {
					b.Fatal(err)
				}
				_, err = d.Write(benchmarkMessage)
				if err := errors.Join(err, d.Close()); err != nil {
					b.Fatal(err)
				}
				n++
			}
			if err := batch.Commit(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("plain", func(b *testing.B) { deliver(b, maildir(b)) })
	b.Run("route", func(b *testing.B) {
		r := Routing{Envelope: []string{"Delivered-To"}, Otherwise: maildir(b)}
		for i := range 9 {
			r.Rules = append(r.Rules, Rule{Headers: []string{"List-Id", fmt.Sprintf("X-Header-%d", i)}, Match: regexp.MustCompile(`<dev\.example\.org>`), Target: Drop{}})
		}
		r.Rules = append(r.Rules, Rule{Headers: []string{"X-Header-20"}, Match: regexp.MustCompile("usual"), Target: maildir(b)})
		deliver(b, NewRoute(r))
	})
}

// BenchmarkRoute_choose is what a route adds to each message.
func BenchmarkRoute_choose(b *testing.B) {
	r := &route{envelope: []string{"Delivered-To"}}
	for i := range 10 {
		r.rules = append(r.rules, rule{Rule: Rule{Headers: []string{"List-Id", fmt.Sprintf("X-Header-%d", i)}, Match: regexp.MustCompile(`<dev\.example\.org>`)}})
	}
	for b.Loop() {
		r.choose(benchmarkMessage, "")
	}
}
