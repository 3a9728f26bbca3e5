package deliver

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/durable"
)

func openMaildir(_ *testing.T, dir string) fixture {
	path := filepath.Join(dir, "Maildir")
	return fixture{
		Target:    NewMaildir(path),
		delivered: func(t *testing.T) []string { return readAll(t, files(t, filepath.Join(path, "new"))) },
		leftovers: func(t *testing.T) []string { return files(t, filepath.Join(path, "tmp")) },
	}
}

func TestMaildir(t *testing.T) { testTarget(t, openMaildir) }

func newMaildir(t *testing.T) *Maildir {
	t.Helper()
	m := NewMaildir(filepath.Join(t.TempDir(), "Maildir"))
	if err := m.Prepare(t.Context(), true); err != nil {
		t.Fatalf("Prepare(create) = %v, want no error", err)
	}
	return m
}

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

// behaviour 31
func TestMaildir_modes(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	dir := t.TempDir()
	m := NewMaildir(filepath.Join(dir, "a", "b", "Maildir"))
	if err := m.Prepare(t.Context(), true); err != nil {
		t.Fatalf("Prepare(create) = %v, want no error", err)
	}
	place := deliverOne(t, m, token(1), []byte("x")).Places[0].Name
	for _, folder := range []string{"a", "a/b", "a/b/Maildir", "a/b/Maildir/tmp", "a/b/Maildir/new", "a/b/Maildir/cur"} {
		if got := mode(t, filepath.Join(dir, folder)); got != 0o700 {
			t.Errorf("mode of %s = %o, want 700", folder, got)
		}
	}
	if got := mode(t, filepath.Join(m.path, "new", place)); got != 0o600 {
		t.Errorf("mode of the message = %o, want 600", got)
	}
}

// behaviour 29: if a disk is not mounted, its empty folder must not be filled.
func TestMaildirPrepare_missing(t *testing.T) {
	cases := []struct {
		name   string
		spoil  func(path string) error
		create bool
		want   error
	}{
		{"whole", func(string) error { return nil }, false, nil},
		{"gone", os.RemoveAll, false, ErrMissing},
		{"new gone", func(path string) error { return os.Remove(path + "/new") }, false, ErrMissing},
		{"cur a file", func(path string) error {
			return errors.Join(os.Remove(path+"/cur"), os.WriteFile(path+"/cur", nil, 0o600))
		}, false, ErrUnfit},
		{"gone, may be made", os.RemoveAll, true, nil},
		{"new gone, may be made", func(path string) error { return os.Remove(path + "/new") }, true, nil},
		{"cannot be made", func(path string) error {
			return errors.Join(os.RemoveAll(path), os.WriteFile(path, nil, 0o600))
		}, true, ErrCreate},
		{"parent cannot be made", func(path string) error {
			parent := filepath.Dir(path)
			return errors.Join(os.RemoveAll(parent), os.WriteFile(parent, nil, 0o600))
		}, true, ErrCreate},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := NewMaildir(filepath.Join(t.TempDir(), "home", "Maildir"))
			if err := m.Prepare(t.Context(), true); err != nil {
				t.Fatalf("Prepare(create) = %v, want no error", err)
			}
			if err := c.spoil(m.path); err != nil {
				t.Fatal(err)
			}
			before := names(t, filepath.Dir(filepath.Dir(m.path)))
			if err := m.Probe(t.Context(), c.create); !errors.Is(err, c.want) {
				t.Errorf("Probe(%v) = %v, want %v", c.create, err, c.want)
			}
			if after := names(t, filepath.Dir(filepath.Dir(m.path))); !slices.Equal(after, before) {
				t.Errorf("Probe(%v) makes of %q %q, want nothing to change", c.create, before, after)
			}
			err := m.Prepare(t.Context(), c.create)
			if !errors.Is(err, c.want) {
				t.Fatalf("Prepare(%v) = %v, want %v", c.create, err, c.want)
			}
			if err != nil && !strings.Contains(err.Error(), m.path) {
				t.Errorf("Prepare(%v) = %q, want it to name %s", c.create, err, m.path)
			}
			if err == nil {
				deliverOne(t, m, token(1), []byte("x"))
			}
		})
	}
}

// names returns the paths of all that is in a folder and below.
func names(t *testing.T, folder string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		found = append(found, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestMaildirPrepare_sweep(t *testing.T) {
	m := newMaildir(t)
	write := func(name string, age time.Duration) {
		path := filepath.Join(m.path, "tmp", name)
		then := time.Now().Add(-age)
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chtimes(path, then, then)); err != nil {
			t.Fatal(err)
		}
	}
	write("old", 37*time.Hour)
	write("young", 35*time.Hour)
	if err := m.Prepare(t.Context(), false); err != nil {
		t.Errorf("Prepare() = %v, want no error", err)
	}
	if got := files(t, filepath.Join(m.path, "tmp")); len(got) != 1 || filepath.Base(got[0]) != "young" {
		t.Errorf("after Prepare tmp holds %q, want only the young file", got)
	}
}

func TestMaildirPrepare_sweepFolder(t *testing.T) {
	m := newMaildir(t)
	odd := filepath.Join(m.path, "tmp", "folder")
	then := time.Now().Add(-48 * time.Hour)
	err := errors.Join(os.Mkdir(odd, 0o700), os.WriteFile(odd+"/file", nil, 0o600), os.Chtimes(odd, then, then))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Prepare(t.Context(), false); err != nil {
		t.Errorf("Prepare() with a full folder in tmp = %v, want no error", err)
	}
}

// behaviour 29
func TestMaildir_vanished(t *testing.T) {
	m := newMaildir(t)
	batch := begin(t, m)
	d := create(t, batch, token(1))
	closeDelivery(t, d)
	away := m.path + ".away"
	if err := os.Rename(m.path, away); err != nil {
		t.Fatal(err)
	}
	err := batch.Commit(t.Context())
	if err == nil {
		t.Error("Commit() into a Maildir that went away succeeded, want an error")
	}
	if safe := wantSafeFirst(t, []Delivery{d}, err); safe != 0 {
		t.Error("the message is safe in a Maildir that went away")
	}
	if got := files(t, filepath.Join(away, "new")); len(got) != 0 {
		t.Errorf("new holds %q after a failed Commit, want nothing", got)
	}
	if _, err := m.Begin(t.Context()); !errors.Is(err, ErrMissing) {
		t.Errorf("Begin() = %v, want ErrMissing", err)
	}
	if _, err := m.Find(t.Context(), slices.Values([]Token{token(1)}), time.Now()); !errors.Is(err, ErrMissing) {
		t.Errorf("Find() = %v, want ErrMissing", err)
	}
	if err := m.Prepare(t.Context(), false); !errors.Is(err, ErrMissing) {
		t.Errorf("Prepare() = %v, want ErrMissing", err)
	}
	if _, err := os.Stat(m.path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the Maildir was made anew, want it missing still")
	}
}

func TestMaildir_tmpVanished(t *testing.T) {
	for name, octets := range sizes {
		t.Run(name, func(t *testing.T) {
			m := newMaildir(t)
			batch := begin(t, m)
			if err := os.Remove(filepath.Join(m.path, "tmp")); err != nil {
				t.Fatal(err)
			}
			if err := deliverZeros(t, batch, octets); !errors.Is(err, ErrMissing) {
				t.Errorf("a message without tmp: %v, want ErrMissing", err)
			}
		})
	}
}

// sizes has a message that waits in memory, and one that is written to its file at once.
var sizes = map[string]int{"small": 100, "large": 3 * bufferOctets}

// deliverZeros delivers one message and returns the first error.
func deliverZeros(t *testing.T, batch Batch, octets int) error {
	t.Helper()
	defer batch.Discard() //nolint:errcheck // after Commit it only returns an error
	d := create(t, batch, token(1))
	_, err := d.Write(make([]byte, octets))
	if err == nil {
		err = d.Close()
	}
	if err == nil {
		err = batch.Commit(t.Context())
	}
	return err
}

// behaviour 29
func TestMaildir_unwritable(t *testing.T) {
	dir := t.TempDir()
	mountSmall(t, dir)
	m := NewMaildir(filepath.Join(dir, "Maildir"))
	if err := m.Prepare(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	remount := func(flags uintptr) {
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	remount(unix.MS_RDONLY)
	defer remount(0)
	for name, octets := range sizes {
		if err := deliverZeros(t, begin(t, m), octets); !errors.Is(err, syscall.EROFS) {
			t.Errorf("a %s message for a read-only disk: %v, want EROFS", name, err)
		}
	}
	if err := begin(t, m).Discard(); err != nil {
		t.Errorf("Discard() on a read-only disk = %v, want no error", err)
	}
}

// A disk may have room, but no inode for another file. The error says so.
func TestMaildir_noInodes(t *testing.T) {
	dir := t.TempDir()
	mountSmall(t, dir)
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=1m,nr_inodes=6"); err != nil { // the mount, the Maildir's four folders, and one
		t.Fatal(err)
	}
	m := NewMaildir(filepath.Join(dir, "Maildir"))
	if err := m.Prepare(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if err := deliverZeros(t, begin(t, m), 1); err != nil {
		t.Fatal(err)
	}
	for name, octets := range sizes {
		err := deliverZeros(t, begin(t, m), octets)
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "no inode") {
			t.Errorf("a %s message: %v, want ENOSPC and that no inode is left", name, err)
		}
	}
	err := NewMaildir(filepath.Join(dir, "other")).Prepare(t.Context(), true)
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "no inode") {
		t.Errorf("Prepare() of another Maildir: %v, want ENOSPC and that no inode is left", err)
	}
}

// behaviour 29: the messages that fit on a full disk are delivered, in order. Nothing is left of
// the others.
func TestMaildirCommit_fullDisk(t *testing.T) {
	dir := t.TempDir()
	mountSmall(t, dir)
	m := NewMaildir(filepath.Join(dir, "Maildir"))
	if err := m.Prepare(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	batch := begin(t, m)
	var deliveries []Delivery
	const n, octets = 40, 30_000 // more than the disk can hold; memory can hold them
	for i := range n {
		d := create(t, batch, token(i))
		write(t, d, make([]byte, octets))
		closeDelivery(t, d)
		deliveries = append(deliveries, d)
	}
	err := batch.Commit(t.Context())
	safe := wantSafeFirst(t, deliveries, err)
	if !errors.Is(err, syscall.ENOSPC) || safe == 0 || safe >= n {
		t.Errorf("Commit() = %v with %d safe, want ENOSPC and some", err, safe)
	}
	if got := files(t, m.path+"/new"); len(got) != safe {
		t.Errorf("new holds %d messages, want the %d that are safe", len(got), safe)
	}
	for i := range safe {
		if found, err := m.Find(t.Context(), slices.Values([]Token{token(i)}), time.Now()); err != nil || len(found) != 1 {
			t.Errorf("Find() of message %d = %v, %v, want it", i, found, err)
		}
	}
	if got := files(t, m.path+"/tmp"); len(got) != 0 {
		t.Errorf("tmp holds %q, want nothing", got)
	}
}

// closeFiles writes and closes n messages, without Commit.
func closeFiles(t *testing.T, m *Maildir, n int) *maildirBatch {
	t.Helper()
	batch := begin(t, m)
	for i := range n {
		d := create(t, batch, token(i))
		write(t, d, fmt.Appendf(nil, "message %d\r\n", i))
		closeDelivery(t, d)
	}
	return batch.(*maildirBatch)
}

// deliveriesOf returns the closed deliveries of a batch.
func deliveriesOf(batch *maildirBatch) (all []Delivery) {
	for _, d := range batch.closed {
		all = append(all, d)
	}
	return all
}

// wantSafeFirst checks that the first deliveries are Safe, and that the verdicts of all others have
// the error of Commit. It returns how many are Safe.
func wantSafeFirst(t *testing.T, deliveries []Delivery, commitErr error) (safe int) {
	t.Helper()
	for i, d := range deliveries {
		switch v := d.Verdict(); {
		case v == Verdict{Outcome: Safe} && safe == i:
			safe++
		case v.Outcome != Unknown || !errors.Is(v.Err, commitErr):
			t.Errorf("Verdict() of message %d = %+v, want Unknown with %v", i, v, commitErr)
		}
	}
	return safe
}

func TestMaildirCommit_syncError(t *testing.T) {
	for _, n := range []int{1, durable.AtOnce} { // with more, files are closed early if syncfs is used
		m := newMaildir(t)
		batch := closeFiles(t, m, n)
		if err := errors.Join(batch.writeHeld(), batch.closed[n-1].file.Close()); err != nil {
			t.Fatal(err)
		}
		deliveries := deliveriesOf(batch)
		err := batch.Commit(t.Context())
		if !errors.Is(err, fs.ErrClosed) {
			t.Errorf("Commit() of %d messages, one of which cannot be closed, = %v, want fs.ErrClosed", n, err)
		}
		if safe := wantSafeFirst(t, deliveries, err); safe != 0 {
			t.Errorf("%d of %d messages are safe after a failed sync, want none", safe, n)
		}
		if got := append(files(t, m.path+"/new"), files(t, m.path+"/tmp")...); len(got) > 0 {
			t.Errorf("after a failed Commit there is %q, want nothing", got)
		}
	}
}

func TestMaildirCommit_renameError(t *testing.T) {
	m := newMaildir(t)
	batch := closeFiles(t, m, 3)
	if err := os.Mkdir(batch.path("new", batch.closed[1].place[0].Name), 0o700); err != nil {
		t.Fatal(err)
	}
	deliveries := deliveriesOf(batch)
	err := batch.Commit(t.Context())
	if safe := wantSafeFirst(t, deliveries, err); safe != 1 || err == nil || !strings.Contains(err.Error(), "message 2 of 3") {
		t.Errorf("Commit() = %v with %d safe, want 1 and an error about message 2 of 3", err, safe)
	}
	if got := files(t, m.path+"/tmp"); len(got) > 0 {
		t.Errorf("tmp holds %q, want nothing", got)
	}
	found, err := m.Find(t.Context(), slices.Values([]Token{token(0), token(1), token(2)}), time.Now())
	if err != nil || len(found) != 1 || len(found[token(0)]) != 1 {
		t.Errorf("Find() = %v, %v, want the first message alone", found, err)
	}
}

// Two batches that are committed at the same time must not take each other's files or errors.
func TestMaildirCommit_atOnce(t *testing.T) {
	m := newMaildir(t)
	batches := make([]*maildirBatch, 4)
	for i := range batches {
		batches[i] = closeFiles(t, m, syncfsFrom-5+5*i)
	}
	var group sync.WaitGroup
	for i, batch := range batches {
		group.Add(1)
		go func() {
			defer group.Done()
			if i == 0 {
				_ = errors.Join(batch.writeHeld(), batch.closed[0].file.Close())
			}
			if err := batch.Commit(t.Context()); (err != nil) != (i == 0) {
				t.Errorf("Commit() of batch %d = %v, want an error for batch 0 only", i, err)
			}
		}()
	}
	group.Wait()
	want := len(batches[1].closed) + len(batches[2].closed) + len(batches[3].closed)
	if got := files(t, m.path+"/new"); len(got) != want {
		t.Errorf("new holds %d messages, want %d", len(got), want)
	}
	if got := files(t, m.path+"/tmp"); len(got) != 0 {
		t.Errorf("tmp holds %q, want nothing", got)
	}
}

func TestMaildirLimit(t *testing.T) {
	if got, want := NewMaildir("/nowhere").Limit(), (Limit{64, 4 << 20, 2}); got != want {
		t.Errorf("Limit() = %v, want %v", got, want)
	}
	m := newMaildir(t)
	tmp, err := openFolder(filepath.Join(m.path, "tmp"))
	if err != nil {
		t.Fatal(err)
	}
	defer tmp.Close()
	if got, w := m.Limit(), durable.WaysOf(tmp); (got.Messages == 64) == w.Whole || (got.Octets == memoryOctets) != w.Free {
		t.Errorf("Limit() = %+v on a file system with %+v", got, w)
	}
}

func BenchmarkMaildirCommit(b *testing.B) {
	for name, parent := range map[string]string{"disk": "", "shm": "/dev/shm"} {
		for _, n := range []int{1, 2, 4, 8, 64} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) { benchmarkCommit(b, parent, n) })
		}
	}
}

func benchmarkCommit(b *testing.B, parent string, n int) {
	dir, err := os.MkdirTemp(parent, "popfetch-benchmark-")
	if err != nil {
		b.Skip(err)
	}
	defer os.RemoveAll(dir)
	m := NewMaildir(filepath.Join(dir, "Maildir"))
	if err := m.Prepare(b.Context(), true); err != nil {
		b.Fatal(err)
	}
	message := []byte(strings.Repeat("a line of sixty-four octets, with CR and LF at its end, as mail\r\n", 64))
	b.SetBytes(int64(n * len(message)))
	b.ReportAllocs()
	for b.Loop() {
		batch, err := m.Begin(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		for i := range n {
			d, err := batch.Create(b.Context(), Envelope{Token: token(i)})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := d.Write(message); err != nil {
				b.Fatal(err)
			}
			if err := d.Close(); err != nil {
				b.Fatal(err)
			}
		}
		if err := batch.Commit(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "messages/s")
}

// If too many files are open, the file of a whole message is synced and closed at once. Its batch
// is committed like any other.
func TestMaildirClose_manyOpen(t *testing.T) {
	m := newMaildir(t)
	batch := begin(t, m).(*maildirBatch)
	batch.whole = false // as on a file system where each file is synced by itself
	openMessages.Add(mostOpen())
	defer openMessages.Add(-mostOpen())
	before := openMessages.Load()
	d := create(t, batch, token(1))
	write(t, d, bytes.Repeat([]byte("a line\r\n"), 2*bufferOctets/8))
	closeDelivery(t, d)
	if got := openMessages.Load(); got != before {
		t.Errorf("%d files are open after Close(), want %d", got, before)
	}
	commit(t, batch, d)
	if got := files(t, m.path+"/new"); len(got) != 1 {
		t.Errorf("new holds %q, want one message", got)
	}
}
