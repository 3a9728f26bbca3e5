package fetch_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// mdaScript takes a message in one step: its file gets its name only when it is complete. While it
// runs it shares the lock, so that the test can wait for one that has outlived popfetch.
const mdaScript = `exec 9>'%[1]s/lock'; flock -s 9; cat >'%[1]s/'$$ && mv '%[1]s/'$$ '%[1]s/mda/'$POPFETCH_UID.$$`

// behaviour 29, 30, 33: an MDA gets every message. After a kill it gets again at most the messages
// that were with it.
func TestKill_mda(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts the program and its MDA some thousand times")
	}
	t.Parallel()
	k := &kills{program: buildProgram(t), places: killPlaces(t), messages: killMessages(14), tally: new(killTally)}
	r := k.newMDARig(t, 0, 1)
	r.label, r.delete = "a run that nobody kills", true
	r.finish()
	k.offsets = r.valve.measure()
	t.Run("moments", func(t *testing.T) {
		for first := range 8 {
			t.Run(fmt.Sprintf("seed %d", first), func(t *testing.T) {
				t.Parallel()
				for seed := first; seed < 32; seed += 8 {
					k.killWithMDA(t, seed)
				}
			})
		}
	})
	t.Logf("through an MDA, %d messages: %v", len(k.messages), k.tally)
	if k.tally.kills < 30 {
		t.Errorf("%d kills, want 30", k.tally.kills)
	}
}

// newMDARig makes a rig with an MDA of which so many may run at once.
func (k *kills) newMDARig(t *testing.T, i, maxDeliveries int) *killRig {
	t.Helper()
	r := k.newRig(t, i, false)
	r.deliverByMDA(maxDeliveries)
	return r
}

func (r *killRig) deliverByMDA(maxDeliveries int) {
	r.mda, r.maxDeliveries = fmt.Sprintf(mdaScript, r.dir), maxDeliveries
	if err := os.Mkdir(filepath.Join(r.dir, "mda"), 0o700); err != nil {
		r.t.Fatal(err)
	}
}

func (k *kills) killWithMDA(t *testing.T, seed int) {
	rng := rand.New(rand.NewPCG(uint64(seed), 1))
	r := k.newMDARig(t, seed, 1+2*(seed/2%2))
	r.delete = seed%2 == 1
	octets, delay := k.offsets.pick(rng, r.delete)
	delay *= 5 // a delivery takes longer than a file
	r.label = fmt.Sprintf("seed %d, delete %t, max_deliveries %d, killed %v after octet %d", seed, r.delete, r.maxDeliveries, delay, octets)
	if !r.killAt(octets, delay) {
		t.Errorf("%s: the run ended before the kill", r.label)
		return
	}
	r.countKill("random moments")
	r.awaitMDA()
	r.checkKilled()
	r.finish()
}

// awaitMDA waits for programs that popfetch has left behind.
func (r *killRig) awaitMDA() {
	if r.mda == "" {
		return
	}
	lock, err := os.OpenFile(filepath.Join(r.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		r.t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		r.t.Fatal(err)
	}
}
