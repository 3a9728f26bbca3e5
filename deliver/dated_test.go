package deliver

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// datedIn makes a dated target of Maildirs below dir, whose clock is at now.
func datedIn(dir, pattern string, now *time.Time) Target {
	d := &dated{
		pattern: filepath.Join(dir, pattern), now: func() time.Time { return *now }, opened: make(map[string]Target),
		open: func(path string) Target { return NewMaildir(path) },
	}
	return d.honest()
}

// A message goes to the path of its time, which is made, and is found also after the turn of a year.
func TestDated_turn(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 12, 31, 23, 59, 59, 0, time.Local)
	f := datedIn(dir, "mail/{year}/of [{month}]", &now)
	if places := foundIn(t, f, 1); len(places) > 0 {
		t.Errorf("Find() = %q before anything is made, want nothing", places)
	}
	for range 2 { // without create, since a path that is missing is made
		if err := f.Prepare(t.Context(), false); err != nil {
			t.Fatalf("Prepare() = %v, want no error", err)
		}
	}
	deliverOne(t, f, token(1), []byte("old\r\n"))
	now = now.Add(time.Second)
	if err := f.(Prober).Probe(t.Context(), false); err != nil {
		t.Errorf("Probe() = %v, want no error", err)
	}
	deliverOne(t, f, token(2), []byte("new\r\n"))
	for path, want := range map[string]string{"mail/2026/of [12]": "old\n", "mail/2027/of [01]": "new\n"} {
		if got := inMaildir(t, NewMaildir(filepath.Join(dir, path))); !slices.Equal(got, []string{want}) {
			t.Errorf("%s has %q, want %q", path, got, want)
		}
	}
	// Something else matches the pattern.
	if err := os.MkdirAll(filepath.Join(dir, "mail/2028/of [05]/Pictures"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mail/2029", "mail/2027/of [99]"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f = datedIn(dir, "mail/{year}/of [{month}]", &now)
	finder, _ := AsFinder(f)
	for n, want := range map[int]string{1: "old\n", 2: "new\n"} {
		places := foundIn(t, f, n)
		if len(places) != 1 || openPlace(t, finder, places[0]) != want {
			t.Fatalf("Find() of message %d = %q, want it", n, places)
		}
		if got := finder.PlaceOf(places[0]); !strings.Contains(got.Name, token(n).String()) || PlacesOf(finder, places[0])[0] != got {
			t.Errorf("PlaceOf() = %+v, want the name of the file", got)
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
	if _, err := finder.Open(t.Context(), "x"); err == nil {
		t.Error("Open() of nonsense succeeded, want an error")
	}
}

// A folder that cannot be read may hold messages, so nothing is known then.
func TestDated_unreadable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read each folder")
	}
	dir := t.TempDir()
	now := time.Now()
	f := datedIn(dir, "{year}/mail", &now)
	if err := os.Chmod(dir, 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700) //nolint:errcheck // the test is over
	finder, _ := AsFinder(f)
	if _, err := finder.Find(t.Context(), slices.Values([]Token{token(1)}), anyTime); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Find() = %v, want fs.ErrPermission", err)
	}
}

// What has its record is told to the targets of all paths.
func TestDated_Recorded(t *testing.T) {
	var opened []*scripted
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.Local)
	d := &dated{
		pattern: "/mail/{month}", now: func() time.Time { return now }, opened: make(map[string]Target),
		open: func(string) Target {
			opened = append(opened, newScripted())
			return opened[len(opened)-1]
		},
	}
	deliverOne(t, d, token(1), []byte("one\r\n"))
	now = now.AddDate(0, 0, 1)
	deliverOne(t, d, token(2), []byte("two\r\n"))
	d.Recorded(token(1))
	if len(opened) != 2 || len(opened[0].got(1)) != 1 || len(opened[1].got(2)) != 1 {
		t.Fatalf("%d targets, want one each for January and February", len(opened))
	}
	for i, target := range opened {
		if !slices.Equal(target.recorded, []Token{token(1)}) {
			t.Errorf("target %d was told %v, want the token", i, target.recorded)
		}
	}
}
