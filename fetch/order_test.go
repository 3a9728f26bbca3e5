package fetch_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/deliver"
)

// tracedCall is one call of a trace: it began in line from and had ended in line to.
type tracedCall struct {
	name, arguments string
	from, to        int
}

var (
	wholeCall   = regexp.MustCompile(`^(\d+) +(\w+)\((.*)\) += .*$`)
	begunCall   = regexp.MustCompile(`^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$`)
	resumedCall = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>`)
)

// readTrace reads what strace -f has written. A call of one thread may have begun long before it ends.
func readTrace(t *testing.T, log string) []tracedCall {
	t.Helper()
	var calls []tracedCall
	open := make(map[string]int) // by thread
	for i, line := range strings.Split(log, "\n") {
		if m := begunCall.FindStringSubmatch(line); m != nil {
			open[m[1]] = len(calls)
			calls = append(calls, tracedCall{m[2], m[3], i, -1})
		} else if m := resumedCall.FindStringSubmatch(line); m != nil {
			calls[open[m[1]]].to = i
		} else if m := wholeCall.FindStringSubmatch(line); m != nil {
			calls = append(calls, tracedCall{m[2], m[3], i, i})
		}
	}
	for _, c := range calls {
		if c.to < 0 {
			t.Fatalf("the call %s(%s) has no end", c.name, c.arguments)
		}
	}
	return calls
}

// callTrace is a trace in which calls are looked for.
type callTrace struct {
	t     *testing.T
	calls []tracedCall
}

// matching returns the calls whose name and arguments match.
func (tr *callTrace) matching(name, arguments string) []tracedCall {
	n, a := regexp.MustCompile("^("+name+")$"), regexp.MustCompile(arguments)
	var found []tracedCall
	for _, c := range tr.calls {
		if n.MatchString(c.name) && a.MatchString(c.arguments) {
			found = append(found, c)
		}
	}
	return found
}

// holding returns the calls whose arguments hold the text.
func holding(calls []tracedCall, text string) []tracedCall {
	var found []tracedCall
	for _, c := range calls {
		if strings.Contains(c.arguments, text) {
			found = append(found, c)
		}
	}
	return found
}

// firstAfter returns the first of calls that began after the line; the test fails if there is none.
func (tr *callTrace) firstAfter(line int, what string, calls []tracedCall) tracedCall {
	tr.t.Helper()
	for _, c := range calls {
		if c.from > line {
			return c
		}
	}
	tr.t.Fatalf("after line %d of the trace there is no %s", line, what)
	return tracedCall{}
}

// behaviour 28, R16: for every message the order is sync of its file, rename, sync of new, record, DELE, QUIT.
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
			log := filepath.Join(r.dir, "trace")
			p := r.start("strace", "-f", "-y", "-s", "9000", "-o", log,
				"-e", "trace=write,sendto,sendmsg,fsync,fdatasync,syncfs,rename,renameat,renameat2,pwrite64")
			if status := p.status(); status != 0 {
				t.Fatalf("exit status %d, want 0: %s", status, p.output.String())
			}
			r.checkOnce()
			content, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			tr := &callTrace{t, readTrace(t, string(content))}
			tr.checkOrder(r)
		})
	}
}

// checkOrder looks at each message by the token in its file's name.
func (tr *callTrace) checkOrder(r *killRig) {
	t := tr.t
	const sent = `^\d+<(socket|TCP)`
	quit := tr.matching("write|sendto", sent+`.*"QUIT\\r\\n"`)
	deletes := tr.deletes(sent)
	if len(quit) != 1 || len(deletes) != maildropMessages {
		t.Fatalf("%d QUIT and DELE for %d messages, want 1 and %d", len(quit), len(deletes), maildropMessages)
	}
	var (
		fileWrites   = tr.matching("write", `^\d+<[^>]*/Maildir/tmp/`)
		fileSyncs    = tr.matching("fsync|fdatasync", `/Maildir/tmp/`)
		wholeSyncs   = tr.matching("syncfs", "")
		moves        = tr.matching("rename|renameat|renameat2", `/Maildir/tmp>, ".*/Maildir/new>, "`)
		folderSyncs  = tr.matching("fsync|fdatasync", `/Maildir/new>`)
		recordWrites = tr.matching("pwrite64", `^\d+<[^>]*/seen\.db-wal>`)
		recordSyncs  = tr.matching("fsync|fdatasync", `/seen\.db-wal>`)
	)
	for i, m := range killMessages(maildropMessages) {
		token := deliver.NewToken("mrose", r.valve.addr(), m.UniqueID, 0, int64(len(m.Content))).String()
		writes, renames, records := holding(fileWrites, token), holding(moves, token), holding(recordWrites, token)
		if len(writes) == 0 || len(renames) != 1 || len(records) == 0 {
			t.Fatalf("message %d has %d writes, %d renames and %d writes of its record, want some, 1 and some", i+1, len(writes), len(renames), len(records))
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
				t.Errorf("message %d: %s ended in line %d, %s began in line %d, want this order", i+1, before.name, before.to, after.name, after.from)
			}
		}
	}
}

// deletes returns by message-number the calls that sent DELE; one call may send several.
func (tr *callTrace) deletes(sent string) map[int]tracedCall {
	deletes := make(map[int]tracedCall)
	number := regexp.MustCompile(`DELE (\d+)\\r\\n`)
	for _, call := range tr.matching("write|sendto", sent+`.*DELE `) {
		for _, m := range number.FindAllStringSubmatch(call.arguments, -1) {
			n, err := strconv.Atoi(m[1])
			if _, again := deletes[n]; again || err != nil {
				tr.t.Errorf("DELE %s is sent again", m[1])
			}
			deletes[n] = call
		}
	}
	return deletes
}
