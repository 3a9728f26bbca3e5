package fetch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/internal/systrace"
)

// killWay is a way to kill a run in which messages are retrieved.
type killWay struct {
	name string
	kill func(k *kills, r *killRig) bool
}

// killWays leave all kinds of messages: durable and without a record, recorded, in tmp, and not
// asked for.
var killWays = []killWay{
	{"a batch without a record", func(_ *kills, r *killRig) bool { return r.killUnrecorded(0) }},
	{"some recorded, some not", func(_ *kills, r *killRig) bool { return r.killUnrecorded(batchMessages) }},
	{"one batch full", func(k *kills, r *killRig) bool { return r.killAt(k.offsets.retr[batchMessages+10], 4*time.Millisecond) }},
	{"all there", func(k *kills, r *killRig) bool { return r.killAt(k.offsets.dele[0], 4*time.Millisecond) }},
}

// killState is something that happens to a user between a crash and the next run.
type killState struct {
	name   string
	modes  []bool                     // delete or not
	before func(k *kills, r *killRig) // before the run that is killed
	after  func(k *kills, r *killRig) // after it, with the runs that follow
}

var bothModes = []bool{false, true}

var killStates = []killState{
	{"account renamed", bothModes, nil, func(_ *kills, r *killRig) {
		r.name = "renamed"
		r.finish()
		r.finish()
	}},
	{"seen.db removed", bothModes, nil, func(_ *kills, r *killRig) {
		r.removeState()
		r.finish()
		r.removeState()
		r.finish()
	}},
	{"two accounts, one Maildir", bothModes, addSecondAccount, func(_ *kills, r *killRig) {
		r.finish()
		r.removeState()
		r.finish()
	}},
	{"two state folders, one Maildir", bothModes, nil, func(_ *kills, r *killRig) {
		first := r.state
		r.state = filepath.Join(r.dir, "second")
		r.add("mrose", killMessage("between", 10, 800))
		r.finish()
		r.state = first
		r.add("mrose", killMessage("last", 11, 800))
		r.finish()
		r.state = filepath.Join(r.dir, "second")
		r.finish()
	}},
	{"one unique-id twice, the first refused", bothModes, func(_ *kills, r *killRig) { addTwins(r, 0, twins) }, acceptTwins},
	{"one unique-id twice, the second refused", bothModes, func(_ *kills, r *killRig) { addTwins(r, 1, twins) }, acceptTwins},
	{"one unique-id and header twice, the first refused", bothModes, func(_ *kills, r *killRig) { addTwins(r, 0, likeTwins) }, acceptTwins},
	{"one unique-id and header twice, the second refused", bothModes, func(_ *kills, r *killRig) { addTwins(r, 1, likeTwins) }, acceptTwins},
	{"unique-ids reused", []bool{true}, func(k *kills, r *killRig) {
		r.finish()
		r.reuseIDs(k.messages)
	}, func(_ *kills, r *killRig) { r.finish() }},
	{"unique-ids reused, QUIT not answered", []bool{true}, func(k *kills, r *killRig) {
		done := poptest.Reset(0)
		done.Effect = poptest.EffectFull
		if !r.killOn("QUIT", done) {
			r.t.Errorf("%s: the run ended before the kill", r.label)
		}
		r.reuseIDs(k.messages)
	}, func(_ *kills, r *killRig) { r.finish() }},
	{"older seen.db put back", bothModes, func(_ *kills, r *killRig) {
		rest := r.server.Drop("mrose").Messages()[20:]
		var ids []string
		for _, m := range rest {
			ids = append(ids, m.UniqueID)
			delete(r.want, asDelivered(m))
		}
		r.server.Drop("mrose").Remove(ids...)
		r.finish()
		if err := os.CopyFS(filepath.Join(r.dir, "backup"), os.DirFS(r.state)); err != nil {
			r.t.Fatal(err)
		}
		r.add("mrose", rest...)
		// As many messages and octets as the first 20 had, so that the ways to kill, which count
		// them, hold.
		r.add("mrose", killMessage("large", 30, 200<<10))
		for i := range 20 {
			r.add("mrose", killMessage(fmt.Sprintf("more-%d", i), uint64(40+i), 500))
		}
	}, func(_ *kills, r *killRig) {
		r.removeState()
		if err := os.Rename(filepath.Join(r.dir, "backup"), r.state); err != nil {
			r.t.Fatal(err)
		}
		r.finish()
	}},
	{"interrupted copy of the Maildir", bothModes, nil, func(_ *kills, r *killRig) {
		r.copyMaildir()
		r.removeState()
		r.finish()
	}},
	{"Maildir moved", bothModes, nil, func(_ *kills, r *killRig) {
		to := filepath.Join(r.dir, "moved")
		if err := os.Rename(r.maildir, to); err != nil {
			r.t.Fatal(err)
		}
		r.maildir = to
		r.finish()
	}},
	{"Maildir not mounted", bothModes, nil, unmounted},
}

// behaviour 33 and style 2.6: what may happen between a crash and the next run loses and doubles
// nothing in a Maildir.
func TestKill_state(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts the program some 300 times")
	}
	t.Parallel()
	k := newKills(t)
	t.Run("states", func(t *testing.T) {
		for _, state := range killStates {
			t.Run(state.name, func(t *testing.T) {
				t.Parallel()
				for i, way := range killWays {
					for _, delete := range state.modes {
						k.killInState(t, state, way, 1+i%3, delete)
					}
				}
			})
		}
		t.Run("I/O error at the record", func(t *testing.T) {
			t.Parallel()
			k.failRecord(t)
		})
	})
	t.Logf("between crash and next run: %v", k.tally)
}

func (k *kills) killInState(t *testing.T, state killState, way killWay, place int, delete bool) {
	r := k.newRig(t, place, delete)
	r.label = fmt.Sprintf("killed with %s, delete %t", way.name, delete)
	if state.before != nil {
		state.before(k, r)
	}
	if !way.kill(k, r) {
		t.Errorf("%s: the run ended before the kill", r.label)
	}
	r.countKill(state.name)
	r.checkKilled()
	state.after(k, r)
}

func (r *killRig) removeState() {
	if err := os.RemoveAll(r.state); err != nil {
		r.t.Fatal(err)
	}
	r.forgetSafe()
}

// addSecondAccount gives alice other messages under the same unique-ids, and one that mrose has
// too.
func addSecondAccount(k *kills, r *killRig) {
	r.users = append(r.users, "alice")
	for i := range k.messages {
		r.add("alice", killMessage(k.messages[i].UniqueID, uint64(5000+i), 900))
	}
	r.add("alice", k.messages[0])
}

// twins have one unique-id and equal octets, likeTwins also the same header.
var (
	twins     = []poptest.Message{killMessage("twin", 20, 700), killMessage("twin", 21, 700)}
	likeTwins = []poptest.Message{twins[0], {UniqueID: "twin", Content: append(twins[0].Content[:691:691], "another\r\n"...)}}
)

// addTwins adds two messages with one unique-id, of which the server refuses one.
func addTwins(r *killRig, refused int, messages []poptest.Message) {
	r.add("mrose", messages...)
	r.refuse(asDelivered(messages[refused]))
}

// acceptTwins runs once with one twin refused, and then with both accepted.
func acceptTwins(_ *kills, r *killRig) {
	r.runs(75)
	r.refuse("")
	r.finish()
}

// reuseIDs puts new messages into the maildrop under the unique-ids of the old ones, every other
// one with equal octets.
func (r *killRig) reuseIDs(old []poptest.Message) {
	if left := r.server.Drop("mrose").UniqueIDs(); len(left) > 0 {
		r.t.Errorf("%s: %d messages are left, want none", r.label, len(left))
	}
	for i, m := range old {
		r.add("mrose", killMessage(m.UniqueID, uint64(9000+i), len(m.Content)+i%2*40))
	}
	r.forgetSafe()
}

// copyMaildir makes an unfinished copy of the Maildir, in which some files are cut short and some
// missing, and uses it from now on.
func (r *killRig) copyMaildir() {
	to := filepath.Join(r.dir, "copy")
	for _, folder := range []string{"tmp", "new", "cur"} {
		if err := os.MkdirAll(filepath.Join(to, folder), 0o700); err != nil {
			r.t.Fatal(err)
		}
	}
	i := 0
	for name, content := range r.readFolder(filepath.Join(r.maildir, "new")) {
		i++
		switch i % 4 {
		case 0:
			continue
		case 1:
			content = content[:len(content)/2]
			r.torsos[content] = true
		}
		if err := os.WriteFile(filepath.Join(to, "new", name), []byte(content), 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
	r.maildir = to
	r.forgetSafe()
}

// unmounted takes the Maildir away for a run. If something was recorded, that run retrieves nothing
// and fails. Otherwise it takes the place for a new Maildir, and the messages on their way come
// twice.
func unmounted(_ *kills, r *killRig) {
	away := filepath.Join(r.dir, "away")
	if err := os.Rename(r.maildir, away); err != nil {
		r.t.Fatal(err)
	}
	r.forgetSafe()
	if len(r.recordedAside()) > 0 {
		before := r.server.Count("RETR")
		r.runs(73)
		if n := r.server.Count("RETR") - before; n > 0 {
			r.t.Errorf("%s: %d messages are retrieved without the Maildir, want none", r.label, n)
		}
		if err := os.Rename(away, r.maildir); err != nil {
			r.t.Fatal(err)
		}
		r.finish()
		return
	}
	onTheWay := len(r.readFolder(filepath.Join(away, "new")))
	r.finish()
	r.elsewhere = []string{away}
	twice := 0
	for content, n := range r.delivered() {
		twice += max(0, n-r.want[content])
	}
	if twice > onTheWay {
		r.t.Errorf("%s: %d messages came twice, want at most the %d that were on their way", r.label, twice, onTheWay)
	}
}

// failRecord makes each of the first writes and syncs of the record fail. The run ends without DELE
// of unrecorded messages, and the next one recovers (R12).
func (k *kills) failRecord(t *testing.T) {
	if hindrance := canTrace(t); hindrance != "" {
		t.Skip(hindrance)
	}
	failed := 0
	for i, call := range []string{"fsync", "pwrite64"} {
		for n := 1; n <= 10; n++ {
			r := newKillRig(t, k.program, k.places[1+i], k.tally, nil)
			r.delete = n%2 == 1
			r.runs(0) // the state is made before anything fails
			r.add("mrose", k.messages...)
			r.label = fmt.Sprintf("%s number %d of the record fails, delete %t", call, n, r.delete)
			nth := n
			status, printed := r.runTraced(func(c *systrace.Call, done bool) systrace.Verdict {
				if c.Name != call || done || filepath.Base(c.Path) != "seen.db-wal" {
					return systrace.Verdict{}
				}
				if nth--; nth != 0 {
					return systrace.Verdict{}
				}
				return systrace.Verdict{Fail: syscall.EIO}
			})
			switch status {
			case 0: // there are not so many
			case 74:
				failed++
			default:
				t.Errorf("%s: exit status %d, want 74: %s", r.label, status, printed)
			}
			r.checkKilled()
			r.finish()
		}
	}
	t.Logf("%d commits failed", failed)
	if failed < 5 {
		t.Errorf("%d commits failed, want 5", failed)
	}
}
