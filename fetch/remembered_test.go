package fetch_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
)

// A message that the server no longer lists is forgotten after 90 days, and not before. The test
// spells the value out, so that a change of the constant cannot go unnoticed.
func TestGrace(t *testing.T) {
	t.Parallel()
	const grace = 90 * 24 * time.Hour
	server := newServer(t, letter("a"), letter("b"))
	r := newRig(t, server.Addr())
	r.runs("2 listed, 2 new, 2 delivered")
	server.Drop("").Remove("a")
	// Each run gets a new message, because a run with an unchanged listing compares nothing.
	for _, step := range []struct {
		later time.Duration
		added string
		has   []string
	}{
		{0, "c", []string{"a", "b", "c"}},
		{grace - time.Hour, "d", []string{"a", "b", "c", "d"}},
		{2 * time.Hour, "e", []string{"b", "c", "d", "e"}},
	} {
		r.later(step.later)
		server.Drop("").Add(letter(step.added))
		if result := r.run(); result.Err != nil || result.Delivered != 1 {
			t.Errorf("Run() = %s, %v, want 1 delivered", outcome(result), result.Err)
		}
		r.has(step.has...)
	}
}

// Mail that was filed in a Maildir++ folder does not come again when seen.db is lost.
func TestFiledMail_stateLost(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"), letter("b"))
	r := newRig(t, server.Addr())
	r.runs("2 listed, 2 new, 2 delivered")
	r.file(".Archive")
	r.runner.Store = openStore(t, t.TempDir())
	server.Drop("").Add(letter("c"))
	r.runs("3 listed, 1 new, 1 delivered, 2 recognised")
	r.holds(letter("c"))
	checkCount(t, server, "RETR", 3)
}

// A look finds the messages that the target holds, and records nothing of them.
func TestLook_found(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"), letter("b"))
	r := newRig(t, server.Addr())
	r.runs("2 listed, 2 new, 2 delivered")
	r.runner.Store = openStore(t, t.TempDir())
	if _, err := r.runner.Store.Enter(t.Context(), r.account.Name, r.account.Server, r.account.User); err != nil {
		t.Fatal(err)
	}
	survey, err := r.runner.Look(t.Context(), &r.account)
	if err != nil || survey.Plan.Recognise.Len() != 2 || survey.Plan.Retrieve.Len() != 0 {
		t.Errorf("Look() = %+v, %v, want 2 to be recognised", survey, err)
	}
	r.has()
}

// file moves the messages in new to a Maildir++ folder, as a mail program does after reading them.
func (r *rig) file(folder string) {
	r.t.Helper()
	to := filepath.Join(r.maildir, folder, "cur")
	if err := os.MkdirAll(to, 0o700); err != nil {
		r.t.Fatal(err)
	}
	from := filepath.Join(r.maildir, "new")
	for _, name := range filesIn(r.t, from) {
		if err := os.Rename(filepath.Join(from, name), filepath.Join(to, name+":2,S")); err != nil {
			r.t.Fatal(err)
		}
	}
}

// syncedMaildir is a Maildir that notes which of its messages were synced.
type syncedMaildir struct {
	*deliver.Maildir
	synced []string
}

func (m *syncedMaildir) Sync(ctx context.Context, places []string) error {
	m.synced = append(m.synced, places...)
	return m.Maildir.Sync(ctx, places)
}

// A file that only its octets show to be a listed message, for want of TOP, is synced before it is
// recorded: a run that was killed may have renamed it just before the power fails.
func TestRecognise_byOctets(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"), letter("b"))
	server.Configure(without("TOP"))
	r := newRig(t, server.Addr())
	r.runs("2 listed, 2 new, 2 delivered")
	r.runner.Store = openStore(t, t.TempDir())
	target := &syncedMaildir{Maildir: deliver.NewMaildir(r.maildir)}
	r.account.Target = target
	r.runs("2 listed, 2 new, 2 recognised")
	if len(target.synced) != 2 {
		t.Errorf("synced %q, want both messages", target.synced)
	}
}

// A file that somebody took away after it was found is no reason to end the run: the message that was
// retrieved to be compared is delivered.
func TestRecognise_takenAway(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"))
	server.Configure(without("TOP"))
	r := newRig(t, server.Addr())
	r.runs("1 listed, 1 new, 1 delivered")
	r.runner.Store = openStore(t, t.TempDir())
	r.account.Target = &takenMaildir{deliver.NewMaildir(r.maildir)}
	r.runs("1 listed, 1 new, 1 delivered")
}

// takenMaildir is a Maildir whose messages are gone when they are to be synced.
type takenMaildir struct{ *deliver.Maildir }

func (takenMaildir) Sync(context.Context, []string) error {
	return fmt.Errorf("message 1: %w", fs.ErrNotExist)
}

// Where nobody knows what became of a message, the run fails, and the message is not recorded.
func TestUnknown(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"))
	r := newRig(t, server.Addr())
	r.account.Target = unknowing{deliver.NewMaildir(r.maildir)}
	err := r.fails(fetch.PhaseDeliver, "1 listed, 1 new")
	if !errors.Is(err, errBroken) {
		t.Errorf("Run() = %v, want what the target says of the message", err)
	}
	r.has()
}

// unknowing is a target that commits its batches, and does not know what became of the messages.
type unknowing struct{ *deliver.Maildir }

func (u unknowing) Begin(ctx context.Context) (deliver.Batch, error) {
	b, err := u.Maildir.Begin(ctx)
	return unknownBatch{b}, err
}

type unknownBatch struct{ deliver.Batch }

func (b unknownBatch) Create(ctx context.Context, env deliver.Envelope) (deliver.Delivery, error) {
	d, err := b.Batch.Create(ctx, env)
	return unknownDelivery{d}, err
}

type unknownDelivery struct{ deliver.Delivery }

func (unknownDelivery) Verdict() deliver.Verdict { return deliver.Verdict{Err: errBroken} }
