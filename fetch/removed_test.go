package fetch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/seen"
)

// newRemoved makes an account that has fetched the letters 0 to 5, and deletes what was removed.
func newRemoved(t *testing.T) (*rig, *poptest.Server) {
	t.Helper()
	var messages []poptest.Message
	for i := range 6 {
		messages = append(messages, letter(fmt.Sprint(i)))
	}
	r, server := ruled(t, fetch.DeletePolicy{Removed: true}, messages...)
	r.runs("6 listed, 6 new, 6 delivered")
	return r, server
}

// doubts checks that nothing is deleted, and that it is told why.
func (r *rig) doubts(listed int, why string) {
	r.t.Helper()
	r.events = nil
	r.runs(fmt.Sprint(listed, " listed"))
	r.warned("messages seem to be removed from the Maildir, and are not deleted on the server: ")
	r.warned(why)
}

// quiet checks that nothing is deleted, and that nothing is told of it.
func (r *rig) quiet(listed int) {
	r.t.Helper()
	r.events = nil
	r.runs(fmt.Sprint(listed, " listed"))
	if n := r.warnings(fetch.CodeRemoved); n > 0 {
		r.t.Errorf("%d warnings: %v", n, r.told(fetch.Warning))
	}
}

// What the user has removed from the Maildir is deleted on the server, and nothing else.
func TestRemoved(t *testing.T) {
	r, server := newRemoved(t)
	r.quiet(6)
	checkCount(t, server, "TOP", 0)
	r.take("1")
	r.take("3")
	r.foretells("1 removed", "3 removed")
	r.runs("6 listed, 2 deleted")
	kept(t, server, "0", "2", "4", "5")
	r.logs("1 removed", "3 removed")
	r.quiet(4)
	checkCount(t, server, "RETR", 6)
}

// A message under the unique-id of a removed one is another message.
func TestRemoved_otherMessage(t *testing.T) {
	r, server := newRemoved(t)
	r.take("1")
	relist(server, letter("0"), letterOf("1", "another"), letter("2"), letter("3"), letter("4"), letter("5"))
	r.runs("6 listed, 1 new, 1 delivered")
	kept(t, server, "0", "1", "2", "3", "4", "5")
}

// A file counts as there in each folder, under each name, with each flag.
func TestRemoved_moved(t *testing.T) {
	for _, test := range []struct{ name, to string }{
		{"cur, trashed", "mail/cur/%s:2,ST"},
		{"a folder", "mail/.Archive/cur/%s:2,S"},
		{"a folder in a folder", "mail/.Archive.2026/new/%s"},
		{"a folder of the file system", "mail/lists/go/cur/%s:2,S"},
		{"another Maildir beside", "archive/cur/%s:2,S"},
		{"a folder of a Maildir beside", "archive/.Old/cur/%s:2,S"},
		{"renamed", "mail/cur/1700000000.M1P2.host:2,S"},
		{"renamed in a folder", "mail/.Archive/cur/1700000000.M1P2.host,S=9,W=10:2,S"},
		{"renamed beside", "archive/cur/other:2,"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, server := newRemoved(t)
			from := r.fileOf("1")
			to := test.to
			if strings.Contains(to, "%s") {
				to = fmt.Sprintf(to, filepath.Base(from))
			}
			to = filepath.Join(filepath.Dir(r.maildir), to)
			if strings.HasPrefix(test.to, "archive/.") {
				moves(t, from, filepath.Join(filepath.Dir(r.maildir), "archive", "cur", "f"))
				from = filepath.Join(filepath.Dir(r.maildir), "archive", "cur", "f")
			}
			moves(t, from, to)
			r.quiet(6)
			if err := os.Remove(to); err != nil {
				t.Fatal(err)
			}
			r.runs("6 listed, 1 deleted")
			kept(t, server, "0", "2", "3", "4", "5")
		})
	}
}

// A Maildir++ folder as target: its siblings and the Maildir above count.
func TestRemoved_siblings(t *testing.T) {
	for _, to := range []string{".Archive/cur/%s:2,S", "cur/%s:2,S", "../cur/1.M2.host:2,S"} {
		t.Run(to, func(t *testing.T) {
			r, server := ruled(t, fetch.DeletePolicy{Removed: true}, letter("0"), letter("1"), letter("2"))
			above := r.maildir
			for _, part := range []string{"new", "cur", "tmp"} {
				if err := os.MkdirAll(filepath.Join(above, part), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			r.maildir = filepath.Join(above, ".Inbox")
			r.account.Target = deliver.NewMaildir(r.maildir)
			r.runs("3 listed, 3 new, 3 delivered")
			from := r.fileOf("1")
			moved := filepath.Join(above, strings.TrimPrefix(strings.ReplaceAll(to, "%s", filepath.Base(from)), "../"))
			moves(t, from, moved)
			r.quiet(3)
			if err := os.Remove(moved); err != nil {
				t.Fatal(err)
			}
			r.runs("3 listed, 1 deleted")
			kept(t, server, "0", "2")
		})
	}
}

// If more than half of the messages are gone, or all, nothing is deleted until they are back.
func TestRemoved_tooMany(t *testing.T) {
	r, server := newRemoved(t)
	aside := t.TempDir()
	for _, id := range []string{"0", "1", "2"} {
		moves(t, r.fileOf(id), filepath.Join(aside, "x", "new", id))
	}
	moves(t, r.fileOf("3"), filepath.Join(aside, "x", "new", "3"))
	for range 3 { // the small Maildir does not become the measure
		r.doubts(6, "it holds 2 messages, and held 6 at the last run that saw them all")
	}
	r.foretells()
	moves(t, r.fileOf("4"), filepath.Join(aside, "x", "new", "4"))
	moves(t, r.fileOf("5"), filepath.Join(aside, "x", "new", "5"))
	r.doubts(6, "it is empty")
	for _, id := range []string{"0", "1", "2"} {
		moves(t, filepath.Join(aside, "x", "new", id), filepath.Join(r.maildir, "new", id))
	}
	// Half is enough. These have other names now.
	r.runs("6 listed, 3 deleted")
	kept(t, server, "0", "1", "2")
}

// What arrives in a run counts for the next one.
func TestRemoved_tooManySince(t *testing.T) {
	r, server := newRemoved(t)
	for i := 6; i < 12; i++ {
		server.Drop("").Add(letter(fmt.Sprint("l", i)))
	}
	r.runs("12 listed, 6 new, 6 delivered")
	for i := range 6 {
		r.take(fmt.Sprint(i))
	}
	r.take("l6")
	r.doubts(12, "it holds 5 messages, and held 12")
}

// Things that may hide messages: nothing is deleted.
func TestRemoved_unseen(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(maildir string) error
		undo func(maildir string) error
		why  string
	}{
		{"link that leads nowhere",
			func(m string) error { return os.Symlink("/nonexistent/disk", filepath.Join(m, ".Archive")) },
			func(m string) error { return os.Remove(filepath.Join(m, ".Archive")) }, "leads nowhere"},
		{"empty folder, as of a disk that is not mounted",
			func(m string) error { return os.Mkdir(filepath.Join(m, ".Archive"), 0o700) },
			func(m string) error { return os.Remove(filepath.Join(m, ".Archive")) }, "if a disk belongs there, mount it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, server := newRemoved(t)
			r.take("1")
			if err := test.do(r.maildir); err != nil {
				t.Fatal(err)
			}
			r.doubts(6, test.why)
			if err := test.undo(r.maildir); err != nil {
				t.Fatal(err)
			}
			r.runs("6 listed, 1 deleted")
			kept(t, server, "0", "2", "3", "4", "5")
		})
	}
	t.Run("missing", func(t *testing.T) {
		r, server := newRemoved(t)
		if err := os.Rename(r.maildir, r.maildir+".gone"); err != nil {
			t.Fatal(err)
		}
		_ = r.fails(fetch.PhaseTarget, "")
		r.foretells()
		kept(t, server, "0", "1", "2", "3", "4", "5")
	})
}

// Another Maildir, or another folder in its place, is not the one that the messages were delivered to.
func TestRemoved_otherMaildir(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(t *testing.T, r *rig)
	}{
		{"another path", func(_ *testing.T, r *rig) {
			r.maildir = filepath.Join(r.t.TempDir(), "other")
			r.account.Target = deliver.NewMaildir(r.maildir)
		}},
		{"another folder at the same path", func(t *testing.T, r *rig) {
			if err := os.Rename(r.maildir, filepath.Join(t.TempDir(), "was")); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, server := newRemoved(t)
			test.change(t, r)
			for _, part := range []string{"new", "cur", "tmp"} {
				if err := os.MkdirAll(filepath.Join(r.maildir, part), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			for i := range 9 { // it has as many messages as the other one, and more
				if err := os.WriteFile(filepath.Join(r.maildir, "cur", fmt.Sprint("x", i)), []byte("x"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r.quiet(6)
			server.Drop("").Add(letter("later"))
			r.runs("7 listed, 1 new, 1 delivered")
			r.take("later")
			r.runs("7 listed, 1 deleted")
			kept(t, server, "0", "1", "2", "3", "4", "5")
		})
	}
}

// What was delivered before the rule came into force, or not by popfetch, is not deleted by it.
func TestRemoved_before(t *testing.T) {
	r, server := ruled(t, fetch.DeletePolicy{}, letter("0"), letter("1"), letter("2"), letter("m"), letter("i"))
	r.marks("m")
	r.notes(seen.Imported, "i")
	r.runs("5 listed, 3 new, 3 delivered")
	r.account.Delete = fetch.DeletePolicy{Removed: true, Imported: true}
	r.take("1")
	r.quiet(5)
	server.Drop("").Add(letter("later"))
	r.runs("6 listed, 1 new, 1 delivered")
	r.take("later")
	r.become(seen.Dropped, "2")
	r.runs("6 listed, 1 deleted")
	kept(t, server, "0", "1", "2", "m", "i")
}

// Of a message that went to two Maildirs, both files must be gone.
func TestRemoved_twoMaildirs(t *testing.T) {
	r, server := ruled(t, fetch.DeletePolicy{Removed: true}, letter("0"), letter("1"), letter("2"))
	other := filepath.Join(t.TempDir(), "y", "other")
	r.account.Target = deliver.NewFan([]deliver.Member{
		{Name: "a", Target: deliver.NewMaildir(r.maildir)}, {Name: "b", Target: deliver.NewMaildir(other)},
		{Name: "p", Target: &deliver.MDA{Command: "cat >/dev/null"}},
	}, deliver.NewFileBook(filepath.Join(t.TempDir(), "notes")))
	r.runs("3 listed, 3 new, 3 delivered")
	first := r.take("1")
	r.quiet(3)
	same := ""
	for _, name := range filesIn(t, filepath.Join(other, "new")) {
		if strings.Contains(name, strings.Split(strings.SplitN(filepath.Base(first), ".", 2)[1], "Q")[0]) {
			same = name
		}
	}
	if err := os.Remove(filepath.Join(other, "new", same)); err != nil {
		t.Fatal(err)
	}
	r.runs("3 listed, 1 deleted")
	kept(t, server, "0", "2")
	// A message that must be proved everywhere is not, where a program has it.
	r.account.Delete = fetch.DeletePolicy{Enabled: true, Verify: true}
	r.runs("2 listed")
	r.warned("verify deletes only")
}

// A program shows nothing of what was removed.
func TestRemoved_program(t *testing.T) {
	r, server := ruled(t, fetch.DeletePolicy{Removed: true}, letter("0"))
	r.account.Target = &deliver.MDA{Command: "cat >/dev/null"}
	r.runs("1 listed, 1 new, 1 delivered")
	r.warned("only a Maildir shows what was removed from it")
	r.runs("1 listed")
	kept(t, server, "0")
}

// A file that comes back while messages are transferred is not removed.
func TestRemoved_backAgain(t *testing.T) {
	r, server := newRemoved(t)
	path := r.fileOf("1")
	aside := filepath.Join(t.TempDir(), "z", "new", "f")
	moves(t, path, aside)
	server.Drop("").Add(letter("later"))
	hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
		if strings.HasPrefix(cmd, "RETR") {
			moves(t, aside, path)
		}
		return poptest.Action{}
	})
	r.runs("7 listed, 1 new, 1 delivered")
	kept(t, server, "0", "1", "2", "3", "4", "5", "later")
}

// With verify, a removed message falls by that rule alone.
func TestRemoved_verify(t *testing.T) {
	r, server := newRemoved(t)
	r.account.Delete.Verify = true
	r.take("1")
	r.runs("6 listed, 1 deleted")
	r.account.Delete.Enabled = true
	r.take("2")
	r.runs("5 listed, 5 deleted")
	kept(t, server)
	r.logs("1 removed", "0 delivered", "2 removed", "3 delivered", "4 delivered", "5 delivered")
}

// The clock was ahead when the rule came into force: it begins anew.
func TestRemoved_clock(t *testing.T) {
	r, server := ruled(t, fetch.DeletePolicy{Removed: true}, letter("0"), letter("1"))
	r.later(1000 * day)
	r.runs("2 listed, 2 new, 2 delivered")
	r.later(-1000 * day)
	r.take("1")
	r.quiet(2)
	kept(t, server, "0", "1")
}

// What a run finds is measured against the last run, however often it looks.
func TestRemoved_tooManyMeanwhile(t *testing.T) {
	r, server := newRemoved(t)
	r.take("0")
	r.take("1")
	server.Drop("").Add(letter("later"))
	server.Drop("").Add(letter("latest"))
	taken := false
	hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
		if strings.HasPrefix(cmd, "RETR") && !taken {
			taken = true
			for _, id := range []string{"2", "3", "4", "5"} {
				r.take(id)
			}
		}
		return poptest.Action{}
	})
	r.account.Select.Session = 1
	r.runs("8 listed, 2 new, 2 delivered")
	r.warned("it holds 1 messages, and held 6 at the last run that saw them all")
	kept(t, server, "0", "1", "2", "3", "4", "5", "later", "latest")
}

// What is delivered or removed while the rule is not in force is not deleted by it later.
func TestRemoved_offAndOn(t *testing.T) {
	r, server := newRemoved(t)
	r.account.Delete.Removed = false
	server.Drop("").Add(letter("off"))
	r.foretells()
	r.runs("7 listed, 1 new, 1 delivered")
	r.take("1")
	r.take("off")
	r.account.Delete.Removed = true
	r.quiet(7)
	server.Drop("").Add(letter("on"))
	r.runs("8 listed, 1 new, 1 delivered")
	r.take("on")
	r.runs("8 listed, 1 deleted")
	kept(t, server, "0", "1", "2", "3", "4", "5", "off")
}

// A look or a run with --keep does not put the rule out of force.
func TestRemoved_kept(t *testing.T) {
	r, server := newRemoved(t)
	r.take("1")
	rules := r.account.Delete
	r.account.Delete = fetch.DeletePolicy{}
	r.foretells()
	r.account.Delete = rules
	r.account.Delete.Keep = true
	r.runs("6 listed")
	r.account.Delete.Keep = false
	r.runs("6 listed, 1 deleted")
	kept(t, server, "0", "2", "3", "4", "5")
}

// newShelves makes two Maildirs that lie nowhere near each other.
func newShelves(r *rig) (paths [2]string, members [2]deliver.Member) {
	for i, name := range []string{"a", "b"} {
		paths[i] = filepath.Join(r.t.TempDir(), "z", name)
		members[i] = deliver.Member{Name: name, Target: deliver.NewMaildir(paths[i])}
	}
	return paths, members
}

// A message still lies where the account does not deliver to any more.
func TestRemoved_formerTarget(t *testing.T) {
	r, server := ruled(t, fetch.DeletePolicy{Removed: true}, letter("0"), letter("1"))
	paths, members := newShelves(r)
	notes := filepath.Join(t.TempDir(), "notes")
	r.account.Target = deliver.NewFan(members[:], deliver.NewFileBook(notes))
	r.runs("2 listed, 2 new, 2 delivered")
	r.account.Target = deliver.NewFan(members[:1], deliver.NewFileBook(notes))
	r.maildir = paths[0]
	r.take("1")
	r.quiet(2)
	kept(t, server, "0", "1")
}

// A message that was moved from one Maildir of the account to another is not removed.
func TestRemoved_toOtherTarget(t *testing.T) {
	r, server := ruled(t, fetch.DeletePolicy{Removed: true}, letter("0"), letter("1"), letter("2"))
	paths, members := newShelves(r)
	only := func(i int) deliver.Target {
		return deliver.NewFan(members[i:i+1], deliver.NewFileBook(filepath.Join(t.TempDir(), "notes")))
	}
	r.account.Target = deliver.NewRoute(deliver.Routing{
		Rules:     []deliver.Rule{{Headers: []string{"Subject"}, Equals: "2", Target: only(1)}},
		Otherwise: only(0),
	})
	r.runs("3 listed, 3 new, 3 delivered")
	r.maildir = paths[0]
	moved := filepath.Join(paths[1], "cur", "1700000000.M1P2.host:2,S")
	moves(t, r.fileOf("1"), moved)
	r.quiet(3)
	if err := os.Remove(moved); err != nil {
		t.Fatal(err)
	}
	r.runs("3 listed, 1 deleted")
	kept(t, server, "0", "2")
}
