package fetch_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// killOutcome counts what must not happen, and the messages that came to an MDA again because a
// kill has caught them there.
type killOutcome struct{ lost, twice, cut, unsafe, again int }

// killTally counts kills and their outcomes.
type killTally struct {
	mu      sync.Mutex
	kills   int
	within  int                 // between the first RETR and QUIT
	steps   [len(killSteps)]int // kills that caught a message right after this step
	points  map[string]int      // kills by what caused them
	outcome killOutcome
}

// killSteps are the steps of the way of one message (ARCHITECTURE.md), from 1.
var killSteps = [...]string{
	1:  "locked and listed",
	2:  "looked for at the target",
	3:  "RETR left",
	4:  "file in tmp opened",
	5:  "octets flow",
	6:  "whole in tmp",
	7:  "renamed into new, no record",
	8:  "recorded",
	9:  "DELE arrived",
	10: "QUIT arrived",
	11: "absent from later listings",
}

func (k *killTally) add(o killOutcome) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.outcome.lost += o.lost
	k.outcome.twice += o.twice
	k.outcome.cut += o.cut
	k.outcome.unsafe += o.unsafe
	k.outcome.again = max(k.outcome.again, o.again)
}

// report logs the line that scripts/torture collects.
func (k *killTally) report(t *testing.T, name string) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	o := k.outcome
	line := fmt.Sprintf("torture | %s | %d cases | %d lost | %d twice | %d cut | %d unsafe deletes", name, k.kills, o.lost, o.twice, o.cut, o.unsafe)
	if o.again > 0 {
		line += fmt.Sprintf(" | to an MDA at most %d came again, which were with it", o.again)
	}
	t.Log(line)
}

// needTorture skips a test that is too slow for every day.
func needTorture(t *testing.T) {
	t.Helper()
	if os.Getenv("POPFETCH_TEST_TORTURE") == "" {
		t.Skip("POPFETCH_TEST_TORTURE is not set")
	}
}

// count counts one kill.
func (k *killTally) count(point string, within bool, steps ...int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.points == nil {
		k.points = make(map[string]int)
	}
	k.kills++
	k.points[point]++
	if within {
		k.within++
	}
	for _, step := range steps {
		k.steps[step]++
	}
}

func (k *killTally) String() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%d kills", k.kills)
	if k.within > 0 {
		fmt.Fprintf(&b, ", %d of them between the first RETR and QUIT", k.within)
	}
	fmt.Fprintf(&b, "; lost %d, twice %d, cut %d, deleted without being safe %d\n", k.outcome.lost, k.outcome.twice, k.outcome.cut, k.outcome.unsafe)
	for _, point := range slices.Sorted(maps.Keys(k.points)) {
		fmt.Fprintf(&b, "  killed %3d times: %s\n", k.points[point], point)
	}
	for step, name := range killSteps {
		if k.steps[step] > 0 {
			fmt.Fprintf(&b, "  step %2d, %s: %d\n", step, name, k.steps[step])
		}
	}
	return b.String()
}

// countKill finds the steps at which the kill of the last run has caught messages, from the
// commands that the server got and the files on the disk.
func (r *killRig) countKill(point string) {
	sessions := r.server.Sessions()
	var commands []string
	if len(sessions) > 0 {
		commands = sessions[len(sessions)-1].Commands()
	}
	sent := func(keyword string) bool {
		return slices.ContainsFunc(commands, func(cmd string) bool { return cmd == keyword || strings.HasPrefix(cmd, keyword+" ") })
	}
	caught := make(map[int]bool)
	switch {
	case sent("QUIT"):
		caught[10] = true
	case sent("DELE"):
		caught[9] = true
	case sent("RETR"):
		r.lookAtFiles(caught)
	case sent("TOP"):
		caught[2] = true
	case sent("UIDL"):
		caught[1] = true
	}
	within := sent("RETR") && !sent("QUIT")
	r.tally.count(point, within, slices.Collect(maps.Keys(caught))...)
}

// lookAtFiles finds the steps of the messages for which RETR was the last command that the server
// got.
func (r *killRig) lookAtFiles(caught map[int]bool) {
	onDisk := 0
	for _, content := range r.readFolder(filepath.Join(r.maildir, "tmp")) {
		onDisk++
		switch {
		case content == "":
			caught[4] = true
		case r.want[content] == 0:
			caught[5] = true
		default:
			caught[6] = true
		}
	}
	names, _ := os.ReadDir(filepath.Join(r.maildir, "new")) // it may not be made yet
	delivered := len(names)
	recorded := len(r.recordedAside())
	if recorded > 0 {
		caught[8] = true
	}
	if delivered > recorded {
		caught[7] = true
	}
	if onDisk+delivered < len(r.want) {
		caught[3] = true
	}
}

// recordedAside is recorded on a copy of the state, since opening the state itself would repair
// what the kill has left.
func (r *killRig) recordedAside() map[string]bool {
	files, err := filepath.Glob(filepath.Join(r.state, "seen.db*"))
	if err != nil || len(files) == 0 {
		return nil
	}
	aside := filepath.Join(r.dir, "aside")
	defer os.RemoveAll(aside)
	if err := os.Mkdir(aside, 0o700); err != nil {
		r.t.Error(err)
	}
	for _, file := range files {
		if base := filepath.Base(file); base == "seen.db" || base == "seen.db-wal" {
			copyFile(r.t, file, filepath.Join(aside, base))
		}
	}
	if _, err := os.Stat(filepath.Join(aside, "seen.db")); err != nil {
		return nil // killed while it was being made
	}
	return r.recorded(aside)
}
