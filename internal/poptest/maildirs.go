package poptest

import (
	"bytes"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// maildirs are the Maildirs of Dovecot's users.
type maildirs struct {
	dir      string
	uid, gid int // owner of the files; -1: do not change it
	counter  atomic.Int64
}

// makeMaildirs makes an empty Maildir for each user. If chown is true, they belong to owner.
func makeMaildirs(dir string, users map[string]string, owner *user.User, chown bool) (*maildirs, error) {
	m := &maildirs{dir: dir, uid: -1, gid: -1}
	if chown {
		var err error
		if m.uid, err = strconv.Atoi(owner.Uid); err != nil {
			return nil, fmt.Errorf("reading a user's number: %w", err)
		}
		if m.gid, err = strconv.Atoi(owner.Gid); err != nil {
			return nil, fmt.Errorf("reading a group's number: %w", err)
		}
	}
	for name := range users {
		for _, sub := range []string{"tmp", "new", "cur"} {
			if err := os.MkdirAll(filepath.Join(dir, name, "Maildir", sub), 0o700); err != nil {
				return nil, fmt.Errorf("making a Maildir: %w", err)
			}
		}
	}
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, m.uid, m.gid)
	})
	if err != nil {
		return nil, fmt.Errorf("changing the owner of a Maildir: %w", err)
	}
	return m, nil
}

// deliver puts a message into new/. Like Dovecot's own delivery, it turns CRLF into LF and writes
// both sizes into the file name. So Dovecot can answer LIST without reading the messages.
func (m *maildirs) deliver(user string, message []byte) error {
	stored := bytes.ReplaceAll(message, []byte("\r\n"), []byte("\n"))
	virtual := len(toCRLF(stored))
	n := m.counter.Add(1)
	name := fmt.Sprintf("%d.M%dP1.poptest,S=%d,W=%d", 1700000000+n, n, len(stored), virtual)
	tmp := filepath.Join(m.dir, user, "Maildir", "tmp", name)
	if err := os.WriteFile(tmp, stored, 0o600); err != nil {
		return fmt.Errorf("writing a message: %w", err)
	}
	if err := os.Chown(tmp, m.uid, m.gid); err != nil {
		return fmt.Errorf("changing the owner of a message: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(m.dir, user, "Maildir", "new", name)); err != nil {
		return fmt.Errorf("delivering a message: %w", err)
	}
	return nil
}

// messages returns the messages of a Maildir in the order of delivery.
func (m *maildirs) messages(user string) ([][]byte, error) {
	var paths []string
	for _, sub := range []string{"new", "cur"} {
		found, err := filepath.Glob(filepath.Join(m.dir, user, "Maildir", sub, "*"))
		if err != nil {
			return nil, fmt.Errorf("listing a Maildir: %w", err)
		}
		paths = append(paths, found...)
	}
	slices.SortFunc(paths, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) })
	var all [][]byte
	for _, path := range paths {
		stored, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading a Maildir: %w", err)
		}
		all = append(all, toCRLF(stored))
	}
	return all, nil
}

// toCRLF returns octets as Dovecot sends them: each LF without a CR gets one.
func toCRLF(stored []byte) []byte {
	lf := bytes.ReplaceAll(stored, []byte("\r\n"), []byte("\n"))
	return bytes.ReplaceAll(lf, []byte("\n"), []byte("\r\n"))
}

// Deliver puts a message (with CRLF) into the user's maildrop. It is stored with LF, so a bare LF
// becomes CRLF. [Sample] says what else Dovecot may change.
func (d *Dovecot) Deliver(user string, message []byte) {
	d.t.Helper()
	if err := d.maildirs.deliver(user, message); err != nil {
		d.t.Fatalf("Dovecot: %v", err)
	}
}

// Fill puts n messages into the maildrop of d.User. It calls message with i from 0 to n-1 to make
// each of them.
func (d *Dovecot) Fill(n int, message func(i int) []byte) {
	d.t.Helper()
	for i := range n {
		d.Deliver(d.User, message(i))
	}
}

// Messages returns the messages in the user's maildrop, with CRLF, in the order of delivery.
func (d *Dovecot) Messages(user string) [][]byte {
	d.t.Helper()
	all, err := d.maildirs.messages(user)
	if err != nil {
		d.t.Fatalf("Dovecot: %v", err)
	}
	return all
}
