package fetch_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"regexp"
	"sync"
	"testing"
	"time"
)

// killValve is a link to a server that lets a number of the server's octets through, tells it, and
// holds back the rest until the client goes away.
type killValve struct {
	t      *testing.T
	listen net.Listener
	target string

	mu      sync.Mutex
	limit   int64        // -1: none
	reached func()       // closes the channel that arm returned
	passed  bytes.Buffer // on all connections without a limit
}

func newKillValve(t *testing.T, target string) *killValve {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	v := &killValve{t: t, listen: l, target: target, limit: -1}
	var links sync.WaitGroup
	links.Add(1)
	go func() {
		defer links.Done()
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			links.Add(1)
			go func() {
				defer links.Done()
				v.serve(client)
			}()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		links.Wait()
	})
	return v
}

func (v *killValve) addr() string { return v.listen.Addr().String() }

// arm sets the limit for connections from now on; the channel is closed when it is reached.
func (v *killValve) arm(octets int64) (reached <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	channel := make(chan struct{})
	v.limit, v.reached = octets, sync.OnceFunc(func() { close(channel) })
	return channel
}

func (v *killValve) serve(client net.Conn) {
	defer client.Close()
	server, err := (&net.Dialer{}).Dial("tcp", v.target)
	if err != nil {
		v.t.Error(err)
		return
	}
	defer server.Close()
	v.mu.Lock()
	limit, reached := v.limit, v.reached
	v.mu.Unlock()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(server, client) // however it ends, the client has gone away
		_ = server.(*net.TCPConn).CloseWrite()
	}()
	if limit < 0 {
		var passed bytes.Buffer
		_, _ = io.Copy(client, io.TeeReader(server, &passed)) // either side may go away
		v.mu.Lock()
		v.passed.Write(passed.Bytes())
		v.mu.Unlock()
		return
	}
	if n, _ := io.CopyN(client, server, limit); n == limit {
		reached()
		<-gone
	}
}

// killOffsets tells where the replies of a whole session begin, in octets of the server.
type killOffsets struct {
	retr, dele []int64
	quit       int64
}

var (
	retrReply = regexp.MustCompile(`\+OK \d+ octets\r\n`)
	deleReply = regexp.MustCompile(`\+OK deleted\r\n`)
	quitReply = regexp.MustCompile(`\+OK good bye\r\n`)
)

// measure reads the offsets off a session with delete that nothing disturbed.
func (v *killValve) measure() killOffsets {
	v.mu.Lock()
	defer v.mu.Unlock()
	starts := func(reply *regexp.Regexp) []int64 {
		var all []int64
		for _, at := range reply.FindAllIndex(v.passed.Bytes(), -1) {
			all = append(all, int64(at[0]))
		}
		return all
	}
	o := killOffsets{retr: starts(retrReply), dele: starts(deleReply)}
	if last := starts(quitReply); len(o.retr) > 0 && len(o.dele) == len(o.retr) && len(last) == 1 {
		o.quit = last[0]
		return o
	}
	v.t.Fatalf("the session has %d replies to RETR and %d to DELE, want as many, and one to QUIT", len(o.retr), len(o.dele))
	return o
}

// batchMessages is what one batch of a Maildir holds (deliver.Maildir.Limit).
const batchMessages = 64

// largest is the number, from 0, of the largest message but the last.
func (o *killOffsets) largest() int {
	largest := 0
	for i := range len(o.retr) - 1 {
		if o.retr[i+1]-o.retr[i] > o.retr[largest+1]-o.retr[largest] {
			largest = i
		}
	}
	return largest
}

// pick chooses how many octets pass before a kill, and how long it waits then. Moments of one kind
// of reply are even; the kinds are weighted, because most octets are those of few large messages.
func (o *killOffsets) pick(rng *rand.Rand, delete bool) (octets int64, delay time.Duration) {
	between := func(from, to int64) int64 { return from + rng.Int64N(max(to-from, 1)) }
	switch kind := rng.IntN(20); {
	case kind < 2: // before the first RETR is answered
		octets = between(0, o.retr[0])
	case kind < 4: // at the end of a large message, most of which is in its file
		octets = o.retr[o.largest()+1] - 1 - rng.Int64N(100)
	case kind < 11: // anywhere in a message
		i := rng.IntN(len(o.retr) - 1)
		octets = between(o.retr[i], o.retr[i+1])
	case kind < 14: // a batch has just become full
		octets = o.retr[min(batchMessages*(1+rng.IntN(2)), len(o.retr)-1)]
	case kind < 17 || !delete: // every message is there
		octets = o.dele[0]
	case kind < 19: // among the replies to DELE
		octets = between(o.dele[0], o.quit)
	default: // QUIT is not answered whole
		octets = between(o.quit, o.quit+int64(len("+OK good bye\r\n")))
	}
	if rng.IntN(3) > 0 {
		delay = time.Duration(50+rng.ExpFloat64()*4000) * time.Microsecond
	}
	return octets, delay
}
