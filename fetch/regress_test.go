package fetch_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
)

func relist(server *poptest.Server, messages ...poptest.Message) {
	drop := server.Drop("")
	drop.Remove(drop.UniqueIDs()...)
	drop.Add(messages...)
}

func left(t *testing.T, server *poptest.Server, want int) {
	t.Helper()
	server.Wait()
	if got := len(server.Drop("").UniqueIDs()); got != want {
		t.Errorf("the maildrop holds %d messages, want %d", got, want)
	}
}

// Equal headers, the other copy gone, refused AGAIN: it was deleted undelivered.
func TestDelete_refusedTwice(t *testing.T) {
	first, second := sized("x", "one", "1"), sized("x", "one", "2")
	server := newServer(t, first, second)
	r := newRig(t, server.Addr())
	r.account.Delete.Enabled = true
	hook(server, on("RETR 2", poptest.Refuse("damaged")))
	r.run()
	hook(server, on("RETR", poptest.Refuse("damaged")))
	r.run()
	left(t, server, 1)
}

// No TOP, id reused with equal octets; target refuses the new message.
func TestDelete_noTopReusedRefused(t *testing.T) {
	one, two := sized("x", "one", "1"), sized("x", "two", "2")
	server := newServer(t, one)
	server.Configure(without("TOP"))
	hook(server, on("TOP", poptest.Refuse("no such command")))
	r := newRig(t, server.Addr())
	r.run()
	relist(server, two)
	r.account.Delete.Enabled = true
	hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
		if cmd == "RETR 1" || strings.HasPrefix(cmd, "TOP") {
			return poptest.Refuse("damaged")
		}
		return poptest.Action{}
	})
	r.run()
	left(t, server, 1)
}

// The same by an MDA, which saw the octets.
func TestDelete_noTopReusedMDA(t *testing.T) {
	one, two := sized("x", "one", "1"), sized("x", "two", "2")
	server := newServer(t, one)
	server.Configure(without("TOP"))
	hook(server, on("TOP", poptest.Refuse("no such command")))
	r := newRig(t, server.Addr())
	r.account.Target = &deliver.MDA{Command: "cat >/dev/null"}
	r.run()
	relist(server, two)
	r.account.Delete.Enabled = true
	r.account.Target = &deliver.MDA{Command: "cat >/dev/null; exit 1"}
	r.run()
	left(t, server, 1)
}

// --all --delete with TOP on the server: id reused with equal octets, RETR refused.
func TestDelete_allRefused(t *testing.T) {
	one, two := sized("x", "one", "1"), sized("x", "two", "2")
	server := newServer(t, one)
	r := newRig(t, server.Addr())
	r.run()
	relist(server, two)
	r.account.Delete.Enabled = true
	r.account.All = true
	hook(server, on("RETR", poptest.Refuse("damaged")))
	r.run()
	left(t, server, 1)
}

// First refused, second delivered and gone (lost QUIT reply), alike headers.
func TestCopies_firstRefusedLostQuit(t *testing.T) {
	first, second := sized("x", "one", "1"), sized("x", "one", "2")
	server := newServer(t, first, second)
	r := newRig(t, server.Addr())
	r.account.Delete.Enabled = true
	hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
		switch cmd {
		case "RETR 1":
			return poptest.Refuse("damaged")
		case "QUIT":
			return poptest.Action{End: poptest.EndByCut, Effect: poptest.EffectFull}
		}
		return poptest.Action{}
	})
	r.run()
	server.Wait()
	hook(server, nil)
	r.run()
	r.run()
	r.holds(first, second)
	left(t, server, 0)
}

// Shift of copies and a new one: delivered twice.
func TestCopies_shifted(t *testing.T) {
	one, two, three := sized("x", "one", "1"), sized("x", "two", strings.Repeat("two ", 50)), sized("x", "three", "3")
	server := newServer(t, one, two)
	r := newRig(t, server.Addr())
	r.run()
	relist(server, two)
	r.run()
	relist(server, two, three)
	r.run()
	r.run()
	r.run()
	r.holds(one, two, three)
}

// Equal sizes, then deletion later.
func TestCopies_shiftedDelete(t *testing.T) {
	one, two, three := sized("x", "one", "1"), sized("x", "two", "2"), sized("x", "three", "3")
	server := newServer(t, one, two)
	r := newRig(t, server.Addr())
	r.run()
	relist(server, two)
	r.run()
	relist(server, two, three)
	r.run()
	r.account.Delete.Enabled = true
	r.run()
	r.run()
	r.holds(one, two, three)
}

// A new copy is listed before the old one.
func TestCopies_insertedBefore(t *testing.T) {
	one, two := sized("x", "one", "1"), sized("x", "two", "2")
	server := newServer(t, one)
	r := newRig(t, server.Addr())
	r.run()
	relist(server, two, one)
	r.run()
	r.run()
	r.run()
	r.holds(one, two)
}

// One copy vanishes and one comes between two runs.
func TestCopies_swapped(t *testing.T) {
	one, two, three := sized("x", "one", "1"), sized("x", "two", "2"), sized("x", "three", "3")
	server := newServer(t, one, two)
	r := newRig(t, server.Addr())
	r.run()
	relist(server, two, three)
	r.run()
	r.run()
	r.holds(one, two, three)
}

// Without TOP and with delete = 30d, nothing was ever deleted.
func TestDelete_noTop30d(t *testing.T) {
	server := newServer(t, letter("a"))
	server.Configure(without("TOP"))
	hook(server, on("TOP", poptest.Refuse("no such command")))
	r := newRig(t, server.Addr())
	r.account.Delete = fetch.DeletePolicy{Enabled: true, After: 30 * day}
	r.run()
	for range 4 {
		r.later(31 * day)
		r.run()
	}
	checkCount(t, server, "RETR", 2)
	left(t, server, 0)
}

// If the store cannot record, an MDA got all messages again in each run.
func TestMDA_unrecorded(t *testing.T) {
	server := newServer(t, poptest.Numbered(40, 300)...)
	r := newRig(t, server.Addr())
	out := filepath.Join(t.TempDir(), "out")
	r.account.Target = &deliver.MDA{Command: "echo x >>" + out + "; cat >/dev/null"}
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(r.state, "seen.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TRIGGER broken BEFORE INSERT ON detail BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END"); err != nil {
		t.Fatal(err)
	}
	if result := r.run(); result.Err == nil {
		t.Error("Run() = nil, want the error of the store")
	}
	got, _ := os.ReadFile(out)
	if n := len(got) / 2; n > 1 {
		t.Errorf("the MDA was given %d messages after the store had failed, want 1", n)
	}
}

// With max_size and without octets in LIST, the message was reported again in each run.
func TestSkip_toldOnce(t *testing.T) {
	server := newServer(t, sized("a", "a", strings.Repeat("x", 900)))
	hook(server, on("LIST", poptest.Refuse("no")))
	r := newRig(t, server.Addr())
	r.account.MaxSize = 500
	for range 3 {
		r.run()
	}
	if n := len(r.told(fetch.Skipped)); n != 1 {
		t.Errorf("the message was told of %d times, want 1", n)
	}
}

// The deadline passed before DELE, and the run reported no error though the deletion was not done.
func TestDelete_deadline(t *testing.T) {
	server := newServer(t, letter("a"))
	hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
		if cmd == "RETR 1" {
			return poptest.Action{Delay: 1700 * time.Millisecond}
		}
		return poptest.Action{}
	})
	r := newRig(t, server.Addr())
	r.account.Delete.Enabled = true
	r.account.Deadline = 2 * time.Second
	result := r.run()
	if result.Deleted == 0 && result.Err == nil {
		t.Error("nothing deleted and no error")
	}
}

// The account gets another user on the same server.
func TestUser_changed(t *testing.T) {
	mine, theirs := letterOf("1", "mine"), letterOf("1", "theirs")
	server := poptest.NewServer(t, poptest.Maildrop{User: user, Password: secret, Messages: []poptest.Message{mine}},
		poptest.Maildrop{User: "other", Password: secret, Messages: []poptest.Message{theirs}})
	r := newRig(t, server.Addr())
	r.run()
	r.account.User = "other"
	c := credentials()
	c.User = "other"
	r.account.Login = c.Login
	r.run()
	r.holds(mine, theirs)
}

// Slow MDA and deadline: status
func TestMDA_deadline(t *testing.T) {
	server := newServer(t, letter("a"))
	r := newRig(t, server.Addr())
	r.account.Target = &deliver.MDA{Command: "sleep 5"}
	r.account.Deadline = 2 * time.Second
	result := r.run()
	var e *fetch.Error
	if !errors.As(result.Err, &e) || e.Phase == fetch.PhaseDeliver {
		t.Error("PhaseDeliver with the deadline as cause -> exit 74")
	}
}

// A stop ends a run within ten seconds, even if the MDA ignores SIGTERM (behaviour 33).
func TestStop_stubbornMDA(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"))
	r := newRig(t, server.Addr())
	r.account.Target = &deliver.MDA{Command: "trap '' TERM; sleep 60; sleep 60"}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Second, cancel)
	began := time.Now()
	if result := r.runner.Run(ctx, []fetch.Account{r.account})[0]; result.Err == nil {
		t.Error("the stopped run ended without an error")
	}
	if d := time.Since(began) - time.Second; d > 10*time.Second {
		t.Errorf("ended %v after the stop, want 10 s", d)
	}
}

// No LIST; a message whose first line is a dot forges the next.
func TestTorso_forgedNext(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"), letter("b"), letter("c"))
	hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
		switch cmd {
		case "LIST":
			return poptest.Refuse("no")
		case "RETR 2": // an unstuffed first dot; the rest was written by its sender
			return poptest.Reply([]byte("+OK\r\n.\r\n+OK\r\nSubject: forged\r\n\r\nforged\r\n.\r\n"))
		}
		return poptest.Action{}
	})
	r := newRig(t, server.Addr())
	r.run()
	hook(server, on("LIST", poptest.Refuse("no")))
	r.run()
	for _, m := range r.mail() {
		if m == delivered(letter("c").Content) {
			return
		}
	}
	t.Error("c was never delivered")
}

type zeroTarget struct{ *deliver.Maildir }

func (z zeroTarget) Limit() deliver.Limit { return deliver.Limit{} }

// A target whose Limit is the zero value.
func TestTarget_zeroLimit(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"))
	r := newRig(t, server.Addr())
	r.account.Target = zeroTarget{deliver.NewMaildir(r.maildir)}
	result := r.run()
	if result.Delivered == 0 && result.Err == nil && result.Failed == 0 {
		t.Error("nothing delivered, nothing said")
	}
}

// After --all with one refused, each run asked TOP and read the whole table.
func TestAll_refused(t *testing.T) {
	t.Parallel()
	server := newServer(t, poptest.Numbered(50, 300)...)
	r := newRig(t, server.Addr())
	r.run()
	r.account.All = true
	hook(server, on("RETR 3", poptest.Refuse("damaged")))
	r.run()
	hook(server, nil)
	r.account.All = false
	for range 3 {
		r.run()
	}
	checkCount(t, server, "TOP", 1)
}

// A 2 MiB message without header fields: its header digest depended on how the octets arrived, and
// a lost QUIT doubled it.
func TestDigest_hugeHeader(t *testing.T) {
	m := poptest.Message{UniqueID: "a", Content: append(bytes.Repeat([]byte("y"), 2<<20), "\r\n"...)}
	server := newServer(t, m)
	r := newRig(t, server.Addr())
	hook(server, on("QUIT", poptest.Action{End: poptest.EndByCut, Effect: poptest.EffectNone}))
	r.account.Delete.Enabled = true
	for range 4 {
		r.run()
		server.Wait()
	}
	if n := len(r.mail()); n != 1 {
		t.Errorf("%d files, want 1", n)
	}
}
