package fetch_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/seen"
)

// recorder is a Maildir that counts the messages that it is told to have records.
type recorder struct {
	*deliver.Maildir
	told int
}

func (r *recorder) Recorded(tokens ...deliver.Token) { r.told += len(tokens) }

// What a look finds at the target has no record, so the target must keep its notes of it.
func TestLook_keepsNotes(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"))
	r := newRig(t, server.Addr())
	r.runs("1 listed, 1 new, 1 delivered")
	r.state = t.TempDir()
	r.runner.Store = openStore(t, r.state)
	target := &recorder{Maildir: deliver.NewMaildir(r.maildir)}
	r.account.Target = target
	for _, look := range []func() error{
		func() error { _, err := r.runner.Look(t.Context(), &r.account); return err },
		func() error { _, err := r.runner.Check(t.Context(), &r.account); return err },
		func() error { _, err := r.runner.LookFor(t.Context(), &r.account, target); return err },
	} {
		if err := look(); err != nil || target.told > 0 {
			t.Errorf("a look = %v, and told the target that %d messages have records, want none", err, target.told)
		}
	}
	r.runs("1 listed, 1 recognised")
	if target.told != 1 {
		t.Errorf("the target was told of %d records, want 1", target.told)
	}
}

// LookFor finds by its token what popfetch has delivered: in the account's own target, with all that
// its record needs, and elsewhere even without a Message-ID.
func TestLookFor_tokens(t *testing.T) {
	t.Parallel()
	unnamed := poptest.Message{UniqueID: "unnamed", Content: []byte("Subject: alarm\r\n\r\n1\r\n")}
	server := newServer(t, letter("a"), unnamed)
	r := newRig(t, server.Addr())
	r.runs("2 listed, 2 new, 2 delivered")
	want := r.records()
	r.state = t.TempDir()
	r.runner.Store = openStore(t, r.state)
	survey, err := r.runner.LookFor(t.Context(), &r.account, deliver.NewMaildir(r.maildir))
	if err != nil || len(survey.Found) != 2 || len(survey.Held) != 0 {
		t.Fatalf("LookFor() = %+v, %v, want both found", survey, err)
	}
	for _, found := range survey.Found {
		for _, record := range want {
			if record.UniqueID == found.UniqueID && (found.Kind != seen.Delivered || found.Digest != record.Digest || found.Came != record.Came ||
				len(found.Places) != 1 || found.Places[0] != record.Places[0]) {
				t.Errorf("LookFor() found %+v, want %+v", found, record)
			}
		}
	}

	elsewhere := filepath.Join(t.TempDir(), "copy")
	if err := os.Rename(r.maildir, elsewhere); err != nil {
		t.Fatal(err)
	}
	r.account.Target = deliver.NewMaildir(filepath.Join(t.TempDir(), "own"))
	server.Drop("").Add(poptest.Message{UniqueID: "other", Content: []byte("Subject: alarm\r\n\r\n2\r\n")})
	survey, err = r.runner.LookFor(t.Context(), &r.account, deliver.NewMaildir(elsewhere))
	if err != nil || len(survey.Found) != 0 || len(survey.Held) != 2 || survey.Held[1].UniqueID != "unnamed" {
		t.Errorf("LookFor() = %+v, %v, want a and unnamed", survey.Held, err)
	}
}

// LookFor finds in an mbox what another program has put there.
func TestLookFor_mbox(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"), letter("b"), letter("c"))
	r := newRig(t, server.Addr())
	file := filepath.Join(t.TempDir(), "mbox")
	var text string
	for _, m := range []poptest.Message{letter("b"), letter("a")} {
		text += "From x@example.org Mon Nov 30 12:00:00 2026\nReceived: by another; now\n" + delivered(m.Content) + ">From me\n\n"
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	survey, err := r.runner.LookFor(t.Context(), &r.account, deliver.NewMbox(file, nil))
	if err != nil || len(survey.Held) != 2 || survey.Held[0].UniqueID != "a" || survey.Held[1].UniqueID != "b" {
		t.Errorf("LookFor() = %+v, %v, want a and b", survey, err)
	}
}

// A file with the token of a message that has another header by now is not that message.
func TestLookFor_otherHeader(t *testing.T) {
	t.Parallel()
	server := newServer(t, sized("a", "first", "1"))
	r := newRig(t, server.Addr())
	r.runs("1 listed, 1 new, 1 delivered")
	r.runner.Store = openStore(t, t.TempDir())
	server.Drop("").Remove("a")
	server.Drop("").Add(sized("a", "other", "1")) // as large as the first
	own := r.maildir
	r.account.Target = deliver.NewMaildir(filepath.Join(t.TempDir(), "own"))
	survey, err := r.runner.LookFor(t.Context(), &r.account, deliver.NewMaildir(own))
	if err != nil || len(survey.Held) != 0 {
		t.Errorf("LookFor() = %+v, %v, want nothing", survey, err)
	}
}
