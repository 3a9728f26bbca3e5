package postgres

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/pgtest"
)

var admin = By{"alice", "console"}

func specOf(name string) Spec {
	return Spec{Name: name, TOML: "[account." + name + "]\nserver = \"h\"\n", Host: "h:995", Interval: time.Minute, Enabled: true}
}

// put puts accounts. The keys of the audit are the lengths of the texts before.
func put(t *testing.T, s *Store, replace bool, specs ...Spec) Outcome {
	t.Helper()
	o, err := s.PutAccounts(t.Context(), admin, Put{Specs: specs, Replace: replace, Keys: func(old, _ *Spec) []string {
		if old == nil {
			return []string{"server", "user"}
		}
		return []string{"timeout"}
	}})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func names(specs []Spec) string {
	var all []string
	for i := range specs {
		all = append(all, specs[i].Name)
	}
	return strings.Join(all, " ")
}

// due returns when accounts are due, relative to the clock of the database: "now" if within the
// next two seconds.
func due(t *testing.T, s *Store) map[string]string {
	t.Helper()
	rows, err := s.pool.Query(t.Context(), `
		SELECT a.name, CASE WHEN t.due = 'infinity' THEN 'never' WHEN t.due > now() + interval '2 s' THEN 'later' ELSE 'now' END
			|| ' at ' || t.host || ' for ' || t.label
		FROM popfetch.turn AS t JOIN popfetch.account AS a ON a.id = t.account`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := make(map[string]string)
	for rows.Next() {
		var name, when string
		if err := rows.Scan(&name, &when); err != nil {
			t.Fatal(err)
		}
		all[name] = when
	}
	return all
}

func TestPutAccounts(t *testing.T) {
	s := openAs(t, pgtest.Database(t), "w", time.Minute)
	a, b, c := specOf("a"), specOf("b"), specOf("c")
	b.Label, c.Interval = "eu", 0
	b.Sealed = []byte("\x00secret")
	if o := put(t, s, false, a, b, c); !reflect.DeepEqual(o, Outcome{Added: []string{"a", "b", "c"}, Version: 1}) {
		t.Errorf("PutAccounts() = %+v", o)
	}
	want := map[string]string{"a": "now at h:995 for ", "b": "now at h:995 for eu"}
	if got := due(t, s); !reflect.DeepEqual(got, want) {
		t.Errorf("the schedule is %v, want %v", got, want)
	}
	specs, err := s.AccountSpecs(t.Context())
	if err != nil || names(specs) != "a b c" {
		t.Fatalf("AccountSpecs() = %v, %v", specs, err)
	}
	got := specs[1]
	if got.Changed.IsZero() {
		t.Error("nobody knows when it changed")
	}
	got.Changed = time.Time{}
	if b.Version = 1; !reflect.DeepEqual(got, b) {
		t.Errorf("an account is %+v, want %+v", got, b)
	}
	if specs, err = s.AccountSpecs(t.Context(), "c", "x", "a"); err != nil || names(specs) != "a c" {
		t.Errorf("AccountSpecs() of two = %v, %v", specs, err)
	}

	// What is the same stays, unless it has secrets.
	if o := put(t, s, false, a, c); !reflect.DeepEqual(o, Outcome{Unchanged: []string{"a", "c"}, Version: 1}) {
		t.Errorf("PutAccounts() of the same = %+v", o)
	}
	c.TOML += "timeout = \"5s\"\n"
	c.Interval = time.Hour
	d := specOf("d")
	d.Enabled = false
	if o := put(t, s, true, b, c, d); !reflect.DeepEqual(o, Outcome{Added: []string{"d"}, Changed: []string{"b", "c"}, Removed: []string{"a"}, Version: 2}) {
		t.Errorf("PutAccounts() with Replace = %+v", o)
	}
	want = map[string]string{"a": "never at h:995 for ", "b": "now at h:995 for eu", "c": "now at h:995 for "}
	if got := due(t, s); !reflect.DeepEqual(got, want) {
		t.Errorf("the schedule is %v, want %v", got, want)
	}
}

// A change of the host or label reaches the schedule, and an account that waits for long is due
// again.
func TestPutAccounts_schedule(t *testing.T) {
	s := openAs(t, pgtest.Database(t), "w", time.Minute)
	put(t, s, false, specOf("a"), specOf("b"))
	turns, err := s.Claim(t.Context(), Claiming{Free: 2})
	for end := time.Now().Add(5 * time.Second); err == nil && len(turns) < 2 && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var more []*Turn
		more, err = s.Claim(t.Context(), Claiming{Free: 2})
		turns = append(turns, more...)
	}
	if err != nil || len(turns) != 2 {
		t.Fatalf("Claim() = %v, %v", turns, err)
	}
	for _, turn := range turns {
		in := 30 * time.Second
		if turn.Account == "b" {
			in = time.Hour // refused log-ins
		}
		if err := turn.End(t.Context(), Next{In: in}); err != nil {
			t.Fatal(err)
		}
	}
	a, b := specOf("a"), specOf("b")
	a.TOML, a.Host, a.Label = a.TOML+"x\n", "g:995", "eu"
	b.TOML += "x\n"
	put(t, s, false, a, b)
	want := map[string]string{"a": "later at g:995 for eu", "b": "now at h:995 for "}
	if got := due(t, s); !reflect.DeepEqual(got, want) {
		t.Errorf("the schedule is %v, want %v", got, want)
	}
}

// What a worker does when it starts, and every hour, mends the schedule. It does not make anything
// due that waits, for example after refused log-ins: that would ask a server which wants its peace.
func TestScheduleStored(t *testing.T) {
	s := openAs(t, pgtest.Database(t), "w", time.Minute)
	put(t, s, false, specOf("gone"), specOf("off"), specOf("waits"))
	change := func(sql string) {
		t.Helper()
		if _, err := s.pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	of := "account = (SELECT id FROM popfetch.account WHERE name = "
	change("UPDATE popfetch.turn SET due = now() + interval '1 hour' WHERE " + of + "'waits')")
	change("DELETE FROM popfetch.turn WHERE " + of + "'gone')")
	change("UPDATE popfetch.spec SET enabled = false WHERE name = 'off'")
	if err := s.ScheduleStored(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"gone": "now at h:995 for ", "off": "never at h:995 for ", "waits": "later at h:995 for ",
	}
	if got := due(t, s); !reflect.DeepEqual(got, want) {
		t.Errorf("the schedule is %v, want %v", got, want)
	}
	change("UPDATE popfetch.turn SET due = 'infinity' WHERE " + of + "'waits')")
	change("UPDATE popfetch.spec SET host = 'g:995' WHERE name = 'gone'")
	if err := s.ScheduleStored(t.Context()); err != nil {
		t.Fatal(err)
	}
	want["waits"], want["gone"] = "now at h:995 for ", "now at g:995 for "
	if got := due(t, s); !reflect.DeepEqual(got, want) {
		t.Errorf("then the schedule is %v, want %v", got, want)
	}
}

func TestRemoveAndEnable(t *testing.T) {
	s := openAs(t, pgtest.Database(t), "w", time.Minute)
	a, b := specOf("a"), specOf("b")
	a.Sealed = []byte("secret")
	put(t, s, false, a, b)
	if err := s.Token("a").Write(t.Context(), []byte("tokens")); err != nil {
		t.Fatal(err)
	}
	by := By{"bob", "desk"}
	var unknown *UnknownAccountsError
	_, err := s.RemoveAccounts(t.Context(), by, []string{"a", "x"})
	if !errors.As(err, &unknown) || strings.Join(unknown.Names, " ") != "x" || len(unknown.Known) != 2 {
		t.Errorf("RemoveAccounts() of an unknown one = %v", err)
	}
	if _, err := s.EnableAccounts(t.Context(), by, []string{"y", "a"}, false); !errors.As(err, &unknown) {
		t.Errorf("EnableAccounts() of an unknown one = %v", err)
	}
	o, err := s.EnableAccounts(t.Context(), by, []string{"b", "a", "b"}, false)
	if err != nil || !reflect.DeepEqual(o, Outcome{Changed: []string{"a", "b"}, Version: 2, Unchanged: []string{}}) {
		t.Errorf("EnableAccounts(false) = %+v, %v", o, err)
	}
	if o, err = s.EnableAccounts(t.Context(), by, []string{"a"}, false); err != nil || len(o.Changed) > 0 || o.Version != 2 {
		t.Errorf("EnableAccounts(false) again = %+v, %v", o, err)
	}
	if got := due(t, s)["a"]; !strings.HasPrefix(got, "never") {
		t.Errorf("a disabled account is due %s", got)
	}
	if _, err = s.EnableAccounts(t.Context(), by, []string{"a"}, true); err != nil {
		t.Fatal(err)
	}
	if got := due(t, s)["a"]; !strings.HasPrefix(got, "now") {
		t.Errorf("an enabled account is due %s", got)
	}
	if _, err = s.RemoveAccounts(t.Context(), by, []string{"a"}); err != nil {
		t.Fatal(err)
	}
	specs, version, err := s.AccountChanges(t.Context(), 3)
	if err != nil || version != 4 || len(specs) != 1 || !specs[0].IsRemoved() || specs[0].RemovedBy != "bob@desk" || specs[0].Sealed != nil {
		t.Errorf("AccountChanges() after the removal = %+v, %d, %v", specs, version, err)
	}
	if sealed, err := s.Token("a").Read(t.Context()); sealed != nil || err != nil {
		t.Errorf("the tokens of a removed account = %q, %v", sealed, err)
	}

	entries, err := s.Audit(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, e := range entries {
		said = append(said, fmt.Sprint(e.By, " ", e.Action, " ", e.Account, " ", e.Keys))
		if time.Since(e.At) > time.Minute {
			t.Errorf("an entry is of %v", e.At)
		}
	}
	want := []string{"bob@desk remove a []", "bob@desk enable a []", "bob@desk disable b []", "bob@desk disable a []",
		"alice@console put b [server user]", "alice@console put a [server user]"}
	if !slices.Equal(said, want) {
		t.Errorf("the audit is\n%s\nwant\n%s", strings.Join(said, "\n"), strings.Join(want, "\n"))
	}
	if entries, err = s.Audit(t.Context(), 1, "b"); err != nil || len(entries) != 1 || entries[0].Action != "disable" {
		t.Errorf("Audit() of one = %v, %v", entries, err)
	}
	put(t, s, false, a)
	if specs, err = s.AccountSpecs(t.Context(), "a"); err != nil || len(specs) != 1 || specs[0].RemovedBy != "" {
		t.Errorf("an account that was put again is %+v, %v", specs, err)
	}
}

// Whoever asks for changes misses none, though many change accounts at once.
func TestAccountChanges_together(t *testing.T) {
	url := pgtest.Database(t)
	s := openAs(t, url, "reader", time.Minute)
	const writers, each = 4, 10
	var wg sync.WaitGroup
	for i := range writers {
		w := openAs(t, url, "writer", time.Minute)
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := range each {
				a, b := specOf(fmt.Sprintf("a%d-%d", i, j)), specOf("shared")
				a.TOML, b.TOML = fmt.Sprint(i, j), fmt.Sprint(i, j)
				if _, err := w.PutAccounts(context.Background(), admin, Put{Specs: []Spec{a, b}, Keys: func(*Spec, *Spec) []string { return nil }}); err != nil {
					t.Errorf("PutAccounts() = %v", err)
				}
			}
		}()
	}
	seen := make(map[string]string)
	ended := make(chan struct{})
	go func() { wg.Wait(); close(ended) }()
	var version int64
	for last := false; ; {
		specs, now, err := s.AccountChanges(t.Context(), version)
		if err != nil {
			t.Fatal(err)
		}
		for i := range specs {
			if specs[i].Version <= version {
				t.Fatalf("version %d is told again after %d", specs[i].Version, version)
			}
			seen[specs[i].Name] = specs[i].TOML
		}
		version = now
		if last {
			break
		}
		select {
		case <-ended:
			last = true
		default:
		}
	}
	if version != writers*each {
		t.Errorf("the version is %d, want %d", version, writers*each)
	}
	specs, err := s.AccountSpecs(t.Context())
	if err != nil || len(specs) != writers*each+1 || len(seen) != len(specs) {
		t.Fatalf("there are %d accounts, and %d were told, want %d; %v", len(specs), len(seen), writers*each+1, err)
	}
	for i := range specs {
		if seen[specs[i].Name] != specs[i].TOML {
			t.Errorf("%s was told as %q, and is %q", specs[i].Name, seen[specs[i].Name], specs[i].TOML)
		}
	}
}

func TestToken(t *testing.T) {
	url := pgtest.Database(t)
	s, other := openAs(t, url, "w", time.Minute).Token("a b"), openAs(t, url, "o", time.Minute).Token("a b")
	ctx := t.Context()
	read := func() string {
		t.Helper()
		sealed, err := s.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return string(sealed)
	}
	claim := func(of *Token, limit time.Duration) *TokenClaim {
		t.Helper()
		c, err := of.Claim(ctx, limit)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := claim(s, time.Minute)
	if c == nil || c.Sealed != nil || claim(other, time.Minute) != nil || claim(s, time.Minute) != nil {
		t.Fatal("a claim is not one process's")
	}
	if err := c.Release(ctx); err != nil || read() != "" {
		t.Fatal(err)
	}
	if c = claim(other, time.Minute); c == nil {
		t.Fatal("a released claim cannot be had")
	}
	if written, err := c.Replace(ctx, []byte("1")); !written || err != nil || read() != "1" {
		t.Fatalf("Replace() = %v, %v", written, err)
	}
	if c = claim(s, time.Minute); c == nil || string(c.Sealed) != "1" {
		t.Fatalf("Claim() = %v", c)
	}
	if err := other.Write(ctx, []byte("2")); err != nil { // somebody signs in
		t.Fatal(err)
	}
	if written, err := c.Replace(ctx, []byte("3")); written || err != nil || read() != "2" {
		t.Fatalf("Replace() after a write = %v, %v; there is %s", written, err, read())
	}
	if err := c.Release(ctx); err != nil || read() != "2" {
		t.Fatal(err)
	}
	// A claim has an end. Who wakes up too late does no harm.
	late, c := claim(s, -time.Second), claim(other, time.Minute)
	if c == nil {
		t.Fatal("a claim has no end")
	}
	if written, err := c.Replace(ctx, []byte("4")); !written || err != nil {
		t.Fatalf("Replace() = %v, %v", written, err)
	}
	if written, err := late.Replace(ctx, []byte("5")); written || err != nil || read() != "4" {
		t.Fatalf("Replace() by a late one = %v, %v", written, err)
	}
	if removed, err := late.Remove(ctx); removed || err != nil || read() != "4" {
		t.Fatalf("Remove() by a late one = %v, %v", removed, err)
	}
	if removed, err := claim(s, time.Minute).Remove(ctx); !removed || err != nil || read() != "" {
		t.Fatalf("Remove() = %v, %v", removed, err)
	}
}

// Who wakes up after somebody has signed out, and another has signed in, changes nothing.
func TestToken_again(t *testing.T) {
	s := openAs(t, pgtest.Database(t), "w", time.Minute)
	tokens, ctx := s.Token("a"), t.Context()
	write := func(sealed string) {
		t.Helper()
		if err := tokens.Write(ctx, []byte(sealed)); err != nil {
			t.Fatal(err)
		}
	}
	put(t, s, false, specOf("a"))
	write("alice's")
	late, err := tokens.Claim(ctx, time.Minute)
	if err != nil || late == nil {
		t.Fatal(late, err)
	}
	if _, err := s.RemoveAccounts(ctx, admin, []string{"a"}); err != nil {
		t.Fatal(err)
	}
	write("bob's")
	if written, err := late.Replace(ctx, []byte("alice's new")); written || err != nil {
		t.Errorf("Replace() = %v, %v", written, err)
	}
	if removed, err := late.Remove(ctx); removed || err != nil {
		t.Errorf("Remove() = %v, %v", removed, err)
	}
	if sealed, err := tokens.Read(ctx); string(sealed) != "bob's" || err != nil {
		t.Errorf("Read() = %q, %v; want the new tokens", sealed, err)
	}
}

// A target's name may have a blank, and so may a key of it.
func TestAudit_blank(t *testing.T) {
	s := openAs(t, pgtest.Database(t), "w", time.Minute)
	want := []string{`target."a b".mbox`, "user"}
	keys := func(_, _ *Spec) []string { return want }
	if _, err := s.PutAccounts(t.Context(), admin, Put{Specs: []Spec{specOf("a")}, Keys: keys}); err != nil {
		t.Fatal(err)
	}
	entries, err := s.Audit(t.Context(), 1)
	if err != nil || len(entries) != 1 || !slices.Equal(entries[0].Keys, want) {
		t.Errorf("Audit() = %q, %v; want the keys %q", entries, err, want)
	}
}
