package deliver

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// tornRig is an mbox and the notes of a batch that was appended to it.
type tornRig struct {
	t      *testing.T
	dir    string
	before string   // the mbox before the batch
	batch  []string // how its messages stand in the mbox
	notes  []byte
}

// earlierMail is what another program has put into an mbox.
const earlierMail = "From earlier@example.org Mon Nov  2 10:00:00 2026\nSubject: earlier\n\nFrom here on\n\n"

// otherMail is what another program appends.
const (
	otherFrom = "From other@example.org  Mon Nov 30 10:00:00 2026\n"
	otherMail = otherFrom + "Subject: other\n\nother\n\n"
)

func newTornRig(t *testing.T, before string, messages ...string) *tornRig {
	t.Helper()
	return newTornRigSince(t, before, time.Now(), messages...)
}

// newTornRigSince is newTornRig with an mbox that was last written at the given time.
func newTornRigSince(t *testing.T, before string, written time.Time, messages ...string) *tornRig {
	t.Helper()
	r := &tornRig{t: t, dir: quickDir(t), before: before}
	if err := os.WriteFile(r.mbox(), []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(r.mbox(), written, written); err != nil {
		t.Fatal(err)
	}
	m := r.open()
	batch := begin(t, m)
	var closed []Delivery
	for i, message := range messages {
		d := create(t, batch, token(i))
		write(t, d, []byte(message))
		closeDelivery(t, d)
		closed = append(closed, d)
	}
	commit(t, batch, closed...)
	content := r.read()
	r.notes, _ = os.ReadFile(r.path("notes"))
	all, err := m.notes.All()
	if err != nil || len(all) != len(messages) {
		t.Fatalf("%d notes, %v, want %d", len(all), err, len(messages))
	}
	for i := range messages {
		note := all[token(i)]
		r.batch = append(r.batch, content[note.At:note.end()])
	}
	if got := before + strings.Join(r.batch, ""); got != content {
		t.Fatalf("the mbox is %q, want %q", content, got)
	}
	return r
}

// quickDir returns a folder in memory if possible, for tests that sync often.
func quickDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "popfetch-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (r *tornRig) path(name string) string { return filepath.Join(r.dir, name) }
func (r *tornRig) mbox() string            { return r.path("mbox") }
func (r *tornRig) open() *Mbox             { return NewMbox(r.mbox(), NewFileBook(r.path("notes"))) }

func (r *tornRig) read() string {
	content, err := os.ReadFile(r.mbox())
	if err != nil {
		r.t.Fatal(err)
	}
	return string(content)
}

// mended lays out the mbox as a crash has left it, prepares it, and checks what stays. The messages
// with these numbers must be found.
func (r *tornRig) mended(label, crashed, want string, whole ...int) {
	r.t.Helper()
	err := os.WriteFile(r.mbox(), []byte(crashed), 0o600)
	if err == nil {
		err = os.WriteFile(r.path("notes"), r.notes, 0o600)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	m := r.open()
	defer m.notes.Close()
	for range 2 { // the second time changes nothing
		if err := m.Prepare(r.t.Context(), false); err != nil {
			r.t.Fatalf("%s: Prepare() = %v, want no error", label, err)
		}
		if got := r.read(); got != want {
			r.t.Fatalf("%s: the mbox is %q, want %q, of %q", label, got, want, crashed)
		}
	}
	r.wantFound(label, m, whole)
	if _, err := os.Stat(r.path("notes.moved")); err == nil {
		r.t.Errorf("%s: the octets that were kept aside stay", label)
	}
}

func (r *tornRig) wantFound(label string, m *Mbox, whole []int) {
	r.t.Helper()
	var tokens []Token
	for i := range r.batch {
		tokens = append(tokens, token(i))
	}
	found, err := m.Find(r.t.Context(), slices.Values(tokens), time.Now())
	if err != nil {
		r.t.Fatalf("%s: Find() = %v, want no error", label, err)
	}
	if len(found) != len(whole) {
		r.t.Errorf("%s: Find() = %v, want messages %v", label, found, whole)
	}
	for _, i := range whole {
		if places := found[token(i)]; len(places) != 1 {
			r.t.Errorf("%s: message %d is found at %q, want one place", label, i, places)
		}
	}
}

// tornMessages are quoted, longer than one part, and hold what looks like a From_ line.
func tornMessages() []string {
	header := func(i int) string {
		return fmt.Sprintf("Return-Path: <a@example.org>\r\nMessage-ID: <%d@example.org>\r\nSubject: s\r\n\r\n", i)
	}
	return []string{
		header(1) + strings.Repeat("From a time 10:00 in 2026\r\n", 9),
		header(2) + "From bob Mon Nov 30 10:00:00 2026\r\n>From c\r\n" + strings.Repeat("text, and From here on\r\n\r\n", 30),
		header(3) + "short\r\n",
	}
}

// A torn append is cut back wherever it was torn, and messages that are whole stay and are found.
// Mail that another program has appended meanwhile stays, however close it follows.
func TestMbox_torn(t *testing.T) {
	for name, behind := range map[string]string{
		"nothing behind":     "",
		"mail behind":        "\n\n" + otherMail,
		"mail glued":         otherMail,
		"mail behind a line": "\n" + otherMail,
		"much mail behind":   "\n\n" + strings.Repeat(otherMail, 40),
		"NULs behind":        "\n\n" + otherFrom + "\n" + strings.Repeat("\x00text", 60) + "\n\n",
		"many NULs behind":   "\n\n" + otherFrom + "\n" + strings.Repeat("\x00", 2000) + "\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := newTornRig(t, earlierMail, tornMessages()...)
			all := strings.Join(r.batch, "")
			for torn := range len(all) + 1 {
				crashed := all[:torn] + behind
				var whole []int
				kept := 0 // how much of it stays
				for i, message := range r.batch {
					// The empty line at the end may be missing, or another program's.
					content := message[:len(message)-1]
					if !strings.HasPrefix(crashed[kept:], content) {
						break
					}
					whole = append(whole, i)
					if kept += len(content); !strings.HasPrefix(crashed[kept:], "\n") {
						break
					}
					kept++
				}
				if strings.HasSuffix(strings.TrimRight(all[:torn], ">"), "\n") && strings.HasSuffix(all[:torn], ">") && strings.HasPrefix(behind, "From") {
					continue // that looks like a quoted line, so the torn message stays
				}
				want := crashed
				if torn > kept {
					want = crashed[:kept] + strings.TrimLeft(behind, "\n")
				}
				r.mended(fmt.Sprintf("torn at %d", torn), r.before+crashed, r.before+want, whole...)
				if t.Failed() {
					return
				}
			}
		})
	}
}

// A power cut may leave NULs in any place of what was not synced.
func TestMbox_zeroed(t *testing.T) {
	r := newTornRig(t, earlierMail, tornMessages()...)
	all := []byte(strings.Join(r.batch, ""))
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 2000 {
		crashed := bytes.Clone(all[:rng.IntN(len(all)+1)])
		for range rng.IntN(3) {
			at := rng.IntN(len(crashed) + 1)
			clear(crashed[at:min(len(crashed), at+512+rng.IntN(1000))])
		}
		want, whole, end := r.before, []int(nil), 0
		for i, message := range r.batch {
			begin := end
			end += len(message)
			if len(crashed) >= end-1 && string(crashed[begin:end-1]) == message[:len(message)-1] {
				want += string(crashed[begin:min(end, len(crashed))])
				whole = append(whole, i)
			}
		}
		r.mended(fmt.Sprintf("case %d", n), r.before+string(crashed), want, whole...)
		if t.Failed() {
			return
		}
	}
}

// What a mail program has changed or removed since stays as it is.
func TestMbox_changedSince(t *testing.T) {
	r := newTornRig(t, earlierMail, tornMessages()...)
	read := make([]string, len(r.batch)) // a mail program has marked them as read
	for i, message := range r.batch {
		read[i] = strings.Replace(message, "Subject: s\n", "Subject: s\nStatus: RO\n", 1)
	}
	for _, c := range []struct {
		name, now string
		whole     []int
	}{
		{"all read", r.before + strings.Join(read, ""), nil},
		{"the first read", r.before + read[0] + r.batch[1] + r.batch[2], []int{1, 2}},
		{"the last read", r.before + r.batch[0] + r.batch[1] + read[2], []int{0, 1}},
		{"the first removed", r.before + r.batch[1] + r.batch[2], []int{1, 2}},
		{"the first removed, the others read", r.before + read[1] + read[2], nil},
		{"the second removed", r.before + r.batch[0] + r.batch[2], []int{0, 2}},
		{"only the last stays", r.before + r.batch[2], []int{2}},
		{"only the last stays, read", r.before + read[2], nil},
		{"the earlier mail removed", strings.Join(r.batch, ""), []int{0, 1, 2}},
		{"all removed", r.before, nil},
		{"emptied", "", nil},
		{"other mail in their place", r.before + otherMail, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.t = t
			r.mended(c.name, c.now, c.now, c.whole...)
		})
	}
}

// A move of mail over a torn message that was interrupted is finished, wherever that was, and
// whatever came since.
func TestMbox_moveInterrupted(t *testing.T) {
	r := newTornRig(t, earlierMail, tornMessages()...)
	torn := r.batch[0][:200]
	old := torn + otherMail
	want := r.before + otherMail
	for _, since := range []string{"", "From since Mon Nov 30 11:00:00 2026\n\nsince\n\n"} {
		for written := range len(otherMail) + 2 {
			now := otherMail[:min(written, len(otherMail))]
			now += old[len(now):]
			if written > len(otherMail) { // and cut
				now = otherMail
			}
			move := fmt.Sprintf(`{"begin":%d,"end":%d,"old":%q}`, len(r.before), len(r.before)+len(torn), encode(old))
			if err := os.WriteFile(r.path("notes.moved"), []byte(move), 0o600); err != nil {
				t.Fatal(err)
			}
			r.mended(fmt.Sprintf("%d octets moved, %d since", written, len(since)), r.before+now+since, want+since)
			if t.Failed() {
				return
			}
		}
	}
}

func encode(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// Once the mbox was prepared after a crash, a message that a mail program changes stays: the server
// may have lost it meanwhile.
func TestMbox_mendedOnce(t *testing.T) {
	received := strings.Repeat("Received: from a.example.org by b.example.org\r\n", 2)
	r := newTornRig(t, earlierMail, received+"Status: O\r\n\r\nshort\r\n")
	prepare := func() {
		m := r.open()
		defer m.notes.Close()
		if err := m.Prepare(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	prepare()
	changed := strings.Replace(r.read(), "Status: O", "Status: RO", 1) + otherMail
	if err := os.WriteFile(r.mbox(), []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	prepare()
	if got := r.read(); got != changed {
		t.Errorf("the mbox is %q, want %q", got, changed)
	}
}

// A message without a line end at its end, as a filter may make it, is found wherever a mail
// program has moved it.
func TestMbox_findMovedWithoutLineEnd(t *testing.T) {
	const message = "Subject: s\n\nno line end"
	r := newTornRig(t, "", message)
	m := r.open()
	defer m.notes.Close()
	for _, before := range []string{"", earlierMail} {
		if err := os.WriteFile(r.mbox(), []byte(before+r.batch[0]), 0o600); err != nil {
			t.Fatal(err)
		}
		r.wantFound("behind "+before, m, []int{0})
	}
}

// The same message that another account has got in the same second, where both deliver into one
// mbox, is not the one whose append never happened.
func TestMbox_findOfAnother(t *testing.T) {
	message := "Subject: s\n\ntext\n"
	for {
		r := newTornRig(t, earlierMail, message)
		others := r.read()
		r = newTornRig(t, others, message)
		if !strings.HasSuffix(others, r.batch[0]) {
			continue // another second has begun
		}
		r.mended("not appended", others, others)
		r.mended("appended", others+r.batch[0], others+r.batch[0], 0)
		rest := strings.TrimPrefix(others, earlierMail) + r.batch[0]
		r.mended("and the first mail removed", rest, rest, 0)
		return
	}
}

// A message is found when mail of the same length and end was removed before it.
func TestMbox_findBehindAlike(t *testing.T) {
	message := "Subject: s\n\n" + strings.Repeat("the same text\n", 60)
	r := newTornRig(t, earlierMail, message)
	alike := strings.Replace(r.batch[0], " 20", " 19", 1) // of another year
	r = newTornRigSince(t, alike, time.Now().Add(-2*time.Second), message)
	r.mended("the first mail removed", r.batch[0], r.batch[0], 0)
}

// An mbox that is shorter by now does not seem to hold NULs where it ends.
func TestSumBefore(t *testing.T) {
	nuls, err := sumBefore(strings.NewReader(strings.Repeat("\x00", 2*mostBefore)), 2*mostBefore)
	if err != nil || nuls == nil {
		t.Fatalf("sumBefore() = %x, %v, want a checksum", nuls, err)
	}
	short, err := sumBefore(strings.NewReader("short"), 2*mostBefore)
	if err != nil || short != nil {
		t.Errorf("sumBefore() behind the end = %x, %v, want none", short, err)
	}
}
