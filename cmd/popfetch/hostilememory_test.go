package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/poptest"
)

// mostMemoryMillions bounds the resident memory while the server lists a million messages.
const mostMemoryMillions = 160 << 20

// memoryCase is a server that tries to fill the memory of a client.
type memoryCase struct {
	name     string
	misdeeds string
	status   int
	limit    int64
	lines    string // of the configuration
	listing  func() (list, uidl []byte)
	marked   bool // all messages are then marked as seen and listed again
}

// memoryCases are made when they are needed: this binary is also the program of other tests, which
// would start slowly otherwise.
func memoryCases() []memoryCase {
	return []memoryCase{
		{name: "C0002/greeting without end", misdeeds: `greeting (endless x)- +OK `, status: 76, limit: mostMemory},
		{name: "C0002/status line of 100 MB", misdeeds: `CAPA (endless x)- +OK `, status: 76, limit: mostMemory},
		{name: "R2449-1/CAPA without end", misdeeds: `CAPA (endless X-MORE a b c|): +OK`, status: 76, limit: mostMemory},
		{name: "R2449-1/CAPA of a thousand lines of 8 kB", misdeeds: "CAPA: +OK|USER|" + strings.Repeat("X-MORE "+x(8000)+"|", 1000) + ".", status: 0, limit: mostMemory},
		{name: "R5034-1/challenge without end", misdeeds: `AUTH (endless QUJD)- + `, status: 76, limit: mostMemory},
		{name: "C0017/most messages of 32 bits", misdeeds: `STAT: +OK 2147483647 9223372036854775807`, status: 0, limit: mostMemory},
		{name: "C0021/message that is as large as 63 bits hold", misdeeds: `LIST: +OK|1 9223372036854775807|2 9223372036854775807|.`, status: 0, limit: mostMemory},
		{name: "C0021/LIST line without end", misdeeds: `LIST (endless 1): +OK`, status: 76, limit: mostMemory},
		{name: "C0038/UIDL line without end", misdeeds: `UIDL (endless x)- +OK|1 `, status: 76, limit: mostMemory},
		{name: "C0038/UIDL of unreadable lines without end", misdeeds: "UIDL (endless 0 " + x(1000) + "|): +OK", status: 76, limit: mostMemory},
		{name: "C0038/UIDL of empty lines without end", misdeeds: `UIDL (endless |): +OK`, status: 76, limit: mostMemory},
		{name: "C0022/message without end", misdeeds: `RETR 1 (endless ` + x(70) + `|): +OK`, status: 75, limit: mostMemory, lines: "max_size = \"100M\"\ndeadline = \"4s\""},
		{name: "C0022/message of one line without end", misdeeds: `RETR 1 (endless x): +OK`, status: 75, limit: mostMemory, lines: "max_size = \"100M\"\ndeadline = \"4s\""},
		{name: "C0034/header without end", misdeeds: `RETR 1 (endless X-More: ` + x(70) + `|): +OK`, status: 75, limit: mostMemory, lines: "max_size = \"100M\"\ndeadline = \"4s\""},
		{name: "C0034/TOP without end", misdeeds: "QUIT (once, cut 0, void)\nTOP (endless " + x(70) + "|): +OK", status: 75, limit: mostMemory, lines: "delete = \"delivered\"\ndeadline = \"4s\""},
		{name: "behaviour 17/DELE without end", misdeeds: `DELE (endless x)- +OK `, status: 76, limit: mostMemory, lines: `delete = "delivered"`},
		{name: "behaviour 24/1,000,000 unique-ids of 32 octets", limit: mostMemoryMillions, listing: func() ([]byte, []byte) { return listingOf(1_000_000, 32) }, marked: true},
		{name: "behaviour 24/64 MiB of unique-ids of 1024 octets", limit: mostMemoryMillions, listing: func() ([]byte, []byte) { return listingOf(64<<10, 1024) }},
		{name: "behaviour 24/64 MiB of unique-ids of 70 octets", limit: mostMemoryMillions, listing: func() ([]byte, []byte) { return listingOf((64<<20)/70, 70) }},
		{name: "behaviour 24/more than 64 MiB of unique-ids", status: 76, limit: mostMemoryMillions, listing: func() ([]byte, []byte) { return listingOf(64<<10+1, 1024) }},
	}
}

// listingOf makes the replies to LIST and UIDL for n messages. Each unique-id has the given octets.
func listingOf(n, octets int) (list, uidl []byte) {
	var l, u bytes.Buffer
	l.WriteString("+OK\r\n")
	u.WriteString("+OK\r\n")
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&l, "%d 1000\r\n", i)
		fmt.Fprintf(&u, "%d %0*d\r\n", i, octets, i)
	}
	l.WriteString(".\r\n")
	u.WriteString(".\r\n")
	return l.Bytes(), u.Bytes()
}

// TestTortureMemory measures the memory of the program, as users build it, against servers that try
// to fill it.
func TestTortureMemory(t *testing.T) {
	if os.Getenv("POPFETCH_TEST_TORTURE") == "" {
		t.Skip("POPFETCH_TEST_TORTURE is not set")
	}
	program := buildProgram(t)
	over := 0
	var most, mostOfMillions int64
	for _, test := range memoryCases() {
		t.Run(test.name, func(t *testing.T) {
			peak := test.play(t, program)
			if peak > test.limit {
				over++
			}
			if test.limit == mostMemory {
				most = max(most, peak)
			} else {
				mostOfMillions = max(mostOfMillions, peak)
			}
		})
	}
	t.Logf("torture | memory against hostile servers | %d cases | %d over the limit; %d MiB at the peak, %d MiB with millions of unique-ids",
		len(memoryCases()), over, most>>20, mostOfMillions>>20)
}

// play runs the program against the server and returns the highest peak of memory.
func (c *memoryCase) play(t *testing.T, program string) int64 {
	messages := poptest.Numbered(2, 1000)
	a := newAccountInto(t, roomyMaildir(t, 1<<28), messages, strings.Split(c.lines, "\n")...)
	hook := poptest.Misdeeds(t, c.misdeeds)
	if c.listing != nil {
		list, uidl := c.listing()
		hook = func(_ *poptest.Session, cmd string) poptest.Action {
			switch cmd {
			case "LIST":
				return poptest.Reply(list)
			case "UIDL":
				return poptest.Reply(uidl)
			}
			return poptest.Action{}
		}
	}
	a.Configure(func(config *poptest.Config) { config.Hook = hook })
	if c.listing == nil {
		if strings.Contains(c.misdeeds, "TOP") { // TOP is asked only for messages that an earlier run delivered
			a.measureUntil(t, program, exitTempFail, c.limit, "the run before", "--once")
		}
		peak, took := a.measureUntil(t, program, c.status, c.limit, "fetch", "--once")
		if strings.Contains(c.lines, "deadline") && took > 4*time.Second+grace {
			t.Errorf("the run took %v, with a deadline of 4 s", took)
		}
		return peak
	}
	peak, _ := a.measureUntil(t, program, c.status, c.limit, "what would be fetched", "--once", "--dry-run")
	if !c.marked {
		return peak
	}
	for _, run := range []struct {
		what string
		args []string
	}{{"all marked as seen", []string{"seen", "mark", "--all", "work"}}, {"nothing new", []string{"--once"}}, {"list", []string{"list"}}} {
		p, _ := a.measureUntil(t, program, exitOK, c.limit, run.what, run.args...)
		peak = max(peak, p)
	}
	return peak
}
