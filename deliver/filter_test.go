package deliver

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// filterOf makes a filter before a Maildir.
func filterOf(t *testing.T, command string) (f Target, m *Maildir, notes string) {
	t.Helper()
	m, notes = newMaildir(t), below(t, "notes")
	return NewFilter(Filter{Command: command, Notes: NewFileBook(notes)}, m), m, notes
}

// What the filter prints is delivered. Its lines may end in LF or CRLF.
func TestFilter_output(t *testing.T) {
	for _, c := range []struct{ command, message, want string }{
		{"sed s/one/two/", "one\r\nb\r\n", "two\nb\n"},
		{"sed 's/$/\\r/'", "one\r\nb\r\n", "one\nb\n"},
		{"printf 'a\\r\\nb'", "one\r\n", "a\nb\n"},
		{"printf 'a\\r\\nb\\n'", "one\r\n", "a\r\nb\n"}, // neither one nor the other: a CR that is the message's
		{"printf 'a\\rb\\r'", "one\r\n", "a\rb\r\n"},
		{"printf 'a\\nb'", "", "a\nb"},          // it did not end in a line end as it came
		{"cat", "a\r\r\nb\r\r\n", "a\r\nb\r\n"}, // all its lines end in CR, so they stay
		{"cat", "a\r\r\nb\r\n\r", "a\r\nb\n\r"},
		{"cat", "\r\r\n", "\r\n"},
		{"cat", "\x00\xff\r\n", "\x00\xff\n"},
		{"cat; echo more >&2", "a\r\n", "a\n"},
	} {
		f, m, _ := filterOf(t, c.command)
		receipt, v := bring(t, f, 1, c.message)
		if v.Outcome != Safe {
			t.Errorf("%q of %q: the verdict = %+v, want Safe", c.command, c.message, v)
			continue
		}
		if got := inMaildir(t, m); !slices.Equal(got, []string{c.want}) {
			t.Errorf("%q made of %q %q, want %q", c.command, c.message, got, c.want)
		}
		came, err := Measure(strings.NewReader(c.message))
		if err != nil || receipt.Came != came || len(receipt.Places) != 1 || receipt.Places[0].Octets != int64(len(c.want)) {
			t.Errorf("%q of %q: receipt %+v, want %+v and a place of %d octets", c.command, c.message, receipt, came, len(c.want))
		}
	}
}

// The exit status is judged as that of an MDA, except 99, which drops.
func TestFilter_status(t *testing.T) {
	for _, c := range []struct {
		command string
		want    Outcome
		text    string
	}{
		{"cat >/dev/null; exit 99", Safe, ""},
		{"cat; exit 99", Safe, ""},
		{"cat; exit 1", Refused, `delivering to filter "cat; exit 1": exit status 1`},
		{"cat; exit 75", Deferred, "exit status 75"},
		{"cat; kill -9 $$", Deferred, "signal: killed"},
		{"cat; echo why >&2; exit 65", Refused, "exit status 65: why"},
		{"exit 0", Refused, "printed nothing; to drop a message, it must end with 99"},
		{"/does/not/exist", Deferred, "exit status 127"},
		{"yes; exit 0", Refused, "it printed too much: more than 67108876 octets"},
		{"trap '' TERM PIPE; cat /dev/zero", Refused, "it printed too much"},
	} {
		f, m, _ := filterOf(t, c.command)
		receipt, v := bring(t, f, 1, "a\r\nb")
		if v.Outcome != c.want || (v.Err == nil) != (c.want == Safe) {
			t.Errorf("%q: the verdict = %+v, want %d", c.command, v, c.want)
		}
		if c.text != "" && !strings.Contains(v.Err.Error(), c.text) {
			t.Errorf("%q: %v, want it to contain %q", c.command, v.Err, c.text)
		}
		if got := inMaildir(t, m); len(got) > 0 || len(receipt.Places) > 0 || len(foundIn(t, f, 1)) > 0 {
			t.Errorf("%q: the Maildir has %q, want nothing", c.command, got)
		}
	}
}

// A filter that cannot be run ends the batch, since no other message would fare better.
func TestFilter_cannotRun(t *testing.T) {
	f, _, _ := filterOf(t, "echo x >>\"$OUT\"; exit 127")
	out := below(t, "out")
	t.Setenv("OUT", out)
	batch := begin(t, f)
	for n := range 3 {
		d := create(t, batch, token(n))
		write(t, d, []byte("text\r\n"))
		closeDelivery(t, d)
	}
	if err := batch.Commit(t.Context()); !errors.Is(err, ErrCannotRun) {
		t.Errorf("Commit() = %v, want ErrCannotRun", err)
	}
	if got := readAll(t, []string{out}); got[0] != "x\n" {
		t.Errorf("it ran for %q, want only once", got)
	}
	missing, _, _ := filterOf(t, "/does/not/exist")
	if err := missing.Prepare(t.Context(), true); !errors.Is(err, ErrCannotRun) || !strings.Contains(err.Error(), "filter") {
		t.Errorf("Prepare() = %v, want ErrCannotRun", err)
	}
	if err := missing.(Prober).Probe(t.Context(), true); !errors.Is(err, ErrCannotRun) {
		t.Errorf("Probe() = %v, want ErrCannotRun", err)
	}
	empty, _, _ := filterOf(t, " ")
	if err := empty.Prepare(t.Context(), true); err == nil {
		t.Error("Prepare() with an empty command succeeded, want an error")
	}
}

// The filter is ended in time, and a process that it leaves behind cannot hold up its output.
func TestFilter_time(t *testing.T) {
	m := newMaildir(t)
	began := time.Now()
	f := NewFilter(Filter{Command: "cat; sleep 600", Timeout: 200 * time.Millisecond, Notes: NewFileBook(below(t, "notes"))}, m)
	_, v := bring(t, f, 1, "text\r\n")
	if v.Outcome != Deferred || !strings.Contains(v.Err.Error(), "200ms") {
		t.Errorf("the verdict = %+v, want Deferred and the limit", v)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %v, want the limit and two seconds at most", took)
	}
}

func TestFilter_leftBehind(t *testing.T) {
	pid := below(t, "pid")
	f, m, _ := filterOf(t, "cat; sleep 600 & echo $! >'"+pid+"'")
	f.(*filter).patience = 100 * time.Millisecond
	_, v := bring(t, f, 1, "text\r\n")
	if v.Outcome != Deferred || !strings.Contains(v.Err.Error(), "left behind") || len(inMaildir(t, m)) > 0 {
		t.Errorf("the verdict = %+v, want Deferred and why", v)
	}
	if process, err := os.FindProcess(readPID(t, pid)); err == nil {
		_ = process.Kill()
	}
	// What such a process still prints is not cut off.
	f, m, _ = filterOf(t, "head -n 1; (sleep 0.3; echo two) &")
	if _, v := bring(t, f, 1, "one\r\nthree\r\n"); v.Outcome != Safe {
		t.Errorf("the verdict = %+v, want Safe", v)
	}
	if got := inMaildir(t, m); !slices.Equal(got, []string{"one\ntwo\n"}) {
		t.Errorf("the Maildir has %q, want all that was printed", got)
	}
}

// Nobody is asked if the batch is discarded. The filter has the environment of an MDA.
func TestFilter_environment(t *testing.T) {
	out := below(t, "out")
	t.Setenv("OUT", out)
	f, _, _ := filterOf(t, `env | grep ^POPFETCH_ | sort >"$OUT"; cat`)
	batch := begin(t, f)
	d := create(t, batch, token(1))
	write(t, d, []byte("text\r\n"))
	closeDelivery(t, d)
	if err := batch.Discard(); err != nil {
		t.Errorf("Discard() = %v, want no error", err)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("the filter ran although the batch was discarded")
	}
	if _, v := bring(t, f, 1, "Return-Path: <bob@example.org>\r\n\r\n"); v.Outcome != Safe {
		t.Fatalf("the verdict = %+v, want Safe", v)
	}
	want := "POPFETCH_ACCOUNT=test\nPOPFETCH_OCTETS=32\nPOPFETCH_RECIPIENT=\nPOPFETCH_SENDER=bob@example.org\nPOPFETCH_SERVER=\nPOPFETCH_UID=\nPOPFETCH_USER=alice\n"
	if got := readAll(t, []string{out}); got[0] != want {
		t.Errorf("environment\n%s, want\n%s", got[0], want)
	}
}

// After a crash, a message that was filtered is recognised by how it came.
func TestFilter_CameAs(t *testing.T) {
	f, m, notes := filterOf(t, "sed s/one/two/; echo $$")
	receipt, _ := bring(t, f, 1, "one\r\n")
	again := func() (Sum, bool) {
		f := NewFilter(Filter{Command: "cat", Notes: NewFileBook(notes)}, m)
		places := foundIn(t, f, 1)
		if len(places) != 1 {
			t.Fatalf("Find() = %q, want the message", places)
		}
		came, known, err := f.(Altering).CameAs(t.Context(), places[0])
		if err != nil {
			t.Errorf("CameAs() = %v, want no error", err)
		}
		return came, known
	}
	if came, known := again(); !known || came != receipt.Came {
		t.Errorf("CameAs() = %+v, %t, want %+v", came, known, receipt.Came)
	}
	// The note is of what the Maildir has: a file with other octets is another message, as if the
	// server had used the unique-id again.
	path := files(t, filepath.Join(m.path, "new"))[0]
	text := readAll(t, []string{path})[0]
	if err := os.WriteFile(path, []byte(strings.ToUpper(text)), 0o600); err != nil {
		t.Fatal(err)
	}
	if came, known := again(); known {
		t.Errorf("CameAs() of another file = %+v, want that it is not known", came)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f.(Recorder).Recorded(token(1))
	if came, known := again(); known {
		t.Errorf("CameAs() after the record = %+v, want that it is forgotten", came)
	}
}

// The note is there before the message is.
func TestFilter_notedBefore(t *testing.T) {
	inner, notes := newScripted(), below(t, "notes")
	inner.observed = func() {
		if noted, err := NewNotes[filterNote](NewFileBook(notes)).All(); len(noted) != 2 || err != nil {
			t.Errorf("%d notes (%v) when inner is committed, want 2", len(noted), err)
		}
	}
	f := NewFilter(Filter{Command: "cat", Notes: NewFileBook(notes)}, inner)
	batch := begin(t, f)
	var closed []Delivery
	for n := range 2 {
		d := create(t, batch, token(n))
		write(t, d, []byte("text\r\n"))
		closeDelivery(t, d)
		closed = append(closed, d)
	}
	commit(t, batch, closed...)
	if inner.commits != 1 {
		t.Errorf("inner was committed %d times, want once", inner.commits)
	}
}

// A filter that makes something else of a message each time does not make a fan repeat it.
func TestFilter_fan(t *testing.T) {
	m, program, notes, fanNotes := newMaildir(t), newScripted(), below(t, "notes"), below(t, "fan")
	third := newScripted()
	open := func() Target {
		members := []Member{{"mail", m}, {"program", program}, {"third", third}}
		return NewFilter(Filter{Command: "cat; mktemp -u XXXXXXXXXX", Notes: NewFileBook(notes)}, NewFan(members, NewFileBook(fanNotes)))
	}
	third.verdict = Verdict{Deferred, refusal(true)}
	for range 3 {
		if _, v := bring(t, open(), 1, "text\r\n"); v.Outcome != Deferred {
			t.Errorf("the verdict = %+v, want Deferred", v)
		}
	}
	// A crash before the notes of the fan: only the Maildir and the filter know.
	if err := os.Remove(fanNotes); err != nil {
		t.Fatal(err)
	}
	program.verdict = Verdict{Deferred, refusal(true)}
	f := open()
	foundIn(t, f, 1)
	bring(t, f, 1, "text\r\n")
	if got := inMaildir(t, m); len(got) != 1 || len(program.got(1)) != 1 {
		t.Errorf("the Maildir has %q and the program got %q, want it once each", got, program.got(1))
	}
	// Another message comes under the token.
	bring(t, f, 1, "another\r\n")
	if got := inMaildir(t, m); len(got) != 2 {
		t.Errorf("the Maildir has %q, want both messages", got)
	}
}

// A member breaks while it closes a message. The others do not get the message again, though the
// filter makes something else of it the next time.
func TestFilter_brokenInClose(t *testing.T) {
	m, broken, notes, fanNotes := newMaildir(t), newScripted(), NewFileBook(below(t, "notes")), NewFileBook(below(t, "fan"))
	open := func() Target {
		members := []Member{{"mail", m}, {"broken", broken}}
		by := Filter{Command: "cat; mktemp -u XXXXXXXXXX", Notes: notes}
		return NewFilter(by, NewFan(members, fanNotes))
	}
	broken.close = unix.ENOSPC
	_, v := bring(t, open(), 1, "text\r\n")
	if v.Outcome != Unknown || !errors.Is(v.Err, unix.ENOSPC) {
		t.Errorf("the verdict = %+v, want Unknown and why", v)
	}
	if got := inMaildir(t, m); len(got) != 1 {
		t.Fatalf("the Maildir has %q, want the message", got)
	}
	broken.close = nil
	f := open()
	foundIn(t, f, 1)
	if _, v := bring(t, f, 1, "text\r\n"); v.Outcome != Safe {
		t.Errorf("again: %+v, want Safe", v)
	}
	if got := inMaildir(t, m); len(got) != 1 || len(broken.got(1)) != 1 {
		t.Errorf("the Maildir has %q and the other %q, want it once each", got, broken.got(1))
	}
}

// What inner refuses is refused.
func TestFilter_inner(t *testing.T) {
	for name, change := range map[string]func(s *scripted){
		"Write":  func(s *scripted) { s.write = refusal(true) },
		"Close":  func(s *scripted) { s.close = refusal(true) },
		"Commit": func(s *scripted) { s.verdict = Verdict{Deferred, refusal(true)} },
	} {
		inner := newScripted()
		change(inner)
		f := NewFilter(Filter{Command: "cat", Notes: NewFileBook(below(t, "notes"))}, inner)
		if _, v := bring(t, f, 1, "text\r\n"); v.Outcome != Deferred {
			t.Errorf("refused in %s: the verdict = %+v, want Deferred", name, v)
		}
	}
	broken := newScripted()
	broken.write = errors.New("broken")
	f := NewFilter(Filter{Command: "cat", Notes: NewFileBook(below(t, "notes"))}, broken)
	if _, v := bring(t, f, 1, "text\r\n"); v.Outcome != Unknown || !errors.Is(v.Err, broken.write) {
		t.Errorf("broken: the verdict = %+v, want Unknown and why", v)
	}
	if got := f.Limit(); got.Messages != filterMessages || got.Batches != 1 || got.Octets != filterOctets {
		t.Errorf("Limit() = %+v, want at most %d messages and one batch", got, filterMessages)
	}
	if room, err := f.Room(t.Context()); room <= 0 || room > 1<<30 || err != nil {
		t.Errorf("Room() = %d, %v, want at most that of inner", room, err)
	}
}

// What a filter prints without a last line end is the same message in an mbox and at a program.
func TestFilter_mboxInFan(t *testing.T) {
	box, program := below(t, "box"), newScripted()
	notes, fanNotes, boxNotes := below(t, "notes"), below(t, "fan"), below(t, "box-notes")
	open := func() Target {
		members := []Member{{"box", NewMbox(box, NewFileBook(boxNotes))}, {"program", program}}
		return NewFilter(Filter{Command: "cat; printf end", Notes: NewFileBook(notes)}, NewFan(members, NewFileBook(fanNotes)))
	}
	f := open()
	if err := f.Prepare(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	program.verdict = Verdict{Deferred, refusal(true)}
	bring(t, f, 1, "text\r\n")
	// A crash before the notes of the fan.
	if err := os.Remove(fanNotes); err != nil {
		t.Fatal(err)
	}
	program.verdict = Verdict{Outcome: Safe}
	f = open()
	foundIn(t, f, 1)
	if _, v := bring(t, f, 1, "text\r\n"); v.Outcome != Safe {
		t.Errorf("the verdict = %+v, want Safe", v)
	}
	text, err := os.ReadFile(box)
	if n := strings.Count(string(text), "text\nend\n"); err != nil || n != 1 {
		t.Errorf("the mbox has the message %d times, %v; want once", n, err)
	}
}
