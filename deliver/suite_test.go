package deliver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/escape"
)

// fixture is a target under test, with functions that look at its files directly.
type fixture struct {
	Target
	delivered func(t *testing.T) []string // returns the messages that arrived, sorted by content
	leftovers func(t *testing.T) []string // returns files of messages that did not arrive
	endsLine  bool                        // a message without a final line end gets one
	places    []string                    // names of the targets in the places of a message; nil: one without a name
	drops     bool                        // an empty message is dropped
	spares    bool                        // if the disk is full, only a message that is too large for the memory is refused
}

// testTarget is the suite that every target passes. open makes a new target with all its files
// below dir.
func testTarget(t *testing.T, open func(t *testing.T, dir string) fixture) {
	prepared := func(t *testing.T) fixture {
		t.Helper()
		f := open(t, t.TempDir())
		if err := f.Prepare(t.Context(), true); err != nil {
			t.Fatalf("Prepare() = %v, want no error", err)
		}
		return f
	}

	t.Run("contents", func(t *testing.T) {
		for _, c := range contents() {
			t.Run(c.name, func(t *testing.T) {
				f := prepared(t)
				receipt := deliverOne(t, f, token(1), []byte(c.wire))
				if c.want == "" && f.drops {
					wantDelivered(t, f)
					return
				}
				wantDelivered(t, f, c.want)
				want := sumOf(c.want)
				if receipt.Came != want {
					t.Errorf("Receipt().Came = %+v, want %+v", receipt.Came, want)
				}
				names := f.places
				if names == nil {
					names = []string{""}
				}
				delivered := sumOf(f.asDelivered(c.want))
				isAt := func(p Place, name string) bool { return p.Target == name && p.Sum == delivered }
				if got := receipt.Places; !slices.EqualFunc(got, names, isAt) {
					t.Errorf("Receipt().Places = %+v, want them at %q with %+v", got, names, delivered)
				}
				measured, err := Measure(strings.NewReader(c.wire))
				if err != nil || measured != want {
					t.Errorf("Measure() = %+v, %v, want %+v", measured, err, want)
				}
			})
		}
	})

	t.Run("C0023/every split", func(t *testing.T) {
		f := prepared(t)
		const wire, want = "a\r\r\nb\r\n\rc\r\n\r\n\nd\r", "a\r\nb\n\rc\n\n\nd\r"
		var all []string
		for at := range len(wire) + 1 {
			deliverOne(t, f, token(at), []byte(wire[:at]), []byte(wire[at:]))
			all = append(all, want)
		}
		wantDelivered(t, f, all...)
	})

	t.Run("abort leaves nothing", func(t *testing.T) {
		f := prepared(t)
		batch := begin(t, f)
		d := create(t, batch, token(1))
		write(t, d, []byte("half a mess"))
		if err := d.Abort(); err != nil {
			t.Errorf("Abort() = %v, want no error", err)
		}
		if err := batch.Commit(t.Context()); err != nil {
			t.Errorf("Commit() of an aborted message = %v, want no error", err)
		}
		wantNotSafe(t, d)
		wantDelivered(t, f)
		wantNoLeftovers(t, f)
	})

	t.Run("abort keeps the neighbours", func(t *testing.T) {
		f := prepared(t)
		batch := begin(t, f)
		if err := create(t, batch, token(1)).Abort(); err != nil {
			t.Errorf("Abort() = %v, want no error", err)
		}
		d := create(t, batch, token(2))
		write(t, d, []byte("whole\r\n"))
		closeDelivery(t, d)
		commit(t, batch, d)
		wantDelivered(t, f, "whole\n")
	})

	t.Run("discard leaves nothing", func(t *testing.T) {
		for _, closed := range []bool{false, true} {
			f := prepared(t)
			batch := begin(t, f)
			d := create(t, batch, token(1))
			write(t, d, bytes.Repeat([]byte("x"), spoolOctets+1))
			if closed {
				closeDelivery(t, d)
			}
			if err := batch.Discard(); err != nil {
				t.Errorf("Discard() = %v, want no error", err)
			}
			wantNotSafe(t, d)
			wantDelivered(t, f)
			wantNoLeftovers(t, f)
		}
	})

	t.Run("an empty batch", func(t *testing.T) {
		f := prepared(t)
		commit(t, begin(t, f))
		wantDelivered(t, f)
	})

	t.Run("used out of order", func(t *testing.T) {
		f := prepared(t)
		batch := begin(t, f)
		d := create(t, batch, token(1))
		if _, err := batch.Create(t.Context(), Envelope{}); err == nil {
			t.Error("Create() beside an open Delivery succeeded, want an error")
		}
		if err := batch.Commit(t.Context()); err == nil {
			t.Error("Commit() with an open Delivery succeeded, want an error")
		}
		wantNotSafe(t, d)
		closeDelivery(t, d)
		wantNotSafe(t, d)
		if _, err := d.Write([]byte("late")); err == nil {
			t.Error("Write() after Close succeeded, want an error")
		}
		if d.Close() == nil || d.Abort() == nil {
			t.Error("Close() or Abort() after Close succeeded, want errors")
		}
		commit(t, batch, d)
		if err := batch.Commit(t.Context()); err == nil || batch.Discard() == nil {
			t.Error("Commit() or Discard() after Commit succeeded, want errors")
		}
		if got := d.Verdict(); got != (Verdict{Outcome: Safe}) {
			t.Errorf("Verdict() after a second Commit = %+v, want Safe still", got)
		}
		if _, err := batch.Create(t.Context(), Envelope{}); err == nil {
			t.Error("Create() after Commit succeeded, want an error")
		}
		if !f.drops {
			wantDelivered(t, f, "")
		}
	})

	t.Run("two at once", func(t *testing.T) {
		f := prepared(t)
		var want []string
		for i := range 16 {
			want = append(want, strings.Repeat(string(rune('a'+i)), 1000*i+1))
		}
		var group sync.WaitGroup
		for half := range slices.Chunk(want, 8) {
			group.Add(1)
			go func() {
				defer group.Done()
				deliverAll(t, f, half)
			}()
		}
		group.Wait()
		wantDelivered(t, f, want...)
		wantNoLeftovers(t, f)
	})

	t.Run("cancelled before", func(t *testing.T) {
		f := prepared(t)
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := f.Begin(cancelled); !errors.Is(err, context.Canceled) {
			t.Errorf("Begin() = %v, want context.Canceled", err)
		}
		batch := begin(t, f)
		if _, err := batch.Create(cancelled, Envelope{}); !errors.Is(err, context.Canceled) {
			t.Errorf("Create() = %v, want context.Canceled", err)
		}
		d := create(t, batch, token(1))
		closeDelivery(t, d)
		if err := batch.Commit(cancelled); !errors.Is(err, context.Canceled) {
			t.Errorf("Commit() = %v, want context.Canceled", err)
		}
		wantNotSafe(t, d)
		wantDelivered(t, f)
		wantNoLeftovers(t, f)
	})

	// behaviour 29 and 31
	t.Run("full disk", func(t *testing.T) {
		dir := t.TempDir()
		mountSmall(t, dir)
		f := open(t, dir)
		if err := f.Prepare(t.Context(), true); err != nil {
			t.Fatalf("Prepare() = %v, want no error", err)
		}
		deliverOne(t, f, token(1), []byte("small\r\n"))
		batch := begin(t, f)
		d := create(t, batch, token(2))
		line := bytes.Repeat([]byte("large\r\n"), 10_000)
		var err error
		for range 300 {
			if _, err = d.Write(line); err != nil {
				break
			}
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("Write() of 21 MB into 1 MiB = %v, want ENOSPC", err)
		}
		if refusal := (*Error)(nil); errors.As(err, &refusal) != f.spares {
			t.Errorf("Write() = %v, want an *Error only if it is about one message", err)
		}
		if err := d.Close(); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("Close() after a full disk = %v, want ENOSPC again", err)
		}
		commit(t, batch)
		wantDelivered(t, f, "small\n")
		wantNoLeftovers(t, f)
	})
}

func sumOf(text string) Sum { return Sum{int64(len(text)), sha256.Sum256([]byte(text))} }

// asDelivered returns how the target delivers a message.
func (f fixture) asDelivered(message string) string {
	if f.endsLine && message != "" && !strings.HasSuffix(message, "\n") {
		return message + "\n"
	}
	return message
}

type content struct{ name, wire, want string }

// contents returns messages as they come from the wire, and as they must arrive.
func contents() []content {
	var large bytes.Buffer
	for large.Len() < 5<<20 {
		large.WriteString("a line of some length, so that lines and buffers end at different octets\r\n")
	}
	line := strings.Repeat("x", 1<<20)
	return []content{
		{"C0023/empty", "", ""},
		{"C0023/no header", "\r\nbody\r\n", "\nbody\n"},
		{"C0023/header only", "Subject: s\r\n", "Subject: s\n"},
		{"C0023/NUL", "a\x00b\r\n\x00", "a\x00b\n\x00"},
		{"C0023/8-bit", "\xff\xfe\x80\r\n\xc3\xa9\r\n", "\xff\xfe\x80\n\xc3\xa9\n"},
		{"C0023/no final line end", "a\r\nb", "a\nb"},
		{"C0023/CR only", "a\rb\rc", "a\rb\rc"},
		{"C0023/CR at the end", "a\r\n\r", "a\n\r"},
		{"C0023/CR CR LF", "a\r\r\nb", "a\r\nb"},
		{"C0023/LF only", "a\nb\n", "a\nb\n"},
		{"C0023/lines of dots", ".\r\n..\r\n...\r\n", ".\n..\n...\n"},
		{"C0023/From lines", "From a b\r\n>From c\r\n", "From a b\n>From c\n"},
		{"C0023/one line of 1 MiB", line + "\r\n", line + "\n"},
		{"5 MiB", large.String(), strings.ReplaceAll(large.String(), "\r\n", "\n")},
		{"as long as the buffer", line[:bufferOctets-1] + "\r\n", line[:bufferOctets-1] + "\n"},
		{"as long as the spool", line[:spoolOctets], line[:spoolOctets]},
		{"longer than the spool by one", line[:spoolOctets+1], line[:spoolOctets+1]},
	}
}

func token(n int) Token { return NewToken("user", "server", "uid", n, 100) }

func begin(t *testing.T, target Target) Batch {
	t.Helper()
	batch, err := target.Begin(t.Context())
	if err != nil {
		t.Fatalf("Begin() = %v, want no error", err)
	}
	return batch
}

func create(t *testing.T, batch Batch, token Token) Delivery {
	t.Helper()
	d, err := batch.Create(t.Context(), Envelope{Token: token, Account: "test"})
	if err != nil {
		t.Fatalf("Create() = %v, want no error", err)
	}
	return d
}

func write(t *testing.T, d Delivery, p []byte) {
	t.Helper()
	if n, err := d.Write(p); n != len(p) || err != nil {
		t.Fatalf("Write() of %d octets = %d, %v, want all", len(p), n, err)
	}
}

func closeDelivery(t *testing.T, d Delivery) {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Fatalf("Close() = %v, want no error", err)
	}
}

// commit commits a batch with the given closed deliveries. All of them must be Safe.
func commit(t *testing.T, batch Batch, closed ...Delivery) {
	t.Helper()
	if err := batch.Commit(t.Context()); err != nil {
		t.Fatalf("Commit() = %v, want no error", err)
	}
	if err := verdicts(closed); err != nil {
		t.Fatal(err)
	}
}

// verdicts returns an error if one of the deliveries is not Safe.
func verdicts(closed []Delivery) error {
	for i, d := range closed {
		if got := d.Verdict(); got != (Verdict{Outcome: Safe}) {
			return fmt.Errorf("Verdict() of message %d = %+v, want Safe", i, got)
		}
	}
	return nil
}

func wantNotSafe(t *testing.T, d Delivery) {
	t.Helper()
	if got := d.Verdict(); got.Outcome != Unknown || got.Err == nil {
		t.Errorf("Verdict() = %+v, want Unknown and why", got)
	}
}

// deliverOne delivers a message in a batch of its own. The message is written in the given pieces.
func deliverOne(t *testing.T, target Target, token Token, pieces ...[]byte) Receipt {
	t.Helper()
	batch := begin(t, target)
	d := create(t, batch, token)
	for _, piece := range pieces {
		write(t, d, piece)
	}
	closeDelivery(t, d)
	commit(t, batch, d)
	return d.Receipt()
}

// deliverAll delivers messages in batches that are as large as the target allows. Any goroutine may
// call it.
func deliverAll(t *testing.T, target Target, messages []string) {
	for some := range slices.Chunk(messages, target.Limit().Messages) {
		batch, err := target.Begin(t.Context())
		if err != nil {
			t.Errorf("Begin() = %v, want no error", err)
			return
		}
		var closed []Delivery
		for i, message := range some {
			d, err := batch.Create(t.Context(), Envelope{Token: token(i)})
			if err != nil {
				t.Errorf("Create() = %v, want no error", err)
				return
			}
			_, err = d.Write([]byte(message))
			if err := errors.Join(err, d.Close()); err != nil {
				t.Errorf("Write() and Close() = %v, want no error", err)
			}
			closed = append(closed, d)
		}
		if err := errors.Join(batch.Commit(t.Context()), verdicts(closed)); err != nil {
			t.Errorf("Commit() = %v, want no error", err)
		}
	}
}

func wantDelivered(t *testing.T, f fixture, want ...string) {
	t.Helper()
	got := f.delivered(t)
	for i := range want {
		want[i] = f.asDelivered(want[i])
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("delivered %s, want %s", brief(got), brief(want))
	}
}

func wantNoLeftovers(t *testing.T, f fixture) {
	t.Helper()
	if got := f.leftovers(t); len(got) > 0 {
		t.Errorf("left over: %q, want nothing", got)
	}
}

func brief(messages []string) string {
	var b strings.Builder
	for _, m := range messages {
		b.WriteString(" " + escape.Lines([]byte(m), 60))
	}
	return "[" + b.String() + " ]"
}

// files returns the paths of all files below dir. If dir is missing, there are none.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("reading %s: %v", dir, err)
	}
	return paths
}

func readAll(t *testing.T, paths []string) []string {
	t.Helper()
	var contents []string
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		contents = append(contents, string(content))
	}
	slices.Sort(contents)
	return contents
}

// mountSmall mounts a file system of 1 MiB at dir. Only the calling goroutine and the programs that
// it starts can see it.
func mountSmall(t *testing.T, dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	// The thread is never unlocked. It ends with the goroutine, and the mount ends with it.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		t.Skipf("a private mount is not allowed here: %v", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Skipf("a private mount is not allowed here: %v", err)
	}
	if err := unix.Mount("popfetch-test", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("a tmpfs cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmounting %s: %v", dir, err)
		}
	})
}
