package fetch_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/internal/poptest"
)

// refusals are the ways in which a program refuses a message. With one of unrunnable it cannot be
// run, and with one of hangs it does not end by itself.
var refusals = []string{
	"exit 1", "exit 75", "exit 255", "kill -9 $$", "kill -TERM $$", "kill -SEGV $$",
	"eval if", "set -u; echo $unset",
	"exec <&-; exit 1", "exec >&- 2>&-; exit 1", "head -c 3 >/dev/null; exit 1", "cat >'%[1]s/'$$.part; exit 1",
	"head -c 9999999 /dev/zero; exit 1", "head -c 9999999 /dev/zero >&2; exit 1",
	"sleep 1 & exit 1", "setsid sleep 1 & exit 1", "(sleep 1; echo late) & exit 1",
}

var unrunnable = []string{"exec /no/such/program", "exec /dev/null", "exec '%[1]s/rubbish'"}

var hangs = []string{
	"exec sleep 600", "kill -STOP $$", "yes", "yes >&2", "while :; do :; done", "trap '' TERM; sleep 600; sleep 600", "sleep 600 & sleep 600 & wait",
}

// Whatever the program does with some messages, the others are delivered once, and only messages
// that it has taken are deleted. It gets the refused ones as soon as it behaves (behaviours 29 and
// 30). If it cannot be run, the others may have to wait until then.
func TestTorture_programs(t *testing.T) {
	if os.Getenv("POPFETCH_TEST_TORTURE") == "" {
		t.Skip("it takes a minute; set POPFETCH_TEST_TORTURE=1")
	}
	var mu sync.Mutex
	cases, lost, twice, unsafe := 0, 0, 0, 0
	t.Run("all", func(t *testing.T) {
		for _, what := range slices.Concat(refusals, unrunnable, hangs) {
			for _, deliveries := range []int{1, 3} {
				for _, remove := range []bool{false, true} {
					t.Run(fmt.Sprintf("%.20s, %d at once, delete %t", what, deliveries, remove), func(t *testing.T) {
						t.Parallel()
						l, d, u := misbehave(t, what, deliveries, remove)
						mu.Lock()
						defer mu.Unlock()
						cases, lost, twice, unsafe = cases+1, lost+l, twice+d, unsafe+u
					})
				}
			}
		}
	})
	t.Logf("torture | programs | %d cases | %d lost | %d twice | %d unsafe deletes", cases, lost, twice, unsafe)
}

func misbehave(t *testing.T, what string, deliveries int, remove bool) (lost, twice, unsafe int) {
	t.Helper()
	cannotRun := slices.Contains(unrunnable, what)
	runs, timeout := 2, time.Minute
	if slices.Contains(hangs, what) {
		runs, timeout = 1, 2*time.Second // with patience for those that behave, on a busy machine
	}
	out := t.TempDir()
	if strings.Contains(what, "%") {
		what = fmt.Sprintf(what, out)
	}
	for name, content := range map[string]string{"broken": "", "rubbish": "\x7fELF rubbish"} {
		if err := os.WriteFile(filepath.Join(out, name), []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	messages := make([]poptest.Message, 6)
	for i := range messages {
		messages[i] = letter(fmt.Sprintf("%s-%d", []string{"good", "bad"}[i%2], i))
		messages[i].Content = append(messages[i].Content, strings.Repeat("x", i*100_000)...)
	}
	server := newServer(t, messages...)
	r := newRig(t, server.Addr())
	r.account.Delete.Enabled = remove
	script := `case "$POPFETCH_UID" in bad*) if [ -e '%[1]s/broken' ]; then ` + strings.ReplaceAll(what, "%", "%%") + "\nfi;; esac\n" +
		`cat >'%[1]s/'$$ && mv '%[1]s/'$$ '%[1]s/'"$POPFETCH_UID".$$.mail`
	r.account.Target = &deliver.MDA{Command: fmt.Sprintf(script, out), Timeout: timeout, Deliveries: deliveries}
	taken := 0
	for range runs {
		began := time.Now()
		result := r.run()
		taken += result.Delivered
		if cannotRun {
			if !errors.Is(result.Err, deliver.ErrCannotRun) || result.Failed != 0 {
				t.Errorf("Run() = %v, %d failed, want %v and none", result.Err, result.Failed, deliver.ErrCannotRun)
			}
		} else if result.Err != nil || result.Failed != 3 || taken != 3 {
			t.Errorf("Run() = %v, %d failed, and %d delivered so far, want 3 each", result.Err, result.Failed, taken)
		}
		if took, limit := time.Since(began), 3*(timeout+2*time.Second); took > limit {
			t.Errorf("the run took %v, want %v at most", took, limit)
		}
		server.Wait()
		kept := 0
		for _, id := range server.Drop("").UniqueIDs() {
			if strings.HasPrefix(id, "bad") {
				kept++
			}
		}
		unsafe += 3 - kept
	}
	if err := os.Remove(filepath.Join(out, "broken")); err != nil {
		t.Fatal(err)
	}
	if result := r.run(); result.Err != nil || taken+result.Delivered != len(messages) {
		t.Errorf("Run() with a program that behaves = %v, %d delivered after %d, want %d in all", result.Err, result.Delivered, taken, len(messages))
	}
	server.Wait()
	if left := len(server.Drop("").UniqueIDs()); remove && left != 0 {
		t.Errorf("%d messages are left on the server, want none", left)
	}
	for _, m := range messages {
		files, err := filepath.Glob(filepath.Join(out, m.UniqueID+".*.mail"))
		if err != nil {
			t.Fatal(err)
		}
		lost += max(0, 1-len(files))
		twice += max(0, len(files)-1)
		for _, file := range files {
			if content, err := os.ReadFile(file); err != nil || string(content) != delivered(m.Content) {
				t.Errorf("%s holds %d octets, %v, want the message's %d", file, len(content), err, len(delivered(m.Content)))
			}
		}
	}
	if lost+twice+unsafe > 0 {
		t.Errorf("%d lost, %d twice, %d deleted though not taken", lost, twice, unsafe)
	}
	return lost, twice, unsafe
}
