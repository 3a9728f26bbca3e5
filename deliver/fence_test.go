package deliver

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/systrace"
)

// A run that stands still at any system call, and goes on when another one has delivered its
// messages, delivers nothing twice, and nothing is lost.
func TestFence_overtaken(t *testing.T) {
	for _, kind := range []string{"maildir", "mbox"} {
		t.Run(kind, func(t *testing.T) {
			for nth := 1; ; nth++ {
				reached := false
				for _, atOnce := range []bool{true, false} {
					path := filepath.Join(t.TempDir(), "mail", "box")
					if err := fencedTarget(kind, path).Prepare(t.Context(), true); err != nil {
						t.Fatal(err)
					}
					reached = overtake(t, kind, path, nth, atOnce)
				}
				if !reached {
					t.Logf("overtaken at %d calls", nth-1)
					if nth < 20 {
						t.Errorf("only %d calls were seen", nth-1)
					}
					return
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

// A fence empties what a killed run has left, and the sweep removes what nobody fences any more.
func TestFence_leftovers(t *testing.T) {
	m := newMaildir(t)
	lay := func(name string) string {
		file := filepath.Join(m.inTmp(name), "message")
		if err := errors.Join(os.Mkdir(m.inTmp(name), 0o700), os.WriteFile(file, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		return m.inTmp(name)
	}
	killed, clearing, other := newStage("work", 3).name(), newStage("work", 2).name()+asideSuffix, lay(newStage("gone", 9).name())
	lay(killed)
	lay(killed + asideSuffix)
	lay(clearing)
	for range 2 { // the second time finds nothing to do
		if err := m.Fence(t.Context(), "work", 5); err != nil {
			t.Fatalf("Fence() = %v, want no error", err)
		}
	}
	names, err := namesIn(m.inTmp(""))
	slices.Sort(names)
	want := []string{newStage("work", 5).name(), filepath.Base(other)}
	slices.Sort(want)
	if err != nil || !slices.Equal(names, want) {
		t.Errorf("tmp has %v, %v, want %v", names, err, want)
	}
	old := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(other, old, old); err != nil {
		t.Fatal(err)
	}
	if err := m.Prepare(t.Context(), false); err != nil {
		t.Fatalf("Prepare() = %v, want no error", err)
	}
	if _, err := os.Stat(other); err == nil {
		t.Errorf("%s stays", other)
	}
	deliverOne(t, m, token(1), []byte("text\r\n"))
}

// A stage may hold a file that a process has open on NFS: then it stays, and the sweep and the fence
// go on. A later fence removes it.
func TestFence_busy(t *testing.T) {
	for _, suffix := range []string{"", asideSuffix} {
		path := filepath.Join(t.TempDir(), "mail", "box")
		m := NewMaildir(path)
		if err := m.Prepare(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		stage := m.inTmp(newStage("work", 3).name() + suffix)
		file := filepath.Join(stage, ".nfs0001")
		old := time.Now().Add(-48 * time.Hour)
		err := errors.Join(os.Mkdir(stage, 0o700), os.WriteFile(file, nil, 0o600), os.Chtimes(stage, old, old))
		if err != nil {
			t.Fatal(err)
		}
		busy := 0
		status := trace(t, "fenced:maildir:"+path, path, func(c *systrace.Call, done bool) systrace.Verdict {
			if done || !strings.HasPrefix(c.Name, "unlink") || filepath.Base(c.Path) != filepath.Base(file) {
				return systrace.Verdict{}
			}
			if busy++; busy > 10 {
				return systrace.Verdict{Kill: true}
			}
			return systrace.Verdict{Fail: unix.EBUSY}
		})
		if status != 0 || busy == 0 {
			t.Errorf("the run ends with %d after %d tries to remove the file, want 0", status, busy)
		}
		if err := m.Fence(t.Context(), "work", 6); err != nil { // nobody has it open any more
			t.Errorf("Fence() = %v, want no error", err)
		}
		wantOnce(t, "maildir", path, "a busy file")
	}
}

// Accounts that deliver into the same Maildir fence only their own earlier runs.
func TestFence_otherAccounts(t *testing.T) {
	first := newMaildir(t)
	second := NewMaildir(first.path)
	if err := errors.Join(first.Fence(t.Context(), "a", 1), second.Fence(t.Context(), "b", 7)); err != nil {
		t.Fatal(err)
	}
	for i, m := range []*Maildir{first, second} {
		deliverOne(t, m, token(i), []byte("text\r\n"))
	}
}

// A batch of an overtaken run says so at each step, and leaves nothing.
func TestFence_batch(t *testing.T) {
	for _, kind := range []string{"maildir", "mbox"} {
		for _, step := range []string{"begin", "write", "commit"} {
			t.Run(kind+"/"+step, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "box")
				first, second := fencedTarget(kind, path), fencedTarget(kind, path)
				if err := errors.Join(first.Prepare(t.Context(), true), first.(Fenced).Fence(t.Context(), "work", 1)); err != nil {
					t.Fatal(err)
				}
				overtaken := func(at string) {
					if at != step {
						return
					}
					if err := second.(Fenced).Fence(t.Context(), "work", 2); err != nil {
						t.Fatal(err)
					}
				}
				overtaken("begin")
				err := func() error {
					batch, err := first.Begin(t.Context())
					if err != nil {
						return err
					}
					overtaken("write")
					d, err := batch.Create(t.Context(), Envelope{Token: token(1)})
					if err != nil {
						return err
					}
					if _, err := d.Write(make([]byte, 4*memoryOctets)); err != nil {
						return errors.Join(err, d.Abort(), batch.Discard())
					}
					if err := d.Close(); err != nil {
						return errors.Join(err, batch.Discard())
					}
					overtaken("commit")
					err = batch.Commit(t.Context())
					if v := d.Verdict(); v.Outcome != Unknown || !errors.Is(v.Err, ErrOvertaken) {
						t.Errorf("Verdict() = %v, want unknown and ErrOvertaken", v)
					}
					return err
				}()
				if !errors.Is(err, ErrOvertaken) || errors.Is(err, ErrMissing) {
					t.Errorf("the run that was overtaken ends with %v, want ErrOvertaken", err)
				}
				if err := first.(Fenced).Fence(t.Context(), "work", 1); !errors.Is(err, ErrOvertaken) {
					t.Errorf("Fence() of an earlier epoch = %v, want ErrOvertaken", err)
				}
				deliverOne(t, second, token(1), []byte("text\r\n"))
				if kind == "mbox" {
					return
				}
				if left := files(t, filepath.Join(path, "tmp")); len(left) > 0 {
					t.Errorf("tmp has %v, want no file", left)
				}
			})
		}
	}
}

// Mail of an earlier month is found although nothing can be delivered there any more. Another error
// of its fence counts.
func TestFence_archived(t *testing.T) {
	for name, c := range map[string]struct {
		archive func(m *Maildir) error
		want    error
	}{
		"no tmp":    {func(m *Maildir) error { return os.RemoveAll(m.inTmp("")) }, nil},
		"read-only": {func(m *Maildir) error { return &os.PathError{Op: "mkdir", Path: m.path, Err: unix.EROFS} }, nil},
		"denied":    {func(m *Maildir) error { return &os.PathError{Op: "mkdir", Path: m.path, Err: unix.EACCES} }, nil},
		"broken":    {func(m *Maildir) error { return &os.PathError{Op: "mkdir", Path: m.path, Err: unix.EIO} }, unix.EIO},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			target := NewDated(filepath.Join(dir, "{year}"), func(path string) Target {
				m := NewMaildir(path)
				if filepath.Base(path) == "2025" {
					return archived{m, c.archive(m)}
				}
				return m
			})
			madeOf(target).(*dated).now = func() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }
			old := NewMaildir(filepath.Join(dir, "2025"))
			if err := errors.Join(old.Prepare(t.Context(), true), target.Prepare(t.Context(), true)); err != nil {
				t.Fatal(err)
			}
			deliverOne(t, old, token(1), []byte("text\r\n"))
			if err := target.(Fenced).Fence(t.Context(), "work", 5); err != nil {
				t.Fatal(err)
			}
			found, err := target.(Finder).Find(t.Context(), slices.Values([]Token{token(1)}), time.Time{})
			if !errors.Is(err, c.want) || (len(found) == 1) != (c.want == nil) {
				t.Errorf("Find() = %v, %v, want the message, or %v", found, err, c.want)
			}
		})
	}
}

// archived is a Maildir that cannot be fenced, if err is set.
type archived struct {
	*Maildir
	err error
}

func (a archived) Fence(ctx context.Context, account string, epoch int64) error {
	if a.err != nil {
		return a.err
	}
	return a.Maildir.Fence(ctx, account, epoch)
}

// Targets over others pass the fence on, and a dated one fences each path that a run may have used.
func TestFence_composites(t *testing.T) {
	dir := t.TempDir()
	month := NewDated(filepath.Join(dir, "{year}-{month}"), func(path string) Target { return NewMaildir(path) })
	d := madeOf(month).(*dated)
	d.now = func() time.Time { return time.Date(2026, 11, 30, 23, 59, 0, 0, time.UTC) }
	inner := NewRoute(Routing{Otherwise: NewHeaders(nil, NewFan([]Member{{"a", month}, {"b", NewMaildir(filepath.Join(dir, "b"))}}, NewFileBook(below(t, "notes"))))})
	target := NewFilter(Filter{Command: "cat", Notes: NewFileBook(below(t, "filter"))}, inner)
	if err := errors.Join(target.Prepare(t.Context(), true), target.(Fenced).Fence(t.Context(), "work", 4)); err != nil {
		t.Fatal(err)
	}
	stage := filepath.Join("tmp", newStage("work", 4).name())
	wantStage := func(folder string) {
		t.Helper()
		if _, err := os.Stat(filepath.Join(dir, folder, stage)); err != nil {
			t.Errorf("%s is not fenced: %v", folder, err)
		}
	}
	wantStage("2026-11")
	wantStage("b")
	// The month changes in the middle of the run.
	d.now = func() time.Time { return time.Date(2026, 12, 1, 0, 1, 0, 0, time.UTC) }
	deliverOne(t, target, token(1), []byte("A: b\r\n\r\ntext\r\n"))
	wantStage("2026-12")
	// The next run finds what an overtaken one delivers nowhere any more.
	next := NewDated(filepath.Join(dir, "{year}-{month}"), func(path string) Target { return NewMaildir(path) })
	madeOf(next).(*dated).now = d.now
	if err := next.(Fenced).Fence(t.Context(), "work", 5); err != nil {
		t.Fatal(err)
	}
	if _, err := next.(Finder).Find(t.Context(), slices.Values([]Token{token(1)}), time.Time{}); err != nil {
		t.Fatal(err)
	}
	stage = filepath.Join("tmp", newStage("work", 5).name())
	wantStage("2026-11")
	wantStage("2026-12")
}
