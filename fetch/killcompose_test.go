package fetch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// composedCase is a target over other targets, with which runs are killed.
type composedCase struct {
	name     string   // as testdata/composed knows it
	maildirs []string // the Maildirs that are to have each message
	mda      bool     // likewise an MDA
	filtered bool     // a filter puts a line on top
}

var composedCases = []*composedCase{
	{"two Maildirs", []string{"Maildir", "Second"}, false, false},
	{"Maildir and MDA", []string{"Maildir"}, true, false},
	{"filter", []string{"Maildir"}, false, true},
	{"all", []string{"Maildir", "Second"}, true, true},
}

// newComposedRig makes the rig of case i.
func (k *kills) newComposedRig(t *testing.T, c *composedCase, i int, delete bool) *killRig {
	t.Helper()
	r := k.newRig(t, i, delete)
	r.composed = c
	if c.mda {
		r.deliverByMDA(1)
	}
	return r
}

// deliveredAt returns what each target has, and how often. The MDA is the last one.
func (r *killRig) deliveredAt() []map[string]int {
	var folders [][]string
	for _, maildir := range r.composed.maildirs {
		folders = append(folders, []string{filepath.Join(r.dir, maildir, "new"), filepath.Join(r.dir, maildir, "cur")})
	}
	if r.composed.mda {
		folders = append(folders, []string{filepath.Join(r.dir, "mda")})
	}
	var all []map[string]int
	for _, those := range folders {
		count := make(map[string]int)
		for _, folder := range those {
			for _, text := range r.readFolder(folder) {
				if r.composed.filtered {
					_, line, _ := strings.Cut(text, "X-Filtered: ")
					_, text, _ = strings.Cut(line, "\n")
				}
				count[text]++
			}
		}
		all = append(all, count)
	}
	return all
}

// deliveredToAll returns what all targets have.
func (r *killRig) deliveredToAll() map[string]int {
	at := r.deliveredAt()
	all := make(map[string]int)
	for text, n := range at[0] {
		all[text] = n
		for _, count := range at[1:] {
			all[text] = min(all[text], count[text])
		}
	}
	return all
}

// checkComposed checks each target. At the end each has every message.
func (r *killRig) checkComposed(when string, ended bool) {
	r.t.Helper()
	mayTwice := r.mayTwice
	for i, delivered := range r.deliveredAt() {
		if r.mayTwice = 0; i >= len(r.composed.maildirs) {
			r.mayTwice = mayTwice
		}
		o := r.outcome(delivered)
		if ended {
			for text, n := range r.want {
				o.lost += max(0, n-delivered[text])
			}
		}
		r.check(fmt.Sprintf("%starget %d: ", when, i), o)
	}
	r.mayTwice = mayTwice
}

func newComposedKills(t *testing.T, messages int) *kills {
	t.Helper()
	return &kills{program: build(t, "fetch/testdata/composed"), places: killPlaces(t), messages: killMessages(messages), tally: new(killTally)}
}

// behaviour 15, 28, 31, 33, with a fan and a filter: kill -9 at random moments.
func TestKill_composed(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts the program some hundred times")
	}
	t.Parallel()
	killComposed(t, "", 8)
}

// The same at many moments.
func TestTortureKillComposed(t *testing.T) {
	needTorture(t)
	killComposed(t, "KillComposed", 208)
}

// killComposed kills so many runs of each case at random moments.
func killComposed(t *testing.T, name string, count int) {
	for _, c := range composedCases {
		t.Run(c.name, func(t *testing.T) {
			k := newComposedKills(t, 40)
			newRig := func(t *testing.T, i int, delete bool) *killRig {
				t.Helper()
				return k.newComposedRig(t, c, i, delete)
			}
			r := newRig(t, 0, true)
			r.label = "a run that nobody kills"
			r.finish()
			k.offsets = r.valve.measure()
			t.Run("moments", func(t *testing.T) { k.atMoments(t, 0, count, newRig) })
			t.Logf("%s: %v", c.name, k.tally)
			if k.tally.kills < count {
				t.Errorf("%d kills, want %d", k.tally.kills, count)
			}
			if name != "" {
				k.tally.report(t, name+" "+c.name)
			}
		})
	}
}

// The same at every system call of a small run.
func TestTortureKillComposedAtEverySyscall(t *testing.T) {
	needTorture(t)
	killComposedAtCalls(t, "KillComposedAtEverySyscall", 1)
}

// The same at some of the calls.
func TestKill_composedCalls(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts the program some hundred times")
	}
	t.Parallel()
	killComposedAtCalls(t, "", 67)
}

// killComposedAtCalls kills in each case at every step-th call.
func killComposedAtCalls(t *testing.T, name string, step int) {
	if hindrance := canTrace(t); hindrance != "" {
		t.Skip(hindrance)
	}
	k := newComposedKills(t, 0)
	t.Run("cases", func(t *testing.T) {
		for i, c := range composedCases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				k.killInCase(t, callCase{name: c.name, delete: i%2 == 0, earlier: backlog}, i, step)
			})
		}
	})
	t.Logf("targets over targets, at system calls: %v", k.tally)
	if name != "" {
		k.tally.report(t, name)
	}
	if want := len(composedCases) * 2 * 80 / step; k.tally.kills < want {
		t.Errorf("%d kills, want %d", k.tally.kills, want)
	}
}

// A refusal of one target, a kill, and another refusal repeat nothing.
func TestKill_composedRefusal(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts the program a dozen times")
	}
	t.Parallel()
	k := newComposedKills(t, 12)
	c := composedCases[slices.IndexFunc(composedCases, func(c *composedCase) bool { return c.name == "all" })]
	r := k.newComposedRig(t, c, 1, true)
	r.label = "an MDA that refuses"
	takes := r.mda
	r.mda = fmt.Sprintf(`case $POPFETCH_UID in *[02468]) exit 75;; esac; %s`, takes)
	for range 3 {
		r.runs(75)
		r.checkKilled()
	}
	if !r.killAt(1<<10, 0) {
		t.Error("the run ended before the kill")
	}
	r.awaitMDA()
	r.checkKilled()
	if err := os.RemoveAll(filepath.Join(r.state, "seen.db")); err != nil {
		t.Fatal(err)
	}
	r.runs(75)
	r.checkKilled()
	r.mda = takes
	r.finish()
	t.Logf("%v", k.tally)
}
