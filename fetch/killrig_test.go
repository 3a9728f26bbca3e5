package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/seen/sqlite"
)

// lastID is the last unique-id of killMessages(maildropMessages).
const lastID = "uid-140"

// killMessages makes n different messages, one in forty of more than 64 KiB; their lines hold
// leading dots, NUL and 8-bit octets.
func killMessages(n int) []poptest.Message {
	rng := rand.New(rand.NewPCG(1, 2))
	messages := make([]poptest.Message, n)
	for i := range messages {
		octets := 200 + rng.IntN(2000)
		if i%40 == 12 {
			octets = 66<<10 + rng.IntN(30<<10)
		}
		messages[i] = killMessage(fmt.Sprintf("uid-%03d", i+1), rng.Uint64(), octets)
	}
	return messages
}

// killMessage makes a message of exactly the given octets.
func killMessage(uniqueID string, seed uint64, octets int) poptest.Message {
	const alphabet = "..  abcdefghijklmno\x00\xe4"
	rng := rand.New(rand.NewPCG(seed, 3))
	var m bytes.Buffer
	fmt.Fprintf(&m, "Message-ID: <%016x@example.org>\r\nFrom: a@example.org\r\nSubject: kill\r\n\r\n", seed)
	for octets-m.Len() > 2 {
		for range min(rng.IntN(76), octets-m.Len()-2) {
			m.WriteByte(alphabet[rng.IntN(len(alphabet))])
		}
		if octets-m.Len() == 3 { // one octet would be left, which no line can be
			m.WriteByte('x')
		}
		m.WriteString("\r\n")
	}
	return poptest.Message{UniqueID: uniqueID, Content: m.Bytes()}
}

// asDelivered is a message as it is to stand in a Maildir.
func asDelivered(m poptest.Message) string {
	return strings.ReplaceAll(string(poptest.Wire(m.Content)), "\r\n", "\n")
}

// killRig is an account of a model server, and what the program's runs leave in a folder.
type killRig struct {
	t       *testing.T
	program string
	dir     string
	server  *poptest.Server
	valve   *killValve
	tally   *killTally
	label   string // of the case at hand, for messages

	name, state, maildir, mda string
	mail                      *poptest.MailServer // an LMTP server that takes the mail, or nil
	mbox                      string              // the program makes runs into it
	maxDeliveries             int
	imap                      *killIMAP // the target, if it is not nil
	mayTwice                  int       // messages that were on their way to an MDA when it was killed
	users                     []string
	delete                    bool
	want                      map[string]int  // what was put into the maildrops, as delivered, and how often
	elsewhere                 []string        // other Maildirs that count
	composed                  *composedCase   // nil: the account has one target
	torsos                    map[string]bool // what the test itself cut short

	mu      sync.Mutex
	process *killProcess
	hook    func(s *poptest.Session, cmd string) poptest.Action
	refused string          // the message, as delivered, of which RETR is refused
	safe    map[string]bool // unique-ids of what was seen to be durable and recorded
	unsafe  int
}

// newKillRig makes an account "work" of the user mrose, with a new Maildir below place.
func newKillRig(t *testing.T, program, place string, tally *killTally, messages []poptest.Message) *killRig {
	t.Helper()
	dir, err := os.MkdirTemp(place, "kill-")
	if err != nil {
		t.Fatal(err)
	}
	// An MDA may outlive all of this and write once more; the folder of the test is removed later
	// anyway.
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r := &killRig{
		t: t, program: program, dir: dir, tally: tally,
		name: "work", state: filepath.Join(dir, "state"), maildir: filepath.Join(dir, "Maildir"),
		users: []string{"mrose"}, want: make(map[string]int), torsos: make(map[string]bool), safe: make(map[string]bool),
	}
	r.server = poptest.NewServer(t, poptest.Maildrop{User: "mrose", Password: "tanstaaf"}, poptest.Maildrop{User: "alice", Password: "tanstaaf"})
	r.server.Configure(func(c *poptest.Config) { c.Hook = r.answer })
	r.valve = newKillValve(t, poptest.InClear(r.server.Addr(), true))
	r.add("mrose", messages...)
	return r
}

// add puts messages into a maildrop.
func (r *killRig) add(user string, messages ...poptest.Message) {
	r.server.Drop(user).Add(messages...)
	for _, m := range messages {
		r.want[asDelivered(m)]++
	}
}

// answer is the server's hook: it looks at each DELE, and then does what the case wants.
func (r *killRig) answer(s *poptest.Session, cmd string) poptest.Action {
	if m, ok := r.argument(s.User(), cmd, "DELE"); ok {
		r.checkSafe(s.User(), m)
	}
	r.mu.Lock()
	hook, refused := r.hook, r.refused
	r.mu.Unlock()
	if m, ok := r.argument(s.User(), cmd, "RETR"); ok && asDelivered(m) == refused {
		return poptest.Refuse("not now")
	}
	if hook == nil {
		return poptest.Action{}
	}
	return hook(s, cmd)
}

// publish makes what the test has set until now known to the server, which takes the mutex at each
// command.
func (r *killRig) publish() {
	r.mu.Lock()
	defer r.mu.Unlock()
}

// forgetSafe has each DELE checked anew.
func (r *killRig) forgetSafe() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.safe)
}

// refuse makes the server refuse RETR of a message, of none if it is empty.
func (r *killRig) refuse(asDelivered string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = asDelivered
}

func (r *killRig) setHook(hook func(s *poptest.Session, cmd string) poptest.Action) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hook = hook
}

// argument returns the message that a command with this keyword names by its number, false if it is
// another command.
func (r *killRig) argument(user, cmd, keyword string) (poptest.Message, bool) {
	argument, ok := strings.CutPrefix(cmd, keyword+" ")
	n, err := strconv.Atoi(argument)
	if !ok || err != nil {
		return poptest.Message{}, false
	}
	messages := r.server.Drop(user).Messages()
	if n < 1 || n > len(messages) {
		return poptest.Message{}, false
	}
	return messages[n-1], true
}

// checkSafe counts each DELE of a message that is not in its place and recorded at this moment
// (behaviour 28).
func (r *killRig) checkSafe(user string, deleted poptest.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.safe[user+deleted.UniqueID] {
		return
	}
	recorded, delivered := r.recorded(r.state), r.delivered()
	for _, m := range r.server.Drop(user).Messages() {
		if recorded[user+"/"+m.UniqueID] && delivered[asDelivered(m)] > 0 {
			r.safe[user+m.UniqueID] = true
		}
	}
	if !r.safe[user+deleted.UniqueID] {
		r.unsafe++
		r.t.Logf("%s: DELE of %s: recorded %t, delivered %t", r.label, deleted.UniqueID, recorded[user+"/"+deleted.UniqueID], delivered[asDelivered(deleted)] > 0)
	}
}

// recorded returns the users and unique-ids ("mrose/uid-001") of which the state folder has
// records.
func (r *killRig) recorded(state string) map[string]bool {
	ctx := context.Background()
	store, err := sqlite.Open(ctx, state)
	if err != nil {
		r.t.Errorf("%s: %v", r.label, err)
		return nil
	}
	defer store.Close()
	ids := make(map[string]bool)
	accounts, err := store.Accounts(ctx)
	for _, a := range accounts {
		ledger, lookErr := store.Look(ctx, a.Name, a.Server, a.User)
		if lookErr != nil {
			err = errors.Join(err, lookErr)
			continue
		}
		for record, recordErr := range ledger.All(ctx) {
			err = errors.Join(err, recordErr)
			ids[a.User+"/"+record.UniqueID] = true
		}
	}
	if err != nil {
		r.t.Errorf("%s: %v", r.label, err)
	}
	return ids
}

// folders are those in which delivered messages lie.
func (r *killRig) folders() []string {
	if r.mda != "" {
		return []string{filepath.Join(r.dir, "mda")}
	}
	var folders []string
	for _, maildir := range append([]string{r.maildir}, r.elsewhere...) {
		folders = append(folders, filepath.Join(maildir, "new"), filepath.Join(maildir, "cur"))
	}
	return folders
}

// delivered returns what was delivered so far, and how often. Of several targets, it counts what all
// have.
func (r *killRig) delivered() map[string]int {
	switch {
	case r.composed != nil:
		return r.deliveredToAll()
	case r.imap != nil:
		return r.imap.holds(r)
	}
	count := make(map[string]int)
	if r.mail != nil {
		for _, content := range r.mail.Delivered() {
			count[content]++
		}
		return count
	}
	if r.mbox != "" {
		for _, content := range r.readMbox() {
			count[content]++
		}
		return count
	}
	for _, folder := range r.folders() {
		for _, content := range r.readFolder(folder) {
			count[content]++
		}
	}
	return count
}

// heldNumbers returns the message-numbers of what was delivered, in ascending order.
func (r *killRig) heldNumbers() (numbers []int) {
	count := r.delivered()
	for i, m := range r.server.Drop("mrose").Messages() {
		if count[delivered(m.Content)] > 0 {
			numbers = append(numbers, i+1)
		}
	}
	return numbers
}

// readFolder returns the files of a folder by their names, none if it is missing.
func (r *killRig) readFolder(folder string) map[string]string {
	entries, err := os.ReadDir(folder)
	files := make(map[string]string, len(entries))
	for _, entry := range entries {
		var content []byte
		content, err = os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			break
		}
		files[entry.Name()] = string(content)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.t.Errorf("%s: %v", r.label, err)
	}
	return files
}

// finish makes a run to its end, then checks that every message has come once and that the server
// holds what it should.
func (r *killRig) finish() {
	r.t.Helper()
	r.runs(0)
	r.checkOnce()
	var left []string
	for _, user := range r.users {
		left = append(left, r.server.Drop(user).UniqueIDs()...)
	}
	want := 0
	if !r.delete {
		for _, n := range r.want {
			want += n
		}
	}
	if len(left) != want {
		r.t.Errorf("%s: the server holds %d messages, want %d", r.label, len(left), want)
	}
}

// checkOnce checks that every message has come once.
func (r *killRig) checkOnce() {
	r.t.Helper()
	if r.composed != nil {
		r.checkComposed("", true)
		return
	}
	delivered := r.delivered()
	o := r.outcome(delivered)
	for content, n := range r.want {
		o.lost += max(0, n-delivered[content])
	}
	r.check("", o)
}

// checkKilled looks at what a killed run left: nothing that can be seen is cut, or came twice.
func (r *killRig) checkKilled() {
	r.t.Helper()
	if r.composed != nil {
		r.checkComposed("after the kill: ", false)
		return
	}
	o := r.outcome(r.delivered())
	if r.mbox != "" {
		o.cut = 0 // the next run removes it
	}
	r.check("after the kill: ", o)
}

// outcome counts faults so far. A message that was on its way to a program when it was killed may
// come twice.
func (r *killRig) outcome(delivered map[string]int) (o killOutcome) {
	for content, n := range delivered {
		switch want := r.want[content]; {
		case want > 0:
			o.twice += max(0, n-want)
		case !r.torsos[content]:
			o.cut += n
		}
	}
	o.again = min(o.twice, r.mayTwice)
	o.twice -= o.again
	r.mu.Lock()
	defer r.mu.Unlock()
	o.unsafe, r.unsafe = r.unsafe, 0
	return o
}

func (r *killRig) check(when string, o killOutcome) {
	r.t.Helper()
	r.tally.add(o)
	if o.again = 0; o != (killOutcome{}) {
		r.t.Errorf("%s: %slost %d, twice %d, cut %d, unsafe %d, want none", r.label, when, o.lost, o.twice, o.cut, o.unsafe)
	}
}
