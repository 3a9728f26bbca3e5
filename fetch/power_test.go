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
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/internal/systrace"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen/sqlite"
)

// powerCase is what runs do before the power fails.
type powerCase struct {
	name    string
	effort  powerEffort
	onDisk  bool // where syncfs is used for many files
	earlier func(r *killRig)
	// killed puts a killed run before the observed one: it is killed before each call that it makes
	// until it has contacted a server.
	killed bool
	// killedAt, if set, has a run before it that is killed before the first call that matches.
	killedAt func(*systrace.Call) bool
	// mda delivers to a program that remembers nothing: only the state prevents duplicates. It must
	// do so by QUIT.
	mda bool
	// mbox delivers into an mbox, by a program for that.
	mbox bool
}

var thorough = powerEffort{all: 5, single: true, random: 40}

var powerCases = []powerCase{
	{name: "first run", effort: thorough, earlier: fewMessages},
	{name: "first run after a killed one", effort: powerEffort{syncs: true}, earlier: fewMessages, killed: true},
	{name: "first run after a killed one, MDA", effort: powerEffort{quits: true}, earlier: fewMessages, killed: true, mda: true},
	{name: "first run after one killed before new was synced", effort: powerEffort{syncs: true}, earlier: fewMessages, killedAt: syncsNew},
	{name: "later run", effort: thorough, earlier: backlog},
	{name: "seen.db removed", effort: thorough, earlier: func(r *killRig) {
		backlog(r)
		if !r.killBefore(1, func(c *systrace.Call) bool { return isSocket(c) && string(c.Data) == "QUIT\r\n" }) {
			r.t.Error("the run ended before the kill")
		}
		if err := os.Remove(filepath.Join(r.state, "seen.db")); err != nil { // and not its log
			r.t.Fatal(err)
		}
	}},
	{name: "two accounts, one Maildir", effort: thorough, earlier: func(r *killRig) {
		fewMessages(r)
		r.users = append(r.users, "alice")
		r.add("alice", killMessage("uid-001", 5001, 900), killMessage("uid-002", 5002, 900))
	}},
	{name: "first run, mbox", effort: thorough, earlier: fewMessages, mbox: true},
	{name: "later run, mbox", effort: thorough, earlier: backlog, mbox: true},
	{name: "many messages", effort: powerEffort{random: 20}, onDisk: true, earlier: func(r *killRig) { r.add("mrose", killMessages(20)...) }},
}

// syncsNew matches the call that makes the names of delivered messages durable.
func syncsNew(c *systrace.Call) bool {
	return c.Name == "fsync" && strings.HasSuffix(c.Path, "/"+maildirBelow+"/new")
}

func fewMessages(r *killRig) { r.add("mrose", killMessages(5)...) }

// Unlike kill -9, the power fails at any moment of a run, and unsynced changes may be there or not.
// The next run finds the promise kept (behaviour 28, 31, 33).
func TestTorturePowerLoss(t *testing.T) {
	needTorture(t)
	k := newPowerKills(t)
	t.Run("cases", func(t *testing.T) {
		for _, c := range powerCases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				k.failPower(t, c, 1)
			})
		}
	})
	t.Logf("power failed: %v", k.tally)
	k.tally.report(t, "PowerLoss")
}

// The same with a few of the moments and fates.
func TestPowerLoss(t *testing.T) {
	if testing.Short() {
		t.Skip("it makes some 400 runs")
	}
	t.Parallel()
	k := newPowerKills(t)
	for _, c := range powerCases[:6] {
		if !c.killed && c.killedAt == nil {
			c.effort = powerEffort{random: 1}
		}
		t.Run(c.name, func(t *testing.T) { k.failPower(t, c, 9) })
	}
	t.Logf("power failed: %v", k.tally)
}

func newPowerKills(t *testing.T) *kills {
	t.Helper()
	if hindrance := canTrace(t); hindrance != "" {
		t.Skip(hindrance)
	}
	return &kills{program: buildProgram(t), places: killPlaces(t), tally: new(killTally)}
}

// Where a rig's state and Maildir are, below the folders that a disk models.
const (
	stateBelow   = "state/popfetch"
	maildirBelow = "Maildir/inbox"
	mboxBelow    = "mail/inbox"
)

// powerRig is a rig whose runs are observed. It then makes runs in this process on disks as power
// cuts leave them.
type powerRig struct {
	*killRig
	place string // of the disks
	rng   *rand.Rand
	tried map[[sha256.Size]byte]bool
}

// failPower lets the power fail in a case; before it, a run is killed at every step-th call.
func (k *kills) failPower(t *testing.T, c powerCase, step int) {
	place := 1
	if c.onDisk {
		place = 0
	}
	r := k.newRig(t, place, true)
	r.label = "what was before"
	// Each has a folder of its own, so that syncing one does nothing for the other.
	r.state, r.maildir = filepath.Join(r.dir, stateBelow), filepath.Join(r.dir, maildirBelow)
	if c.mda {
		r.delete = false
		r.deliverByMDA(1)
	}
	if c.mbox {
		r.mbox, r.program = filepath.Join(r.dir, mboxBelow), buildMboxProgram(t)
	}
	c.earlier(r)
	p := &powerRig{killRig: r, place: k.places[1%len(k.places)], rng: rand.New(rand.NewPCG(1, 2)), tried: make(map[[sha256.Size]byte]bool)}
	if !c.killed {
		p.failRuns(c, -1)
		return
	}
	snapshot := r.snapshot()
	for n := 0; p.failRuns(c, n); n += step {
		snapshot.restore()
	}
}

// failRuns lets the power fail in a run, before which another one is killed at its n-th call; -1:
// none. It reports whether that one was killed before it contacted the server.
func (p *powerRig) failRuns(c powerCase, n int) (early bool) {
	drops := make(map[string][]poptest.Message)
	for _, user := range p.users {
		drops[user] = p.server.Drop(user).Messages()
	}
	disk, tr := newDisk(p.t, p.dir), &callTrace{t: p.t}
	if c.killedAt != nil && !tr.runKilledAt(p.killRig, c.killedAt) {
		p.t.Fatalf("%s: the run ended before the kill", p.label)
	}
	if n >= 0 {
		early = tr.runKilled(p.killRig, n) && !slices.ContainsFunc(tr.calls, func(c tracedCall) bool { return isSocket(c.Call) })
		if !early {
			return false
		}
	}
	tr.run(p.killRig)
	tr.eachCut(disk, drops, func(cut *powerCut) {
		for _, fates := range c.effort.fates(cut, p.rng) {
			if p.t.Failed() {
				return
			}
			p.try(cut, fates, n)
		}
	})
	p.checkModel(disk)
	p.lieBelow(p.dir)
	return early
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

// try lays out a disk as the power cut may have left it, unless an equal one was tried, and makes a
// run on it.
func (p *powerRig) try(cut *powerCut, fates map[*diskOp]fate, killed int) {
	tree := cut.disk.after(fates)
	key := fingerprint(tree, cut.left)
	if p.tried[key] {
		return
	}
	p.tried[key] = true
	p.label = fmt.Sprintf("power cut at event %d, %s, %d of %d changes there", cut.event, cut.after, count(fates), len(fates))
	if killed >= 0 {
		p.label += fmt.Sprintf(", a run before killed at call %d", killed)
	}
	dir, err := os.MkdirTemp(p.place, "disk-")
	if err != nil {
		p.t.Fatal(err)
	}
	writeTree(p.t, dir, tree)
	p.lieBelow(dir)
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

// lieBelow sets where the state and the target are.
func (p *powerRig) lieBelow(dir string) {
	p.state, p.maildir = filepath.Join(dir, stateBelow), filepath.Join(dir, maildirBelow)
	if p.mbox != "" {
		p.mbox = filepath.Join(dir, mboxBelow)
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

// fingerprint identifies a disk and its maildrops. Files in tmp do not matter.
func fingerprint(tree map[string][]byte, left map[string][]poptest.Message) (key [sha256.Size]byte) {
	hash := sha256.New()
	for _, path := range slices.Sorted(maps.Keys(tree)) {
		if !strings.HasPrefix(path, maildirBelow+"/tmp/") {
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
	store, err := sqlite.Open(p.t.Context(), p.state)
	if err != nil {
		p.t.Errorf("%s: %v", p.label, err)
		return
	}
	defer store.Close()
	target := func(name string) deliver.Target {
		switch {
		case p.mda != "":
			return &deliver.MDA{Command: p.mda}
		case p.mbox != "":
			return deliver.NewMbox(p.mbox, deliver.NewFileBook(filepath.Join(p.state, name+".mbox")))
		}
		return deliver.NewMaildir(p.maildir)
	}
	var accounts []fetch.Account
	for i, user := range p.users {
		name := p.name
		if i > 0 {
			name += "-" + user
		}
		accounts = append(accounts, fetch.Account{
			Name: name, Server: p.valve.addr(), User: user, Target: target(name), Policy: fetch.Policy{Delete: fetch.DeletePolicy{Enabled: p.delete}},
			POP3:  pop3.Options{TLS: pop3.TLSNone, DialTimeout: patience, GreetingTimeout: patience, ReplyTimeout: patience, StallTimeout: patience},
			Login: (&login.Credentials{User: user, Password: credentials().Password}).Login,
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
