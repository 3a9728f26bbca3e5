package deliver

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// put writes a message at a place of the Maildir, as a mail program might have left it.
func put(t testing.TB, m *Maildir, place, content string) {
	t.Helper()
	path := filepath.Join(m.path, place)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func move(t *testing.T, m *Maildir, from, to string) {
	t.Helper()
	if err := os.Rename(filepath.Join(m.path, from), filepath.Join(m.path, to)); err != nil {
		t.Fatal(err)
	}
}

func find(t *testing.T, m *Maildir, since time.Time, tokens ...Token) map[Token][]string {
	t.Helper()
	found, err := m.Find(t.Context(), slices.Values(tokens), since)
	if err != nil {
		t.Fatalf("Find() = %v, want no error", err)
	}
	return found
}

// named returns the file name of a message of 4 octets.
func named(n int) string { return withOctets(newName(token(n)), 4) }

// Holds counts messages that popfetch delivered apart from all others.
func TestMaildirHolds(t *testing.T) {
	m := NewMaildir(filepath.Join(t.TempDir(), "mail"))
	if _, _, err := m.Holds(t.Context()); !errors.Is(err, ErrMissing) {
		t.Errorf("Holds() = %v, want ErrMissing", err)
	}
	if err := m.Prepare(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{
		"new/" + named(1), "cur/" + named(2) + ":2,S", "cur/" + named(3) + ",W=5:2,",
		"new/1790000000.M1P2.host", "cur/1790000001.M1P2.host,S=4:2,S", // getmail's and Dovecot's names
		"tmp/" + named(4), "tmp/1790000002.M1P2.host", "new/.nfs0001", ".Archive/cur/1790000003.M1P2.host:2,S",
	} {
		put(t, m, place, "mail")
	}
	if own, others, err := m.Holds(t.Context()); own != 3 || others != 2 || err != nil {
		t.Errorf("Holds() = %d, %d, %v, want 3 of popfetch and 2 others", own, others, err)
	}
}

func TestMaildirFind(t *testing.T) {
	name := named(1)
	now := time.Now()
	var all time.Time
	cases := []struct {
		name  string
		place string
		since time.Time
		want  bool
	}{
		{"new", "new/" + name, now, true},
		{"cur", "cur/" + name + ":2,", now, true},
		{"flags", "cur/" + name + ":2,FS", now, true},
		{"flags in new", "new/" + name + ":2,S", now, true},
		{"virtual size", "cur/" + name + ",W=5:2,S", now, true},
		{"tmp", "tmp/" + name, all, false},
		{"folder", ".Archive/cur/" + name + ":2,S", all, true},
		{"folder in a folder", ".Archive.2026/new/" + name, all, true},
		{"folder, changed since", ".Archive/cur/" + name + ":2,S", now.Add(-time.Minute), true},
		{"folder, new changed since", ".Archive/new/" + name, now.Add(-time.Minute), true},
		{"folder, not changed since", ".Archive/cur/" + name + ":2,S", now.Add(24 * time.Hour), false},
		{"too short for its name", "new/" + strings.Replace(name, "S=4", "S=5", 1), now, false},
		{"too long for its name", "new/" + strings.Replace(name, "S=4", "S=3", 1), now, false},
		{"without octets", "new/" + strings.Replace(name, ",S=4", "", 1), now, false},
		{"another token", "new/" + named(2), now, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := newMaildir(t)
			put(t, m, c.place, "text")
			put(t, m, "cur/odd name:::", "text")
			put(t, m, ".file", "text")
			put(t, m, ".empty/maildirfolder", "")
			var want []string
			if c.want {
				want = []string{c.place}
			}
			if got := find(t, m, c.since, token(1), token(3))[token(1)]; !slices.Equal(got, want) {
				t.Errorf("Find() = %q, want %q", got, want)
			}
		})
	}
}

// Only folders that changed at or after since, less an hour for clocks, are searched. A folder
// changed when its new or its cur changed last.
func TestMaildirFind_since(t *testing.T) {
	since := time.Now().Add(-30 * 24 * time.Hour)
	slack := since.Add(-time.Hour)
	old := since.Add(-1000 * time.Hour)
	for _, c := range []struct {
		name     string
		new, cur time.Time
		want     bool
	}{
		{"cur after", old, since.Add(time.Second), true},
		{"new after", since.Add(time.Second), old, true},
		{"cur an hour before", old, slack, true},
		{"new an hour before", slack, old, true},
		{"more than an hour before", slack.Add(-time.Nanosecond), slack.Add(-time.Nanosecond), false},
		{"long before", old, old, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMaildir(t)
			place := ".Archive/cur/" + named(1) + ":2,S"
			put(t, m, place, "text")
			put(t, m, ".Archive/new/other", "text")
			err := errors.Join(touch(m, ".Archive/new", c.new), touch(m, ".Archive/cur", c.cur),
				touch(m, "new", old), touch(m, "cur", old))
			if err != nil {
				t.Fatal(err)
			}
			if got := find(t, m, since, token(1)); (len(got) == 1) != c.want {
				t.Errorf("Find() = %q, want it found: %v", got, c.want)
			}
			if got := find(t, m, time.Time{}, token(1)); len(got) != 1 {
				t.Errorf("Find() in all folders = %q, want it found", got)
			}
			put(t, m, "cur/"+named(2)+":2,S", "text")
			if err := touch(m, "cur", old); err != nil {
				t.Fatal(err)
			}
			if got := find(t, m, since, token(2)); len(got) != 1 {
				t.Errorf("Find() in an old cur of the Maildir = %q, want it found", got)
			}
		})
	}
}

// A folder that we may not read ends a run only if all folders must be searched.
func TestMaildirFind_unreadable(t *testing.T) {
	dir, err := os.MkdirTemp("", "popfetch-test-") // only root may enter t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	m := NewMaildir(filepath.Join(dir, "Maildir"))
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, place := range []string{"new/" + named(1), "cur/" + named(2), ".A/cur/" + named(3), ".B/cur/" + named(4)} {
		put(t, m, place, "text")
	}
	folders := []string{".", "Maildir", "Maildir/new", "Maildir/cur", "Maildir/.B", "Maildir/.B/cur"}
	for _, folder := range folders {
		if err := os.Chmod(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range files(t, dir) {
		if err := os.Chmod(file, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, closed := range []string{".A", ".A/cur"} { // in one case the times of new and cur cannot be read, in the other their names
		path := filepath.Join(m.path, closed)
		if err := errors.Join(os.Chmod(m.path+"/.A", 0o755), os.Chmod(path, 0)); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			becomeNobody()
			found, err := m.Find(t.Context(), slices.Values([]Token{token(1), token(2), token(3), token(4)}), time.Now())
			if len(found) != 3 || err != nil {
				t.Errorf("Find() without %s = %q, %v, want 3 messages", closed, found, err)
			}
			if _, err := m.Find(t.Context(), slices.Values([]Token{token(1)}), time.Time{}); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("Find() in all folders without %s = %v, want %v", closed, err, fs.ErrPermission)
			}
		}()
		<-done
		if err := os.Chmod(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

// becomeNobody takes away root's right to read everything, for the calling goroutine.
func becomeNobody() {
	if os.Geteuid() == 0 {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		_ = syscall.Setfsuid(65534)
	}
}

// touch sets the time when a folder changed.
func touch(m *Maildir, folder string, at time.Time) error {
	return os.Chtimes(filepath.Join(m.path, folder), at, at)
}

func TestMaildirFind_notAFile(t *testing.T) {
	m := newMaildir(t)
	put(t, m, "other", "text")
	if err := os.Symlink("../other", filepath.Join(m.path, "new", named(1))); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(m.path, "new", named(1)), 0o700); err != nil {
		t.Fatal(err)
	}
	if got := find(t, m, time.Now(), token(1)); len(got) != 0 {
		t.Errorf("Find() = %v, want nothing for a link and a folder", got)
	}
}

func TestMaildirFind_copies(t *testing.T) {
	m := newMaildir(t)
	name := named(1)
	places := []string{".Archive/cur/" + name + ":2,S", "cur/" + named(1) + ":2,", "cur/" + name + ":2,S", "new/" + name}
	for _, place := range places {
		put(t, m, place, "text")
	}
	got := find(t, m, time.Time{}, token(1))[token(1)]
	slices.Sort(got)
	slices.Sort(places)
	if !slices.Equal(got, places) {
		t.Errorf("Find() = %q, want %q", got, places)
	}
}

func TestMaildirFind_delivered(t *testing.T) {
	m := newMaildir(t)
	receipt := deliverOne(t, m, token(1), []byte("a\r\nb\r\n"))
	if got, want := find(t, m, time.Now(), token(1))[token(1)], []string{"new/" + receipt.Places[0].Name}; !slices.Equal(got, want) {
		t.Errorf("Find() = %q, want %q", got, want)
	}
}

// A mail program may rename files while their names are read. That must not hide a file.
func TestMaildirWalk_whileMoved(t *testing.T) {
	m := newMaildir(t)
	first, hidden := named(1), named(2)
	put(t, m, "new/"+first, "text")
	put(t, m, "cur/"+hidden, "text")
	visited := make(map[string]bool)
	err := m.walk(t.Context(), ".", func(place, _ string) {
		if len(visited) == 0 {
			// new is being read. A file that moves there from cur now would be seen in neither
			// folder.
			move(t, m, "cur/"+hidden, "new/"+hidden)
		}
		visited[place] = true
	})
	if err != nil || !visited["new/"+hidden] {
		t.Errorf("walk() = %v and visited %v, want new/%s among them", err, visited, hidden)
	}
}

func TestMaildirOpen(t *testing.T) {
	name := named(1)
	places := []struct{ name, found, now string }{
		{"unmoved", "new/" + name, "new/" + name},
		{"seen since", "new/" + name, "cur/" + name + ":2,S"},
		{"flagged since", "cur/" + name + ":2,S", "cur/" + name + ":2,FS"},
		{"unread since", "cur/" + name + ":2,S", "new/" + name},
		{"in a folder", ".Archive/cur/" + name + ":2,", ".Archive/cur/" + name + ":2,S"},
	}
	for _, c := range places {
		t.Run(c.name, func(t *testing.T) {
			m := newMaildir(t)
			if err := os.MkdirAll(filepath.Join(m.path, ".Archive", "new"), 0o700); err != nil {
				t.Fatal(err)
			}
			put(t, m, c.now, "text")
			f, err := m.Open(t.Context(), c.found)
			if err != nil {
				t.Fatalf("Open() = %v, want no error", err)
			}
			defer f.Close()
			if got, err := io.ReadAll(f); string(got) != "text" || err != nil {
				t.Errorf("reading what Open returned = %q, %v, want %q", got, err, "text")
			}
			if err := m.Sync(t.Context(), []string{c.found, c.found}); err != nil {
				t.Errorf("Sync() = %v, want no error", err)
			}
		})
	}
}

func TestMaildirOpen_error(t *testing.T) {
	m := newMaildir(t)
	put(t, m, "../secret", "text")
	for place, want := range map[string]error{
		"new/" + named(1): fs.ErrNotExist,
		"new/odd":         fs.ErrNotExist,
		"../secret":       nil,
		"/etc/passwd":     nil,
	} {
		_, err := m.Open(t.Context(), place)
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("Open(%q) = %v, want an error (%v)", place, err, want)
		}
		if err := m.Sync(t.Context(), []string{place}); err == nil {
			t.Errorf("Sync(%q) succeeded, want an error", place)
		}
	}
}

func BenchmarkMaildirFind(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m := NewMaildir(filepath.Join(b.TempDir(), "Maildir"))
			if err := m.Prepare(b.Context(), true); err != nil {
				b.Fatal(err)
			}
			for i := range n {
				put(b, m, "cur/"+withOctets(newName(token(i)), 4)+":2,S", "")
			}
			b.ResetTimer()
			for b.Loop() {
				if _, err := m.Find(b.Context(), slices.Values([]Token{token(1), token(n + 1)}), time.Time{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The benchmark searches a Maildir of 200,000 files and 50 folders: new and cur alone, then also
// the one folder that changed, then all. Half of the files are in cur, the others in the folders.
func BenchmarkMaildirFind_folders(b *testing.B) {
	const files, folders = 200_000, 50
	m := NewMaildir(filepath.Join(b.TempDir(), "Maildir"))
	if err := m.Prepare(b.Context(), true); err != nil {
		b.Fatal(err)
	}
	at := func(folder string, i int) string { return folder + "cur/" + withOctets(newName(token(i)), 0) + ":2,S" }
	for i := range files / 2 {
		put(b, m, at("", i), "")
	}
	since := time.Now()
	old := since.Add(-10 * clockSlack)
	for i := range folders {
		folder := fmt.Sprintf(".Folder%02d/", i)
		for j := range files / 2 / folders {
			put(b, m, at(folder, files/2+i*files/2/folders+j), "")
		}
		if i > 0 {
			if err := touch(m, folder+"cur", old); err != nil {
				b.Fatal(err)
			}
		}
	}
	tokens := slices.Values([]Token{token(0), token(files / 2), token(files - 1), token(files)})
	for _, c := range []struct {
		name  string
		since time.Time
		found int
	}{
		{"shallow", since.Add(24 * time.Hour), 1},
		{"changed", since, 2},
		{"all", time.Time{}, 3},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if found, err := m.Find(b.Context(), tokens, c.since); err != nil || len(found) != c.found {
					b.Fatalf("Find() = %v, %v, want %d messages", found, err, c.found)
				}
			}
		})
	}
}

// Places yields every message, wherever it came from and wherever it was filed.
func TestMaildirPlaces(t *testing.T) {
	m := NewMaildir(filepath.Join(t.TempDir(), "mail"))
	places := func() (all []string, err error) {
		for place, err := range m.Places(t.Context()) {
			if err != nil {
				return nil, err
			}
			all = append(all, place)
		}
		slices.Sort(all)
		return all, nil
	}
	if _, err := places(); !errors.Is(err, ErrMissing) {
		t.Errorf("Places() = %v, want ErrMissing", err)
	}
	if err := m.Prepare(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	want := []string{".A.B/cur/4.M.host:2,S", ".A.B/new/3.M.host", "cur/2.M.host:2,", "new/" + named(1)}
	for _, place := range append([]string{"tmp/5.M.host", "cur/.hidden", "cur/folder/6.M.host", ".file"}, want...) {
		put(t, m, place, "text")
	}
	if got, err := places(); err != nil || !slices.Equal(got, want) {
		t.Errorf("Places() = %q, %v, want %q", got, err, want)
	}
	for place, err := range m.Places(t.Context()) {
		if place == "" || err != nil {
			t.Errorf("Places() yields %q, %v first, want a place", place, err)
		}
		break // must end at once
	}
}
