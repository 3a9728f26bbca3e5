package deliver

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var allHeaders = []string{"popfetch", "received", "delivered-to", "return-path"}

// withHeaders delivers a message, and returns it as it stands in the Maildir.
func withHeaders(t *testing.T, names []string, env Envelope, message string, size int) string {
	t.Helper()
	m := newMaildir(t)
	batch := begin(t, NewHeaders(names, m))
	d, err := batch.Create(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	for piece := range slices.Chunk([]byte(message), size) {
		write(t, d, piece)
	}
	closeDelivery(t, d)
	commit(t, batch, d)
	if came, _ := Measure(strings.NewReader(message)); d.Receipt().Came != came {
		t.Errorf("Receipt().Came = %+v, want %+v", d.Receipt().Came, came)
	}
	got := inMaildir(t, m)[0]
	if places := d.Receipt().Places; len(places) != 1 || places[0].Octets != int64(len(got)) {
		t.Errorf("Receipt().Places = %+v, want the %d octets of the file", places, len(got))
	}
	return got
}

func TestHeaders_lines(t *testing.T) {
	env := Envelope{Token: token(1), Account: "work", User: "alice", Server: "pop.example.org:995", UniqueID: "a%b \xff", Recipient: "sales@example.org"}
	const message = "Subject: s\r\n\r\ntext\r\n"
	got := withHeaders(t, allHeaders, env, message, 5)
	want := regexp.MustCompile(`^Return-Path:  <>
Delivered-To: sales@example\.org
Received: from pop\.example\.org
	by \S+
	with POP3 id [0-9a-f]{32}
	for <sales@example\.org>;
	\w{3}, \d{2} \w{3} \d{4} \d{2}:\d{2}:\d{2} [+-]\d{4}
X-Popfetch: account=work; uid=a%25b%20%FF
Subject: s

text
$`)
	if !want.MatchString(got) {
		t.Errorf("delivered\n%s, want\n%s", got, want)
	}
	env.Recipient, env.Server = "", "[::1]:995"
	got = withHeaders(t, allHeaders, env, "Return-path: <bob@example.org>\r\n"+message, 100)
	if !strings.HasPrefix(got, "Delivered-To: alice\nReceived: from [IPv6:::1]\n\tby ") || !strings.Contains(got, token(1).String()+";\n\t") ||
		strings.Count(got, "eturn-") != 1 || strings.Count(got, "alice") != 1 {
		t.Errorf("delivered\n%s, want the user, an address, no recipient in Received, and the Return-Path that was there", got)
	}
	env.UniqueID, env.User, env.Server = strings.Repeat("x", 70), "al ice\r\nX: y", "192.0.2.1"
	got = withHeaders(t, allHeaders, env, message, 100)
	if !strings.Contains(got, "X-Popfetch: account=work;\n uid=xxx") || !strings.Contains(got, "\nDelivered-To: al%20ice%0D%0AX:%20y\n") ||
		!strings.Contains(got, "from [192.0.2.1]\n") {
		t.Errorf("delivered\n%s, want a fold, and no line of somebody else", got)
	}
	for line := range strings.Lines(got) {
		if len(line) > 79 && !strings.HasPrefix(line, "\tby ") {
			t.Errorf("line %q is longer than 78 octets", line)
		}
	}
	for name, line := range map[string]string{"return-path": "Return-Path:  <>\n", "delivered-to": "Delivered-To: al", "received": "Received: from ", "popfetch": "X-Popfetch: account=work;"} {
		got := withHeaders(t, []string{name}, env, message, 100)
		if top, _, _ := strings.Cut(got, "Subject: s"); !strings.HasPrefix(top, line) || strings.Count(top, ": ") > 2 {
			t.Errorf("with %s: %q, want only its line", name, top)
		}
	}
}

// How a message came is told exactly: also if it begins with such lines itself.
func TestHeaders_CameAs(t *testing.T) {
	env := Envelope{Token: token(1), Account: "work", User: "alice", Server: "pop.example.org:995", UniqueID: "uid", Recipient: "sales@example.org"}
	long := env
	long.UniqueID, long.Recipient = strings.Repeat("%", 70), ""
	for mask := range 1 << len(allHeaders) {
		var names []string
		for i, name := range allHeaders {
			if mask>>i&1 == 1 {
				names = append(names, name)
			}
		}
		h := NewHeaders(names, newMaildir(t)).(*headersWhole).headers
		lines := string(h.lines(env, nil, anyTime))
		m := newMaildir(t)
		target := NewHeaders(names, m)
		batch := begin(t, target)
		delivered := make(map[Token]Delivery)
		message := make(map[Token]string)
		for _, e := range []Envelope{env, long} {
			for _, text := range []string{
				"Subject: s\r\n\r\ntext\r\n", "", "\r\n", "\ttext\r\n", " uid=5\r\n\r\n", "no end",
				"Return-Path: <>\r\n\r\n", "Return-Path:  <>\r\n\r\n", "Return-Path:  <>", "Return-Path:  <> \r\n\r\n", "A: b\r\nReturn-Path:  <>\r\n",
				"Return-Path:  <>\r\r\n", "Return-Path:  <>\nA: b\n",
				"Delivered-To: x\r\n\r\n", "Received: from a\r\n\tby b\r\n\twith POP3 id c;\r\n\tdate\r\n", "X-Popfetch: account=a; uid=b\r\n", "X-Popfetch: account=a;\r\n uid=b\r\n",
				lines + "A: b\r\n\r\n", lines + lines, strings.TrimSuffix(lines, "\r\n"),
			} {
				e.Token = token(len(delivered))
				d, err := batch.Create(t.Context(), e)
				if err != nil {
					t.Fatal(err)
				}
				write(t, d, []byte(text))
				closeDelivery(t, d)
				delivered[e.Token], message[e.Token] = d, text
			}
		}
		commit(t, batch, slices.Collect(maps.Values(delivered))...)
		finder, _ := AsFinder(target)
		found, err := finder.Find(t.Context(), maps.Keys(delivered), anyTime)
		if err != nil || len(found) != len(delivered) {
			t.Fatalf("Find() = %d messages, %v, want %d", len(found), err, len(delivered))
		}
		for token, places := range found {
			came, known, err := target.(Altering).CameAs(t.Context(), places[0])
			if err != nil || !known || came != delivered[token].Receipt().Came {
				t.Errorf("names %q, message %q: CameAs() = %+v, %t, %v, want %+v; delivered %q", names, message[token], came, known, err,
					delivered[token].Receipt().Came, openPlace(t, finder, places[0]))
			}
		}
	}
}

// A file that was delivered before headers were asked for is recognised too.
func TestHeaders_before(t *testing.T) {
	m := newMaildir(t)
	receipt := deliverOne(t, m, token(1), []byte("Subject: s\r\n\r\n"))
	target := NewHeaders(allHeaders, m)
	came, known, err := target.(Altering).CameAs(t.Context(), foundIn(t, target, 1)[0])
	if err != nil || !known || came != receipt.Came {
		t.Errorf("CameAs() = %+v, %t, %v, want %+v", came, known, err, receipt.Came)
	}
}

// The lines come after routes and fans: a fan compares messages without them.
func TestHeaders_fan(t *testing.T) {
	first, second, notes := newMaildir(t), newMaildir(t), below(t, "notes")
	open := func() Target {
		fan := NewFan([]Member{{"first", first}, {"second", second}}, NewFileBook(notes))
		return NewHeaders([]string{"received", "delivered-to"}, NewRoute(Routing{Envelope: []string{"X-To"}, Otherwise: fan, Rules: []Rule{{Recipient: "nobody", Target: Drop{}}}}))
	}
	bring(t, open(), 1, "X-To: sales@example.org\r\n\r\ntext\r\n")
	for _, m := range []*Maildir{first, second} {
		got := inMaildir(t, m)
		if len(got) != 1 || !strings.HasPrefix(got[0], "Delivered-To: sales@example.org\nReceived: ") {
			t.Errorf("delivered %q, want it with the recipient that the route has read", got)
		}
	}
	for _, path := range files(t, filepath.Join(second.path, "new")) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	// The first has it, with the time of the first delivery.
	for _, path := range files(t, filepath.Join(first.path, "new")) {
		text := readAll(t, []string{path})[0]
		if err := os.WriteFile(path, []byte(regexp.MustCompile(`\d\d:\d\d:\d\d`).ReplaceAllString(text, "00:00:00")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := open()
	foundIn(t, f, 1)
	if _, v := bring(t, f, 1, "X-To: sales@example.org\r\n\r\ntext\r\n"); v.Outcome != Safe {
		t.Errorf("the verdict = %+v, want Safe", v)
	}
	if len(inMaildir(t, first)) != 1 || len(inMaildir(t, second)) != 1 {
		t.Errorf("first has %q, second %q, want it once each", inMaildir(t, first), inMaildir(t, second))
	}
	places := foundIn(t, f, 1)
	if len(places) != 1 {
		t.Fatalf("Find() = %q, want the message", places)
	}
	want, _ := Measure(strings.NewReader("X-To: sales@example.org\r\n\r\ntext\r\n"))
	if came, known, err := f.(Altering).CameAs(t.Context(), places[0]); came != want || !known || err != nil {
		t.Errorf("CameAs() = %+v, %t, %v, want %+v", came, known, err, want)
	}
	drop := NewHeaders(allHeaders, NewRoute(Routing{Rules: []Rule{{Headers: []string{"A"}, Equals: "b", Target: Drop{}}}, Otherwise: first}))
	if receipt, v := bring(t, drop, 2, "A: b\r\n\r\n"); v.Outcome != Safe || len(receipt.Places) > 0 {
		t.Errorf("dropped: %+v, %+v, want Safe and no place", receipt, v)
	}
}

func TestDrop(t *testing.T) {
	batch := begin(t, Drop{})
	d := create(t, batch, token(1))
	if _, err := batch.Create(t.Context(), Envelope{}); err == nil {
		t.Error("Create() beside an open delivery succeeded, want an error")
	}
	write(t, d, []byte("text\r\n"))
	if v := d.Verdict(); v.Outcome != Unknown {
		t.Errorf("Verdict() before Commit = %+v, want Unknown", v)
	}
	closeDelivery(t, d)
	aborted := create(t, batch, token(2))
	if err := aborted.Abort(); err != nil {
		t.Error(err)
	}
	commit(t, batch, d)
	wantNotSafe(t, aborted)
	if got := d.Receipt(); got.Came.Octets != 5 || len(got.Places) != 0 {
		t.Errorf("Receipt() = %+v, want 5 octets and no place", got)
	}
	if err := batch.Commit(t.Context()); err == nil || batch.Discard() == nil {
		t.Error("Commit() or Discard() after Commit succeeded, want errors")
	}
	if err := (Drop{}).Prepare(t.Context(), false); err != nil {
		t.Error(fmt.Errorf("Prepare() = %w, want no error", err))
	}
}
