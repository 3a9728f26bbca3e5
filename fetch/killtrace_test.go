package fetch_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/systrace"
)

// canTrace returns why a program cannot be traced here, empty if it can.
func canTrace(t *testing.T) (hindrance string) {
	t.Helper()
	_, err := systrace.Run([]string{"/bin/true"}, nil, nil, 10*time.Second, func(*systrace.Call, bool) systrace.Verdict { return systrace.Verdict{} })
	if err != nil {
		return err.Error()
	}
	return ""
}

// runTraced makes a run, and calls watch for the system calls that concern files of the rig and
// sockets. It returns the exit status, -1 after a kill, and the output of the run.
func (r *killRig) runTraced(watch systrace.Watch) (status int, printed string) {
	r.t.Helper()
	r.publish()
	output, err := os.OpenFile(filepath.Join(r.dir, "output"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		r.t.Fatal(err)
	}
	defer output.Close()
	below := r.dir + string(filepath.Separator)
	status, err = systrace.Run(r.command(), nil, output, runLimit, func(c *systrace.Call, done bool) systrace.Verdict {
		if !strings.HasPrefix(c.Path+string(filepath.Separator), below) && !isSocket(c) {
			return systrace.Verdict{}
		}
		return watch(c, done)
	})
	content, readErr := os.ReadFile(output.Name())
	if err := errors.Join(err, readErr); err != nil {
		r.t.Fatal(err)
	}
	r.server.Wait()
	return status, string(content)
}

func isSocket(c *systrace.Call) bool { return strings.HasPrefix(c.Path, "socket:") }

// killBefore kills a run before the n-th of the calls that match, which is not carried out. It
// reports whether there were so many.
func (r *killRig) killBefore(n int, match func(*systrace.Call) bool) bool {
	r.t.Helper()
	return r.killAtCall(n, false, match)
}

// killAtCall kills a run at the n-th of the calls that match, done or not.
func (r *killRig) killAtCall(n int, done bool, match func(*systrace.Call) bool) bool {
	r.t.Helper()
	status, printed := r.runTraced(func(c *systrace.Call, isDone bool) systrace.Verdict {
		if isDone == done && match(c) {
			n--
			return systrace.Verdict{Kill: n == 0}
		}
		return systrace.Verdict{}
	})
	if status > 0 {
		r.t.Errorf("%s: exit status %d, want 0 where it is not killed: %s", r.label, status, printed)
	}
	return r.killed(status)
}
