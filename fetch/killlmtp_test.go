package fetch_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/internal/systrace"
)

// behaviour 29, 30, 33: an LMTP server gets every message. After a kill it gets again at most the
// messages that were on their way to it.
func TestKill_lmtp(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts the program some hundred times")
	}
	t.Parallel()
	k := newLMTPKills(t)
	k.lmtpMoments(t, 24)
	k.lmtpSystemCalls(t, 13)
	t.Logf("to an LMTP server, %d messages: %v", len(k.messages), k.tally)
}

// leastLMTPKills is how often the program is killed at random moments.
const leastLMTPKills = 200

// The same at more moments, and before every system call of a small run.
func TestTortureKillLMTP(t *testing.T) {
	needTorture(t)
	k := newLMTPKills(t)
	k.lmtpMoments(t, leastLMTPKills)
	k.lmtpSystemCalls(t, 1)
	t.Logf("to an LMTP server, %d messages: %v", len(k.messages), k.tally)
	k.tally.report(t, "KillLMTP")
}

func newLMTPKills(t *testing.T) *kills {
	t.Helper()
	k := &kills{program: buildProgram(t), places: killPlaces(t), messages: killMessages(14), tally: new(killTally)}
	r := k.newLMTPRig(t, 0, 1)
	r.label, r.delete = "a run that nobody kills", true
	r.finish()
	if got := r.mail.Commands(); len(got) != 3*len(k.messages)+1 || got[len(got)-1] != "QUIT" || r.mail.Connections() != 1 {
		t.Errorf("%d connections, commands %q, want one connection, three commands a message, and QUIT", r.mail.Connections(), got)
	}
	k.offsets = r.valve.measure()
	return k
}

// newLMTPRig makes a rig with an LMTP server to which so many messages may be on their way at once.
func (k *kills) newLMTPRig(t *testing.T, i, maxDeliveries int) *killRig {
	t.Helper()
	r := k.newRig(t, i, false)
	r.mail, r.maxDeliveries = poptest.NewMailServer(t, true, nil), maxDeliveries
	return r
}

// lmtpMoments kills so many times at random moments.
func (k *kills) lmtpMoments(t *testing.T, count int) {
	const groups = 4
	t.Run("moments", func(t *testing.T) {
		for first := range groups {
			t.Run(fmt.Sprintf("seed %d", first), func(t *testing.T) {
				t.Parallel()
				for seed := first; seed < count; seed += groups {
					k.killWithLMTP(t, seed)
				}
			})
		}
	})
	if k.tally.kills < count*9/10 {
		t.Errorf("%d kills, want %d", k.tally.kills, count*9/10)
	}
}

func (k *kills) killWithLMTP(t *testing.T, seed int) {
	rng := rand.New(rand.NewPCG(uint64(seed), 4))
	r := k.newLMTPRig(t, seed, 1+2*(seed/2%2))
	r.delete = seed%2 == 1
	octets, delay := k.offsets.pick(rng, r.delete)
	r.label = fmt.Sprintf("seed %d, delete %t, max_deliveries %d, killed %v after octet %d", seed, r.delete, r.maxDeliveries, delay, octets)
	if !r.killAt(octets, delay) {
		r.checkKilled()
		return // the run has ended before
	}
	r.mail.Wait()
	r.countKill("random moments")
	r.checkKilled()
	r.finish()
}

// lmtpSystemCalls kills a run of three messages before each of its system calls, or before every
// step-th one.
func (k *kills) lmtpSystemCalls(t *testing.T, step int) {
	if hindrance := canTrace(t); hindrance != "" {
		t.Log("not killed at system calls: " + hindrance)
		return
	}
	few := *k
	few.messages = k.messages[:3]
	t.Run("system calls", func(t *testing.T) {
		for n := 1; ; n += step {
			more := t.Run(strconv.Itoa(n), func(t *testing.T) {
				r := few.newLMTPRig(t, 1+n%3, 1)
				r.delete = n/step%2 == 1
				r.label = fmt.Sprintf("killed before call %d, delete %t", n, r.delete)
				if !r.killBefore(n, func(*systrace.Call) bool { return true }) {
					n = -step // there are not so many
					return
				}
				r.mail.Wait()
				r.countKill("before each system call of a small run")
				r.checkKilled()
				r.finish()
			})
			if n < 0 || !more {
				return
			}
		}
	})
}
