package seen

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestStore_Lookup(t *testing.T) {
	s := open(t)
	a, err := s.Lookup(t.Context(), "work", "pop.example.org:995", "alice")
	want := Account{Name: "work", Server: "pop.example.org:995", User: "alice"}
	if err != nil || a != want {
		t.Errorf("Lookup() = %+v, %v, want %+v", a, err, want)
	}
	if all, err := s.Accounts(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("Accounts() = %v, %v, want none: Lookup writes nothing", all, err)
	}
}

func TestStore_Enter(t *testing.T) {
	s := open(t)
	first, err := s.Enter(t.Context(), "work", "pop.example.org:995", "alice")
	if err != nil || first.ID == 0 || first.Delivered || first.Records != 0 || !first.Since.Equal(now) {
		t.Errorf("Enter() = %+v, %v, want a new account since %v", first, err, now)
	}
	mustCommit(t, s, first.ID, Record{Key: Key{UniqueID: "m"}, Kind: Marked})
	s.now = func() time.Time { return now.Add(time.Hour) }
	marked, err := s.Enter(t.Context(), "work", "pop.example.org:995", "alice")
	if err != nil || marked.ID != first.ID || marked.Delivered || marked.Records != 1 || !marked.Since.Equal(now) {
		t.Errorf("Enter() = %+v, %v, want 1 record, none delivered, since %v", marked, err, now)
	}
	mustCommit(t, s, first.ID, recordOf(listingOf("d")[0]))
	if _, err := s.Forget(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	moved, err := s.Enter(t.Context(), "work", "pop.example.net:995", "bob")
	if err != nil || moved.ID != first.ID || moved.Server != "pop.example.net:995" || moved.User != "bob" ||
		!moved.Since.Equal(now.Add(time.Hour)) || !moved.Delivered || moved.Records != 0 {
		t.Errorf("Enter() = %+v, %v, want the new server and user since %v, and that it delivered", moved, err, now.Add(time.Hour))
	}
}

func TestAccount_Twin(t *testing.T) {
	s := open(t)
	old := enter(t, s)
	mustCommit(t, s, old, recordOf(listingOf("a")[0]))
	for _, test := range []struct{ name, server, user, want string }{
		{"renamed", "pop.example.org:995", "alice", "work"},
		{"work", "pop.example.org:995", "alice", ""},
		{"other user", "pop.example.org:995", "bob", ""},
		{"other server", "pop.example.net:995", "alice", ""},
	} {
		a, err := s.Lookup(t.Context(), test.name, test.server, test.user)
		if err != nil || a.Twin != test.want {
			t.Errorf("Lookup(%s).Twin = %q, %v, want %q", test.name, a.Twin, err, test.want)
		}
	}
	if a, err := s.Enter(t.Context(), "renamed", "pop.example.org:995", "alice"); err != nil || a.Twin != "work" {
		t.Errorf("Enter().Twin = %q, %v, want %q", a.Twin, err, "work")
	}
	all, err := s.Accounts(t.Context())
	if err != nil || len(all) != 2 || all[0].Name != "renamed" || all[0].Twin != "work" || all[1].Twin != "" {
		t.Errorf("Accounts() = %+v, %v, want renamed with its twin, and work", all, err)
	}
}

func TestStore_Rename(t *testing.T) {
	listing := listingOf("a", "b")
	begin := func(t *testing.T) (*Store, int64) {
		s := open(t)
		account := enter(t, s)
		mustDiff(t, s, account, listing)
		deliverAll(t, s, account, listing)
		mustFinish(t, s, account, listing)
		return s, account
	}
	t.Run("to a new name", func(t *testing.T) {
		s, account := begin(t)
		if err := s.Rename(t.Context(), "work", "office"); err != nil {
			t.Fatalf("Rename() = %v", err)
		}
		a, err := s.Enter(t.Context(), "office", "pop.example.org:995", "alice")
		if err != nil || a.ID != account || a.Records != 2 || !a.Delivered {
			t.Errorf("Enter() = %+v, %v, want account %d with 2 records", a, err, account)
		}
		if d := mustDiff(t, s, account, listing); !d.Unchanged {
			t.Error("the listing was not found unchanged")
		}
	})
	t.Run("to the name of a run without records", func(t *testing.T) {
		s, account := begin(t)
		a, err := s.Enter(t.Context(), "office", "pop.example.org:995", "alice")
		if err != nil {
			t.Fatal(err)
		}
		mustSetAside(t, s, a.ID, Aside{Key: Key{UniqueID: "a"}, Reason: Refused})
		if err := s.Rename(t.Context(), "work", "office"); err != nil {
			t.Fatalf("Rename() = %v", err)
		}
		all, err := s.Accounts(t.Context())
		if err != nil || len(all) != 1 || all[0].ID != account || all[0].Name != "office" {
			t.Errorf("Accounts() = %+v, %v, want account %d as office alone", all, err, account)
		}
		if asides, err := s.Asides(t.Context(), a.ID); err != nil || len(asides) != 0 {
			t.Errorf("Asides() of the one that gave way = %v, %v, want none", asides, err)
		}
		if err := s.Commit(t.Context(), a.ID, recordOf(listing[0])); err == nil {
			t.Error("Commit() to the one that gave way = nil, want an error")
		}
	})
	t.Run("to the name of an account with records", func(t *testing.T) {
		s, _ := begin(t)
		a, err := s.Enter(t.Context(), "office", "pop.example.org:995", "bob")
		if err != nil {
			t.Fatal(err)
		}
		mustCommit(t, s, a.ID, recordOf(listing[0]))
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
		wantDiff(t, s, account, listing, "new [], check [], seen 2, aside []")
	})
	t.Run("of an unknown account", func(t *testing.T) {
		s, _ := begin(t)
		if err := s.Rename(t.Context(), "home", "office"); !errors.Is(err, ErrUnknown) {
			t.Errorf("Rename() = %v, want %v", err, ErrUnknown)
		}
	})
}
