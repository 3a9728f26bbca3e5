package fetch_test

import (
	"encoding/base64"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
)

// crowd is a host that lets in a few sessions at once, at a command ("": the greeting), and refuses
// others in its own way.
type crowd struct {
	allowed int
	at      string
	refuses poptest.Action

	mu      sync.Mutex
	in      map[int]bool // by number of the session
	refused int
}

func (c *crowd) hook(s *poptest.Session, cmd string) poptest.Action {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case cmd == "QUIT":
		delete(c.in, s.Number())
	case c.in[s.Number()], cmd != c.at && (c.at == "" || !strings.HasPrefix(cmd, c.at)):
	case len(c.in) >= c.allowed:
		c.refused++
		return c.refuses
	default:
		c.in[s.Number()] = true
		return poptest.Action{Delay: 20 * time.Millisecond} // so that sessions overlap
	}
	return poptest.Action{}
}

// An account that a host refuses while other sessions are open there is tried again when one has
// ended. A later run opens no more sessions than the host allowed, for a day.
func TestHost_crowded(t *testing.T) {
	const accounts, allowed = 5, 2
	for name, c := range map[string]*crowd{
		"greeting":        {at: "", refuses: poptest.Refuse("too many connections")},
		"greeting, cut":   {at: "", refuses: poptest.Cut(0)},
		"log-in":          {at: "AUTH PLAIN", refuses: poptest.Refuse("too many sessions")},
		"log-in, IN-USE":  {at: "AUTH PLAIN", refuses: poptest.Refuse("[IN-USE] too many sessions")},
		"log-in, unknown": {at: "AUTH PLAIN", refuses: poptest.Refuse("[LIMIT] too many sessions")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.allowed, c.in = allowed, make(map[int]bool)
			var drops []poptest.Maildrop
			for i := range accounts {
				drops = append(drops, poptest.Maildrop{User: fmt.Sprint("user", i), Password: secret, Messages: []poptest.Message{letter("a")}})
			}
			server := poptest.NewServer(t, drops...)
			hook(server, c.hook)
			r := newRig(t, server.Addr())
			r.runner.Jobs = accounts
			var all []fetch.Account
			for i := range accounts {
				a := r.newAccount(fmt.Sprint("account", i), server.Addr(), deliver.NewMaildir(filepath.Join(r.maildir, fmt.Sprint(i))))
				a.User = drops[i].User
				own := credentials()
				own.User = a.User
				a.Login = own.Login
				all = append(all, a)
			}
			for i, result := range r.runner.Run(t.Context(), all) {
				if result.Err != nil || result.Delivered != 1 {
					t.Errorf("account %d: %v, %d delivered, want 1", i, result.Err, result.Delivered)
				}
			}
			if c.refused == 0 {
				t.Fatal("the host refused nothing, so nothing is tested")
			}
			// While one session ends as another begins, the host may seem to allow one more. The next
			// refusal corrects that, so of several runs one at least has none.
			spared := false
			for range 5 {
				c.refused = 0
				another := &fetch.Runner{Store: r.runner.Store, Observe: r.observe, Now: r.now, Jobs: accounts}
				slices.Reverse(all)
				for i, result := range another.Run(t.Context(), all) {
					if result.Err != nil {
						t.Errorf("account %d, a later run: %v", i, result.Err)
					}
				}
				spared = spared || c.refused == 0
			}
			if !spared {
				t.Error("the host refuses sessions in each later run")
			}
			for _, e := range r.told(fetch.Finished) {
				if e.Err != nil {
					t.Errorf("told: %v", e.Err)
				}
			}
		})
	}
}

// A wrong password is sent at most twice, whoever else is at the host, and once if the server says
// that it is wrong. It counts once.
func TestHost_wrongPassword(t *testing.T) {
	for reply, attempts := range map[string]int{"no": 2, "[AUTH] no": 1} {
		t.Run(reply, func(t *testing.T) {
			t.Parallel()
			server := poptest.NewServer(t, poptest.Maildrop{User: user, Password: secret},
				poptest.Maildrop{User: "bob", Password: secret}, poptest.Maildrop{User: "carol", Password: secret})
			server.Configure(without("AUTH-RESP-CODE"))
			in := make(chan bool) // bob and carol are
			leaves := map[string]chan bool{"bob": make(chan bool), "carol": make(chan bool)}
			var once sync.Once
			var sent atomic.Int32
			alice := "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00"))[:8]
			hook(server, func(s *poptest.Session, cmd string) poptest.Action {
				switch {
				case cmd == "STAT":
					in <- true
					<-leaves[s.User()]
				case strings.HasPrefix(cmd, alice):
					sent.Add(1)
					return poptest.Refuse(reply)
				case s.User() == "" && cmd == "QUIT": // refused, and now alice waits for one to leave
					once.Do(func() { close(leaves["bob"]) })
				}
				return poptest.Action{}
			})
			r := newRig(t, server.Addr())
			done := make(chan fetch.Result)
			for name := range leaves {
				a := r.newAccount(name, server.Addr(), deliver.NewMaildir(filepath.Join(r.maildir, name)))
				own := credentials()
				a.User, own.User = name, name
				a.Login = own.Login
				go func() { done <- r.runner.Run(t.Context(), []fetch.Account{a})[0] }()
				<-in
			}
			checkFault(t, r.run().Err, login.Refused)
			close(leaves["carol"])
			for range leaves {
				if result := <-done; result.Err != nil {
					t.Errorf("%s: %v", result.Account, result.Err)
				}
			}
			if st := r.standing(); st.Refusals != 1 || int(sent.Load()) != attempts {
				t.Errorf("the password was sent %d times, and %d refusals count, want %d and 1", sent.Load(), st.Refusals, attempts)
			}
		})
	}
}
