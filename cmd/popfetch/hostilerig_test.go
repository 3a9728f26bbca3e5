package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
	"github.com/popfetch/popfetch/seen/sqlite"
)

const (
	hostileUser   = "mrose"
	hostileSecret = "tanstaaf"
	// patience is a time limit that no good session reaches. A case with a silent server uses
	// silence instead.
	patience = 20 * time.Second
	silence  = 400 * time.Millisecond
	// grace is how long after its limits a run may end.
	grace = 2 * time.Second
	// longestLine bounds the line about one fault: 256 octets of a server's text, which escaping
	// may lengthen, and the words around it.
	longestLine = 1200
)

// hostileRig is the account of one case. Its store and Maildir are real.
type hostileRig struct {
	*hostileCase
	t           *testing.T
	server      *poptest.Server
	runner      *fetch.Runner
	account     fetch.Account
	credentials *login.Credentials
	maildir     string
	mended      func() // other repairs of the server; may be nil

	mu     sync.Mutex
	said   bytes.Buffer    // standard error
	traced strings.Builder // the trace that -vv would print
	clock  time.Duration   // how far the runner's clock is ahead
	safe   map[string]bool // contents of files that have records
	unsafe int             // number of DELE for messages that were not durable or not recorded
}

// tally counts failures.
type tally struct{ lost, twice, unsafe, wrong int }

func (a tally) plus(b tally) tally {
	return tally{a.lost + b.lost, a.twice + b.twice, a.unsafe + b.unsafe, a.wrong + b.wrong}
}

func newHostileRig(t *testing.T, c *hostileCase) *hostileRig {
	t.Helper()
	r := &hostileRig{hostileCase: c, t: t, maildir: filepath.Join(t.TempDir(), "mail")}
	r.server = poptest.NewServer(t, poptest.Maildrop{User: hostileUser, Password: hostileSecret, Messages: c.messages})
	store, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	})
	told := &reporter{term: &terminal{out: &r.said, err: &r.said}, setting: &setting{}}
	r.runner = &fetch.Runner{Store: store, Observe: told.observe, Now: r.now}
	r.credentials = &login.Credentials{User: hostileUser, Password: func(context.Context) (string, error) { return hostileSecret, nil }}
	r.account = fetch.Account{
		Name: "work", Server: r.server.Addr(), User: hostileUser, Target: deliver.NewMaildir(r.maildir),
		Login: r.credentials.Login, Policy: fetch.Policy{Delete: fetch.DeletePolicy{Enabled: true}},
		POP3: pop3.Options{TLS: pop3.TLSNone, DialTimeout: patience, Trace: r.trace},
	}
	r.limit(patience)
	for _, change := range c.setting {
		change(r)
	}
	return r
}

// limit sets all time limits of a session.
func (r *hostileRig) limit(d time.Duration) {
	o := &r.account.POP3
	o.GreetingTimeout, o.ReplyTimeout, o.StallTimeout = d, d, d
}

func (r *hostileRig) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Add(r.clock)
}

func (r *hostileRig) trace(sent bool, line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.traced.Len() < 1<<20 {
		fmt.Fprintf(&r.traced, "%v %s\n", sent, line)
	}
}

// misbehave makes the server behave as the case says, and checks each DELE.
func (r *hostileRig) misbehave() {
	misdeeds := poptest.Misdeeds(r.t, r.misdeeds)
	r.server.Configure(func(c *poptest.Config) {
		c.Hook = func(s *poptest.Session, cmd string) poptest.Action {
			if n, ok := strings.CutPrefix(cmd, "DELE "); ok {
				r.checkSafe(s, n)
			}
			return misdeeds(s, cmd)
		}
	})
}

// behave makes the server a good one, however slow the machine is, and the time a day later.
func (r *hostileRig) behave() {
	r.limit(patience)
	r.account.Deadline = 0
	r.server.Configure(func(c *poptest.Config) {
		c.Hook = func(s *poptest.Session, cmd string) poptest.Action {
			if n, ok := strings.CutPrefix(cmd, "DELE "); ok {
				r.checkSafe(s, n)
			}
			return poptest.Action{}
		}
	})
	if r.mended != nil {
		r.mended()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock = 25 * time.Hour
}

// run makes one run of the account and returns the exit status. The run must end in time and leave
// no goroutine.
func (r *hostileRig) run() int {
	r.t.Helper()
	poptest.InClear(r.account.Server, r.account.POP3.TLS == pop3.TLSNone)
	label := strconv.Itoa(int(hostileLabel.Add(1)))
	began, starved := time.Now(), starvation()()
	var result fetch.Result
	pprof.Do(r.t.Context(), pprof.Labels("hostile", label), func(ctx context.Context) {
		result = r.runner.Run(ctx, []fetch.Account{r.account})[0]
	})
	limit := max(r.account.POP3.GreetingTimeout, r.account.POP3.ReplyTimeout, r.account.POP3.StallTimeout)
	if d := r.account.Deadline; d > 0 {
		limit = d
	}
	if took := time.Since(began); took > limit+grace {
		if late := starvation()() - starved; took-late > limit+grace {
			r.t.Errorf("the run took %v, with a limit of %v; the machine was busy for %v", took, limit, late)
		}
	}
	if left := goroutinesOf(label); left != "" {
		r.t.Errorf("left over when the run had ended:\n%s", left)
	}
	if statuses := resultStatuses(result); len(statuses) > 0 {
		return exitStatus(&runError{statuses})
	}
	return exitOK
}

// starvation returns how long this process has waited for a processor since the first call. A delay
// of a busy machine is not the program's fault.
var starvation = sync.OnceValue(func() func() time.Duration {
	const tick = 10 * time.Millisecond
	var late atomic.Int64
	go func() {
		for {
			began := time.Now()
			time.Sleep(tick)
			late.Add(int64(max(0, time.Since(began)-2*tick)))
		}
	}()
	return func() time.Duration { return time.Duration(late.Load()) }
})

// goroutinesOf gives the goroutines with a label a moment to end. It returns the stacks of those
// that remain.
func goroutinesOf(label string) string {
	mark := fmt.Sprintf("%q:%q", "hostile", label)
	for wait := time.Millisecond; ; wait *= 2 {
		var all bytes.Buffer
		_ = pprof.Lookup("goroutine").WriteTo(&all, 1) // writing to a buffer cannot fail
		var left []string
		for stack := range strings.SplitSeq(all.String(), "\n\n") {
			if strings.Contains(stack, mark) {
				left = append(left, stack)
			}
		}
		if len(left) == 0 || wait > time.Second {
			return strings.Join(left, "\n\n")
		}
		time.Sleep(wait)
	}
}

func contentOf(m *poptest.Message) string {
	octets := m.Content
	if m.Write != nil {
		var b bytes.Buffer
		_ = m.Write(&b) // writing to a buffer cannot fail
		octets = b.Bytes()
	}
	return strings.ReplaceAll(string(poptest.Wire(octets)), "\r\n", "\n")
}

// checkSafe is called when DELE n is read. A record of this message must name a file with its
// content.
func (r *hostileRig) checkSafe(s *poptest.Session, number string) {
	n, _ := strconv.Atoi(number)
	m := s.Message(n)
	if m == nil {
		return // the server will refuse it
	}
	want := []string{contentOf(m)}
	for n, altered := range r.altered {
		if r.messages[n-1].UniqueID == m.UniqueID {
			want = append(want, altered)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, fresh := range []bool{false, true} {
		if fresh {
			r.safe = r.recorded()
		}
		if slices.ContainsFunc(want, func(content string) bool { return r.safe[content] }) {
			return
		}
	}
	r.t.Errorf("DELE %d was sent, but no record tells of a file that holds that message", n)
	r.unsafe++
}

// recorded returns the contents of the files that have records.
func (r *hostileRig) recorded() map[string]bool {
	contents := make(map[string]bool)
	for _, record := range r.records() {
		if file, err := os.ReadFile(filepath.Join(r.maildir, "new", record.Places[0].Name)); err == nil {
			contents[string(file)] = true
		}
	}
	return contents
}

func (r *hostileRig) records() []seen.Record {
	ledger, err := r.runner.Store.Look(context.Background(), r.account.Name, r.account.Server, r.account.User)
	if err != nil {
		r.t.Error(err)
	}
	var records []seen.Record
	for record, err := range ledger.All(context.Background()) {
		if err != nil {
			r.t.Error(err)
			break
		}
		records = append(records, record)
	}
	return records
}

// mail returns the contents of new/, sorted. It checks that others cannot read the files, that
// their names are not the server's choice, and that tmp/ is empty.
func (r *hostileRig) mail() []string {
	r.t.Helper()
	var all []string
	err := filepath.WalkDir(r.maildir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		place, _ := filepath.Rel(r.maildir, path)
		if !strings.HasPrefix(place, "new/") || !info.Mode().IsRegular() || info.Mode().Perm() != 0o600 {
			r.t.Errorf("%q, mode %v, lies in the Maildir", place, info.Mode())
		}
		if strings.ContainsFunc(entry.Name(), func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune("/$'\"`%;()", c) }) {
			r.t.Errorf("a file is called %q", entry.Name())
		}
		content, err := os.ReadFile(path)
		all = append(all, string(content))
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.t.Error(err)
	}
	slices.Sort(all)
	return all
}

// checkMail compares new/ with the wanted messages. It counts lost messages and duplicates.
func (r *hostileRig) checkMail(when string, want []string) (found tally) {
	r.t.Helper()
	got := r.mail()
	if slices.Equal(got, want) {
		return tally{}
	}
	r.t.Errorf("after %s new/ holds %d messages %s, want %d: %s", when, len(got), clipped(got), len(want), clipped(want))
	count := make(map[string]int)
	for _, m := range got {
		count[m]++
	}
	for _, m := range want {
		count[m]--
	}
	for _, surplus := range count {
		found.lost += max(0, -surplus)
		found.twice += max(0, surplus)
	}
	return found
}

func clipped(all []string) string {
	var b strings.Builder
	for i, s := range all {
		if i == 8 {
			return b.String() + " …"
		}
		fmt.Fprintf(&b, "%.120q ", s)
	}
	return b.String()
}

// checkWords checks the output of the runs: standard error, the trace, and the commands to the
// server.
func (r *hostileRig) checkWords() {
	r.t.Helper()
	said, traced := r.said.String(), r.traced.String()
	for line := range strings.Lines(said + traced) {
		line = strings.TrimSuffix(line, "\n")
		if strings.ContainsFunc(line, func(c rune) bool { return unicode.IsControl(c) || c == unicode.ReplacementChar }) {
			r.t.Errorf("printed with control characters: %q", line)
		}
	}
	for line := range strings.Lines(said) {
		if len(line) > longestLine {
			r.t.Errorf("printed in one line of %d octets: %q", len(line), line)
		}
	}
	if showsSecret(said + traced) {
		r.t.Errorf("the password was printed: %s%s", said, traced)
	}
	for _, text := range r.says {
		if !strings.Contains(said, text) {
			r.t.Errorf("standard error lacks %q: %s", text, said)
		}
	}
}

// showsSecret reports whether octets contain the password or a base64 form of it.
func showsSecret(octets string) bool {
	if strings.Contains(octets, hostileSecret) {
		return true
	}
	for _, word := range strings.FieldsFunc(octets, func(c rune) bool { return c <= ' ' }) {
		if decoded, err := base64.StdEncoding.DecodeString(word); err == nil && bytes.Contains(decoded, []byte(hostileSecret)) {
			return true
		}
	}
	return false
}
