package fetch_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/internal/systrace"
)

// callCase is a maildrop, a target and a state in which a run is killed at every one of its system
// calls.
type callCase struct {
	name          string
	maxDeliveries int // of an MDA; 0: a Maildir
	delete        bool
	earlier       func(r *killRig) // what happens before the run that is killed
}

// callMessages are the messages of these cases: those that come first, and those that come later.
const callMessages = 12

var callCases = []callCase{
	{"first run, keep", 0, false, func(r *killRig) { r.add("mrose", killMessages(callMessages)...) }},
	{"first run, delete", 0, true, func(r *killRig) { r.add("mrose", killMessages(callMessages)...) }},
	{"later run, keep", 0, false, backlog},
	{"later run, delete a backlog", 0, true, backlog},
	{"seen.db removed, delete", 0, true, func(r *killRig) {
		backlog(r)
		r.removeState()
	}},
	{"two accounts, one Maildir", 0, true, func(r *killRig) {
		r.users = append(r.users, "alice")
		backlog(r)
		for i, m := range killMessages(callMessages / 2) {
			r.add("alice", killMessage(m.UniqueID, uint64(5000+i), 900))
		}
		both := killMessages(1)[0] // mrose has it too
		both.UniqueID = "both"
		r.add("alice", both)
	}},
	{"first run, MDA", 1, false, func(r *killRig) { r.add("mrose", killMessages(callMessages)...) }},
	{"later run, two MDA, delete", 2, true, backlog},
}

// backlog lets a run keep half of the messages, and then adds the others.
func backlog(r *killRig) {
	messages := killMessages(callMessages)
	r.add("mrose", messages[:callMessages/2]...)
	deletes := r.delete
	r.delete = false
	r.runs(0)
	r.delete = deletes
	r.add("mrose", messages[callMessages/2:]...)
}

// behaviour 15, 28, 31, 33: kill -9 at each system call that touches a file or the connection,
// before it and after it, and a run after that: nothing is lost, cut or deleted unsafely, nothing
// twice in a Maildir.
func TestTortureKillAtEverySyscall(t *testing.T) {
	needTorture(t)
	killAtCalls(t, "KillAtEverySyscall", 1)
}

// The same at some of the calls.
func TestKill_calls(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts the program some 150 times")
	}
	t.Parallel()
	killAtCalls(t, "", 43)
}

// killAtCalls kills in each case at every step-th call.
func killAtCalls(t *testing.T, name string, step int) {
	if hindrance := canTrace(t); hindrance != "" {
		t.Skip(hindrance)
	}
	k := &kills{program: buildProgram(t), places: killPlaces(t), tally: new(killTally)}
	t.Run("cases", func(t *testing.T) {
		for i, c := range callCases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				k.killInCase(t, c, i, step)
			})
		}
	})
	t.Logf("at system calls: %v", k.tally)
	if name != "" {
		k.tally.report(t, name)
	}
	if want := len(callCases) * 2 * 100 / step; k.tally.kills < want {
		t.Errorf("%d kills, want %d", k.tally.kills, want)
	}
}

// killInCase kills at every step-th call, first before each and then after each, and now and then
// the run after it too.
func (k *kills) killInCase(t *testing.T, c callCase, i, step int) {
	r := k.newCallRig(t, c, i)
	snapshot := r.snapshot()
	for _, done := range []bool{false, true} {
		for n := 1 + 5*i%step; ; n += step {
			snapshot.restore()
			r.label = fmt.Sprintf("killed at call %d, done %t", n, done)
			if !r.killAtCall(n, done, touches) {
				break // the run has not made so many
			}
			r.awaitMDA()
			r.tally.count(c.name, false)
			r.checkKilled()
			if n%7 == 0 && r.killAtCall(1+n*31%97, done, touches) {
				r.label += ", and once more"
				r.awaitMDA()
				r.tally.count("the run after it", false)
				r.checkKilled()
			}
			r.finish()
			if t.Failed() {
				return
			}
		}
	}
}

// touches reports whether a call is one at which the program is killed: all but what only ends the
// use of a file.
func touches(c *systrace.Call) bool { return c.Name != "close" && c.Name != "flock" }

func (k *kills) newCallRig(t *testing.T, c callCase, i int) *killRig {
	t.Helper()
	r := k.newRig(t, 1+i, c.delete)
	if at := slices.IndexFunc(composedCases, func(composed *composedCase) bool { return composed.name == c.name }); at >= 0 {
		r = k.newComposedRig(t, composedCases[at], 1+i, c.delete)
	}
	if c.maxDeliveries > 0 {
		r.deliverByMDA(c.maxDeliveries)
	}
	r.label = "what was before"
	c.earlier(r)
	return r
}

// killSnapshot is what a rig's folders and maildrops hold.
type killSnapshot struct {
	r     *killRig
	dir   string
	drops map[string][]poptest.Message
	held  []string // by the IMAP mailbox
}

// killFolders are the folders of a rig in which runs leave something.
var killFolders = []string{"state", "Maildir", "mda", "mail", "Second"}

func (r *killRig) snapshot() *killSnapshot {
	s := &killSnapshot{r: r, dir: r.t.TempDir(), drops: make(map[string][]poptest.Message)}
	for _, user := range r.users {
		s.drops[user] = r.server.Drop(user).Messages()
	}
	s.copy(r.dir, s.dir)
	if r.imap != nil {
		s.held = r.imap.messages()
	}
	return s
}

// restore brings back what the rig held at the snapshot.
func (s *killSnapshot) restore() {
	for _, folder := range killFolders {
		if err := os.RemoveAll(filepath.Join(s.r.dir, folder)); err != nil {
			s.r.t.Fatal(err)
		}
	}
	s.copy(s.dir, s.r.dir)
	for user, messages := range s.drops {
		drop := s.r.server.Drop(user)
		drop.Remove(drop.UniqueIDs()...)
		drop.Add(messages...)
	}
	if s.r.imap != nil {
		s.r.imap.memory.Reset(s.r.imap.mailbox, s.held...)
	}
	s.r.forgetSafe()
	s.r.mayTwice = 0
}

func (s *killSnapshot) copy(from, to string) {
	for _, folder := range killFolders {
		err := os.CopyFS(filepath.Join(to, folder), os.DirFS(filepath.Join(from, folder)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.r.t.Fatal(err)
		}
	}
}
