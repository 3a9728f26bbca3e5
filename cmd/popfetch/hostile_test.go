package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/popfetch/popfetch/internal/poptest"
)

// hostileCase is a server that misbehaves, and the expected outcome of a run against it. The
// account deletes what it delivers, so that a wrong DELE shows. A second run meets a good server
// with the same maildrop. No message may be lost or delivered twice.
type hostileCase struct {
	name     string // the clause, statement or rule, and the server's misdeed
	source   string // an RFC section, a public bug or a server
	misdeeds string // see poptest.Misdeeds
	status   int
	numbers  []int // the messages that the first run delivers

	messages []poptest.Message
	altered  map[int]string // by message-number: the content that the first run delivers instead of the message
	setting  []func(*hostileRig)
	says     []string          // standard error must contain these
	sent     func(*hostileRig) // checks the client's commands
	then     *hostileOutcome   // the outcome of both runs; nil means status 0 and all messages
	unjudged bool              // the client does not speak POP3 here
	slow     bool              // only in the torture test
}

type hostileOutcome struct {
	status  int
	numbers []int
}

// hostile makes a case. want has the exit status and the numbers of the delivered messages: "76 1
// 3" or "0 all". The maildrop has three messages unless an option changes that.
func hostile(name, source, misdeeds, want string, options ...func(*hostileCase)) *hostileCase {
	c := &hostileCase{name: name, source: source, misdeeds: misdeeds, altered: make(map[int]string)}
	withIDs("a", "b", "c")(c)
	if strings.Contains(misdeeds, "stall") {
		limited(silence)(c)
	}
	for _, option := range options {
		option(c)
	}
	outcome := c.outcome(want)
	c.status, c.numbers = outcome.status, outcome.numbers
	return c
}

func (c *hostileCase) outcome(want string) (o hostileOutcome) {
	for i, word := range strings.Fields(want) {
		n, err := strconv.Atoi(word)
		switch {
		case word == "all":
			for n := range c.messages {
				o.numbers = append(o.numbers, n+1)
			}
		case err != nil:
			panic(fmt.Sprintf("%s: %q is no number", c.name, word))
		case i == 0:
			o.status = n
		default:
			o.numbers = append(o.numbers, n)
		}
	}
	return o
}

// hostileCases returns all cases, by theme.
func hostileCases() []*hostileCase {
	return slices.Concat(
		greetingCases(), capabilityCases(), loginCases(), dropCases(), listCases(), idCases(), messageCases(),
		brokenCases(), deletionCases(), serverCases(), tornCases(), securityCases(),
	)
}

// TestHostile plays the quick cases.
func TestHostile(t *testing.T) {
	t.Parallel()
	cases := slices.DeleteFunc(hostileCases(), func(c *hostileCase) bool { return c.slow })
	playHostile(t, cases)
}

// TestTortureHostile plays all.
func TestTortureHostile(t *testing.T) {
	if os.Getenv("POPFETCH_TEST_TORTURE") == "" {
		t.Skip("POPFETCH_TEST_TORTURE is not set")
	}
	cases := hostileCases()
	sum := playHostile(t, cases)
	t.Logf("torture | scripted hostile servers | %d cases | %d lost | %d twice | %d unsafe deletes | %d wrong statuses",
		len(cases), sum.lost, sum.twice, sum.unsafe, sum.wrong)
}

// TestHostile_sources checks that each case has a unique name and a source.
func TestHostile_sources(t *testing.T) {
	cases := hostileCases()
	known := make(map[string]bool)
	for _, c := range cases {
		if known[c.name] || !strings.Contains(c.name, "/") || c.source == "" {
			t.Errorf("case %q from %q, want a name of its own, its clause in front, and a source", c.name, c.source)
		}
		known[c.name] = true
	}
	if len(cases) < 150 {
		t.Errorf("%d cases, want 150 at least", len(cases))
	}
}

// playHostile plays the cases in parallel, because they wait most of the time.
func playHostile(t *testing.T, cases []*hostileCase) (sum tally) {
	var mu sync.Mutex
	next := make(chan *hostileCase)
	var players sync.WaitGroup
	for range 8 {
		players.Add(1)
		go func() {
			defer players.Done()
			for c := range next {
				t.Run(c.name, func(t *testing.T) {
					found := c.play(t)
					mu.Lock()
					defer mu.Unlock()
					sum = sum.plus(found)
				})
			}
		}()
	}
	for _, c := range cases {
		next <- c
	}
	close(next)
	players.Wait()
	return sum
}

// hostileLabel gives the goroutines of each run a label of their own.
var hostileLabel atomic.Int64

// play makes both runs of a case.
func (c *hostileCase) play(t *testing.T) (found tally) {
	r := newHostileRig(t, c)
	r.misbehave()
	if status := r.run(); status != c.status {
		t.Errorf("exit status = %d, want %d", status, c.status)
		found.wrong++
	}
	found = found.plus(r.checkMail("the run", c.expected(c.numbers, nil)))
	r.server.Wait()
	if c.sent != nil {
		c.sent(r)
	}
	r.checkWords()
	if t.Failed() {
		t.Logf("standard error:\n%s", r.said.String())
		t.Logf("trace:\n%.4000s", r.traced.String())
	}

	first := c.numbers
	then := c.outcome("0 all")
	if c.then != nil {
		then = *c.then
	}
	r.behave()
	if status := r.run(); status != then.status {
		t.Errorf("exit status of the run with a good server = %d, want %d: %s", status, then.status, r.said.String())
		found.wrong++
	}
	found = found.plus(r.checkMail("the run with a good server", c.expected(first, then.numbers)))
	r.server.Wait()
	if !c.unjudged {
		r.server.CheckRules(t)
	}
	found.unsafe = r.unsafe
	return found
}

// expected returns the messages in new/: those of the first run, and those that only the second run
// delivers.
func (c *hostileCase) expected(first, second []int) (mail []string) {
	for _, n := range first {
		content, altered := c.altered[n]
		if !altered {
			content = contentOf(&c.messages[n-1])
		}
		mail = append(mail, content)
	}
	for _, n := range second {
		if !slices.Contains(first, n) {
			mail = append(mail, contentOf(&c.messages[n-1]))
		}
	}
	slices.Sort(mail)
	return mail
}
