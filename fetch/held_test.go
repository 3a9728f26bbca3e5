package fetch_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
)

// putForeign puts a message into the Maildir as another program would, with header lines of its own.
func (r *rig) putForeign(place string, m poptest.Message) {
	r.t.Helper()
	path := filepath.Join(r.maildir, place)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		r.t.Fatal(err)
	}
	content := "Delivered-To: mrose\nReceived: from pop by another; now\n" + delivered(m.Content)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// A message is found in a Maildir that another program has filled if its header shows that it can be
// no other. What is in doubt is left to be fetched.
func TestLookFor(t *testing.T) {
	t.Parallel()
	unnamed := poptest.Message{UniqueID: "unnamed", Content: []byte("Subject: alarm\r\n\r\n1\r\n")}
	server := newServer(t, letter("read"), letter("new"), letter("filed"), letter("twice"), letter("absent"), unnamed,
		sized("copy 1", "copies", "1"), sized("copy 2", "copies", "2"), sized("one of two", "two", "1"), letter("fifo"), letter("linked"))
	r := newRig(t, server.Addr())
	if err := r.account.Target.Prepare(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	r.putForeign("cur/1.a.host:2,S", letter("read"))
	r.putForeign("new/2.b.host", letter("new"))
	r.putForeign(".Old.Mail/cur/3.c.host:2,", letter("filed"))
	r.putForeign("cur/4.d.host:2,", letter("twice"))
	r.putForeign(".Old.Mail/new/5.e.host", letter("twice"))
	r.putForeign("cur/6.f.host:2,", unnamed)
	r.putForeign("cur/7.g.host:2,", sized("", "copies", "1"))
	r.putForeign("cur/8.h.host:2,", sized("", "two", "1"))
	r.putForeign("cur/9.i.host:2,", sized("", "two", "2"))
	r.putForeign("tmp/10.j.host", letter("absent"))
	if err := syscall.Mkfifo(filepath.Join(r.maildir, "cur", "11.k.host:2,"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.putForeign("../elsewhere", letter("linked"))
	if err := os.Symlink(filepath.Join(r.maildir, "../elsewhere"), filepath.Join(r.maildir, "cur/12.l.host:2,")); err != nil {
		t.Fatal(err)
	}
	survey, err := r.runner.LookFor(t.Context(), &r.account, deliver.NewMaildir(r.maildir))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, h := range survey.Held {
		got = append(got, fmt.Sprintf("%s in %s", h.UniqueID, h.Place.Name))
	}
	twice := got[len(got)-1] // any of both files
	if want := "read in 1.a.host, new in 2.b.host, filed in 3.c.host, " + twice; strings.Join(got, ", ") != want || !strings.HasPrefix(twice, "twice in ") {
		t.Errorf("LookFor() found %q, want %q", got, want)
	}
	checkCount(t, server, "RETR", 0)
	r.has()
	server.CheckRules(t)
}

// The file of a message that has a record is not also that of another message.
func TestLookFor_filesOfRecords(t *testing.T) {
	t.Parallel()
	server := newServer(t, sized("direct", "both", "1"), letter("a"))
	r := newRig(t, server.Addr())
	r.runs("2 listed, 2 new, 2 delivered")
	server.Drop("").Add(sized("by list", "both", "1 and a footer"))
	survey, err := r.runner.LookFor(t.Context(), &r.account, deliver.NewMaildir(r.maildir))
	if err != nil || len(survey.Held) != 0 || survey.Plan.Retrieve.Len() != 1 {
		t.Errorf("LookFor() = %+v, %v, want nothing found, and one message to be retrieved", survey, err)
	}
}

func TestLookFor_noTop(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"))
	noTop(server)
	r := newRig(t, server.Addr())
	_, err := r.runner.LookFor(t.Context(), &r.account, deliver.NewMaildir(r.maildir))
	if !errors.Is(err, fetch.ErrNoTop) {
		t.Errorf("LookFor() = %v, want ErrNoTop", err)
	}
}

func TestLookFor_missing(t *testing.T) {
	t.Parallel()
	r := newRig(t, newServer(t, letter("a")).Addr())
	_, err := r.runner.LookFor(t.Context(), &r.account, deliver.NewMaildir(r.maildir))
	if !errors.Is(err, deliver.ErrMissing) {
		t.Errorf("LookFor() = %v, want ErrMissing", err)
	}
}
