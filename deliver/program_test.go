package deliver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/program"
)

// behaviour 29
func TestMDA_status(t *testing.T) {
	cases := []struct {
		command   string
		temporary bool
		status    int
		text      string
	}{
		{"exit 1", false, 1, `delivering to MDA "exit 1": exit status 1`},
		{"exit 70", false, 70, "exit status 70"},
		{"exit 71", true, 71, "exit status 71"},
		{"exit 72", false, 72, "exit status 72"},
		{"exit 73", true, 73, "exit status 73"},
		{"exit 74", true, 74, "exit status 74"},
		{"exit 75", true, 75, "exit status 75"},
		{"exit 77", false, 77, "exit status 77"},
		{"kill -9 $$", true, -1, "signal: killed"},
		{"kill -TERM $$", true, -1, "signal: terminated"},
		{"/does/not/exist", true, 127, "MDA /does/not/exist: exit status 127: "},
		{"/dev/null", true, 126, "exit status 126"},
		{"echo out; echo err >&2; exit 3", false, 3, `exit status 3: out\nerr`},
		{`printf 'a\033[31m\377\000b'; exit 3`, false, 3, `a\x1b[31m\xff\x00b`},
		{"exit 3 # " + strings.Repeat("x", 90), false, 3, `MDA "exit 3 # ` + strings.Repeat("x", 48) + `…": exit status 3`},
		{"SECRET='hush hush' true; exit 3", false, 3, "MDA command: "},
		{"if then", false, 2, "exit status 2"},
		{"exec /bin", true, 126, "exit status 126"},
		{"printf '\\177ELFrubbish' >\"$DIR/rubbish\"; chmod 755 \"$DIR/rubbish\"; exec \"$DIR/rubbish\"", true, 126, "Exec format error"},
		{"exec <&-; exit 4", false, 4, "exit status 4"},
		{"head -c 1 >/dev/null; exit 5", false, 5, "exit status 5"},
		{"sleep 600 >/dev/null 2>&1 & kill $!; exit 6", false, 6, "exit status 6"},
	}
	t.Setenv("DIR", t.TempDir())
	for _, c := range cases {
		t.Run(c.command, func(t *testing.T) {
			err := pipe(t, t.Context(), &MDA{Command: c.command}, Envelope{}, strings.Repeat("x", 2*spoolOctets))
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

// A program that is not there is missed before anything is retrieved for it. Whatever the shell knows
// by itself is there, and so may be what only the shell can read.
func TestMDA_Prepare_program(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"here": 0o755, "locked": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	for command, there := range map[string]bool{
		"here -a b":                true,
		dir + "/here":              true,
		"cat >/dev/null":           true,
		"exit 1":                   true,
		"if true; then exit 0; fi": true,
		"missing":                  false,
		"missing -d alice | here":  false,
		dir + "/missing":           false,
		dir:                        false, // a folder
		dir + "/locked":            false, // a file that nobody may run
		dir + "/locked/below":      false,
		"-x":                       false,
		"$MISSING; here":           true,
		"'missing'":                true,
		"A=b missing":              true,
		"(missing)":                true,
		"missing; here":            true, // the first word has a character of the shell
	} {
		err := (&MDA{Command: command}).Prepare(t.Context(), false)
		if errors.Is(err, ErrCannotRun) == there || there && err != nil {
			t.Errorf("Prepare() of %q = %v, want it there: %v", command, err, there)
		}
	}
	for path, shown := range map[string]bool{"/bin:/usr/bin": true, strings.Repeat("/long", 20): false} {
		t.Setenv("PATH", path)
		err := (&MDA{Command: "missing --secret"}).Prepare(t.Context(), false)
		if err == nil || strings.Contains(err.Error(), "PATH ("+path+")") != shown || strings.Contains(err.Error(), path) != shown {
			t.Errorf("Prepare() = %v, want the folders in which it was looked for: %v", err, shown)
		}
	}
}

// A command of plain words has the same effect with and without the shell.
func TestMDA_withoutShell(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	t.Setenv("PWD", "/elsewhere")
	t.Setenv("PATH", dir+":.:"+os.Getenv("PATH"))
	script := func(name, text string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	const tell = "cat; echo; echo \"$0\" \"$#\" \"$@\" \"$PWD\" \"$POPFETCH_ACCOUNT\"; kill -0 -$$ && exit 9\n"
	script("deliver", "#!/bin/sh\n"+tell, 0o755)
	script("nameless", tell, 0o755)
	script("orphan", "#!/does/not/exist\n", 0o755)
	script("locked", "#!/bin/sh\n", 0o644)
	script("killed", "#!/bin/sh\nkill -9 $$\n", 0o755)
	for command, byShell := range map[string]bool{
		"deliver a  -b=c\td@example.org %n": false,
		"./deliver":                         false,
		dir + "/deliver /dev/null":          false,
		"killed":                            false,
		"false":                             false,
		"nameless x":                        true,
		"orphan":                            true,
		"locked":                            true,
		"./locked":                          true,
		"missing":                           true,
		"./missing":                         true,
		dir:                                 true,
		"exit 3":                            true,
	} {
		var started, name string
		cmd, err := program.Start(command, func(p *exec.Cmd) { started, name = p.Path, p.Args[0] }) // keeps the last one that was tried
		if err == nil {
			_ = cmd.Wait()
		}
		if (started == program.Shell) != byShell || !byShell && name != strings.Fields(command)[0] {
			t.Errorf("%q is run by %s under the name %s, want a shell: %v", command, started, name, byShell)
		}
		verdict := func(command string) string {
			err := pipe(t, t.Context(), &MDA{Command: command}, Envelope{Account: "work"}, "message")
			var refusal *Error
			if err != nil && !errors.As(err, &refusal) {
				t.Fatalf("Commit() by %q = %v, want *Error or none", command, err)
			}
			if refusal == nil {
				return "delivered"
			}
			return fmt.Sprint(refusal.Status, refusal.Temporary, refusal.Err, refusal.Output)
		}
		asked := command + " <&0" // the redirection changes nothing, but needs the shell
		if !byShell {
			asked = "exec " + asked // some shells do so by themselves; the others hide the signal that ended the program
		}
		if got, want := verdict(command), verdict(asked); got != want {
			t.Errorf("%q: %s, want what a shell makes of it, %s", command, got, want)
		}
	}
	told := environment(Envelope{}, nil, 0)
	if slices.Index(told, "PWD="+dir) < slices.Index(told, "PWD=/elsewhere") {
		t.Errorf("environment() = %v, want the folder that we are in, behind what we were told", told)
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

// behaviour 30: a program may exit with status 0 without reading.
func TestMDA_notReading(t *testing.T) {
	for _, command := range []string{"exit 0", "exec <&-; exit 0", "head -c 1 >/dev/null"} {
		for _, octets := range []int{0, spoolOctets, 4 << 20} {
			if err := pipe(t, t.Context(), &MDA{Command: command}, Envelope{}, strings.Repeat("x", octets)); err != nil {
				t.Errorf("Commit() of %d octets that are not read by %q = %v, want no error", octets, command, err)
			}
		}
	}
}

func TestMDA_environment(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	t.Setenv("OUT", out)
	t.Setenv("POPFETCH_RECIPIENT", "of another message")
	t.Setenv("CREDENTIALS_DIRECTORY", "/run/credentials/popfetch.service")
	env := Envelope{Account: "work", User: "alice@example.org", Server: "pop.example.org", UniqueID: "a%b c\xff$(x)", Octets: 100}
	message := "Subject: x\r\nreturn-path:\r\n <bob@example.org>\r\n\r\nReturn-Path: <eve@example.org>\r\n"
	if err := pipe(t, t.Context(), &MDA{Command: `env | grep -e ^POPFETCH_ -e CREDENTIALS | sort > "$OUT"`}, env, message); err != nil {
		t.Fatalf("Commit() = %v, want no error", err)
	}
	want := "POPFETCH_ACCOUNT=work\nPOPFETCH_OCTETS=100\nPOPFETCH_RECIPIENT=\nPOPFETCH_SENDER=bob@example.org\nPOPFETCH_SERVER=pop.example.org\n" +
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

// behaviour 30: the program inherits no sockets or files of popfetch, and has its working folder.
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
	// The fifth field of stat is the process group.
	command := `set -e; exec > "$OUT"; ls -l /proc/$$/fd; pwd; cut -d ' ' -f 5 /proc/$$/stat; echo $$`
	if err := pipe(t, t.Context(), &MDA{Command: command}, Envelope{}, ""); err != nil {
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
	if last[1] != last[2] {
		t.Errorf("process group %s of process %s, want one of its own", last[1], last[2])
	}
}

// ends reports whether a process ends in the given time.
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

// behaviour 30: the whole process group ends at most two seconds after the time limit, even if it
// ignores signals.
func TestMDA_timeout(t *testing.T) {
	const timeout = 300 * time.Millisecond
	for name, script := range map[string]string{
		"ends on TERM": "cat >/dev/null; wait",
		"ignores TERM": "trap '' TERM; sleep 600 & wait",
		"is stopped":   "kill -STOP $$",
		"floods":       "yes",
		"floods both":  "trap '' TERM; yes & yes >&2",
		"does nothing": "exec sleep 600",
		"spins":        "while :; do :; done",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pidFile := filepath.Join(t.TempDir(), "pid")
			m := &MDA{Command: "sleep 600 & echo $! > '" + pidFile + "'; " + script, Timeout: timeout}
			began := time.Now()
			err := pipe(t, t.Context(), m, Envelope{}, "x")
			if took := time.Since(began); took > timeout+2*time.Second {
				t.Errorf("Commit() took %v, want %v and two seconds at most", took, timeout)
			}
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

// behaviour 30: a process that the program leaves behind goes on. It keeps the output open, but
// nobody waits for it.
func TestMDA_daemon(t *testing.T) {
	for _, background := range []string{"sleep 600 &", "setsid sleep 600 &", "(trap '' HUP; exec sleep 600) &"} {
		for _, status := range []int{0, 1} {
			t.Run(fmt.Sprintf("%s exit %d", background, status), func(t *testing.T) {
				t.Parallel()
				pidFile := filepath.Join(t.TempDir(), "pid")
				m := &MDA{Command: fmt.Sprintf("%s echo $! > '%s'; echo said; exit %d", background, pidFile, status)}
				began := time.Now()
				err := pipe(t, t.Context(), m, Envelope{}, "x")
				if took := time.Since(began); took > 1900*time.Millisecond {
					t.Errorf("Commit() took %v, want a tenth of a second", took)
				}
				var refusal *Error
				if errors.As(err, &refusal) != (status == 1) || refusal != nil && (refusal.Status != status || refusal.Output != "said") {
					t.Errorf("Commit() = %v, want the verdict of status %d, and what was said", err, status)
				}
				pid := readPID(t, pidFile)
				if ends(t, pid, 0) {
					t.Errorf("the daemon has ended, want it left alone")
				}
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
