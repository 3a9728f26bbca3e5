package sqlite

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/seen"
)

func TestStore_Look(t *testing.T) {
	s := open(t)
	a, err := look(t, s, "work", "pop.example.org:995", "alice")
	want := seen.Account{Name: "work", Server: "pop.example.org:995", User: "alice"}
	if err != nil || a != want {
		t.Errorf("Look() = %+v, %v, want %+v", a, err, want)
	}
	if all, err := s.Accounts(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("Accounts() = %v, %v, want none: Look writes nothing", all, err)
	}
}

func TestStore_Enter(t *testing.T) {
	s := open(t)
	l := enter(t, s)
	if a := l.Account(); l.id == 0 || a.Delivered || a.Records != 0 || !a.Since.Equal(now) {
		t.Errorf("Enter() = %+v, want a new account since %v", a, now)
	}
	mustCommit(t, l, seen.Record{Key: seen.Key{UniqueID: "m"}, Kind: seen.Marked})
	s.now = func() time.Time { return now.Add(time.Hour) }
	again := enter(t, s)
	if a := again.Account(); again.id != l.id || a.Delivered || a.Records != 1 || !a.Since.Equal(now) {
		t.Errorf("Enter() = %+v, want 1 record, none delivered, since %v", a, now)
	}
	mustCommit(t, l, recordOf(listingOf("d")[0]))
	if _, err := l.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	moved := enterAs(t, s, "work", "pop.example.net:995", "bob")
	if a := moved.Account(); moved.id != l.id || a.Server != "pop.example.net:995" || a.User != "bob" ||
		!a.Since.Equal(now.Add(time.Hour)) || !a.Delivered || a.Records != 0 {
		t.Errorf("Enter() = %+v, want the new server and user since %v, and that it delivered", a, now.Add(time.Hour))
	}
}

func TestAccount_Twin(t *testing.T) {
	s := open(t)
	old := enter(t, s)
	mustCommit(t, old, recordOf(listingOf("a")[0]))
	for _, test := range []struct{ name, server, user, want string }{
		{"renamed", "pop.example.org:995", "alice", "work"},
		{"work", "pop.example.org:995", "alice", ""},
		{"other user", "pop.example.org:995", "bob", ""},
		{"other server", "pop.example.net:995", "alice", ""},
	} {
		a, err := look(t, s, test.name, test.server, test.user)
		if err != nil || a.Twin != test.want {
			t.Errorf("Look(%s).Twin = %q, %v, want %q", test.name, a.Twin, err, test.want)
		}
	}
	if a := enterAs(t, s, "renamed", "pop.example.org:995", "alice").Account(); a.Twin != "work" {
		t.Errorf("Enter().Twin = %q, want %q", a.Twin, "work")
	}
	all, err := s.Accounts(t.Context())
	if err != nil || len(all) != 2 || all[0].Name != "renamed" || all[0].Twin != "work" || all[1].Twin != "" {
		t.Errorf("Accounts() = %+v, %v, want renamed with its twin, and work", all, err)
	}
}

func TestStore_Rename(t *testing.T) {
	listing := listingOf("a", "b")
	begin := func(t *testing.T) (*Store, *ledger) {
		s := open(t)
		account := enter(t, s)
		mustDiff(t, account, listing)
		deliverAll(t, account, listing)
		mustFinish(t, account, listing)
		return s, account
	}
	t.Run("to a new name", func(t *testing.T) {
		s, account := begin(t)
		if err := s.Rename(t.Context(), "work", "office"); err != nil {
			t.Fatalf("Rename() = %v", err)
		}
		l := enterAs(t, s, "office", "pop.example.org:995", "alice")
		if a := l.Account(); l.id != account.id || a.Records != 2 || !a.Delivered {
			t.Errorf("Enter() = %+v, want the same account with 2 records", a)
		}
		if d := mustDiff(t, account, listing); !d.Unchanged {
			t.Error("the listing was not found unchanged")
		}
	})
	t.Run("to the name of a run without records", func(t *testing.T) {
		s, _ := begin(t)
		gone := enterAs(t, s, "office", "pop.example.org:995", "alice")
		mustSetAside(t, gone, seen.Aside{Key: seen.Key{UniqueID: "a"}, Reason: seen.Refused})
		if err := s.Rename(t.Context(), "work", "office"); err != nil {
			t.Fatalf("Rename() = %v", err)
		}
		all, err := s.Accounts(t.Context())
		if err != nil || len(all) != 1 || all[0].Records != 2 || all[0].Name != "office" {
			t.Errorf("Accounts() = %+v, %v, want the account with 2 records as office alone", all, err)
		}
		if asides, err := gone.Asides(t.Context()); err != nil || len(asides) != 0 {
			t.Errorf("Asides() of the one that gave way = %v, %v, want none", asides, err)
		}
		if err := commit(t.Context(), gone, recordOf(listing[0])); err == nil {
			t.Error("Commit() to the one that gave way = nil, want an error")
		}
	})
	t.Run("to the name of an account with records", func(t *testing.T) {
		s, _ := begin(t)
		mustCommit(t, enterAs(t, s, "office", "pop.example.org:995", "bob"), recordOf(listing[0]))
		if err := s.Rename(t.Context(), "work", "office"); err == nil || !strings.Contains(err.Error(), "records of its own") {
			t.Errorf("Rename() = %v, want a refusal", err)
		}
		if all, err := s.Accounts(t.Context()); err != nil || len(all) != 2 {
			t.Errorf("Accounts() = %+v, %v, want both", all, err)
		}
	})
	t.Run("to its own name", func(t *testing.T) {
		s, account := begin(t)
		if err := s.Rename(t.Context(), "work", "work"); err != nil {
			t.Errorf("Rename() = %v", err)
		}
		wantDiff(t, account, listing, "new [], check [], seen 2, aside []")
	})
	t.Run("of an unknown account", func(t *testing.T) {
		s, _ := begin(t)
		if err := s.Rename(t.Context(), "home", "office"); !errors.Is(err, seen.ErrUnknown) {
			t.Errorf("Rename() = %v, want %v", err, seen.ErrUnknown)
		}
	})
}
