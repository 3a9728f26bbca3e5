package deliver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func openMDA(t *testing.T, dir string) fixture {
	out, spools := filepath.Join(dir, "out"), filepath.Join(dir, "spools")
	for _, folder := range []string{out, spools} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("OUT", out)
	t.Setenv("TMPDIR", spools)
	return fixture{
		Target:    &MDA{Command: `cat > "$(mktemp "$OUT/XXXXXXXX")"`, Deliveries: 2},
		delivered: func(t *testing.T) []string { return readAll(t, files(t, out)) },
		leftovers: func(t *testing.T) []string { return files(t, spools) },
	}
}

func TestMDA(t *testing.T) { testTarget(t, openMDA) }

// pipe gives a message to the MDA and returns the verdict.
func pipe(t *testing.T, ctx context.Context, m *MDA, env Envelope, message string) error {
	t.Helper()
	batch := begin(t, m)
	d, err := batch.Create(ctx, env)
	if err != nil {
		t.Fatalf("Create() = %v, want no error", err)
	}
	write(t, d, []byte(message))
	closeDelivery(t, d)
	_, err = batch.Commit(ctx)
	return err
}

// behaviour 29
func TestMDA_status(t *testing.T) {
	cases := []struct {
		command   string
		temporary bool
		status    int
		text      string
	}{
		{"exit 1", false, 1, "delivering to MDA exit: exit status 1"},
		{"exit 75", true, 75, "exit status 75"},
		{"exit 77", false, 77, "exit status 77"},
		{"kill -9 $$", true, -1, "signal: killed"},
		{"kill -TERM $$", true, -1, "signal: terminated"},
		{"/does/not/exist", false, 127, "MDA /does/not/exist: exit status 127: "},
		{"/dev/null", false, 126, "exit status 126"},
		{"echo out; echo err >&2; exit 3", false, 3, `exit status 3: out\nerr`},
		{`printf 'a\033[31m\377\000b'; exit 3`, false, 3, `a\x1b[31m\xff\x00b`},
		{"SECRET='hush hush' true; exit 3", false, 3, "MDA command: "},
		{"if then", false, 2, "exit status 2"},
	}
	for _, c := range cases {
		t.Run(c.command, func(t *testing.T) {
			err := pipe(t, t.Context(), &MDA{Command: c.command}, Envelope{}, "x\r\n")
			var refusal *Error
			if !errors.As(err, &refusal) {
				t.Fatalf("Commit() = %v, want *Error", err)
			}
			if refusal.Temporary != c.temporary || refusal.Status != c.status {
				t.Errorf("Commit() = {Temporary: %v, Status: %d}, want {%v, %d}", refusal.Temporary, refusal.Status, c.temporary, c.status)
			}
			if !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "hush") {
				t.Errorf("Commit() = %q, want it to contain %q and no secret", err, c.text)
			}
		})
	}
}

// behaviour 30
func TestMDA_output(t *testing.T) {
	err := pipe(t, t.Context(), &MDA{Command: "head -c 5000000 /dev/zero | tr '\\0' x; exit 1"}, Envelope{}, "")
	var refusal *Error
	if !errors.As(err, &refusal) || len(refusal.Output) != keptOutput {
		t.Fatalf("Commit() = %v, want *Error with %d octets of output", err, keptOutput)
	}
	if got := len(err.Error()); got > maxShownOutput+100 {
		t.Errorf("the error's text has %d octets, want about %d", got, maxShownOutput)
	}
}

// behaviour 30: it may exit 0 without reading.
func TestMDA_notReading(t *testing.T) {
	for _, octets := range []int{0, spoolOctets, 4 << 20} {
		if err := pipe(t, t.Context(), &MDA{Command: "exit 0"}, Envelope{}, strings.Repeat("x", octets)); err != nil {
			t.Errorf("Commit() of %d octets that are not read = %v, want no error", octets, err)
		}
	}
}

func TestMDA_environment(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	t.Setenv("OUT", out)
	t.Setenv("POPFETCH_RECIPIENT", "of another message")
	env := Envelope{Account: "work", User: "alice@example.org", Server: "pop.example.org", UniqueID: "a%b c\xff$(x)", Octets: 100}
	message := "Subject: x\r\nreturn-path:\r\n <bob@example.org>\r\n\r\nReturn-Path: <eve@example.org>\r\n"
	if err := pipe(t, t.Context(), &MDA{Command: `env | grep ^POPFETCH_ | sort > "$OUT"`}, env, message); err != nil {
		t.Fatalf("Commit() = %v, want no error", err)
	}
	want := "POPFETCH_ACCOUNT=work\nPOPFETCH_OCTETS=100\nPOPFETCH_SENDER=bob@example.org\nPOPFETCH_SERVER=pop.example.org\n" +
		"POPFETCH_UID=a%25b%20c%FF$(x)\nPOPFETCH_USER=alice@example.org\n"
	if got := readAll(t, []string{out}); got[0] != want {
		t.Errorf("environment\n%s, want\n%s", got[0], want)
	}
}

func TestMDA_environmentOctets(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	t.Setenv("OUT", out)
	if err := pipe(t, t.Context(), &MDA{Command: `echo "$POPFETCH_OCTETS" > "$OUT"`}, Envelope{}, "1\r\n"); err != nil {
		t.Fatalf("Commit() = %v, want no error", err)
	}
	if got := readAll(t, []string{out}); got[0] != "2\n" {
		t.Errorf("POPFETCH_OCTETS = %q where LIST told nothing, want the 2 octets delivered", got[0])
	}
}

// behaviour 30: neither sockets nor files of ours are inherited, and the working folder is ours.
func TestMDA_inherits(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dir := t.TempDir()
	ours, err := os.Create(filepath.Join(dir, "database"))
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	t.Setenv("OUT", filepath.Join(dir, "out"))
	if err := pipe(t, t.Context(), &MDA{Command: `ls -l /proc/$$/fd > "$OUT"; pwd >> "$OUT"; ps -o pgid= $$ >> "$OUT"; echo $$ >> "$OUT"`}, Envelope{}, ""); err != nil {
		t.Fatalf("Commit() = %v, want no error", err)
	}
	got := readAll(t, []string{filepath.Join(dir, "out")})[0]
	if strings.Contains(got, "socket:") || strings.Contains(got, "database") || strings.Contains(got, "anon_inode") {
		t.Errorf("the program's descriptors are\n%swant none of ours", got)
	}
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(got), "\n")
	last := lines[len(lines)-3:]
	if last[0] != folder {
		t.Errorf("the program's folder = %s, want ours: %s", last[0], folder)
	}
	if strings.TrimSpace(last[1]) != last[2] {
		t.Errorf("process group %s of process %s, want one of its own", last[1], last[2])
	}
}

// ends tells whether a process ends in the given time.
func ends(t *testing.T, pid int, within time.Duration) bool {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return true
	}
	if err != nil {
		t.Skipf("a process cannot be watched here: %v", err)
	}
	defer unix.Close(fd)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(within.Milliseconds()))
		if !errors.Is(err, unix.EINTR) {
			return n == 1
		}
	}
}

func readPID(t *testing.T, path string) int {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// behaviour 30: the whole process group ends, whatever it does to stay.
func TestMDA_timeout(t *testing.T) {
	for name, prefix := range map[string]string{"ends on TERM": "", "ignores TERM": "trap '' TERM; "} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pidFile := filepath.Join(t.TempDir(), "pid")
			m := &MDA{Command: prefix + "sleep 600 & echo $! > '" + pidFile + "'; cat >/dev/null; wait", Timeout: 300 * time.Millisecond}
			err := pipe(t, t.Context(), m, Envelope{}, "x")
			var refusal *Error
			if !errors.As(err, &refusal) || !refusal.Temporary || refusal.Status != -1 {
				t.Errorf("Commit() = %#v, want a temporary *Error with status -1", err)
			}
			if !strings.Contains(fmt.Sprint(err), "300ms") {
				t.Errorf("Commit() = %v, want it to name the limit", err)
			}
			if pid := readPID(t, pidFile); !ends(t, pid, 5*time.Second) {
				t.Errorf("process %d of the group is still alive, want it ended", pid)
			}
		})
	}
}

func TestMDA_cancelled(t *testing.T) {
	t.Parallel()
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	started := make(chan error, 1)
	go func() {
		_, err := os.ReadFile(fifo)
		cancel()
		started <- err
	}()
	err := pipe(t, ctx, &MDA{Command: "echo started > '" + fifo + "'; exec sleep 600"}, Envelope{}, "x")
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	var refusal *Error
	if !errors.As(err, &refusal) || !refusal.Temporary || !errors.Is(err, context.Canceled) {
		t.Errorf("Commit() = %v, want a temporary *Error for context.Canceled", err)
	}
}

// behaviour 30: a daemon that keeps the output open must not hold us.
func TestMDA_daemon(t *testing.T) {
	t.Parallel()
	pidFile := filepath.Join(t.TempDir(), "pid")
	m := &MDA{Command: "setsid sleep 600 & echo $! > '" + pidFile + "'; exit 0"}
	if err := pipe(t, t.Context(), m, Envelope{}, "x"); err != nil {
		t.Errorf("Commit() = %v, want no error", err)
	}
	pid := readPID(t, pidFile)
	if ends(t, pid, 0) {
		t.Errorf("the daemon has ended, want it left alone after success")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
}

func TestMDA_deliveries(t *testing.T) {
	for _, deliveries := range []int{0, 1, 3} {
		dir := t.TempDir()
		t.Setenv("DIR", dir)
		// Each program that starts counts those that run, itself included.
		m := &MDA{Command: `touch "$DIR/run.$$"; ls "$DIR" | grep -c run >&2; rm "$DIR/run.$$"; exit 1`, Deliveries: deliveries}
		want := max(deliveries, 1)
		if got := m.Limit(); got.Messages != 1 || got.Batches != want {
			t.Errorf("Limit() = %v, want 1 message and %d batches", got, want)
		}
		errs := make(chan error, 8)
		for range cap(errs) {
			go func() { errs <- pipe(t, t.Context(), m, Envelope{}, "x") }()
		}
		for range cap(errs) {
			var refusal *Error
			if err := <-errs; !errors.As(err, &refusal) {
				t.Errorf("Commit() = %v, want *Error", err)
			} else if running, err := strconv.Atoi(refusal.Output); err != nil || running > want {
				t.Errorf("%s programs at once, want at most %d", refusal.Output, want)
			}
		}
	}
}

func TestMDA_emptyCommand(t *testing.T) {
	m := &MDA{Command: " \t\n"}
	if err := m.Prepare(t.Context(), true); err == nil {
		t.Error("Prepare() with an empty command succeeded, want an error")
	}
	if _, err := m.Begin(t.Context()); err == nil {
		t.Error("Begin() with an empty command succeeded, want an error: a shell would run it with success")
	}
}

func TestMDA_notStarted(t *testing.T) {
	err := pipe(t, t.Context(), &MDA{Command: "exit 0"}, Envelope{User: "a\x00b"}, "x")
	var refusal *Error
	if err == nil || errors.As(err, &refusal) {
		t.Errorf("Commit() of what cannot be started = %v, want an error that is no *Error", err)
	}
}

func TestMDA_knowsNothing(t *testing.T) {
	m := &MDA{Command: "exit 0"}
	if found, err := m.Find(t.Context(), []Token{token(1)}, true); found != nil || err != nil {
		t.Errorf("Find() = %v, %v, want nothing", found, err)
	}
	if _, err := m.Open(t.Context(), "new/x"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Open() = %v, want errors.ErrUnsupported", err)
	}
	if err := m.Sync(t.Context(), []string{"new/x"}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Sync() = %v, want errors.ErrUnsupported", err)
	}
	if err := m.Sync(t.Context(), nil); err != nil {
		t.Errorf("Sync() of nothing = %v, want no error", err)
	}
}
