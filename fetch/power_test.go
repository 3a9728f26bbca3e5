package fetch_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/internal/systrace"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// powerCase is what runs do before the power fails.
type powerCase struct {
	name    string
	effort  powerEffort // in the torture; else much less
	onDisk  bool        // where syncfs is used for many files
	delete  bool
	earlier func(r *killRig)
	killed  int // if not 0, the first run is killed before its n-th call, and a second one follows
}

var (
	thorough = powerEffort{all: 5, single: true, random: 10}
	hasty    = powerEffort{random: 1}
)

var powerCases = []powerCase{
	{name: "first run", effort: thorough, delete: true, earlier: func(r *killRig) { r.add("mrose", killMessages(5)...) }},
	{name: "later run", effort: thorough, delete: true, earlier: backlog},
	{name: "seen.db removed", effort: thorough, delete: true, earlier: func(r *killRig) {
		backlog(r)
		for _, file := range []string{"seen.db", "seen.db-wal"} {
			if err := os.RemoveAll(filepath.Join(r.state, file)); err != nil {
				r.t.Fatal(err)
			}
		}
	}},
	{name: "two accounts, one Maildir", effort: thorough, delete: true, earlier: func(r *killRig) {
		r.users = append(r.users, "alice")
		r.add("mrose", killMessages(5)...)
		r.add("alice", killMessage("uid-001", 5001, 900), killMessage("uid-002", 5002, 900))
	}},
	{name: "many messages", effort: powerEffort{random: 10}, onDisk: true, delete: true, earlier: func(r *killRig) { r.add("mrose", killMessages(20)...) }},
}

// Beside kill -9: when the power fails at any moment of a run, with whatever was not synced there or not, the next run finds
// the promise kept (behaviour 28, 31, 33).
func TestTorturePowerLoss(t *testing.T) {
	needTorture(t)
	tally := failPower(t, powerCases, nil)
	tally.report(t, "PowerLoss")
}

// The same with a few of the moments and fates.
func TestPowerLoss(t *testing.T) {
	if testing.Short() {
		t.Skip("it makes some 500 runs")
	}
	t.Parallel()
	failPower(t, powerCases[:3], &hasty)
}

func failPower(t *testing.T, cases []powerCase, effort *powerEffort) *killTally {
	t.Helper()
	if hindrance := canTrace(t); hindrance != "" {
		t.Skip(hindrance)
	}
	k := &kills{program: buildProgram(t), places: killPlaces(t), tally: new(killTally)}
	t.Run("cases", func(t *testing.T) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				if effort != nil {
					c.effort = *effort
				}
				k.failPowerIn(t, c)
			})
		}
	})
	t.Logf("power failed: %v", k.tally)
	return k.tally
}

// powerRig is a rig whose runs happen in this process, on disks as a power cut leaves them.
type powerRig struct {
	*killRig
	place string // of the disks
	addr  string // of the server, as records and names of files know it
	tried map[[sha256.Size]byte]bool
	disks int
}

func (k *kills) failPowerIn(t *testing.T, c powerCase) {
	place := 1
	if c.onDisk {
		place = 0
	}
	r := k.newRig(t, place, c.delete)
	r.label = "what was before"
	c.earlier(r)
	drops := make(map[string][]poptest.Message)
	for _, user := range r.users {
		drops[user] = r.server.Drop(user).Messages()
	}
	before := newDisk(t, r.dir)
	tr := r.trace(0)
	p := &powerRig{killRig: r, place: filepath.Join(t.TempDir()), addr: r.valve.addr(), tried: make(map[[sha256.Size]byte]bool)}
	if shm := k.places[1]; !c.onDisk {
		p.place = shm
	}
	rng := rand.New(rand.NewPCG(1, 2))
	tr.eachCut(before, drops, func(cut *powerCut) {
		for _, fates := range c.effort.fates(cut.disk, rng) {
			if t.Failed() {
				return
			}
			p.try(cut, fates)
		}
	})
	p.checkModel(before)
	_ = systrace.Call{}
	t.Logf("%d different disks", len(p.tried))
}

// checkModel checks that the model agrees with the real disk where all has happened.
func (p *powerRig) checkModel(d *disk) {
	want, got := readTree(p.t, p.dir), d.after(d.all(present))
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if content, there := got[path]; !there || string(content) != string(want[path]) {
			p.t.Errorf("in the model %s is there %t with %d octets, on the disk with %d", path, there, len(content), len(want[path]))
		}
		delete(got, path)
	}
	if len(got) > 0 {
		p.t.Errorf("only the model has %q", slices.Sorted(maps.Keys(got)))
	}
}

// try lays out a disk as the power cut may have left it, unless an equal one was tried, and makes a run on it.
func (p *powerRig) try(cut *powerCut, fates map[*diskOp]fate) {
	tree := cut.disk.after(fates)
	key := fingerprint(tree, cut.left)
	if p.tried[key] {
		return
	}
	p.tried[key] = true
	p.label = fmt.Sprintf("power cut at event %d, %s, %d of %d changes there", cut.event, cut.after, count(fates), len(fates))
	dir, err := os.MkdirTemp(p.place, "disk-")
	if err != nil {
		p.t.Fatal(err)
	}
	writeTree(p.t, dir, tree)
	p.state, p.maildir = filepath.Join(dir, "state"), filepath.Join(dir, "Maildir")
	for user, messages := range cut.left {
		drop := p.server.Drop(user)
		drop.Remove(drop.UniqueIDs()...)
		drop.Add(messages...)
	}
	clear(p.safe)
	p.tally.count("power cut", false)
	p.checkKilled()
	p.recover()
	p.checkOnce()
	if !p.t.Failed() {
		_ = os.RemoveAll(dir)
	}
}

func count(fates map[*diskOp]fate) (there int) {
	for _, f := range fates {
		if f != absent {
			there++
		}
	}
	return there
}

// fingerprint tells disks and maildrops apart. What lies in tmp does not matter to anybody.
func fingerprint(tree map[string][]byte, left map[string][]poptest.Message) (key [sha256.Size]byte) {
	hash := sha256.New()
	for _, path := range slices.Sorted(maps.Keys(tree)) {
		if !strings.HasPrefix(path, filepath.Join("Maildir", "tmp")+"/") {
			fmt.Fprintf(hash, "%s\x00%t%d\x00", path, tree[path] == nil, len(tree[path]))
			_, _ = hash.Write(tree[path])
		}
	}
	for _, user := range slices.Sorted(maps.Keys(left)) {
		_, _ = io.WriteString(hash, fmt.Sprint(user, len(left[user])))
	}
	hash.Sum(key[:0])
	return key
}

// recover makes a run of the accounts on the disk at hand.
func (p *powerRig) recover() {
	p.t.Helper()
	store, err := seen.Open(p.t.Context(), p.state)
	if err != nil {
		p.t.Errorf("%s: %v", p.label, err)
		return
	}
	defer store.Close()
	target := deliver.NewMaildir(p.maildir)
	var accounts []fetch.Account
	for i, user := range p.users {
		name := p.name
		if i > 0 {
			name += "-" + user
		}
		accounts = append(accounts, fetch.Account{
			Name: name, Server: p.addr, User: user, Target: target, Delete: fetch.DeletePolicy{Enabled: p.delete},
			POP3:  pop3.Options{TLS: pop3.TLSNone, DialTimeout: patience, GreetingTimeout: patience, ReplyTimeout: patience, StallTimeout: patience},
			Login: (&fetch.Credentials{User: user, Password: credentials().Password}).Login,
		})
	}
	runner := &fetch.Runner{Store: store}
	for _, result := range runner.Run(p.t.Context(), accounts) {
		if result.Err != nil {
			p.t.Errorf("%s: Run() = %v, want no error", p.label, result.Err)
		}
	}
	p.server.Wait()
}
