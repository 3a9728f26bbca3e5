package fetch_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
	"github.com/popfetch/popfetch/seen/sqlite"
)

const (
	user   = "mrose"
	secret = "tanstaaf"
	// patience is a time limit that no healthy session reaches.
	patience = 20 * time.Second
)

// rig is one account as a run has it: a real store, a real Maildir, a real client. Its fields may
// be changed between runs.
type rig struct {
	t       *testing.T
	runner  *fetch.Runner
	account fetch.Account
	maildir string
	state   string // the state folder

	mu     sync.Mutex
	events []fetch.Event
	traced []string
	clock  time.Duration // how far the runner's clock is ahead
}

// newRig makes an account of the maildrop at addr, without TLS.
func newRig(t *testing.T, addr string) *rig {
	t.Helper()
	r := &rig{t: t, state: t.TempDir(), maildir: filepath.Join(t.TempDir(), "mail")}
	store := openStore(t, r.state)
	r.runner = &fetch.Runner{Store: store, Observe: r.observe, Now: r.now}
	r.account = r.newAccount("work", addr, deliver.NewMaildir(r.maildir))
	return r
}

func openStore(t *testing.T, dir string) *sqlite.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	})
	return store
}

func (r *rig) newAccount(name, addr string, target deliver.Target) fetch.Account {
	return fetch.Account{
		Name: name, Server: poptest.InClear(addr, true), User: user, Target: target, Login: credentials().Login,
		POP3: pop3.Options{TLS: pop3.TLSNone, DialTimeout: patience, GreetingTimeout: patience,
			ReplyTimeout: patience, StallTimeout: patience, Trace: r.trace},
	}
}

func credentials(mechanisms ...login.Mechanism) *login.Credentials {
	return credentialsOf(secret, mechanisms...)
}

func credentialsOf(password string, mechanisms ...login.Mechanism) *login.Credentials {
	return &login.Credentials{User: user, Mechanisms: mechanisms,
		Password: func(context.Context) (string, error) { return password, nil }}
}

func (r *rig) observe(e fetch.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *rig) trace(sent bool, line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.traced = append(r.traced, fmt.Sprintf("%v %s", sent, line))
}

func (r *rig) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Add(r.clock)
}

func (r *rig) later(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock += d
}

// hurry sets all time limits of the session.
func (r *rig) hurry(limit time.Duration) {
	o := &r.account.POP3
	o.GreetingTimeout, o.ReplyTimeout, o.StallTimeout = limit, limit, limit
}

// run is one run of the account.
func (r *rig) run() fetch.Result {
	return r.runner.Run(r.t.Context(), []fetch.Account{r.account})[0]
}

// runs is run with a check that it comes to the given outcome without error.
func (r *rig) runs(want string) {
	r.t.Helper()
	result := r.run()
	if result.Err != nil {
		r.t.Errorf("Run() = %v, want no error", result.Err)
	}
	checkOutcome(r.t, result, want)
}

// fails is run with a check that it ends early in the given phase, with the given outcome by then.
func (r *rig) fails(phase fetch.Phase, want string) error {
	r.t.Helper()
	result := r.run()
	checkFailure(r.t, result, phase)
	checkOutcome(r.t, result, want)
	return result.Err
}

func checkFailure(t *testing.T, result fetch.Result, phase fetch.Phase) {
	t.Helper()
	var failure *fetch.Error
	if !errors.As(result.Err, &failure) {
		t.Errorf("Run() = %v, want a *fetch.Error of phase %q", result.Err, phase)
	} else if failure.Phase != phase {
		t.Errorf("Run() = %v, phase %q, want phase %q", result.Err, failure.Phase, phase)
	}
}

func checkOutcome(t *testing.T, result fetch.Result, want string) {
	t.Helper()
	if got := outcome(result); got != want {
		t.Errorf("the run came to %q, want %q (error %v)", got, want, result.Err)
	}
}

// outcome shows the counts of a result that are not zero.
func outcome(r fetch.Result) string {
	var shown []string
	for _, c := range []struct {
		name  string
		count int
	}{
		{"listed", r.Listed}, {"new", r.New}, {"delivered", r.Delivered}, {"recognised", r.Recognised}, {"marked", r.Marked},
		{"discarded", r.Filtered.Discarded}, {"left", r.Filtered.Left},
		{"skipped", r.Skipped}, {"quarantined", r.Quarantined}, {"failed", r.Failed}, {"unusable", r.Unusable}, {"deleted", r.Deleted},
		{"waiting", r.Waiting}, {"left out", r.LeftOut}, {"unlisted", r.Unlisted},
	} {
		if c.count != 0 {
			shown = append(shown, fmt.Sprintf("%d %s", c.count, c.name))
		}
	}
	return strings.Join(shown, ", ")
}

// mail returns the messages in new/, sorted, and checks that tmp/ is clean.
func (r *rig) mail() []string {
	r.t.Helper()
	return mailIn(r.t, r.maildir)
}

func mailIn(t *testing.T, maildir string) []string {
	t.Helper()
	var all []string
	for _, name := range filesIn(t, filepath.Join(maildir, "new")) {
		content, err := os.ReadFile(filepath.Join(maildir, "new", name))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(content))
	}
	slices.Sort(all)
	if left := filesIn(t, filepath.Join(maildir, "tmp")); len(left) > 0 {
		t.Errorf("tmp/ holds %q, want nothing", left)
	}
	return all
}

// filesIn returns the names in a folder, none if there is no such folder.
func filesIn(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}

// holds checks which messages are in new/: those, each once.
func (r *rig) holds(messages ...poptest.Message) {
	r.t.Helper()
	want := make([]string, len(messages))
	for i, m := range messages {
		want[i] = delivered(m.Content)
	}
	slices.Sort(want)
	if got := r.mail(); !slices.Equal(got, want) {
		r.t.Errorf("new/ holds %d messages %q, want %d: %q", len(got), got, len(want), want)
	}
}

// delivered is the content of a message as it lies in a Maildir.
func delivered(content []byte) string {
	return strings.ReplaceAll(string(poptest.Wire(content)), "\r\n", "\n")
}

// records returns the account's records, by unique-id and copy.
func (r *rig) records() []seen.Record {
	r.t.Helper()
	ledger, err := r.runner.Store.Look(r.t.Context(), r.account.Name, r.account.Server, r.account.User)
	if err != nil {
		r.t.Fatal(err)
	}
	var records []seen.Record
	for record, err := range ledger.All(r.t.Context()) {
		if err != nil {
			r.t.Fatal(err)
		}
		records = append(records, record)
	}
	return records
}

// recorded returns the unique-ids of the records, sorted, a copy's with its number.
func (r *rig) recorded() []string {
	r.t.Helper()
	var ids []string
	for _, record := range r.records() {
		id := record.UniqueID
		if record.Copy > 0 {
			id += fmt.Sprintf("+%d", record.Copy)
		}
		ids = append(ids, id)
	}
	return ids
}

// places returns the files that the records name, each once.
func (r *rig) places() []string {
	r.t.Helper()
	var places []string
	for _, record := range r.records() {
		places = append(places, record.Places[0].Name)
	}
	slices.Sort(places)
	return slices.Compact(places)
}

// has checks which unique-ids have records.
func (r *rig) has(want ...string) {
	r.t.Helper()
	if got := r.recorded(); !slices.Equal(got, want) {
		r.t.Errorf("records of %q, want %q", got, want)
	}
}

// told returns the events of one kind.
func (r *rig) told(kind fetch.Kind) []fetch.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var told []fetch.Event
	for _, e := range r.events {
		if e.Kind == kind {
			told = append(told, e)
		}
	}
	return told
}

// warned checks that a warning has the text.
func (r *rig) warned(text string) {
	r.t.Helper()
	for _, e := range r.told(fetch.Warning) {
		if strings.Contains(e.Err.Error(), text) {
			return
		}
	}
	r.t.Errorf("no warning says %q: %v", text, r.told(fetch.Warning))
}

// letter is a message with a header of its own.
func letter(id string) poptest.Message { return letterOf(id, id) }

// letterOf is a message with the unique-id and the subject.
func letterOf(id, subject string) poptest.Message {
	return poptest.Message{UniqueID: id, Content: []byte("Message-ID: <" + subject + "@example.org>\r\nSubject: " + subject + "\r\n\r\nabout " + subject + "\r\n")}
}

// newServer starts a model server with one maildrop.
func newServer(t *testing.T, messages ...poptest.Message) *poptest.Server {
	t.Helper()
	return poptest.NewServer(t, poptest.Maildrop{User: user, Password: secret, Messages: messages})
}

// hook sets the faults of the server.
func hook(server *poptest.Server, f func(s *poptest.Session, cmd string) poptest.Action) {
	server.Configure(func(c *poptest.Config) { c.Hook = f })
}

// on makes a hook that does action when the command is, or begins with, the words.
func on(words string, action poptest.Action) func(*poptest.Session, string) poptest.Action {
	return func(_ *poptest.Session, cmd string) poptest.Action {
		if cmd == words || words != "" && strings.HasPrefix(cmd, words+" ") {
			return action
		}
		return poptest.Action{}
	}
}

// without makes a server announce all but the capabilities named.
func without(names ...string) func(*poptest.Config) {
	return func(c *poptest.Config) {
		c.Capabilities = slices.DeleteFunc(slices.Clone(c.Capabilities), func(line string) bool {
			name, _, _ := strings.Cut(line, " ")
			return slices.Contains(names, name)
		})
	}
}

// commands returns what the client sent in the server's nth session, from 1.
func commands(t *testing.T, server *poptest.Server, n int) []string {
	t.Helper()
	server.Wait()
	sessions := server.Sessions()
	if len(sessions) < n {
		t.Fatalf("%d sessions, want %d", len(sessions), n)
	}
	return sessions[n-1].Commands()
}

// checkCount checks how often a command was sent in all sessions.
func checkCount(t *testing.T, server *poptest.Server, command string, want int) {
	t.Helper()
	server.Wait()
	if got := server.Count(command); got != want {
		t.Errorf("%s was sent %d times, want %d", command, got, want)
	}
}
