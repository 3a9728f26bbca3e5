package fetch_test

import (
	"bytes"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/internal/systrace"
)

// tracedCall is one call of a trace: it began as event from and ended as event to, 0: a kill came
// before that.
type tracedCall struct {
	*systrace.Call
	from, to int
}

// callTrace is a trace of runs, in which calls are looked for.
type callTrace struct {
	t      *testing.T
	calls  []tracedCall
	events int
}

// run makes a run and adds its calls to the trace.
func (tr *callTrace) run(r *killRig) {
	tr.t.Helper()
	tr.runKilled(r, -1)
}

// runKilled is run, with a kill before the n-th call from 0; it reports whether there were so many.
func (tr *callTrace) runKilled(r *killRig, n int) (killed bool) {
	tr.t.Helper()
	killed = tr.runKilledAt(r, func(*systrace.Call) bool {
		n--
		return n == -1
	})
	if killed && n >= 0 {
		tr.t.Fatalf("%s: the run was ended by another signal", r.label)
	}
	return killed
}

// runKilledAt is run, with a kill before the first call that matches; it reports whether there was
// one.
func (tr *callTrace) runKilledAt(r *killRig, match func(*systrace.Call) bool) (killed bool) {
	tr.t.Helper()
	begun := make(map[*systrace.Call]int)
	status, printed := r.runTraced(func(c *systrace.Call, done bool) systrace.Verdict {
		tr.events++
		if done {
			tr.calls[begun[c]].to = tr.events
			return systrace.Verdict{}
		}
		begun[c] = len(tr.calls)
		tr.calls = append(tr.calls, tracedCall{c, tr.events, 0})
		return systrace.Verdict{Kill: match(c)}
	})
	if status > 0 {
		tr.t.Fatalf("%s: exit status %d, want 0: %s", r.label, status, printed)
	}
	return status < 0
}

// matching returns the calls whose name matches and whose path ends, or goes on, as path.
func (tr *callTrace) matching(name, path string) []tracedCall {
	n, p := regexp.MustCompile("^("+name+")$"), regexp.MustCompile(path)
	var found []tracedCall
	for _, c := range tr.calls {
		if n.MatchString(c.Name) && p.MatchString(c.Path) {
			found = append(found, c)
		}
	}
	return found
}

// holding returns the calls on files with the text in their name, or that write it.
func holding(calls []tracedCall, text string) []tracedCall {
	var found []tracedCall
	for _, c := range calls {
		if strings.Contains(c.Path, text) || bytes.Contains(c.Data, []byte(text)) {
			found = append(found, c)
		}
	}
	return found
}

// firstAfter returns the first of calls that began after the event; the test fails if there is
// none.
func (tr *callTrace) firstAfter(event int, what string, calls []tracedCall) tracedCall {
	tr.t.Helper()
	for _, c := range calls {
		if c.from > event {
			return c
		}
	}
	tr.t.Fatalf("after event %d of the trace there is no %s", event, what)
	return tracedCall{}
}

// behaviour 28, R16: for every message the order is sync of its file, rename, sync of new, record,
// DELE, QUIT.
func TestSyncOrder(t *testing.T) {
	if hindrance := canTrace(t); hindrance != "" {
		t.Skip(hindrance)
	}
	program := buildProgram(t)
	places := killPlaces(t)
	for _, place := range []string{places[0], places[len(places)-1]} {
		t.Run(filepath.Base(place), func(t *testing.T) {
			t.Parallel()
			r := newKillRig(t, program, place, new(killTally), killMessages(maildropMessages))
			r.label, r.delete = "traced", true
			tr := &callTrace{t: t}
			tr.run(r)
			r.checkOnce()
			tr.checkOrder(r)
		})
	}
}

// checkOrder looks at each message by the token in its file's name.
func (tr *callTrace) checkOrder(r *killRig) {
	t := tr.t
	quit := slices.DeleteFunc(tr.matching("write|sendto", "^socket:"), func(c tracedCall) bool { return string(c.Data) != "QUIT\r\n" })
	deletes := tr.deletes()
	if len(quit) != 1 || len(deletes) != maildropMessages {
		t.Fatalf("%d QUIT and DELE for %d messages, want 1 and %d", len(quit), len(deletes), maildropMessages)
	}
	var (
		fileWrites   = tr.matching("write", "/Maildir/tmp/")
		fileSyncs    = tr.matching("fsync|fdatasync", "/Maildir/tmp/")
		wholeSyncs   = tr.matching("syncfs", "")
		moves        = tr.matching("rename|renameat|renameat2", "/Maildir/tmp/")
		folderSyncs  = tr.matching("fsync|fdatasync", "/Maildir/new$")
		recordWrites = tr.matching("pwrite64", `/seen\.db-wal$`)
		recordSyncs  = tr.matching("fsync|fdatasync", `/seen\.db-wal$`)
	)
	for i, m := range killMessages(maildropMessages) {
		token := deliver.NewToken("mrose", r.valve.addr(), m.UniqueID, 0, int64(len(m.Content))).String()
		writes, renames, records := holding(fileWrites, token), holding(moves, token), holding(recordWrites, token)
		if len(writes) == 0 || len(renames) != 1 || len(records) == 0 {
			t.Fatalf("message %d has %d writes, %d renames and %d writes of its record, want some, 1 and some", i+1, len(writes), len(renames), len(records))
		}
		if into := filepath.Join(r.maildir, "new"); filepath.Dir(renames[0].To) != into {
			t.Errorf("message %d is renamed to %s, want it in %s", i+1, renames[0].To, into)
		}
		synced := tr.firstAfter(writes[len(writes)-1].to, "sync of the file", append(holding(fileSyncs, token), wholeSyncs...))
		visible := tr.firstAfter(renames[0].to, "sync of new", folderSyncs)
		recorded := tr.firstAfter(records[0].to, "sync of the record", recordSyncs)
		steps := []struct {
			name string
			tracedCall
		}{
			{"sync of the file", synced}, {"rename", renames[0]}, {"sync of new", visible}, {"record", records[0]},
			{"sync of the record", recorded}, {"DELE", deletes[i+1]}, {"QUIT", quit[0]},
		}
		for n, after := range steps[1:] {
			if before := steps[n]; before.to >= after.from {
				t.Errorf("message %d: %s ended as event %d, %s began as event %d, want this order", i+1, before.name, before.to, after.name, after.from)
			}
		}
	}
}

// deletes returns by message-number the calls that sent DELE; one call may send several.
func (tr *callTrace) deletes() map[int]tracedCall {
	deletes := make(map[int]tracedCall)
	number := regexp.MustCompile(`DELE (\d+)\r\n`)
	for _, call := range tr.matching("write|sendto", "^socket:") {
		for _, m := range number.FindAllSubmatch(call.Data, -1) {
			n, err := strconv.Atoi(string(m[1]))
			if _, again := deletes[n]; again || err != nil {
				tr.t.Errorf("DELE %s is sent again", m[1])
			}
			deletes[n] = call
		}
	}
	return deletes
}
