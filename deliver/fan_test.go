package deliver

import (
	"errors"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// fanOf makes a fan of a Maildir "mail" and a program "program".
func fanOf(t *testing.T, notes string) (f Target, m *Maildir, program *scripted) {
	t.Helper()
	m, program = newMaildir(t), newScripted()
	program.limit.Messages = 1
	return NewFan([]Member{{"program", program}, {"mail", m}}, NewFileBook(notes)), m, program
}

// The verdict of the fan is the worst of its members.
func TestFan_verdict(t *testing.T) {
	unknown := Verdict{Err: errors.New("broken")}
	safe := Verdict{Outcome: Safe}
	later, never := Verdict{Deferred, refusal(true)}, Verdict{Refused, refusal(false)}
	for _, c := range []struct{ a, b, want Verdict }{
		{safe, safe, safe},
		{safe, later, later}, {later, safe, later}, {never, safe, never},
		{never, later, later}, {later, never, later},
		{unknown, never, unknown}, {later, unknown, unknown}, {unknown, safe, unknown},
	} {
		a, b := newScripted(), newScripted()
		a.verdict, b.verdict = c.a, c.b
		_, got := bring(t, NewFan([]Member{{"a", a}, {"b", b}}, NewFileBook(below(t, "notes"))), 1, "text\r\n")
		if got != c.want {
			t.Errorf("the verdict of %v and %v = %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

// A member that refuses a message does not keep it from the others. Those that have it do not get
// it again, whether or not they can be asked.
func TestFan_refusal(t *testing.T) {
	for name, refuse := range map[string]func(s *scripted){
		"in Write":          func(s *scripted) { s.write = refusal(true) },
		"in Close":          func(s *scripted) { s.close = refusal(false) },
		"in Commit":         func(s *scripted) { s.verdict = Verdict{Refused, refusal(false)} },
		"of all, in Commit": func(s *scripted) { s.commit = errors.New("broken") },
	} {
		t.Run(name, func(t *testing.T) {
			notes := below(t, "notes")
			m, program, broken := newMaildir(t), newScripted(), newScripted()
			refuse(broken)
			members := []Member{{"broken", broken}, {"program", program}, {"mail", m}}
			f := NewFan(members, NewFileBook(notes))
			if _, v := bring(t, f, 1, "text\r\n"); v.Outcome == Safe || v.Err == nil {
				t.Errorf("the verdict = %+v, want why it is not safe", v)
			}
			if got := inMaildir(t, m); !slices.Equal(got, []string{"text\n"}) || len(program.got(1)) != 1 {
				t.Errorf("the Maildir has %q and the program got %q, want the message at both", got, program.got(1))
			}
			if places := foundIn(t, f, 1); len(places) > 0 {
				t.Errorf("Find() = %q, want nothing, since not all have it", places)
			}
			// It has been moved to where nobody looks. The notes are read anew, as after a crash.
			for _, path := range files(t, filepath.Join(m.path, "new")) {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
			*broken = *newScripted()
			f = NewFan(members, NewFileBook(notes))
			foundIn(t, f, 1)
			receipt, v := bring(t, f, 1, "text\r\n")
			if v.Outcome != Safe || len(broken.got(1)) != 1 || len(program.got(1)) != 1 || len(inMaildir(t, m)) != 0 {
				t.Errorf("again: %+v, got %d, %d, and %d in the Maildir; want it once more only where it was missing",
					v, len(broken.got(1)), len(program.got(1)), len(inMaildir(t, m)))
			}
			var named []string
			for _, p := range receipt.Places {
				if named = append(named, p.Target); p.Sum != receipt.Came {
					t.Errorf("place %+v, want the octets that came, %+v", p, receipt.Came)
				}
				if p.Target == "mail" && !strings.Contains(p.Name, token(1).String()) {
					t.Errorf("place %+v, want the name of the file", p)
				}
			}
			if !slices.Equal(named, []string{"mail", "broken", "program"}) {
				t.Errorf("the places are at %q, want all members", named)
			}
		})
	}
}

// A message with the same token that is another message, since the server has used a unique-id
// again, goes to all.
func TestFan_anotherMessage(t *testing.T) {
	f, m, program := fanOf(t, below(t, "notes"))
	program.verdict = Verdict{Refused, refusal(false)}
	bring(t, f, 1, "one\r\n")
	program.verdict = Verdict{Outcome: Safe}
	if _, v := bring(t, f, 1, "two\r\n"); v.Outcome != Safe {
		t.Errorf("the verdict = %+v, want Safe", v)
	}
	if got := inMaildir(t, m); !slices.Equal(got, []string{"one\n", "two\n"}) || !slices.Equal(program.got(1), []string{"two\n"}) {
		t.Errorf("the Maildir has %q and the program got %q, want both messages, and the second", got, program.got(1))
	}
}

// After a crash between two members, the Maildir is asked.
func TestFan_crash(t *testing.T) {
	first, second, program := newMaildir(t), newMaildir(t), newScripted()
	members := []Member{{"first", first}, {"second", second}, {"program", program}}
	notes := below(t, "notes")
	deliverOne(t, first, token(1), []byte("text\r\n")) // the crash came then
	f := NewFan(members, NewFileBook(notes))
	if places := foundIn(t, f, 1); len(places) > 0 {
		t.Errorf("Find() = %q, want nothing, since not all have it", places)
	}
	if _, v := bring(t, f, 1, "text\r\n"); v.Outcome != Safe {
		t.Errorf("the verdict = %+v, want Safe", v)
	}
	if len(inMaildir(t, first)) != 1 || len(inMaildir(t, second)) != 1 || len(program.got(1)) != 1 {
		t.Errorf("first has %q, second %q, the program %q, want it once each", inMaildir(t, first), inMaildir(t, second), program.got(1))
	}
	// The crash came before the record. All have it: the program by its note.
	f = NewFan(members, NewFileBook(notes))
	places := foundIn(t, f, 1)
	if len(places) != 1 {
		t.Fatalf("Find() = %q, want the message, since all have it", places)
	}
	finder, _ := AsFinder(f)
	var named []string
	for _, p := range PlacesOf(finder, places[0]) {
		named = append(named, p.Target)
	}
	if !slices.Equal(named, []string{"first", "second", "program"}) || finder.PlaceOf(places[0]).Target != "first" {
		t.Errorf("PlacesOf() = %q, PlaceOf() = %+v, want all members, and the first", named, finder.PlaceOf(places[0]))
	}
	if got := openPlace(t, finder, places[0]); got != "text\n" {
		t.Errorf("Open() = %q, want the message", got)
	}
	if err := finder.Sync(t.Context(), places); err != nil {
		t.Errorf("Sync() = %v, want no error", err)
	}
	if own, others, err := finder.Holds(t.Context()); own != 1 || others != 0 || err != nil {
		t.Errorf("Holds() = %d, %d, %v, want 1, 0", own, others, err)
	}
	if all := collect(t, finder.Places(t.Context())); len(all) != 2 || openPlace(t, finder, all[1]) != "text\n" {
		t.Errorf("Places() = %q, want those of both Maildirs", all)
	}
	f.(Recorder).Recorded(token(1))
	if places := foundIn(t, NewFan(members, NewFileBook(notes)), 1); len(places) > 0 {
		t.Errorf("Find() = %q after the record, want that the note of the program is forgotten", places)
	}
	if !slices.Equal(program.recorded, []Token{token(1)}) {
		t.Errorf("the program was told %v, want the token", program.recorded)
	}
}

// A message is found only if all have the same. One of them may be an older message, whose unique-id
// the server has used again.
func TestFan_foundDifferent(t *testing.T) {
	first, second := newMaildir(t), newMaildir(t)
	f := NewFan([]Member{{"first", first}, {"second", second}}, NewFileBook(below(t, "notes")))
	deliverOne(t, first, token(1), []byte("old\r\n"))
	deliverOne(t, first, token(1), []byte("new\r\n"))
	deliverOne(t, second, token(1), []byte("old\r\n"))
	finder, _ := AsFinder(f)
	places := foundIn(t, f, 1)
	if len(places) != 1 || openPlace(t, finder, places[0]) != "old\n" {
		t.Fatalf("Find() = %q, want the message that both have", places)
	}
	for _, path := range files(t, filepath.Join(second.path, "new")) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := finder.Sync(t.Context(), places); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Sync() = %v where one has lost it, want fs.ErrNotExist", err)
	}
	deliverOne(t, second, token(1), []byte("newer\r\n"))
	if places := foundIn(t, f, 1); len(places) > 0 {
		t.Errorf("Find() = %q, want nothing, since they have different messages", places)
	}
	bring(t, f, 1, "new\r\n")
	if got := inMaildir(t, first); len(got) != 2 {
		t.Errorf("the first has %q, want no copy more", got)
	}
	if got := inMaildir(t, second); !slices.Equal(got, []string{"new\n", "newer\n"}) {
		t.Errorf("the second has %q, want the new one too", got)
	}
}

// What a program has is noted before the next program may have it.
func TestFan_notedAtOnce(t *testing.T) {
	notes := below(t, "notes")
	f, m, program := fanOf(t, notes)
	batch := begin(t, f)
	var closed []Delivery
	for n := range 3 {
		d := create(t, batch, token(n))
		write(t, d, []byte("text\r\n"))
		closeDelivery(t, d)
		closed = append(closed, d)
	}
	program.limit.Batches = 1
	ran := 0
	program.observed = func() {
		noted, err := NewNotes[fanNote](NewFileBook(notes)).All()
		if err != nil || len(noted) != ran {
			t.Errorf("%d notes (%v) when the program runs for the %d. time, want what it has", len(noted), err, ran+1)
		}
		if got := len(inMaildir(t, m)); got != 3 {
			t.Errorf("the Maildir has %d messages when the program runs, want all: it comes first", got)
		}
		ran++
	}
	commit(t, batch, closed...)
	if ran != 3 || program.batches != 3 {
		t.Errorf("the program ran %d times in %d batches, want 3, one each", ran, program.batches)
	}
}

// A program gets no further message if what it has cannot be noted: another process has the account
// by now, or the next one could not know.
func TestFan_notNoted(t *testing.T) {
	program := newScripted()
	program.limit.Messages, program.limit.Batches = 1, 1
	book := &lostBook{Book: NewFileBook(below(t, "notes"))}
	f := NewFan([]Member{{"mail", newMaildir(t)}, {"program", program}}, book)
	batch := begin(t, f)
	var closed []Delivery
	for n := range 4 {
		d := create(t, batch, token(n))
		write(t, d, []byte("text\r\n"))
		closeDelivery(t, d)
		closed = append(closed, d)
	}
	program.observed = func() { book.lost = program.commits == 1 } // when the second is on its way
	if err := batch.Commit(t.Context()); !errors.Is(err, errLostBook) {
		t.Errorf("Commit() = %v, want %v", err, errLostBook)
	}
	var got []Outcome
	for _, d := range closed {
		got = append(got, d.Verdict().Outcome)
	}
	if want := []Outcome{Safe, Safe, Unknown, Unknown}; !slices.Equal(got, want) || program.commits != 2 {
		t.Errorf("the program got %d messages, the verdicts are %v, want 2 and %v", program.commits, got, want)
	}
}

// lostBook takes nothing once it is lost.
type lostBook struct {
	Book
	lost bool
}

var errLostBook = errors.New("another process has the account")

func (b *lostBook) Put(entries map[string][]byte) error {
	if b.lost {
		return errLostBook
	}
	return b.Book.Put(entries)
}

// If nobody knows whether a Finder has a message, no program gets it.
func TestFan_withheld(t *testing.T) {
	notes := below(t, "notes")
	f, m, program := fanOf(t, notes)
	batch := begin(t, f)
	d := create(t, batch, token(1))
	write(t, d, []byte("text\r\n"))
	closeDelivery(t, d)
	if err := os.Rename(m.path, m.path+"-gone"); err != nil {
		t.Fatal(err)
	}
	if err := batch.Commit(t.Context()); !errors.Is(err, ErrMissing) {
		t.Errorf("Commit() = %v, want ErrMissing", err)
	}
	if v := d.Verdict(); v.Outcome != Unknown || !errors.Is(v.Err, ErrMissing) || program.commits != 0 {
		t.Errorf("Verdict() = %+v, the program ran %d times; want Unknown and that it did not", v, program.commits)
	}
}

// A member that breaks while a message is closed leaves a note of those that have it.
func TestFan_brokenInClose(t *testing.T) {
	a, b := newScripted(), newScripted()
	b.close = unix.EIO
	notes := below(t, "notes")
	f := NewFan([]Member{{"a", a}, {"b", b}}, NewFileBook(notes))
	batch := begin(t, f)
	d := create(t, batch, token(1))
	write(t, d, []byte("text\r\n"))
	if err := d.Close(); !errors.Is(err, unix.EIO) {
		t.Errorf("Close() = %v, want the error", err)
	}
	if err := batch.Commit(t.Context()); err != nil {
		t.Errorf("Commit() = %v, want no error", err)
	}
	b.close = nil
	if _, v := bring(t, NewFan([]Member{{"a", a}, {"b", b}}, NewFileBook(notes)), 1, "text\r\n"); v.Outcome != Safe {
		t.Errorf("again: %+v, want Safe", v)
	}
	if len(a.got(1)) != 1 || len(b.got(1)) != 1 {
		t.Errorf("a got %q and b %q, want it once each", a.got(1), b.got(1))
	}
}

// If all refuse a message while it is written, the rest of it is not waited for.
func TestFan_allRefuse(t *testing.T) {
	a, b := newScripted(), newScripted()
	a.write, b.write = refusal(false), refusal(true)
	f := NewFan([]Member{{"a", a}, {"b", b}}, NewFileBook(below(t, "notes")))
	d := create(t, begin(t, f), token(1))
	if _, err := d.Write([]byte("text")); !errors.Is(err, b.write) {
		t.Errorf("Write() = %v, want the refusal that is only for now", err)
	}
}

// A target that was added to an account later is made. One that was there is missed.
func TestFan_Prepare(t *testing.T) {
	notes := below(t, "notes")
	dir := t.TempDir()
	at := func(name string) *Maildir { return NewMaildir(filepath.Join(dir, name)) }
	old := []Member{{"a", at("a")}}
	if err := NewFan(old, NewFileBook(notes)).Prepare(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	f := NewFan(append(old, Member{"b", at("b")}), NewFileBook(notes))
	if err := f.(Prober).Probe(t.Context(), false); err != nil {
		t.Errorf("Probe() = %v, want no error, since Prepare would make b", err)
	}
	foundIn(t, f, 1) // b is not there, which is no error
	if err := f.Prepare(t.Context(), false); err != nil {
		t.Errorf("Prepare() with a new target = %v, want it made", err)
	}
	for _, name := range []string{"a", "b"} {
		if err := os.Rename(at(name).path, filepath.Join(dir, "gone")); err != nil {
			t.Fatal(err)
		}
		f := NewFan(append(old, Member{"b", at("b")}), NewFileBook(notes))
		err := f.Prepare(t.Context(), false)
		if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "target "+name) {
			t.Errorf("Prepare() without %s = %v, want ErrMissing and its name", name, err)
		}
		if err := f.(Prober).Probe(t.Context(), false); !errors.Is(err, ErrMissing) {
			t.Errorf("Probe() without %s = %v, want ErrMissing", name, err)
		}
		finder, _ := AsFinder(f)
		if _, err := finder.Find(t.Context(), slices.Values([]Token{token(1)}), anyTime); !errors.Is(err, ErrMissing) {
			t.Errorf("Find() without %s = %v, want ErrMissing", name, err)
		}
		if err := os.Rename(filepath.Join(dir, "gone"), at(name).path); err != nil {
			t.Fatal(err)
		}
	}
}

// The fans of an account know of each other which targets were made, and which have a message.
func TestFans(t *testing.T) {
	notes := below(t, "notes")
	mail, program, broken := newMaildir(t), newScripted(), newScripted()
	broken.verdict = Verdict{Deferred, refusal(true)}
	fans := NewFans(NewFileBook(notes))
	first := fans.Of([]Member{{"mail", mail}, {"program", program}, {"broken", broken}})
	if err := first.Prepare(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	bring(t, first, 1, "text\r\n")
	for name, fans := range map[string]*Fans{"another fan": fans, "another process": NewFans(NewFileBook(notes))} {
		second := fans.Of([]Member{{"mail", mail}, {"program", program}, {"else", newScripted()}})
		if _, v := bring(t, second, 1, "text\r\n"); v.Outcome != Safe {
			t.Errorf("%s: the verdict = %+v, want Safe", name, v)
		}
		if n := len(inMaildir(t, mail)); n != 1 || len(program.got(1)) != 1 {
			t.Errorf("%s: the Maildir has %d and the program got %d, want it once each", name, n, len(program.got(1)))
		}
	}
	if err := os.RemoveAll(mail.path); err != nil {
		t.Fatal(err)
	}
	if err := fans.Of([]Member{{"mail", mail}}).Prepare(t.Context(), false); !errors.Is(err, ErrMissing) {
		t.Errorf("Prepare() of another fan = %v, want ErrMissing", err)
	}
}

func TestFan_Limit(t *testing.T) {
	many, one, some := newScripted(), newScripted(), newScripted()
	many.limit, one.limit, some.limit = Limit{1000, 4 << 20, 2}, Limit{1, math.MaxInt64, 3}, Limit{40, 1 << 20, 1}
	for _, c := range []struct {
		targets []Target
		want    Limit
	}{
		{[]Target{many}, Limit{1000, 4 << 20, 2}},
		{[]Target{many, some}, Limit{40, 1 << 20, 2}},
		{[]Target{one, many}, Limit{mixedMessages, 4 << 20, 3}},
		{[]Target{one, some}, Limit{40, 1 << 20, 3}},
		{[]Target{one, one}, Limit{1, math.MaxInt64, 3}},
	} {
		var members []Member
		for i, target := range c.targets {
			members = append(members, Member{string(rune('a' + i)), target})
		}
		f := NewFan(members, NewFileBook(below(t, "notes")))
		if got := f.Limit(); got != c.want {
			t.Errorf("Limit() of %d members = %+v, want %+v", len(c.targets), got, c.want)
		}
		if room, err := f.Room(t.Context()); room != 1<<30 || err != nil {
			t.Errorf("Room() = %d, %v, want the least", room, err)
		}
	}
}

// No more batches of a member are committed at once than it allows, and as many as it allows.
func TestFan_atOnce(t *testing.T) {
	var running, most atomic.Int32
	full := make(chan struct{})
	program := newScripted()
	program.limit = Limit{1, math.MaxInt64, 3}
	program.observed = func() {
		now := running.Add(1)
		for before := most.Load(); now > before && !most.CompareAndSwap(before, now); before = most.Load() {
		}
		if now == 3 {
			close(full)
		}
		<-full
		running.Add(-1)
	}
	f := NewFan([]Member{{"program", program}, {"mail", newMaildir(t)}}, NewFileBook(below(t, "notes")))
	batch := begin(t, f)
	var closed []Delivery
	for n := range 3 {
		d := create(t, batch, token(n))
		closeDelivery(t, d)
		closed = append(closed, d)
	}
	commit(t, batch, closed...)
	if most.Load() != 3 {
		t.Errorf("%d programs at once, want 3", most.Load())
	}
}

// The notes of a fan are read as they were written.
func TestFanNote(t *testing.T) {
	path := below(t, "notes")
	came := sumText{Octets: 5}
	came.SHA256[0], came.SHA256[31] = 0xab, 1
	want := fanNote{Came: came, Has: map[string][]notePlace{"a": {{"name", came}}, "b": {}}}
	if err := NewNotes[fanNote](NewFileBook(path)).Put(map[Token]fanNote{token(1): want}); err != nil {
		t.Fatal(err)
	}
	got, found, err := NewNotes[fanNote](NewFileBook(path)).Get(token(1))
	if err != nil || !found || got.Came != came || !maps.EqualFunc(got.Has, want.Has, slices.Equal[[]notePlace]) {
		t.Errorf("Get() = %+v, %t, %v, want %+v", got, found, err, want)
	}
	for _, text := range []string{"", "5", "5:ab", "x:" + strings.Repeat("0", 64), "5:" + strings.Repeat("g", 64)} {
		if err := new(sumText).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("UnmarshalText(%q) succeeded, want an error", text)
		}
	}
}
