package fetch_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/internal/systrace"
)

const (
	// maildropMessages makes three batches, of which the last is not full.
	maildropMessages = 140
	// killsVariable sets how often the program is killed at random moments.
	killsVariable = "POPFETCH_KILLS"
	defaultKills  = 72
	leastKills    = 200 // at all moments
	killsAtOnce   = 8   // in one subtest, one after the other
)

// killPlaces are folders on a disk, where files are synced by syncfs, and in memory, where each is
// synced alone.
func killPlaces(t *testing.T) []string {
	shm, err := os.MkdirTemp("/dev/shm", "popfetch-kill-")
	if err != nil {
		return []string{t.TempDir()}
	}
	t.Cleanup(func() { _ = os.RemoveAll(shm) })
	return []string{t.TempDir(), shm, shm, shm} // most in memory, since other programs do not slow that down
}

// kills is what the kill tests share.
type kills struct {
	program  string
	places   []string
	messages []poptest.Message
	offsets  killOffsets
	tally    *killTally
}

func newKills(t *testing.T) *kills {
	t.Helper()
	k := &kills{program: buildProgram(t), places: killPlaces(t), messages: killMessages(maildropMessages), tally: new(killTally)}
	r := k.newRig(t, 0, true)
	r.label = "a run that nobody kills"
	r.finish()
	k.offsets = r.valve.measure()
	return k
}

// newRig makes the rig of case i.
func (k *kills) newRig(t *testing.T, i int, delete bool) *killRig {
	t.Helper()
	r := newKillRig(t, k.program, k.places[i%len(k.places)], k.tally, k.messages)
	r.delete = delete
	return r
}

// behaviour 15, 28, 31, 33: kill -9 at any moment, and a run after it: nothing is lost, twice, cut
// or deleted unsafely.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts the program some 500 times")
	}
	t.Parallel()
	k := newKills(t)
	random := defaultKills
	if n, err := strconv.Atoi(os.Getenv(killsVariable)); err == nil {
		random = n
	}
	t.Run("moments", func(t *testing.T) {
		k.atMoments(t, 0, random, k.newRig)
		k.atCommands(t)
		k.atSystemCalls(t)
		k.inLaterRuns(t)
	})
	if missing := leastKills - k.tally.kills; missing > 0 { // how many system calls a thread makes is not the same everywhere
		t.Run("more", func(t *testing.T) { k.atMoments(t, random, missing, k.newRig) })
	}
	t.Logf("a maildrop of %d messages: %v", maildropMessages, k.tally)
	if k.tally.kills < leastKills || k.tally.within*2 < k.tally.kills {
		t.Errorf("%d kills, %d between the first RETR and QUIT, want %d and half of them", k.tally.kills, k.tally.within, leastKills)
	}
	for step, n := range k.tally.steps {
		if step > 0 && n == 0 {
			t.Errorf("no kill has caught a message at step %d, %s", step, killSteps[step])
		}
	}
}

// tortureKills is how often two accounts that delete are killed at random moments.
const tortureKills = 500

// The same with two accounts that share a Maildir and delete.
func TestTortureKillRandom(t *testing.T) {
	needTorture(t)
	k := newKills(t)
	twoAccounts := func(t *testing.T, seed int, _ bool) *killRig {
		t.Helper()
		r := k.newRig(t, seed, true)
		addSecondAccount(k, r)
		return r
	}
	for seed := 0; k.tally.kills < tortureKills && !t.Failed(); seed += 100 {
		t.Run(fmt.Sprintf("from seed %d", seed), func(t *testing.T) {
			k.atMoments(t, seed, min(100, tortureKills-k.tally.kills), twoAccounts)
		})
	}
	t.Logf("two accounts, %d messages each: %v", maildropMessages, k.tally)
	k.tally.report(t, "KillRandom")
}

// atMoments kills so many times at random moments, which follow from the seed, and some runs once
// more.
func (k *kills) atMoments(t *testing.T, seed, count int, newRig func(t *testing.T, seed int, delete bool) *killRig) {
	end := seed + count
	for first := seed; first < end; first += killsAtOnce {
		t.Run(fmt.Sprintf("seed %d", first), func(t *testing.T) {
			t.Parallel()
			for seed := first; seed < min(first+killsAtOnce, end); seed++ {
				rng := rand.New(rand.NewPCG(uint64(seed), 0))
				r := newRig(t, seed, seed%2 == 1)
				octets, delay := k.offsets.pick(rng, r.delete)
				r.label = fmt.Sprintf("seed %d, delete %t, killed %v after octet %d", seed, r.delete, delay, octets)
				if !r.killAt(octets, delay) {
					t.Errorf("%s: the run ended before the kill", r.label)
					continue
				}
				r.countKill("random moments")
				r.checkKilled()
				// In half of the cases the run after it is killed too, while it looks what there is
				// or soon afterwards.
				if again := rng.Int64N(24 << 10); seed%4 > 1 && r.killAt(again, delay) {
					r.countKill("random moments of the run after a kill")
					r.checkKilled()
				}
				r.finish()
			}
		})
	}
}

// atCommands kills at each kind of command, when the server has got it and not answered.
func (k *kills) atCommands(t *testing.T) {
	last := strconv.Itoa(maildropMessages)
	lost := poptest.Reset(0)
	lost.Effect = poptest.EffectNone
	done := poptest.Reset(0)
	done.Effect = poptest.EffectFull
	for i, point := range []struct {
		cmd    string
		action poptest.Action
	}{
		{"", lost}, {"CAPA", lost}, {"AUTH", lost}, {"AUTH", done}, {"LIST", lost}, {"UIDL", lost},
		{"RETR 1", lost}, {"RETR 2", lost}, {"RETR 65", lost}, {"RETR " + last, lost},
		{"DELE 1", lost}, {"DELE 70", lost}, {"DELE " + last, lost}, {"QUIT", lost}, {"QUIT", done},
	} {
		t.Run(fmt.Sprintf("command %d", i), func(t *testing.T) {
			t.Parallel()
			for _, delete := range []bool{false, true} {
				r := k.newRig(t, i, delete)
				r.label = fmt.Sprintf("killed at %q, delete %t, carried out %t", point.cmd, delete, point.action.Effect == poptest.EffectFull)
				if !r.killOn(point.cmd, point.action) {
					if delete || point.cmd[0] != 'D' {
						t.Errorf("%s: the run ended before the kill", r.label)
					}
					continue
				}
				r.countKill("at each kind of command")
				r.checkKilled()
				if delete && point.cmd == "QUIT" && point.action.Effect == poptest.EffectFull && len(r.server.DeletedIDs()) != maildropMessages {
					t.Errorf("%s: the server has deleted %d messages, want all", r.label, len(r.server.DeletedIDs()))
				}
				r.finish()
			}
		})
	}
}

// systemCall is a point at which the program is killed: before it makes a call for the n-th time.
type systemCall struct {
	what, call string
	path       string // how the file's begins, below the folder of the rig; empty: any
	first, n   int    // which times
}

// systemCalls are the steps that only the disk sees.
var systemCalls = []systemCall{
	{"making the state", "pwrite64", "state/seen.db.new", 1, 2},
	{"naming the state", "renameat", "state/seen.db.new", 1, 1},
	{"making the tables", "pwrite64", "state/seen.db-wal", 1, 4},
	{"opening a file in tmp", "openat", "Maildir/tmp/", 30, 8},
	{"writing", "write", "Maildir/tmp/", 1, 8},
	{"syncing files by syncfs", "syncfs", "", 1, 3},
	{"syncing files", "fsync", "Maildir/tmp/", 8, 6},
	{"renaming into new", "renameat", "Maildir/tmp/", 2, 8},
	{"renaming into new, later", "renameat", "Maildir/tmp/", 100, 4},
	{"syncing new", "fsync", "Maildir/new", 1, 3},
	{"writing the record", "pwrite64", "state/seen.db-wal", 30, 8},
	{"syncing the record", "fsync", "state/seen.db-wal", 3, 4},
}

// is reports whether it is this call on a file below dir.
func (s *systemCall) is(c *systrace.Call, dir string) bool {
	return c.Name == s.call && (s.path == "" || strings.HasPrefix(c.Path, filepath.Join(dir, s.path)))
}

// atSystemCalls kills at the calls by which messages become durable and recorded.
func (k *kills) atSystemCalls(t *testing.T) {
	if hindrance := canTrace(t); hindrance != "" {
		t.Log("not killed at system calls: " + hindrance)
		return
	}
	for i, s := range systemCalls {
		t.Run("at "+s.what, func(t *testing.T) {
			t.Parallel()
			for n := range s.n {
				place := i + n
				if s.call == "syncfs" {
					place = 0
				}
				r := k.newRig(t, place, n%2 == 1)
				r.label = fmt.Sprintf("killed at %s number %d, delete %t", s.call, s.first+n, r.delete)
				if !r.killBefore(s.first+n, func(c *systrace.Call) bool { return s.is(c, r.dir) }) {
					continue // there are not so many
				}
				r.countKill("at " + s.what)
				r.checkKilled()
				r.finish()
			}
		})
	}
}

// inLaterRuns kills the second run: while it identifies and records what the first has left without
// a record (step 2), and while it forgets what has been absent for long (step 11).
func (k *kills) inLaterRuns(t *testing.T) {
	for i, delete := range []bool{false, true} {
		t.Run(fmt.Sprintf("identifying, delete %t", delete), func(t *testing.T) {
			t.Parallel()
			for n := range 4 {
				r := k.newRig(t, 1+n, delete)
				r.label = fmt.Sprintf("killed before the record, then when asking TOP, delete %t", delete)
				if !r.killUnrecorded(0) {
					t.Fatalf("%s: the run ended before the kill", r.label)
				}
				r.countKill("between rename and record")
				r.checkKilled()
				held := r.heldNumbers() // perhaps not the first ones: batches end in any order
				if !r.killOn(fmt.Sprintf("TOP %d 0", held[n*20]), poptest.Stall(0)) {
					t.Errorf("%s: the run ended before the kill", r.label)
				}
				r.countKill("identifying what the target holds")
				if n == 3 { // and once more, when it begins to retrieve what is left
					r.killOn("RETR "+strconv.Itoa(maildropMessages), poptest.Stall(0))
					r.countKill("after recognising")
				}
				r.checkKilled()
				r.finish()
			}
		})
		t.Run(fmt.Sprintf("forgetting, delete %t", delete), func(t *testing.T) {
			t.Parallel()
			k.whileForgetting(t, i, delete)
		})
	}
}

// whileForgetting lets a run find some messages absent, and kills the one that forgets them.
func (k *kills) whileForgetting(t *testing.T, i int, delete bool) {
	r := k.newRig(t, 1+i, delete)
	r.label = fmt.Sprintf("killed when forgetting, delete %t", delete)
	r.runs(0)
	r.server.Drop("mrose").Remove("uid-003", "uid-050", "uid-140")
	r.add("mrose", killMessage("later", 77, 900))
	r.runs(0)
	r.execute("UPDATE seen SET absent_at = ? WHERE absent_at > 0", time.Now().AddDate(0, 0, -100).UnixMilli())
	r.add("mrose", killMessage("last", 78, 900))
	if !r.killOn("QUIT", poptest.Action{End: poptest.EndByReset, At: 0, Effect: poptest.EffectFull}) {
		t.Errorf("%s: the run ended before the kill", r.label)
	}
	k.tally.count("forgetting", false, 11)
	r.checkKilled()
	r.add("mrose", killMessage("very-last", 79, 900)) // a listing that is the same as before is not looked at again
	r.runs(0)
	r.checkOnce()
	if got := r.recorded(r.state); got["mrose/uid-003"] || !got["mrose/last"] {
		t.Errorf("%s: recorded uid-003 %t, last %t, want only the latter", r.label, got["mrose/uid-003"], got["mrose/last"])
	}
}
