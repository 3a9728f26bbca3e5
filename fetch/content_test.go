package fetch_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

// A message is delivered as the server sent it, octet for octet, but CRLF becomes LF (C0023,
// behaviour 10).
func TestContent(t *testing.T) {
	t.Parallel()
	samples := poptest.RealWorld()
	odd := []poptest.Sample{
		{Name: "empty", Message: []byte{}},
		{Name: "one CRLF", Message: []byte("\r\n")},
		{Name: "one dot", Message: []byte(".\r\n")},
		{Name: "dots", Message: []byte("..\r\n...\r\n.\r\n\r\n.")},
		{Name: "no header", Message: []byte("\r\nbody\r\n")},
		{Name: "header alone", Message: []byte("Subject: x\r\n")},
		{Name: "8-bit", Message: []byte("Subject: \xe9\xff\r\n\r\n\x80\xfe\r\n")},
		{Name: "NUL", Message: []byte("Subject: x\x00y\r\n\r\n\x00\x00\r\n")},
		{Name: "CR alone", Message: []byte("Subject: x\r\n\r\na\rb\r\r\nc\r\r\r\n\r")},
		{Name: "LF alone", Message: []byte("Subject: x\r\n\r\na\n.\nb\n..\n.\r\nc\n")},
		{Name: "no final CRLF", Message: []byte("Subject: x\r\n\r\nlast")},
		{Name: "line of 1 MiB", Message: []byte("Subject: x\r\n\r\n" + strings.Repeat("x", 1<<20) + "\r\n")},
		{Name: "header line of 200 kB", Message: []byte("Subject: " + strings.Repeat("y", 200<<10) + "\r\n\r\nbody\r\n")},
		{Name: "From line", Message: []byte("From me Mon\r\nSubject: x\r\n\r\nFrom you\r\n>From them\r\n")},
		{Name: "server's fields", Message: []byte("Return-Path: <a@b>\r\nStatus: RO\r\nX-UIDL: 7\r\n\r\nbody\r\n")},
	}
	samples = append(samples, odd...)
	messages := make([]poptest.Message, len(samples))
	for i, s := range samples {
		messages[i] = poptest.Message{UniqueID: fmt.Sprint("id-", i), Content: s.Message}
	}
	server := newServer(t, messages...)
	r := newRig(t, server.Addr())
	r.runs(fmt.Sprintf("%[1]d listed, %[1]d new, %[1]d delivered", len(samples)))
	got := make(map[[sha256.Size]byte]int)
	for _, m := range r.mail() {
		got[sha256.Sum256([]byte(m))]++
	}
	for _, s := range samples {
		t.Run("C0023/"+s.Name, func(t *testing.T) {
			sum := sha256.Sum256([]byte(delivered(s.Message)))
			if got[sum] == 0 {
				t.Errorf("no file in new/ has the SHA-256 %x", sum)
			}
			got[sum]--
		})
	}
	ledger, err := r.runner.Store.Look(t.Context(), "work", server.Addr(), user)
	if err != nil {
		t.Fatal(err)
	}
	for record, err := range ledger.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		var i int
		if _, err := fmt.Sscanf(record.UniqueID, "id-%d", &i); err != nil {
			t.Fatal(err)
		}
		want := delivered(samples[i].Message)
		if record.Came.SHA256 != sha256.Sum256([]byte(want)) || record.Came.Octets != int64(len(want)) {
			t.Errorf("C0023/%s: the record says %d octets and SHA-256 %x, want %d octets and that of the file", samples[i].Name, record.Came.Octets, record.Came.SHA256, len(want))
		}
	}
	server.CheckRules(t)
}

// The same session octet by octet, and in pieces that end anywhere.
func TestContent_segments(t *testing.T) {
	t.Parallel()
	content := []byte("Subject: x\r\n\r\n..\r\n.\r\r\n\r\n\n.\r\n..\r\n.x\r\nlast")
	for _, chunk := range []int{1, 2, 3, 5, 7} {
		t.Run(fmt.Sprintf("C0023/chunks of %d", chunk), func(t *testing.T) {
			t.Parallel()
			body := strings.NewReplacer("\\", `\\`, "\r", `\r`, "\n", `\n`).Replace(string(poptest.Stuff(content)))
			script := poptest.Dialogue(t, fmt.Sprintf("chunk %d\n", chunk)+"S: +OK\nC: CAPA\nS: -ERR\nC: USER mrose\nS: +OK\nC: PASS tanstaaf\nS: +OK\n"+
				"C: STAT\nS: +OK 1 9\nC: LIST\nS: +OK\nS: 1 9\nS: .\nC: UIDL\nS: +OK\nS: 1 a\nS: .\nC: RETR 1\nS: +OK\nS- "+body+"\nC: QUIT\nS: +OK\n")
			r := newRig(t, script.Addr())
			r.runs("1 listed, 1 new, 1 delivered")
			r.holds(poptest.Message{Content: content})
			script.Wait()
		})
	}
}

// A thousand messages in one session, with replies delayed at random (C0013), pipelined only where
// that is announced (R2449-3).
func TestMany(t *testing.T) {
	t.Parallel()
	for _, pipelining := range []bool{true, false} {
		t.Run(fmt.Sprintf("C0013/pipelining %v", pipelining), func(t *testing.T) {
			t.Parallel()
			const n = 1000
			messages := poptest.Numbered(n, 400)
			server := newServer(t, messages...)
			if !pipelining {
				server.Configure(without("PIPELINING"))
			}
			var mu sync.Mutex
			random := rand.New(rand.NewPCG(7, 7))
			hook(server, func(*poptest.Session, string) poptest.Action {
				mu.Lock()
				defer mu.Unlock()
				if random.IntN(50) > 0 {
					return poptest.Action{}
				}
				return poptest.Action{Delay: time.Duration(random.IntN(3000)) * time.Microsecond}
			})
			r := newRig(t, server.Addr())
			r.account.Delete.Enabled = true
			r.runs("1000 listed, 1000 new, 1000 delivered, 1000 deleted")
			if got := len(slices.Compact(r.mail())); got != n {
				t.Errorf("new/ holds %d different messages, want %d", got, n)
			}
			if got := len(server.Sessions()); got != 1 {
				t.Errorf("%d sessions, want 1", got)
			}
			server.CheckRules(t)
		})
	}
}

// A refused RETR costs that message only, and the next run tries it again (C0022, behaviour 18).
func TestRetr_refused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, text string }{
		{"C0022/second of three", "damaged"}, {"C0022/code", "[SYS/TEMP] later"}, {"R6856-1/UTF8", "[UTF8] the message needs UTF8"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, letter("a"), letter("b"), letter("c"))
			hook(server, on("RETR 2", poptest.Refuse(test.text)))
			r := newRig(t, server.Addr())
			r.account.Delete.Enabled = true
			r.runs("3 listed, 3 new, 2 delivered, 1 failed, 2 deleted")
			r.has("a", "c")
			told := r.told(fetch.Refused)
			if len(told) != 1 || told[0].UniqueID != "b" || !strings.Contains(told[0].Err.Error(), test.text) {
				t.Errorf("told as refused: %+v, want b with %q", told, test.text)
			}
			if got := server.Drop("").UniqueIDs(); !slices.Equal(got, []string{"b"}) {
				t.Errorf("the maildrop holds %q, want b", got)
			}
			hook(server, on("RETR", poptest.Refuse(test.text)))
			r.runs("1 listed, 1 new, 1 failed")
			hook(server, nil)
			r.runs("1 listed, 1 new, 1 delivered, 1 deleted")
			r.holds(letter("a"), letter("b"), letter("c"))
			server.CheckRules(t)
		})
	}
}

// Memory does not grow with a message: the test measures the heap while the message is arriving. It
// is not parallel, since other tests would affect the heap.
func TestMemory(t *testing.T) {
	const octets = 24 << 20
	block := bytes.Repeat([]byte(strings.Repeat("x", 60)+"\r\n.\r\n"), 1000)
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var most atomic.Uint64
	write := func(w io.Writer) error {
		for left := octets; left > 0; left -= len(block) {
			if _, err := w.Write(block[:min(left, len(block))]); err != nil {
				return err
			}
			if left%(32*len(block)) < len(block) {
				var now runtime.MemStats
				runtime.GC() // what is held is wanted, not what is garbage
				runtime.ReadMemStats(&now)
				most.Store(max(most.Load(), now.HeapAlloc-min(now.HeapAlloc, before.HeapAlloc)))
			}
		}
		return nil
	}
	t.Run("C0022/long message", func(t *testing.T) {
		server := newServer(t, poptest.Message{UniqueID: "long", Write: write, Octets: octets}, letter("b"))
		r := newRig(t, server.Addr())
		r.runs("2 listed, 2 new, 2 delivered")
		if most.Load() > 8<<20 {
			t.Errorf("the heap grew by %d octets, want less than 8 MiB for a message of 24 MiB", most.Load())
		}
		if most.Load() == 0 {
			t.Error("the heap was never looked at")
		}
	})
}

// Octets that nobody asked for end the session. It is out of step, so nothing more is sent, neither
// DELE nor QUIT (behaviour 9, C0013).
func TestRetr_stray(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, command string
		pipelining    bool
	}{
		{"C0013/behind a message", "RETR 2", false},
		{"C0013/behind the last message", "RETR 3", false},
		{"C0013/behind the last message, pipelined", "RETR 3", true},
		{"C0013/instead of a message, pipelined", "RETR 2", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, letter("a"), letter("b"), letter("c"))
			reply := append([]byte("+OK\r\n"), poptest.Stuff(letter("c").Content)...)
			if !test.pipelining {
				server.Configure(without("PIPELINING"))
			}
			if test.name == "C0013/instead of a message, pipelined" {
				reply = nil
			}
			hook(server, on(test.command, poptest.Reply(append(reply, "what else?\r\n"...))))
			r := newRig(t, server.Addr())
			r.account.Delete.Enabled = true
			result := r.run()
			var protocol *pop3.ProtocolError
			if !errors.As(result.Err, &protocol) {
				t.Errorf("Run() = %v, want a *ProtocolError", result.Err)
			}
			if got := len(r.mail()); got != result.Delivered || got != len(r.recorded()) {
				t.Errorf("%d in new/, %d told, %d recorded, want them equal", got, result.Delivered, len(r.recorded()))
			}
			checkCount(t, server, "DELE", 0)
			checkCount(t, server, "QUIT", 0)
			if left := server.Drop("").UniqueIDs(); len(left) != 3 {
				t.Errorf("the maildrop holds %q, want all", left)
			}
			server.CheckRules(t)
		})
	}
}
