package fetch_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
)

// full is a Maildir on a disk that is full, or broken, after some messages.
type full struct {
	*deliver.Maildir
	room  atomic.Int32
	at    string // "create", "write", "close" or "commit": where it shows
	errno syscall.Errno
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
	b, err := f.Maildir.Begin(ctx)
	return &fullBatch{b, f}, err
}

func (b *fullBatch) Create(ctx context.Context, env deliver.Envelope) (deliver.Delivery, error) {
	b.disk.room.Add(-1)
	if err := b.disk.fault("create"); err != nil {
		return nil, err
	}
	d, err := b.Batch.Create(ctx, env)
	if err != nil {
		return nil, err
	}
	return &fullDelivery{d, b.disk}, nil
}

func (f *full) fault(at string) error {
	if f.at == at && f.room.Load() < 0 {
		return fmt.Errorf("writing: %w", f.errno)
	}
	return nil
}

func (b *fullBatch) Commit(ctx context.Context) error {
	if err := b.disk.fault("commit"); err != nil {
		return errors.Join(err, b.Batch.Discard())
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

// A full disk ends the asking at once. Messages complete by then are delivered and recorded, QUIT
// is sent, and the next run brings the others (behaviour 29).
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for at, errno := range map[string]syscall.Errno{"create": syscall.EROFS, "write": syscall.ENOSPC, "close": syscall.EDQUOT, "commit": syscall.EIO} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			var messages []poptest.Message
			for i := range 200 {
				messages = append(messages, letter(fmt.Sprintf("m%03d", i)))
			}
			server := newServer(t, messages...)
			server.Configure(without("PIPELINING"))
			r := newRig(t, server.Addr())
			disk := &full{Maildir: deliver.NewMaildir(r.maildir), at: at, errno: errno}
			disk.room.Store(70)
			r.account.Target = disk
			r.account.Delete.Enabled = true
			result := r.run()
			checkFailure(t, result, fetch.PhaseDeliver)
			if !errors.Is(result.Err, errno) {
				t.Errorf("Run() = %v, want %v", result.Err, errno)
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

// quota is a Maildir on a disk that does not show what may be written to it.
type quota struct{ *deliver.Maildir }

func (quota) Room(context.Context) (int64, error) { return math.MaxInt64, nil }

// A real file system that fills up though it had seemed to have room, as with a quota.
func TestFullDisk_real(t *testing.T) {
	server := newServer(t, poptest.Numbered(40, 50_000)...)
	r := newRig(t, server.Addr())
	r.maildir = filepath.Join(smallDisk(t, "size=1m"), "mail")
	r.account.Target = quota{deliver.NewMaildir(r.maildir)}
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

// smallDisk mounts a file system in memory.
func smallDisk(t *testing.T, options string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("mounting a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// A message that does not fit is not asked for. One that fits is retrieved, and deleted on the
// server. The disk does not get full.
func TestRoom(t *testing.T) {
	messages := poptest.Numbered(10, 50_000)
	messages[3] = poptest.Numbered(4, 3_000_000)[3]
	messages[7] = poptest.Numbered(8, 5_000_000)[7]
	server := newServer(t, messages...)
	r := newRig(t, server.Addr())
	dir := smallDisk(t, "size=4m")
	r.maildir = filepath.Join(dir, "mail")
	r.account.Target = deliver.NewMaildir(r.maildir)
	r.account.Delete.Enabled = true
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 1_500_000), 0o600); err != nil {
		t.Fatal(err)
	}
	result := r.run()
	checkFailure(t, result, fetch.PhaseDeliver)
	checkOutcome(t, result, "10 listed, 10 new, 8 delivered, 8 deleted")
	if !errors.Is(result.Err, syscall.ENOSPC) || !strings.Contains(result.Err.Error(), "no room for 2 of the new messages, of 8000000 octets") {
		t.Errorf("Run() = %v, want ENOSPC and what there is no room for", result.Err)
	}
	checkCount(t, server, "RETR", 8)
	checkCount(t, server, "QUIT", 1)

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	result = r.run()
	checkFailure(t, result, fetch.PhaseDeliver)
	checkOutcome(t, result, "2 listed, 2 new, 1 delivered, 1 deleted")
	if got := len(r.mail()); got != 9 {
		t.Errorf("new/ holds %d messages, want 9", got)
	}
	server.CheckRules(t)
}

// roomy is a target that says how much room it has.
type roomy struct {
	*deliver.Maildir
	room  func() int64
	asked atomic.Int32
}

func (r *roomy) Room(context.Context) (int64, error) {
	r.asked.Add(1)
	return r.room(), nil
}

// Each message that leaves a spool frees its space, so that all messages come one after the other.
func TestRoom_spool(t *testing.T) {
	t.Parallel()
	messages := poptest.Numbered(30, 10_000)
	server := newServer(t, messages...)
	r := newRig(t, server.Addr())
	target := &roomy{Maildir: deliver.NewMaildir(r.maildir), room: func() int64 { return 40_000 }}
	r.account.Target = target
	r.runs("30 listed, 30 new, 30 delivered")
	if n := target.asked.Load(); n < 10 || n > 200 {
		t.Errorf("Room() was asked %d times, want 10 to 200", n)
	}
	server.CheckRules(t)
}

// If no message of a maildrop fits, none of them is asked for.
func TestRoom_none(t *testing.T) {
	t.Parallel()
	server := newServer(t, poptest.Numbered(500, 1000)...)
	r := newRig(t, server.Addr())
	target := &roomy{Maildir: deliver.NewMaildir(r.maildir), room: func() int64 { return 0 }}
	r.account.Target = target
	_ = r.fails(fetch.PhaseDeliver, "500 listed, 500 new")
	if n := target.asked.Load(); n > 3 {
		t.Errorf("Room() was asked %d times, want 3 at most", n)
	}
	checkCount(t, server, "RETR", 0)
}

// A Maildir that cannot be written is reported before the server is contacted.
func TestReadOnly(t *testing.T) {
	server := newServer(t, letter("a"))
	r := newRig(t, server.Addr())
	dir := smallDisk(t, "size=1m")
	r.maildir = filepath.Join(dir, "mail")
	r.account.Target = deliver.NewMaildir(r.maildir)
	r.runs("1 listed, 1 new, 1 delivered")
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	server.Drop("").Add(letter("b"))
	if err := r.fails(fetch.PhaseTarget, ""); !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), r.maildir) {
		t.Errorf("Run() = %v, want EROFS and the Maildir's name", err)
	}
	if n := len(server.Sessions()); n != 1 {
		t.Errorf("%d sessions, want 1: the server is not troubled", n)
	}
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	r.runs("2 listed, 1 new, 1 delivered")
}

// If a Maildir disappears while messages arrive, no further one is asked for, and the run says what
// is missing.
func TestMissing_meanwhile(t *testing.T) {
	t.Parallel()
	server := newServer(t, poptest.Numbered(2500, 500)...)
	server.Configure(without("PIPELINING"))
	r := newRig(t, server.Addr())
	r.account.Delete.Enabled = true
	hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
		if cmd == "RETR 70" {
			if err := os.Rename(r.maildir, r.maildir+".away"); err != nil {
				t.Error(err)
			}
		}
		return poptest.Action{}
	})
	result := r.run()
	checkFailure(t, result, fetch.PhaseDeliver)
	if !errors.Is(result.Err, deliver.ErrMissing) {
		t.Errorf("Run() = %v, want ErrMissing", result.Err)
	}
	checkCount(t, server, "DELE", 0)
	checkCount(t, server, "QUIT", 1)
	if n := server.Count("RETR"); n > 2000 { // the batch that was open, and what came while it was committed
		t.Errorf("RETR was sent %d times, want no more once the Maildir is gone", n)
	}
	hook(server, nil)
	if err := os.Rename(r.maildir+".away", r.maildir); err != nil {
		t.Fatal(err)
	}
	if result := r.run(); result.Err != nil || result.Deleted != 2500 {
		t.Errorf("the next run: %s, error %v, want 2500 deleted", outcome(result), result.Err)
	}
	names := filesIn(t, filepath.Join(r.maildir, "new")) // tmp holds what could not be removed
	if len(names) != 2500 {
		t.Errorf("new/ holds %d messages, want 2500", len(names))
	}
}

// If the state folder disappears while messages arrive, nothing can be recorded. The run ends and
// deletes nothing. Once the folder is back, the messages in the Maildir are recognised.
func TestStateVanished(t *testing.T) {
	t.Parallel()
	server := newServer(t, poptest.Numbered(20, 500)...)
	r := newRig(t, server.Addr())
	r.account.Delete.Enabled = true
	path := filepath.Join(r.state, "seen.db")
	hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
		if cmd == "RETR 20" {
			if err := os.Rename(path, path+".away"); err != nil {
				t.Error(err)
			}
		}
		return poptest.Action{}
	})
	err := r.fails(fetch.PhaseRecord, "20 listed, 20 new")
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("Run() = %v, want the name of the file that is gone", err)
	}
	checkCount(t, server, "DELE", 0)
	hook(server, nil)
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	r.runs("20 listed, 20 recognised, 20 deleted")
	if got := len(r.mail()); got != 20 {
		t.Errorf("new/ holds %d messages, want 20", got)
	}
}

// If the disk has no room for records, no message is retrieved, since each run would deliver it
// again (behaviour 32).
func TestStateFull(t *testing.T) {
	server := newServer(t, letter("a"))
	r := newRig(t, server.Addr())
	dir := smallDisk(t, "size=2m")
	r.runner.Store = openStore(t, dir)
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 4<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	result := r.run()
	if !errors.Is(result.Err, syscall.ENOSPC) && !strings.Contains(fmt.Sprint(result.Err), "full") {
		t.Errorf("Run() = %v, want a full disk", result.Err)
	}
	checkCount(t, server, "RETR", 0)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	r.runs("1 listed, 1 new, 1 delivered")
}

// If mail was delivered into a Maildir that is missing now, its disk is not mounted. The Maildir is
// not created again.
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

// C0021, behaviour 12: an impossible size in LIST does not keep any message from being retrieved.
func TestRoom_unbelievable(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"), letter("b"))
	hook(server, on("LIST", poptest.Reply([]byte("+OK\r\n1 9223372036854775807\r\n2 20000000000\r\n.\r\n"))))
	r := newRig(t, server.Addr())
	r.account.Target = &roomy{Maildir: deliver.NewMaildir(r.maildir), room: func() int64 { return 1 << 20 }}
	if result := r.run(); result.Err != nil && errors.Is(result.Err, syscall.ENOSPC) {
		t.Errorf("Run() = %v, want the messages to be asked for", result.Err)
	}
	if n := server.Count("RETR"); n < 2 {
		t.Errorf("RETR was sent %d times, want 2 at least", n)
	}
}
