package fetch_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
)

// overrun is how much longer than its limits a run may take.
const overrun = 2 * time.Second

// drips are replies that come octet by octet, without end or nearly so.
var drips = []struct {
	name, misdeed string
	phase         fetch.Phase
}{
	{"C0002/greeting", "greeting (pieces 1, pause 10ms, endless x)- +OK ", fetch.PhaseOpen},
	{"C0005/reply to CAPA", "CAPA (pieces 1, pause 10ms, endless x)- +OK ", fetch.PhaseOpen},
	{"R2449-1/capabilities", "CAPA (pieces 1, pause 10ms, endless X-A|): +OK", fetch.PhaseOpen},
	{"C0005/reply to UTF8", "UTF8 (pieces 1, pause 10ms, endless x)- +OK ", fetch.PhaseOpen},
	{"C0005/reply to AUTH", "AUTH (pieces 1, pause 10ms, endless x)- -ERR ", fetch.PhaseLogin},
	{"R5034-1/challenge", "AUTH (pieces 1, pause 10ms, endless QUJD)- + ", fetch.PhaseLogin},
	{"C0017/drop listing", "STAT (pieces 1, pause 10ms, endless 1)- +OK 1", fetch.PhaseList},
	{"C0020/scan listing", "LIST (pieces 1, pause 10ms, endless x 1|): +OK", fetch.PhaseList},
	{"C0038/unique-id listing", "UIDL (pieces 1, pause 10ms, endless x a|): +OK", fetch.PhaseList},
	{"C0022/reply to RETR", "RETR (pieces 1, pause 10ms, endless x)- +OK ", fetch.PhaseRetrieve},
	{"C0026/reply to DELE", "DELE (pieces 1, pause 10ms, endless x)- +OK ", fetch.PhaseDelete},
	{"C0030/reply to QUIT", "QUIT (pieces 1, pause 10ms, endless x)- +OK ", fetch.PhaseQuit},
}

// A reply that drips is cut by the time limits, or by the deadline if that comes first
// (behaviour 14). Messages are the exception.
func TestDrip(t *testing.T) {
	t.Parallel()
	for i, test := range drips {
		for _, ending := range []string{"timeout", "deadline"} {
			if ending == "deadline" && i%4 != 0 { // it takes longer, since the whole run has to come so far
				continue
			}
			t.Run(test.name+", "+ending, func(t *testing.T) {
				t.Parallel()
				server := newServer(t, letter("a"))
				hook(server, poptest.Misdeeds(t, test.misdeed))
				r := newRig(t, server.Addr())
				r.account.Delete.Enabled = true
				limit := 500 * time.Millisecond
				if ending == "timeout" {
					r.hurry(limit)
				} else {
					limit *= 2
					r.account.Deadline = limit
				}
				begun := time.Now()
				result := r.run()
				took := time.Since(begun)
				checkFailure(t, result, test.phase)
				if ending == "timeout" && !errors.Is(result.Err, os.ErrDeadlineExceeded) || ending == "deadline" && !strings.Contains(result.Err.Error(), "deadline has passed") {
					t.Errorf("Run() = %v, want the %s told", result.Err, ending)
				}
				if took > limit+overrun {
					t.Errorf("the run took %v, want %v and %v more at most", took, limit, overrun)
				}
				if deleted := server.DeletedIDs(); len(deleted) > 0 {
					t.Errorf("%q is deleted", deleted)
				}
			})
		}
	}
}

// A message that trickles is not cut, since the link is alive. If it has no end, only the deadline
// ends it. Messages that were complete before are kept.
func TestDrip_message(t *testing.T) {
	t.Parallel()
	for _, pipelining := range []bool{true, false} {
		t.Run(fmt.Sprintf("C0006/for ever, pipelining %v", pipelining), func(t *testing.T) {
			t.Parallel()
			server := newServer(t, letter("a"), letter("b"))
			if !pipelining {
				server.Configure(without("PIPELINING"))
			}
			hook(server, poptest.Misdeeds(t, "RETR 2 (pieces 1, pause 10ms, endless x|): +OK"))
			r := newRig(t, server.Addr())
			r.hurry(500 * time.Millisecond)
			r.account.Delete.Enabled = true
			r.account.Deadline = 1500 * time.Millisecond
			begun := time.Now()
			err := r.fails(fetch.PhaseRetrieve, "2 listed, 2 new, 1 delivered")
			took := time.Since(begun)
			if !strings.Contains(err.Error(), "deadline has passed") {
				t.Errorf("Run() = %v, want the deadline told", err)
			}
			if took < time.Second || took > r.account.Deadline+overrun {
				t.Errorf("the run took %v, want %v and %v more at most", took, r.account.Deadline, overrun)
			}
			r.holds(letter("a"))
			r.has("a")
			checkCount(t, server, "DELE", 0)
		})
	}
}

// A deadline ends a run even while a program works for it: one that provides the password, or an
// MDA.
func TestDeadline_programs(t *testing.T) {
	t.Parallel()
	t.Run("MDA", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, letter("a"), letter("b"))
		r := newRig(t, server.Addr())
		r.account.Deadline = 800 * time.Millisecond
		r.account.Target = &deliver.MDA{Command: `[ "$POPFETCH_UID" = a ] || exec sleep 60; cat > /dev/null`}
		begun := time.Now()
		result := r.run()
		if took := time.Since(begun); took > r.account.Deadline+overrun {
			t.Errorf("the run took %v, want %v and %v more at most", took, r.account.Deadline, overrun)
		}
		if result.Delivered != 1 || result.Err == nil {
			t.Errorf("Run() = %+v, want one delivered and an error", result)
		}
		r.has("a")
	})
	t.Run("password", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, letter("a"))
		r := newRig(t, server.Addr())
		r.account.Deadline = 800 * time.Millisecond
		c := credentials()
		c.Password = func(ctx context.Context) (string, error) {
			<-ctx.Done()
			return "", context.Cause(ctx)
		}
		r.account.Login = c.Login
		begun := time.Now()
		err := r.fails(fetch.PhaseLogin, "")
		if took := time.Since(begun); took > r.account.Deadline+overrun || !strings.Contains(err.Error(), "deadline has passed") {
			t.Errorf("Run() = %v after %v, want the deadline told, after %v and %v more at most", err, took, r.account.Deadline, overrun)
		}
		if failed := new(login.Error); errors.As(err, &failed) {
			t.Errorf("Run() = %v, want no *login.Error: the log-in was not refused", err)
		}
		if shows(server.Received(), secret) {
			t.Error("the password was sent")
		}
	})
}
