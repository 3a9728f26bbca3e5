package deliver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/systrace"
)

// fencedMessages is how many messages a run of the tests here delivers.
const fencedMessages = 3

// fencedRun is what a run of an epoch does at a target: it finds out what is there, and then
// delivers what is not.
type fencedRun struct {
	target Target
	epoch  int64
	found  map[Token][]string
}

func (r *fencedRun) find() (err error) {
	ctx := context.Background()
	if err := r.target.Prepare(ctx, false); err != nil {
		return err
	}
	if err := r.target.(Fenced).Fence(ctx, "work", r.epoch); err != nil {
		return err
	}
	tokens := make([]Token, fencedMessages)
	for i := range tokens {
		tokens[i] = token(i)
	}
	r.found, err = r.target.(Finder).Find(ctx, slices.Values(tokens), time.Time{})
	return err
}

func (r *fencedRun) deliver() error {
	ctx := context.Background()
	batch, err := r.target.Begin(ctx)
	if err != nil {
		return err
	}
	for i := range fencedMessages {
		if len(r.found[token(i)]) > 0 {
			continue
		}
		d, err := batch.Create(ctx, Envelope{Token: token(i)})
		if err != nil {
			return err
		}
		_, err = d.Write(childMessage(i))
		if err := errors.Join(err, d.Close()); err != nil {
			return errors.Join(err, batch.Discard())
		}
	}
	return batch.Commit(ctx)
}

// fencedChild is the task of a child: "maildir:PATH" or "mbox:PATH".
func fencedChild(task string) error {
	kind, path, _ := strings.Cut(task, ":")
	r := fencedRun{target: fencedTarget(kind, path), epoch: 5}
	err := r.find()
	if err == nil {
		err = r.deliver()
	}
	if errors.Is(err, ErrOvertaken) {
		return nil
	}
	return err
}

func fencedTarget(kind, path string) Target {
	if kind == "mbox" {
		return NewMbox(path, NewFileBook(path+".notes"))
	}
	return NewMaildir(path)
}

// overtake runs a child that is overtaken at its nth system call below the folder of path, before
// the kernel does it. The run that overtakes it delivers at once, or when the child has ended.
// overtake reports whether there is such a call.
func overtake(t *testing.T, kind, path string, nth int, atOnce bool) (reached bool) {
	t.Helper()
	n, at := 0, ""
	second := fencedRun{target: fencedTarget(kind, path), epoch: 6}
	ended := make(chan error, 1)
	status := trace(t, "fenced:"+kind+":"+path, filepath.Dir(path), func(c *systrace.Call, done bool) systrace.Verdict {
		if done {
			return systrace.Verdict{}
		}
		if n++; n != nth {
			return systrace.Verdict{}
		}
		at = c.Name + " " + c.Path
		successor := func() {
			err := second.find()
			if err == nil && atOnce {
				err = second.deliver()
			}
			ended <- err
		}
		if isLocked(t, kind, path) { // then it has to wait for the one that stands still
			go successor()
		} else {
			successor()
		}
		return systrace.Verdict{}
	})
	if at == "" {
		return false
	}
	err := <-ended
	if err == nil && !atOnce {
		err = second.deliver()
	}
	if err != nil {
		t.Errorf("the run that overtakes at %s = %v, want no error", at, err)
	}
	if status != 0 {
		t.Errorf("the run that was overtaken at %s ended with %d", at, status)
	}
	wantOnce(t, kind, path, at)
	return true
}

// isLocked reports whether somebody has locked an mbox.
func isLocked(t *testing.T, kind, path string) bool {
	if kind != "mbox" {
		return false
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lock := &unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(file.Fd(), unix.F_OFD_GETLK, lock); err != nil {
		t.Fatal(err)
	}
	_, err = os.Lstat(path + ".lock")
	return lock.Type != unix.F_UNLCK || err == nil
}

// wantOnce checks that a target has each message once, and no other.
func wantOnce(t *testing.T, kind, path, label string) {
	t.Helper()
	var want, got []string
	for i := range fencedMessages {
		want = append(want, string(toLF(childMessage(i))))
	}
	if kind == "mbox" {
		for place, err := range fencedTarget(kind, path).(*Mbox).Scan(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(place.Sum))
		}
		for i := range want {
			want[i] = fmt.Sprint(sumOf(want[i]))
		}
	} else {
		got = readAll(t, files(t, filepath.Join(path, "new")))
		for _, stage := range files(t, filepath.Join(path, "tmp")) {
			if filepath.Base(stage) != newStage("work", 6).name() {
				t.Errorf("%s: %s is left behind", label, stage)
			}
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: the target has %d messages, want each of %d once", label, len(got), len(want))
	}
}
