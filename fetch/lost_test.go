package fetch_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/seen"
)

// leased is a store whose holds can be lost, as among many machines. Then it refuses all writes.
type leased struct {
	seen.Store

	mu    sync.Mutex
	epoch int64
	looks int    // of the next hold; see lease
	away  error  // what Release of the next holds returns; nil: what became of them
	now   *lease // the latest
}

// lease is a hold that a test ends.
type lease struct {
	seen.Hold
	epoch int64
	lost  chan struct{}
	away  error

	mu    sync.Mutex
	gone  bool
	looks int // until it is gone; 0: no limit
}

func (s *leased) Lock(ctx context.Context, name string) (seen.Hold, error) {
	hold, err := s.Store.Lock(ctx, name)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
	s.now = &lease{Hold: hold, epoch: s.epoch, lost: make(chan struct{}), looks: s.looks, away: s.away}
	s.looks = 0
	return s.now, nil
}

func (s *leased) Enter(ctx context.Context, name, server, user string) (seen.Ledger, error) {
	ledger, err := s.Store.Enter(ctx, name, server, user)
	return leasedLedger{ledger, s.latest()}, err
}

func (s *leased) latest() *lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// lose ends the hold as a process sees it that stood still: Lost has not been closed yet.
func (l *lease) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = true
}

func (l *lease) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.looks > 0 {
		l.looks--
		l.gone = l.gone || l.looks == 0
	}
	if l.gone {
		return seen.ErrLost
	}
	return nil
}

func (l *lease) Lost() <-chan struct{} { return l.lost }
func (l *lease) Epoch() int64          { return l.epoch }

// Release gives the lock of the store below back in any case, and tells what became of the hold.
func (l *lease) Release() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.away
	if l.gone {
		err = cmp.Or(err, seen.ErrLost)
	}
	l.gone = true // as that of a database
	return errors.Join(l.Hold.Release(), err)
}

// leasedLedger writes nothing when the hold is lost.
type leasedLedger struct {
	seen.Ledger
	lease *lease
}

func (l leasedLedger) Apply(ctx context.Context, changes seen.Changes) error {
	if err := l.lease.Err(); err != nil {
		return err
	}
	return l.Ledger.Apply(ctx, changes)
}

func (l leasedLedger) Finish(ctx context.Context, diff seen.Diff, left []seen.Entry, deleted []seen.Deleted, at time.Time) error {
	if err := l.lease.Err(); err != nil {
		return err
	}
	return l.Ledger.Finish(ctx, diff, left, deleted, at)
}

func (l leasedLedger) Ready(ctx context.Context, messages int) error {
	if err := l.lease.Err(); err != nil {
		return err
	}
	return l.Ledger.Ready(ctx, messages)
}

// newLeased is a rig of an account whose messages are deleted at once, at a store with leases. It
// pipelines nothing, so that each command shows what the run knew before.
func newLeased(t *testing.T, messages int) (*rig, *leased, *poptest.Server) {
	t.Helper()
	var all []poptest.Message
	for i := range messages {
		text := fmt.Sprintf("Message-ID: <%d@example.org>\r\nSubject: %d\r\n\r\ntext %d\r\n", i, i, i)
		all = append(all, poptest.Message{UniqueID: fmt.Sprint("id", i), Content: []byte(text)})
	}
	server := newServer(t, all...)
	r := newRig(t, server.Addr())
	store := &leased{Store: r.runner.Store}
	r.runner.Store = store
	r.account.POP3.Window = 1
	r.account.Delete = fetch.DeletePolicy{Enabled: true}
	return r, store, server
}

// wantAllOnce checks that each message lies in the Maildir once.
func wantAllOnce(t *testing.T, maildir string, messages int) {
	t.Helper()
	var got, want []string
	for _, name := range filesIn(t, filepath.Join(maildir, "new")) {
		content, err := os.ReadFile(filepath.Join(maildir, "new", name))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(content[strings.Index(string(content), "text"):]))
	}
	for i := range messages {
		want = append(want, fmt.Sprintf("text %d\n", i))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the Maildir has %q, want each of %d messages once", got, messages)
	}
}

// A run whose hold is lost just before a step does not do that step, nor any later one. The next
// run brings and deletes each message once.
func TestLost_place(t *testing.T) {
	const messages = 3
	for _, c := range []struct {
		place string
		after string // the command at which the hold is lost
		never []string
		new   int // messages in the Maildir then
	}{
		{"PASS", "CAPA", []string{"AUTH", "USER", "PASS", "APOP", "QUIT"}, 0},
		{"RETR", "RETR 2", []string{"RETR 3", "DELE", "QUIT"}, 0},
		{"publishing", "RETR 3", []string{"DELE", "QUIT"}, 0},
		{"DELE", "DELE 1", []string{"DELE 2", "QUIT"}, messages},
		{"QUIT", "DELE 3", []string{"QUIT"}, messages},
	} {
		t.Run(c.place, func(t *testing.T) {
			r, store, server := newLeased(t, messages)
			lost := false
			hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
				if lost {
					for _, never := range c.never {
						if strings.HasPrefix(cmd, never) {
							t.Errorf("the run sends %q", cmd)
						}
					}
				}
				if strings.HasPrefix(cmd, c.after) {
					lost = true
					store.latest().lose()
				}
				return poptest.Action{}
			})
			result := r.run()
			if !errors.Is(result.Err, seen.ErrLost) || !strings.HasSuffix(string(fetch.CodeOf(result.Err)), "/lost") {
				t.Errorf("the run ends with %v, code %q, want ErrLost", result.Err, fetch.CodeOf(result.Err))
			}
			if result.Fruitless() {
				t.Error("the run counts as one that the server has made fruitless")
			}
			server.Wait()
			if got := len(filesIn(t, filepath.Join(r.maildir, "new"))); got != c.new || !lost {
				t.Errorf("the Maildir has %d messages (lost: %v), want %d", got, lost, c.new)
			}
			if deleted := server.DeletedIDs(); len(deleted) > 0 {
				t.Errorf("%q are deleted, want none", deleted)
			}
			hook(server, nil)
			if result := r.run(); result.Err != nil || result.Deleted != messages {
				t.Errorf("the next run = %v with %q, want all to be deleted", result.Err, outcome(result))
			}
			wantAllOnce(t, r.maildir, messages)
		})
	}
}

// Whenever a hold is lost between two looks, nothing is lost and nothing comes twice, and what the
// run has deleted is at its target.
func TestLost_anyLook(t *testing.T) {
	const messages = 3
	for looks := 1; ; looks++ {
		r, store, server := newLeased(t, messages)
		store.looks = looks
		result := r.run()
		gone := store.latest().looks == 0
		if gone != errors.Is(result.Err, seen.ErrLost) {
			t.Errorf("look %d: the run ends with %v, lost: %v", looks, result.Err, gone)
		}
		server.Wait()
		if deleted := server.DeletedIDs(); len(deleted) > len(filesIn(t, filepath.Join(r.maildir, "new"))) {
			t.Errorf("look %d: %q are deleted, and not all are delivered", looks, deleted)
		}
		if result := r.run(); result.Err != nil {
			t.Errorf("look %d: the next run = %v", looks, result.Err)
		}
		wantAllOnce(t, r.maildir, messages)
		if got := len(server.DeletedIDs()); got != messages {
			t.Errorf("look %d: %d messages are deleted in the end, want all", looks, got)
		}
		if t.Failed() || !gone {
			t.Logf("the hold was lost at each of %d looks", looks-1)
			if looks < 14 {
				t.Error("want more looks")
			}
			return
		}
	}
}

// An account that cannot be given back was not lost.
func TestLost_release(t *testing.T) {
	r, store, _ := newLeased(t, 1)
	store.away = errors.New("the database is away")
	result := r.run()
	if !errors.Is(result.Err, store.away) || errors.Is(result.Err, seen.ErrLost) {
		t.Errorf("the run ends with %v, want %q", result.Err, store.away)
	}
	wantAllOnce(t, r.maildir, 1)
}

// When a hold is lost, the connection is cut at once, also while the server is silent.
func TestLost_watchdog(t *testing.T) {
	for _, at := range []string{"AUTH", "RETR 2", "DELE 2", "QUIT"} {
		t.Run(at, func(t *testing.T) {
			r, store, server := newLeased(t, 3)
			silent := make(chan struct{})
			defer close(silent)
			hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
				if strings.HasPrefix(cmd, at) {
					l := store.latest()
					l.lose()
					close(l.lost)
					<-silent
				}
				return poptest.Action{}
			})
			began := time.Now()
			result := r.run()
			if !errors.Is(result.Err, seen.ErrLost) {
				t.Errorf("the run ends with %v, want ErrLost", result.Err)
			}
			if took := time.Since(began); took > patience/2 {
				t.Errorf("the run has ended after %v, want it to be cut at once", took)
			}
		})
	}
}

// The engine fences the target by the epoch of the hold, before it looks for messages there. A run
// of an earlier epoch that published its batch after that has lost its files.
func TestLost_fence(t *testing.T) {
	const messages = 2
	r, store, server := newLeased(t, messages)
	first := r.account.Target
	r.account.Target = overtaken{first.(*deliver.Maildir), func() {
		// Another process takes the account just before this one publishes, unnoticed by it.
		other := deliver.NewMaildir(r.maildir)
		if err := other.Fence(t.Context(), r.account.Name, store.latest().epoch+1); err != nil {
			t.Error(err)
		}
		store.mu.Lock()
		store.epoch++
		store.mu.Unlock()
	}}
	err := r.fails(fetch.PhaseDeliver, "2 listed, 2 new")
	if !errors.Is(err, deliver.ErrOvertaken) || fetch.CodeOf(err) != "deliver/lost" {
		t.Errorf("the run that was overtaken ends with %v, code %q, want ErrOvertaken", err, fetch.CodeOf(err))
	}
	if deleted := server.DeletedIDs(); len(deleted) > 0 {
		t.Errorf("%q are deleted, want none", deleted)
	}
	wantAllOnce(t, r.maildir, 0)
	r.account.Target = first
	r.runs("2 listed, 2 new, 2 delivered, 2 deleted")
	wantAllOnce(t, r.maildir, messages)
}

// overtaken is a Maildir whose batches call before just before they are committed.
type overtaken struct {
	*deliver.Maildir
	before func()
}

func (o overtaken) Begin(ctx context.Context) (deliver.Batch, error) {
	b, err := o.Maildir.Begin(ctx)
	return overtakenBatch{b, o.before}, err
}

type overtakenBatch struct {
	deliver.Batch
	before func()
}

func (b overtakenBatch) Commit(ctx context.Context) error {
	b.before()
	return b.Batch.Commit(ctx)
}
