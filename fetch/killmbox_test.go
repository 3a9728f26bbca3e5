package fetch_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/internal/systrace"
)

// mboxKills is how often the program is killed at random moments while it delivers into an mbox,
// and tortureMboxKills how often in a torture.
const mboxKills, tortureMboxKills = 24, 400

// buildMboxProgram builds a program that makes runs into an mbox.
func buildMboxProgram(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "mboxrun")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./testdata/mboxrun")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building mboxrun: %v\n%s", err, out)
	}
	return program
}

// newMboxKills measures a run that nobody kills.
func newMboxKills(t *testing.T) *kills {
	t.Helper()
	k := &kills{
		program: buildMboxProgram(t), places: killPlaces(t),
		messages: killMessages(maildropMessages), tally: new(killTally),
	}
	r := k.newMboxRig(t, 0, true)
	r.label = "a run that nobody kills"
	r.finish()
	k.offsets = r.valve.measure()
	return k
}

// newMboxRig makes a rig of one account, or in every third case of two that share the mbox.
func (k *kills) newMboxRig(t *testing.T, i int, delete bool) *killRig {
	t.Helper()
	r := k.newRig(t, i, delete)
	r.deliverToMbox()
	if i%3 == 2 {
		addSecondAccount(k, r)
	}
	return r
}

func (r *killRig) deliverToMbox() { r.mbox = filepath.Join(r.dir, "mail", "mbox") }

// readMbox returns the messages of the mbox, none if it is missing. A reader that is as simple as
// can be: each line "From " begins a message, and the last empty line of each is not its own.
func (r *killRig) readMbox() (messages []string) {
	content, err := os.ReadFile(r.mbox)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.t.Errorf("%s: %v", r.label, err)
	}
	var message *bytes.Buffer
	add := func() {
		if message != nil {
			messages = append(messages, strings.TrimSuffix(message.String(), "\n"))
		}
	}
	for line := range bytes.Lines(content) {
		if bytes.HasPrefix(line, []byte("From ")) {
			add()
			message = new(bytes.Buffer)
			continue
		}
		if message == nil {
			message = new(bytes.Buffer) // what stands before the first message counts as a cut one
		}
		if bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From ")) {
			line = line[1:]
		}
		message.Write(line)
	}
	add()
	return messages
}

// behaviour 15, 28, 31, 33: kill -9 at any moment, and a run after it: nothing is lost, twice, cut
// or deleted unsafely in an mbox.
func TestKill_mbox(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a program some hundred times")
	}
	t.Parallel()
	k := newMboxKills(t)
	t.Run("moments", func(t *testing.T) { k.atMoments(t, 0, mboxKills, k.newMboxRig) })
	t.Logf("into an mbox, %d messages: %v", maildropMessages, k.tally)
	if k.tally.kills < mboxKills {
		t.Errorf("%d kills, want %d", k.tally.kills, mboxKills)
	}
}

// The same more often.
func TestTortureKillMbox(t *testing.T) {
	needTorture(t)
	k := newMboxKills(t)
	t.Run("moments", func(t *testing.T) { k.atMoments(t, 0, tortureMboxKills, k.newMboxRig) })
	t.Logf("into an mbox, %d messages: %v", maildropMessages, k.tally)
	k.tally.report(t, "KillMbox")
}

// mboxCases are those of callCases that concern the target.
var mboxCases = []callCase{
	{"first run, keep", 0, false, func(r *killRig) { r.add("mrose", killMessages(callMessages)...) }},
	{"later run, delete a backlog", 0, true, backlog},
	{"two accounts, one mbox", 0, true, func(r *killRig) {
		backlog(r)
		r.users = append(r.users, "alice")
		for i, m := range killMessages(callMessages / 2) {
			r.add("alice", killMessage(m.UniqueID, uint64(5000+i), 900))
		}
	}},
}

// kill -9 at each system call of a small run into an mbox, before it and after it.
func TestTortureKillMboxAtEverySyscall(t *testing.T) {
	needTorture(t)
	killMboxAtCalls(t, "KillMboxAtEverySyscall", 1)
}

// The same at some of the calls.
func TestKill_mboxCalls(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a program some hundred times")
	}
	t.Parallel()
	killMboxAtCalls(t, "", 17)
}

func killMboxAtCalls(t *testing.T, name string, step int) {
	if hindrance := canTrace(t); hindrance != "" {
		t.Skip(hindrance)
	}
	k := &kills{program: buildMboxProgram(t), places: killPlaces(t), tally: new(killTally)}
	t.Run("cases", func(t *testing.T) {
		for i, c := range mboxCases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				earlier := c.earlier
				c.earlier = func(r *killRig) {
					r.deliverToMbox()
					earlier(r)
				}
				k.killInCase(t, c, i, step)
			})
		}
	})
	if !t.Failed() {
		k.killMboxAtPoints(t)
	}
	t.Logf("at system calls: %v", k.tally)
	if name != "" {
		k.tally.report(t, name)
	}
	if want := len(mboxCases) * 2 * 60 / step; k.tally.kills < want {
		t.Errorf("%d kills, want %d", k.tally.kills, want)
	}
}

// The power fails in a run into an mbox: the next run finds the promise kept.
func TestPowerLoss_mbox(t *testing.T) {
	if testing.Short() {
		t.Skip("it makes some hundred runs")
	}
	t.Parallel()
	k := newPowerKills(t)
	for _, c := range powerCases {
		if c.mbox {
			c.effort = powerEffort{random: 1}
			t.Run(c.name, func(t *testing.T) { k.failPower(t, c, 9) })
		}
	}
	t.Logf("power failed: %v", k.tally)
}

// mboxCalls are the steps that only the disk sees. The last ones come before the record.
var mboxCalls = []systemCall{
	{"noting", "pwrite64", "state/work.mbox", 1, 1},
	{"syncing the notes", "fsync", "state/work.mbox", 1, 1},
	{"appending", "write", "mail/mbox", 1, 1},
	{"syncing the mbox", "fsync", "mail/mbox", 2, 1},
	{"removing the dot lock", "unlinkat", "mail/mbox.lock", 1, 1},
	{"closing the mbox", "close", "mail/mbox", 3, 1},
}

// killMboxAtPoints kills before each of these calls.
func (k *kills) killMboxAtPoints(t *testing.T) {
	for i, s := range mboxCalls {
		r := k.newRig(t, i, i%2 == 1)
		r.deliverToMbox()
		r.add("mrose", killMessages(callMessages)...)
		r.label = "killed at " + s.what
		if !r.killBefore(s.first, func(c *systrace.Call) bool { return s.is(c, r.dir) }) {
			t.Errorf("%s: the run ended before the kill", r.label)
			continue
		}
		r.tally.count("at "+s.what, false)
		r.checkKilled()
		r.finish()
	}
}
