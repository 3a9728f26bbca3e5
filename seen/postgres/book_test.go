package postgres

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/pgtest"
	"github.com/popfetch/popfetch/seen"
)

func wantBook(t *testing.T, b *Book, want map[string]string) {
	t.Helper()
	all, err := b.All()
	got := make(map[string]string)
	for token, value := range all {
		got[token] = string(value)
	}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("All() = %v, %v, want %v", got, err, want)
	}
	for token, value := range want {
		if got, found, err := b.Get(token); string(got) != value || !found || err != nil {
			t.Errorf("Get(%s) = %s, %v, %v, want %s", token, got, found, err, value)
		}
	}
}

func lockFor(t *testing.T, s *Store, account string) seen.Hold {
	t.Helper()
	hold, err := s.Lock(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	return hold
}

// A book keeps what one machine has written for the next one, each part of a target apart.
func TestBook(t *testing.T) {
	url := pgtest.Database(t)
	first, second := openAs(t, url, "first", time.Minute), openAs(t, url, "second", time.Minute)
	b := first.Book("work", "mbox")
	wantBook(t, b, nil)
	if err := b.Put(map[string][]byte{"1": []byte("one")}); !errors.Is(err, seen.ErrLost) {
		t.Errorf("Put() without a lease = %v, want ErrLost", err)
	}
	hold := lockFor(t, first, "work")
	large := strings.Repeat("x", 1<<20)
	for _, err := range []error{
		b.Put(map[string][]byte{"1": []byte("one"), "2": []byte("two"), "3": []byte(large)}),
		b.Put(map[string][]byte{"2": []byte("two again")}),
		b.Keep("members", []byte("a")), b.Keep("members", []byte("b")), b.Keep("gone", []byte("c")), b.Keep("gone", nil),
		first.Book("work", "fan").Put(map[string][]byte{"1": []byte("another part")}),
	} {
		if err != nil {
			t.Errorf("%v, want no error", err)
		}
	}
	b.Forget("1", "9", "members")
	want := map[string]string{"2": "two again", "3": large}
	wantBook(t, b, want)
	wantBook(t, second.Book("work", "mbox"), want)
	if err := hold.Release(); err != nil {
		t.Fatal(err)
	}
	next := second.Book("work", "mbox")
	hold = lockFor(t, second, "work")
	wantBook(t, next, want)
	for name, want := range map[string]string{"members": "b", "gone": ""} {
		if got, err := next.Kept(name); string(got) != want || err != nil {
			t.Errorf("Kept(%s) = %q, %v, want %q", name, got, err, want)
		}
	}
	if got, err := next.Kept("gone"); got != nil || err != nil {
		t.Errorf("Kept() of what was removed = %q, %v, want nil", got, err)
	}
	if err := hold.Release(); err != nil {
		t.Fatal(err)
	}
}

// A machine that was overtaken writes nothing into a book, and the next one reads what it wrote
// before.
func TestBook_overtaken(t *testing.T) {
	url := pgtest.Database(t)
	first, second := openAs(t, url, "first", time.Minute), openAs(t, url, "second", time.Minute)
	old, next := first.Book("work", "mbox"), second.Book("work", "mbox")
	_ = lockFor(t, first, "work")
	if err := old.Put(map[string][]byte{"1": []byte("one")}); err != nil {
		t.Fatal(err)
	}
	// The lease ends, and first, which stands still, does not know.
	if _, err := second.pool.Exec(t.Context(), "UPDATE popfetch.turn SET until = '-infinity'"); err != nil {
		t.Fatal(err)
	}
	hold := lockFor(t, second, "work")
	wantBook(t, next, map[string]string{"1": "one"})
	for _, err := range []error{old.Put(map[string][]byte{"1": []byte("late")}), old.Keep("epoch", []byte("1")), old.Keep("epoch", nil)} {
		if !errors.Is(err, seen.ErrLost) {
			t.Errorf("writing after another has the account = %v, want ErrLost", err)
		}
	}
	old.Forget("1")
	if err := hold.Release(); err != nil {
		t.Fatal(err)
	}
	wantBook(t, openAs(t, url, "third", time.Minute).Book("work", "mbox"), map[string]string{"1": "one"})
}

// What was noted 90 days ago is forgotten, but not what is kept by name.
func TestBook_old(t *testing.T) {
	s := openAs(t, pgtest.Database(t), "first", time.Minute)
	b := s.Book("work", "mbox")
	_ = lockFor(t, s, "work")
	if err := errors.Join(b.Put(map[string][]byte{"1": []byte("old"), "2": []byte("old")}), b.Keep("name", []byte("kept"))); err != nil {
		t.Fatal(err)
	}
	if _, err := s.pool.Exec(t.Context(), "UPDATE popfetch.note SET at = at - interval '91 days'"); err != nil {
		t.Fatal(err)
	}
	b = s.Book("work", "mbox")
	wantBook(t, b, nil)
	if err := b.Put(map[string][]byte{"2": []byte("new")}); err != nil {
		t.Fatal(err)
	}
	wantBook(t, b, map[string]string{"2": "new"})
	var rows int
	if err := s.pool.QueryRow(t.Context(), "SELECT count(*) FROM popfetch.note").Scan(&rows); err != nil || rows != 2 {
		t.Errorf("the table has %d rows, %v, want 2", rows, err)
	}
	if got, err := b.Kept("name"); string(got) != "kept" || err != nil {
		t.Errorf("Kept() = %q, %v", got, err)
	}
}
