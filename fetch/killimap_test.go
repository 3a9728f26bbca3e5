package fetch_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/seen/sqlite"
)

// killIMAP is a mailbox into which the rig's runs deliver.
type killIMAP struct {
	addr, ca, mailbox string
	memory            *poptest.IMAP        // it is at one of both
	dovecot           *poptest.DovecotIMAP // it is at one of both
}

// inMemory makes the mailbox of a server in memory the rig's target.
func (r *killRig) inMemory() {
	s := poptest.StartIMAP(r.t, imap.CapLiteralPlus, imap.CapBinary, imap.CapUIDPlus)
	r.imap = &killIMAP{addr: s.Addr(), mailbox: "INBOX", memory: s}
}

// atDovecot makes a mailbox of a real server the rig's target.
func (r *killRig) atDovecot(d *poptest.DovecotIMAP, mailbox string) {
	r.imap = &killIMAP{addr: d.IMAPSAddr(), ca: d.CA().File(), mailbox: mailbox, dovecot: d}
}

// messages returns what the mailbox in memory holds.
func (i *killIMAP) messages() (all []string) {
	for _, came := range i.memory.Appended(i.mailbox) {
		all = append(all, came.Octets)
	}
	return all
}

// holds returns what was delivered so far, and how often.
func (i *killIMAP) holds(r *killRig) map[string]int {
	count := make(map[string]int)
	if i.memory != nil {
		for _, octets := range i.messages() {
			count[strings.ReplaceAll(octets, "\r\n", "\n")]++
		}
		return count
	}
	for _, sub := range []string{"new", "cur"} {
		for _, content := range r.readFolder(filepath.Join(i.dovecot.Folder(i.dovecot.User, "."+i.mailbox), sub)) {
			count[content]++
		}
	}
	return count
}

// command is a run of this test program, which then is TestProgram_imap alone.
func (i *killIMAP) command(r *killRig) []string {
	self, err := os.Executable()
	if err != nil {
		r.t.Fatal(err)
	}
	return []string{self, "-test.run=^TestProgram_imap$", "-test.count=1", "-test.timeout=1m", "--",
		r.state, r.valve.addr(), i.addr, i.ca, i.mailbox, strconv.FormatBool(r.delete)}
}

// smallBatches is a target whose batches are small, so that a small run has several.
type smallBatches struct{ *deliver.IMAP }

func (smallBatches) Limit() deliver.Limit {
	return deliver.Limit{Messages: 5, Octets: 64 << 10, Batches: 1}
}

// TestProgram_imap is no test: it is the program that the tests of this file kill.
func TestProgram_imap(t *testing.T) {
	_, after, called := strings.Cut(strings.Join(os.Args, "\x00"), "\x00--\x00")
	args := strings.Split(after, "\x00")
	if !called || len(args) != 6 {
		t.Skip("the tests of kills run it")
	}
	state, pop, addr, ca, mailbox, deletes := args[0], args[1], args[2], args[3], args[4], args[5]
	store, err := sqlite.Open(t.Context(), state)
	if err != nil {
		t.Fatal(err)
	}
	target := &deliver.IMAP{
		Address: addr, StartTLS: ca == "", User: user, Mailbox: mailbox, Timeout: patience,
		Password: func(context.Context) (string, error) { return secret, nil },
		Notes:    deliver.NewFileBook(filepath.Join(state, "imap.notes")),
	}
	if ca != "" {
		text, err := os.ReadFile(ca)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(text)
		target.TLSConfig = &tls.Config{RootCAs: pool, ServerName: "localhost"}
	}
	r := &rig{t: t}
	account := r.newAccount("work", pop, smallBatches{target})
	account.POP3.Trace = nil
	account.Delete = fetch.DeletePolicy{Enabled: deletes == "true"}
	result := (&fetch.Runner{Store: store}).Run(t.Context(), []fetch.Account{account})[0]
	if result.Err != nil {
		t.Fatal(result.Err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

// imapCases are those of callCases that make sense for a mailbox.
var imapCases = []callCase{
	{"first run, keep, IMAP", 0, false, func(r *killRig) { r.add("mrose", killMessages(callMessages)...) }},
	{"later run, delete a backlog, IMAP", 0, true, backlog},
}

// behaviour 28, 31, 33: kill -9 at each system call of a run that appends to a mailbox, and a run
// after that. With a Message-ID, nothing comes twice.
func TestTortureKillIMAPAtEverySyscall(t *testing.T) {
	needTorture(t)
	killIMAPAtCalls(t, "KillIMAPAtEverySyscall", 1)
}

// The same at some of the calls.
func TestKill_imapCalls(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a program some 50 times")
	}
	t.Parallel()
	killIMAPAtCalls(t, "", 29)
}

func killIMAPAtCalls(t *testing.T, name string, step int) {
	if hindrance := canTrace(t); hindrance != "" {
		t.Skip(hindrance)
	}
	k := &kills{places: killPlaces(t), tally: new(killTally)}
	t.Run("cases", func(t *testing.T) {
		for i, c := range imapCases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				with := c
				with.earlier = func(r *killRig) {
					r.inMemory()
					c.earlier(r)
				}
				k.killInCase(t, with, i, step)
			})
		}
	})
	t.Logf("at system calls, into a mailbox: %v", k.tally)
	if name != "" {
		k.tally.report(t, name)
	}
	if want := len(imapCases) * 2 * 100 / step; k.tally.kills < want {
		t.Errorf("%d kills, want %d", k.tally.kills, want)
	}
}

// imapKills is how often runs that append to Dovecot's mailboxes are killed at random moments.
const imapKills = 240

// behaviour 28, 31, 33: kill -9 at any moment of a run that appends to a mailbox of a real server,
// several messages by one command, and a run after that.
func TestTortureKillIMAP(t *testing.T) {
	needTorture(t)
	killIMAPAtMoments(t, imapKills).report(t, "KillIMAP")
}

// The same a few times.
func TestKill_imap(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a program some 30 times")
	}
	t.Parallel()
	killIMAPAtMoments(t, 12)
}

func killIMAPAtMoments(t *testing.T, count int) *killTally {
	k := &kills{places: killPlaces(t), messages: killMessages(30), tally: new(killTally)}
	d := poptest.StartDovecotIMAP(t, nil)
	quiet := k.newRig(t, 1, true)
	quiet.atDovecot(d, "quiet")
	quiet.label = "a run that nobody kills"
	quiet.finish()
	k.offsets = quiet.valve.measure()
	for seed := range count {
		rng := rand.New(rand.NewPCG(uint64(seed), 7))
		r := k.newRig(t, 1, seed%2 == 1)
		r.atDovecot(d, fmt.Sprintf("kill-%d", seed))
		octets, delay := k.offsets.pick(rng, r.delete)
		delay += time.Duration(rng.IntN(40)) * time.Millisecond // a batch takes longer than files
		r.label = fmt.Sprintf("seed %d, delete %t, killed %v after octet %d", seed, r.delete, delay, octets)
		if !r.killAt(octets, delay) {
			continue // the run ended before the kill
		}
		r.countKill("random moments")
		r.checkKilled()
		r.finish()
	}
	t.Logf("into mailboxes of Dovecot, %d messages: %v", len(k.messages), k.tally)
	if k.tally.kills < count*5/6 {
		t.Errorf("%d kills, want %d", k.tally.kills, count*5/6)
	}
	return k.tally
}
