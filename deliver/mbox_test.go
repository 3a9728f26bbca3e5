package deliver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/systrace"
)

func openMbox(t *testing.T, dir string) fixture {
	t.Helper()
	spools := filepath.Join(dir, "spools")
	if err := os.Mkdir(spools, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", spools)
	path := filepath.Join(dir, "mail", "mbox")
	return fixture{
		Target:    NewMbox(path, NewFileBook(filepath.Join(t.TempDir(), "notes"))), // its file stays open
		delivered: func(t *testing.T) []string { return readMbox(t, path) },
		leftovers: func(t *testing.T) []string {
			return slices.DeleteFunc(files(t, dir), func(f string) bool {
				return f == path
			})
		},
		spares:   true,
		endsLine: true,
	}
}

func TestMbox(t *testing.T) { testTarget(t, openMbox) }

// readMbox returns the messages of an mbox as they were delivered. It is another way to read one
// than that of the program.
func readMbox(t *testing.T, path string) []string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	messages := splitMbox(t, string(content))
	slices.Sort(messages)
	return messages
}

func splitMbox(t *testing.T, text string) (messages []string) {
	t.Helper()
	var message *strings.Builder
	add := func() {
		if message != nil {
			whole, ok := strings.CutSuffix(message.String(), "\n")
			if !ok {
				t.Errorf("a message ends without an empty line: %q", whole)
			}
			messages = append(messages, whole)
		}
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "From ") {
			add()
			message = new(strings.Builder)
			continue
		}
		if message == nil {
			t.Fatalf("the mbox begins with %q", line)
		}
		if strings.HasPrefix(strings.TrimLeft(line, ">"), "From ") {
			line = line[1:]
		}
		message.WriteString(line)
	}
	add()
	return messages
}

func openStdout(t *testing.T, dir string) fixture {
	t.Helper()
	spools := filepath.Join(dir, "spools")
	if err := os.Mkdir(spools, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", spools)
	var written bytes.Buffer
	return fixture{
		Target: NewStdout(&written),
		delivered: func(t *testing.T) []string {
			messages := splitMbox(t, written.String())
			slices.Sort(messages)
			return messages
		},
		leftovers: func(t *testing.T) []string { return files(t, spools) },
		spares:    true,
		endsLine:  true,
	}
}

func TestStdout(t *testing.T) { testTarget(t, openStdout) }

// Whatever octets a message has and however they are written, quoting is reversible, and no line
// looks like a From_ line.
func FuzzFromFilter(f *testing.F) {
	f.Add("From a\n>From b\n>>From c\nFrom", 3)
	f.Add(">\n>>>>From From From >From \nFro", 1)
	f.Add(">F", 1)
	f.Fuzz(func(t *testing.T, message string, step int) {
		step = 1 + max(0, step)%9
		through := func(text string, remove bool) string {
			var out bytes.Buffer
			var filter fromFilter
			filter.reset(&out, remove)
			for piece := range slices.Chunk([]byte(text), step) {
				if _, err := filter.Write(piece); err != nil {
					t.Fatal(err)
				}
			}
			if err := filter.finish(); err != nil {
				t.Fatal(err)
			}
			return out.String()
		}
		quoted := through(message, false)
		if strings.HasPrefix(quoted, "From ") || strings.Contains(quoted, "\nFrom ") {
			t.Errorf("%q is quoted as %q, which has a From_ line", message, quoted)
		}
		if back := through(quoted, true); back != message {
			t.Errorf("%q is quoted as %q and comes back as %q", message, quoted, back)
		}
		read, err := io.ReadAll(newUnquoted(strings.NewReader(quoted)))
		if err != nil || string(read) != message {
			t.Errorf("%q is read back as %q, %v", message, read, err)
		}
	})
}

// The From_ line has the sender, and the time of delivery in UTC.
func TestFromLine(t *testing.T) {
	at := time.Date(2026, 11, 3, 9, 5, 7, 0, time.FixedZone("", 3600))
	for sender, want := range map[string]string{
		"":              "From MAILER-DAEMON Tue Nov  3 08:05:07 2026\n",
		"a@example.org": "From a@example.org Tue Nov  3 08:05:07 2026\n",
	} {
		if got := fromLine(sender, at); got != want {
			t.Errorf("fromLine(%q) = %q, want %q", sender, got, want)
		}
	}
}

// Each message follows its From_ line and ends with an empty line. A file that ends without a
// newline or an empty line gets what it lacks first.
func TestMbox_form(t *testing.T) {
	m := newMbox(t)
	for before, lead := range map[string]string{
		"": "", otherMail: "", strings.TrimRight(otherMail, "\n"): "\n\n", otherMail[:len(otherMail)-1]: "\n", "\n": "\n",
	} {
		if err := os.WriteFile(m.path, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		began := time.Now().Add(-time.Second)
		place := deliverOne(t, m, token(1), []byte("Return-Path: <a@b>\r\n\r\nFrom x\r\n")).Places[0]
		got := readAll(t, []string{m.path})[0]
		line, rest, _ := strings.Cut(strings.TrimPrefix(got, before+lead), "\n")
		at, err := time.Parse("From a@b "+time.ANSIC, line)
		if err != nil || at.Before(began.Truncate(time.Second)) || rest != "Return-Path: <a@b>\n\n>From x\n\n" {
			t.Errorf("behind %q, the mbox gets %q, want the message with its From_ line", before, strings.TrimPrefix(got, before))
		}
		if want := strings.TrimPrefix(line, "From "); place.Name != want {
			t.Errorf("the name of the place is %q, want %q", place.Name, want)
		}
	}
}

// What is read back is what was delivered, by each way to read it.
func TestMbox_readBack(t *testing.T) {
	m := newMbox(t)
	var want []string
	for i, c := range contents() {
		deliverOne(t, m, token(i), []byte(c.wire))
		want = append(want, fixture{endsLine: true}.asDelivered(c.want))
	}
	if _, others, err := m.Holds(t.Context()); others != len(want) || err != nil {
		t.Errorf("Holds() = %d, %v, want %d", others, err, len(want))
	}
	var at []string
	for place, err := range m.Places(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, place)
	}
	var scanned []Place
	for place, err := range m.Scan(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		scanned = append(scanned, place)
	}
	if len(at) != len(want) || len(scanned) != len(want) {
		t.Fatalf("Places() yields %d, Scan() %d, want %d", len(at), len(scanned), len(want))
	}
	for i := range want {
		if got := openText(t, m, at[i]); got != want[i] {
			t.Errorf("Open(%q) reads %s, want %s", at[i], brief([]string{got}), brief(want[i:i+1]))
		}
		if scanned[i].Sum != sumOf(want[i]) || scanned[i].Name != m.PlaceOf(at[i]).Name || !strings.HasPrefix(scanned[i].Name, noSender) {
			t.Errorf("Scan() yields %+v of message %d, want its sum and name", scanned[i], i)
		}
	}
	for i := range want {
		found, err := m.Find(t.Context(), slices.Values([]Token{token(i)}), time.Time{})
		if err != nil || len(found[token(i)]) != 1 || found[token(i)][0] != at[i] {
			// One without a final line end is found as it came.
			if text := openText(t, m, found[token(i)][0]); text != contents()[i].want {
				t.Errorf("Find() = %q, %v, want %q", found, err, at[i])
			}
		}
	}
	if err := m.Sync(t.Context(), at); err != nil {
		t.Errorf("Sync() = %v", err)
	}
	if err := os.Truncate(m.path, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Open(t.Context(), at[1]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open() of a message that is gone = %v, want fs.ErrNotExist", err)
	}
	m.Recorded(token(0))
	if got, err := m.notes.All(); err != nil || len(got) != len(want)-1 {
		t.Errorf("%d notes, %v, want %d", len(got), err, len(want)-1)
	}
}

func openText(t *testing.T, m *Mbox, place string) string {
	t.Helper()
	file, err := m.Open(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Other programs read the same messages.
func TestMbox_programs(t *testing.T) {
	m := newMbox(t)
	messages := []string{"Subject: 1\r\n\r\nFrom a\r\n\r\nFrom b\r\n", "Subject: 2\r\n\r\n\r\n>From c\r\n", "Subject: 3\r\n\r\nx\r\n\r\n"}
	for i, message := range messages {
		deliverOne(t, m, token(i), []byte(message))
	}
	for name, command := range map[string]string{
		"formail": `formail -s sh -c 'grep ^Subject:' <"$1"`,
		"python3": `python3 -c 'import mailbox, sys
for m in mailbox.mbox(sys.argv[1]): print("Subject:", m["Subject"])' "$1"`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(name); err != nil {
				t.Skip(err)
			}
			out, err := exec.CommandContext(t.Context(), "sh", "-c", command, "sh", m.path).CombinedOutput()
			if err != nil || string(out) != "Subject: 1\nSubject: 2\nSubject: 3\n" {
				t.Errorf("%s reads %q, %v, want three messages", name, out, err)
			}
		})
	}
}

// behaviour 29: if a disk is not mounted, its empty folder must not be filled.
func TestMboxPrepare(t *testing.T) {
	for _, c := range []struct {
		name   string
		spoil  func(path string) error
		create bool
		want   error
	}{
		{"there", func(string) error { return nil }, false, nil},
		{"there, first run", func(string) error { return nil }, true, nil},
		{"gone", os.Remove, false, ErrMissing},
		{"gone, first run", os.Remove, true, nil},
		{"folder gone", func(path string) error { return os.RemoveAll(filepath.Dir(path)) }, false, ErrMissing},
		{"folder gone, first run", func(path string) error { return os.RemoveAll(filepath.Dir(path)) }, true, nil},
		{"a file in the place of its folder", func(path string) error {
			return errors.Join(os.RemoveAll(filepath.Dir(path)), os.WriteFile(filepath.Dir(path), nil, 0o600))
		}, true, ErrCreate},
		{"a folder", func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) }, true, ErrUnfit},
		{"a pipe", func(path string) error { return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)) }, true, ErrUnfit},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			m := NewMbox(filepath.Join(dir, "mail", "mbox"), NewFileBook(filepath.Join(dir, "notes")))
			if err := m.Prepare(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			if err := c.spoil(m.path); err != nil {
				t.Fatal(err)
			}
			for name, check := range map[string]func(context.Context, bool) error{"Probe": m.Probe, "Prepare": m.Prepare} {
				if err := check(t.Context(), c.create); !errors.Is(err, c.want) {
					t.Errorf("%s() = %v, want %v", name, err, c.want)
				}
			}
			if c.want == nil {
				if got := mode(t, m.path); got != 0o600 {
					t.Errorf("the mode of the mbox is %o, want 600", got)
				}
			}
		})
	}
}

// The mode of an mbox that is there stays.
func TestMbox_mode(t *testing.T) {
	m := newMbox(t)
	if err := os.Chmod(m.path, 0o660); err != nil {
		t.Fatal(err)
	}
	deliverOne(t, m, token(1), []byte("x"))
	if got := mode(t, m.path); got != 0o660 {
		t.Errorf("the mode of the mbox is %o, want 660 still", got)
	}
}

// Root follows no link and takes no mbox of another user.
func TestMbox_root(t *testing.T) {
	m := newMbox(t)
	other := m.path + ".other"
	if err := errors.Join(os.Rename(m.path, other), os.Symlink(other, m.path)); err != nil {
		t.Fatal(err)
	}
	err := m.Prepare(t.Context(), false)
	if os.Geteuid() != 0 {
		if err != nil {
			t.Errorf("Prepare() of a link = %v, want no error", err)
		}
		deliverOne(t, m, token(1), []byte("x"))
		return
	}
	if !errors.Is(err, ErrUnfit) {
		t.Errorf("Prepare() of a link = %v, want ErrUnfit", err)
	}
	if err := deliverLocked(t, m, time.Second); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("Commit() to a link = %v, want ELOOP", err)
	}
	if err := os.Lchown(other, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if err := NewMbox(other, nil).Prepare(t.Context(), true); !errors.Is(err, ErrForeign) {
		t.Errorf("Prepare() of another user's mbox = %v, want ErrForeign", err)
	}
}

// behaviour 31: on a full disk the mbox is cut back, and nothing torn stays in it.
func TestMbox_fullDisk(t *testing.T) {
	dir := t.TempDir()
	mountSmall(t, dir)
	m := NewMbox(filepath.Join(dir, "mbox"), NewFileBook(filepath.Join(t.TempDir(), "notes")))
	if err := m.Prepare(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	deliverOne(t, m, token(1), []byte("small\r\n"))
	before := readAll(t, []string{m.path})
	batch := begin(t, m)
	d := create(t, batch, token(2))
	write(t, d, bytes.Repeat([]byte("large\r\n"), 300_000))
	closeDelivery(t, d)
	if err := batch.Commit(t.Context()); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Commit() = %v, want ENOSPC", err)
	}
	wantNotSafe(t, d)
	if got := readAll(t, []string{m.path}); !slices.Equal(got, before) {
		t.Errorf("the mbox has %d octets, want the %d before", len(got[0]), len(before[0]))
	}
	if _, noted, err := m.notes.Get(token(2)); noted || err != nil {
		t.Errorf("a note of the message that was cut off stays: %v, %v, want none", noted, err)
	}
	deliverOne(t, m, token(3), []byte("small too\r\n"))
}

// A message for which the file may not grow is refused alone, for now.
func TestMbox_tooLarge(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mbox")
	if err := NewMbox(path, NewFileBook(path+".notes")).Prepare(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), self)
	child.Env = append(os.Environ(), childVariable+"=large:"+path, noRaceWait)
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got, want := readMbox(t, path), []string{"first\n", "third\n"}; !slices.Equal(got, want) {
		t.Errorf("the mbox holds %s, want %s", brief(got), brief(want))
	}
}

// deliverTooLarge is the task of a child: it delivers three messages, of which the second is larger
// than a file may be.
func deliverTooLarge(m *Mbox) error {
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 200 << 10, Max: 200 << 10}); err != nil {
		return err
	}
	batch, err := m.Begin(context.Background())
	if err != nil {
		return err
	}
	var outcomes []Delivery
	for i, message := range []string{"first\r\n", strings.Repeat("second\r\n", 30_000), "third\r\n"} {
		d, err := batch.Create(context.Background(), Envelope{Token: token(i)})
		if err != nil {
			return err
		}
		_, err = d.Write([]byte(message))
		if err := errors.Join(err, d.Close()); err != nil {
			return err
		}
		outcomes = append(outcomes, d)
	}
	err = batch.Commit(context.Background())
	for i, want := range []Outcome{Safe, Deferred, Safe} {
		got := outcomes[i].Verdict()
		if got.Outcome != want || want == Deferred && !errors.Is(got.Err, unix.EFBIG) {
			err = errors.Join(err, fmt.Errorf("message %d: %+v, want %v", i, got, want))
		}
	}
	return err
}

// behaviour 28: the notes are durable before the mbox changes, and the mbox is synced at the end.
func TestMboxCommit_order(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mbox")
	if err := NewMbox(path, NewFileBook(path+".notes")).Prepare(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	var events callEvents
	status := traceAll(t, "mbox:"+path, func(c *systrace.Call, done bool) systrace.Verdict {
		events = append(events, callEvent{c, done})
		return systrace.Verdict{}
	})
	if status != 0 {
		t.Fatalf("the child ended with %d, want 0", status)
	}
	is := func(name, path string) func(*systrace.Call) bool {
		return func(c *systrace.Call) bool { return c.Name == name && (c.Path == path || c.To == path) }
	}
	for i, pair := range [][2]func(*systrace.Call) bool{
		{is("linkat", path+".lock"), is("pwrite64", path+".notes")},
		{is("pwrite64", path+".notes"), is("fsync", path+".notes")},
		{is("fsync", path+".notes"), is("write", path)},
		{is("write", path), is("fsync", path)},
		{is("fsync", path), is("unlinkat", path+".lock")},
	} {
		before, after := events.last(pair[0]), events.first(pair[1])
		if before < 0 || after < before {
			t.Errorf("pair %d: the last ends as event %d, the first after it begins as event %d, want this order", i, before, after)
		}
	}
	if got := events.count(is("fsync", path)); got != 1 {
		t.Errorf("%d syncs of the mbox, want one", got)
	}
	octets, writes := 0, events.count(is("write", path))
	for _, e := range events {
		if e.done && is("write", path)(e.Call) {
			octets += len(e.Data)
		}
	}
	if writes > octets/bufferOctets+1 {
		t.Errorf("%d writes of %d octets, want one for each %d", writes, octets, bufferOctets)
	}
}

func isBelow(c *systrace.Call, dir string) bool {
	return strings.HasPrefix(c.Path, dir) || strings.HasPrefix(c.To, dir)
}

// mboxMessages is how many messages a child delivers into an mbox.
const mboxMessages = 3

// Each system call that concerns the mbox, its lock or its notes may fail. What is Safe is there
// once, nothing torn stays, and the next run delivers the rest.
func TestMbox_faults(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	cases := 0
	for _, errno := range []syscall.Errno{unix.EIO, unix.ENOSPC} {
		for n := 1; ; n++ {
			path := filepath.Join(quickDir(t), "mbox")
			if err := NewMbox(path, NewFileBook(path+".notes")).Prepare(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			seen, failed := 0, ""
			status := traceTo(t, null, "mbox:"+path, func(c *systrace.Call, done bool) systrace.Verdict {
				if done || c.Name == "close" || !isBelow(c, filepath.Dir(path)) {
					return systrace.Verdict{}
				}
				if seen++; seen == n {
					failed = c.Name + " of " + c.Path
					return systrace.Verdict{Fail: errno}
				}
				return systrace.Verdict{}
			})
			if failed == "" {
				break
			}
			cases++
			label := fmt.Sprintf("%v of %s", errno, failed)
			if safe := status - childFailed; status != 0 && safe != 0 {
				t.Errorf("%s: the child ended with %d", label, status)
			}
			m := NewMbox(path, NewFileBook(path+".notes"))
			if err := m.Prepare(t.Context(), false); err != nil {
				t.Fatalf("%s: Prepare() = %v", label, err)
			}
			checkMboxAfter(t, label, m)
		}
	}
	t.Logf("%d calls failed", cases)
	if cases < 20 {
		t.Errorf("%d calls failed, want 20", cases)
	}
}

// checkMboxAfter delivers the messages that are not found, as the next run would, and checks that
// all are there once.
func checkMboxAfter(t *testing.T, label string, m *Mbox) {
	t.Helper()
	var want []string
	for i := range mboxMessages {
		want = append(want, string(toLF(childMessage(i))))
		found, err := m.Find(t.Context(), slices.Values([]Token{token(i)}), time.Time{})
		if err != nil {
			t.Fatalf("%s: Find() = %v", label, err)
		}
		if len(found) == 0 {
			deliverOne(t, m, token(i), childMessage(i))
		}
	}
	slices.Sort(want)
	if got := readMbox(t, m.path); !slices.Equal(got, want) {
		t.Errorf("%s: the mbox holds %d messages, want each of %d once", label, len(got), len(want))
	}
}

// A pipe whose reader is gone takes nothing more. Only what was written whole is Safe.
// What is written to /dev/null is lost. A closed standard output is /dev/null to a Go program.
func TestStdout_null(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if err := NewStdout(null).Prepare(t.Context(), false); !errors.Is(err, ErrUnfit) {
		t.Errorf("Prepare() = %v, want ErrUnfit", err)
	}
}

func TestStdout_brokenPipe(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	target := NewStdout(writer)
	deliverOne(t, target, token(1), []byte("read\r\n"))
	batch := begin(t, target)
	first, second := create(t, batch, token(2)), Delivery(nil)
	write(t, first, []byte("written\r\n"))
	closeDelivery(t, first)
	second = create(t, batch, token(3))
	write(t, second, bytes.Repeat([]byte("waits\r\n"), 100_000))
	closeDelivery(t, second)
	committed := make(chan error, 1)
	go func() { committed <- batch.Commit(t.Context()) }()
	text := make([]byte, 200)
	if _, err := io.ReadFull(reader, text); err != nil || !strings.Contains(string(text), "written\n\nFrom ") {
		t.Fatalf("the reader gets %q, %v", text, err)
	}
	reader.Close()
	if err := <-committed; !errors.Is(err, syscall.EPIPE) {
		t.Errorf("Commit() = %v, want EPIPE", err)
	}
	if got := first.Verdict(); got.Outcome != Safe {
		t.Errorf("Verdict() of the message that was written whole = %+v, want Safe", got)
	}
	wantNotSafe(t, second)
	batch = begin(t, target)
	d := create(t, batch, token(4))
	closeDelivery(t, d)
	if err := batch.Commit(t.Context()); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("Commit() after that = %v, want EPIPE again", err)
	}
	wantNotSafe(t, d)
}

// A reader that does not read holds nobody up beyond the context.
func TestStdout_stalled(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	defer writer.Close()
	batch := begin(t, NewStdout(writer))
	d := create(t, batch, token(1))
	write(t, d, bytes.Repeat([]byte("waits\r\n"), 100_000))
	closeDelivery(t, d)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := batch.Commit(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Commit() = %v, want the context's error", err)
	}
	wantNotSafe(t, d)
}
