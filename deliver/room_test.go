package deliver

import (
	"math"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Room returns the room on the file system of the messages or of the spool, less a reserve.
func TestRoom(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("mounting a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("TMPDIR", dir)
	for name, target := range map[string]Target{"Maildir": NewMaildir(dir), "MDA": &MDA{Command: "true"}} {
		const total = 4 << 20
		room, err := target.Room(t.Context())
		if name == "MDA" { // what fits into memory needs no disk
			if room != spareOctets || err != nil {
				t.Errorf("%s: Room() = %d, %v, want %d", name, room, err, spareOctets)
			}
			continue
		}
		if want := int64(total - total/16); err != nil || room > want || room < want-(64<<10) {
			t.Errorf("%s: Room() = %d, %v, want about %d", name, room, err, want)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 4<<20-100<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if room, err := NewMaildir(dir).Room(t.Context()); err != nil || room != 0 {
		t.Errorf("Room() of a full disk = %d, %v, want 0", room, err)
	}
	if room, err := NewMaildir("/proc").Room(t.Context()); err != nil || room != math.MaxInt64 {
		t.Errorf("Room() where nothing tells = %d, %v, want no limit", room, err)
	}
	if room, err := NewMaildir(filepath.Join(dir, "missing")).Room(t.Context()); err == nil {
		t.Errorf("Room() of a missing Maildir = %d, want an error", room)
	}
}
