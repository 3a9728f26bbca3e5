package fetch_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
)

// full is a Maildir on a disk that is full after some messages.
type full struct {
	deliver.Target
	room atomic.Int32
	at   string // "write", "close" or "commit": where it shows
}

type fullBatch struct {
	deliver.Batch
	disk *full
}

type fullDelivery struct {
	deliver.Delivery
	disk *full
}

func (f *full) Begin(ctx context.Context) (deliver.Batch, error) {
	b, err := f.Target.Begin(ctx)
	return &fullBatch{b, f}, err
}

func (b *fullBatch) Create(ctx context.Context, env deliver.Envelope) (deliver.Delivery, error) {
	d, err := b.Batch.Create(ctx, env)
	if err != nil {
		return nil, err
	}
	b.disk.room.Add(-1)
	return &fullDelivery{d, b.disk}, nil
}

func (f *full) fault(at string) error {
	if f.at == at && f.room.Load() < 0 {
		return fmt.Errorf("writing: %w", syscall.ENOSPC)
	}
	return nil
}

func (b *fullBatch) Commit(ctx context.Context) (safe int, err error) {
	if err := b.disk.fault("commit"); err != nil {
		return 0, errors.Join(err, b.Batch.Discard())
	}
	return b.Batch.Commit(ctx)
}

func (d *fullDelivery) Write(p []byte) (int, error) {
	if err := d.disk.fault("write"); err != nil {
		return 0, err
	}
	return d.Delivery.Write(p)
}

func (d *fullDelivery) Close() error {
	if err := d.disk.fault("close"); err != nil {
		return errors.Join(err, d.Delivery.Abort())
	}
	return d.Delivery.Close()
}

// A full disk ends the asking at once; what is whole by then is delivered and recorded, QUIT is said, and the next run brings
// the rest (behaviour 29).
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"write", "close", "commit"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			var messages []poptest.Message
			for i := range 200 {
				messages = append(messages, letter(fmt.Sprintf("m%03d", i)))
			}
			server := newServer(t, messages...)
			server.Configure(without("PIPELINING"))
			r := newRig(t, server.Addr())
			disk := &full{Target: r.account.Target, at: at}
			disk.room.Store(70)
			r.account.Target = disk
			r.account.Delete.Enabled = true
			result := r.run()
			checkFailure(t, result, fetch.PhaseDeliver)
			if !errors.Is(result.Err, syscall.ENOSPC) {
				t.Errorf("Run() = %v, want ENOSPC", result.Err)
			}
			files, records := len(r.mail()), len(r.recorded())
			if files != records || files != result.Delivered || (at != "commit" && files != 70) {
				t.Errorf("%d in new/, %d recorded, %d told, want them equal", files, records, result.Delivered)
			}
			server.Wait()
			if n := server.Count("RETR"); at != "commit" && n > 72 {
				t.Errorf("RETR was sent %d times, want no more once the disk is full", n)
			}
			checkCount(t, server, "DELE", 0)
			checkCount(t, server, "QUIT", 1)

			disk.room.Store(1000)
			result = r.run()
			if result.Err != nil || result.Delivered != 200-files || result.Deleted != 200 {
				t.Errorf("the next run: %s, error %v, want %d delivered and 200 deleted", outcome(result), result.Err, 200-files)
			}
			r.holds(messages...)
			server.CheckRules(t)
		})
	}
}

// A real file system of 1 MiB that fills up, where the test may mount one.
func TestFullDisk_real(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("mounting a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	server := newServer(t, poptest.Numbered(40, 50_000)...)
	r := newRig(t, server.Addr())
	r.maildir = filepath.Join(dir, "mail")
	r.account.Target = deliver.NewMaildir(r.maildir)
	r.account.Delete.Enabled = true
	result := r.run()
	checkFailure(t, result, fetch.PhaseDeliver)
	if !errors.Is(result.Err, syscall.ENOSPC) {
		t.Errorf("Run() = %v, want ENOSPC", result.Err)
	}
	if files := len(r.mail()); files == 0 || files != result.Delivered || files != len(r.recorded()) {
		t.Errorf("%d in new/, %d recorded, %d told, want them equal and not zero", files, len(r.recorded()), result.Delivered)
	}
	checkCount(t, server, "QUIT", 1)
	checkCount(t, server, "DELE", 0)
}

// A Maildir that is gone though mail was delivered into it is a disk that is not mounted, and is not made anew.
func TestMissing(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"))
	r := newRig(t, server.Addr())
	r.runs("1 listed, 1 new, 1 delivered")
	if err := os.Rename(r.maildir, r.maildir+".away"); err != nil {
		t.Fatal(err)
	}
	server.Drop("").Add(letter("b"))
	if err := r.fails(fetch.PhaseTarget, ""); !errors.Is(err, deliver.ErrMissing) {
		t.Errorf("Run() = %v, want ErrMissing", err)
	}
	if n := len(server.Sessions()); n != 1 {
		t.Errorf("%d sessions, want 1: the server is not troubled", n)
	}
	if err := os.Rename(r.maildir+".away", r.maildir); err != nil {
		t.Fatal(err)
	}
	r.runs("2 listed, 1 new, 1 delivered")
}
