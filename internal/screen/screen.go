// Package screen writes to a terminal. Whoever writes does not wait for the terminal: a person may
// have stopped it (Ctrl-S), and a session must not stand still for that.
package screen

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Rank says what becomes of a text while the terminal is stopped.
type Rank int

// The ranks. Texts of all ranks come out in the order in which they were put.
const (
	News    Rank = iota // dropped first, the oldest of them first
	Trouble             // dropped when too many texts of this rank are left
	Dialog              // never dropped: a question to a person
	Data                // never dropped: Put waits for the terminal
)

const (
	// mostTexts and mostOctets bound what waits for a stopped terminal. If either is exceeded, the
	// oldest texts are dropped, until a quarter is free again.
	mostTexts  = 1000
	mostOctets = 1 << 20
	atOnce     = 32 << 10 // octets that are written in one step

	period   = 200 * time.Millisecond // between two drawings of the live lines
	lastWait = time.Second            // for a stopped terminal, when the program is to end
	collect  = 20 * time.Millisecond  // for how long texts are collected that come above live lines
)

// ErrStopped says that the terminal takes nothing, and that the program is to end.
var ErrStopped = errors.New("the terminal takes no output")

// Screen is a terminal with lines, and with live lines below them that are drawn again and again.
// One goroutine writes all of it. The methods may be called at the same time.
type Screen struct {
	tty   io.Writer // where the live lines are
	size  func() (columns, rows int)
	lost  func(texts, troubles int) string
	guard func()

	wake  chan struct{}
	begin sync.Once

	mu      sync.Mutex
	changed *sync.Cond // of mu: something was written, or the program is to end
	queue   []text
	octets  int    // of the queue
	dropped [2]int // by rank
	writing bool
	failed  error // of the first Data that could not be written
	ending  bool  // see Stop
	asking  int   // questions that are open; live lines are not shown
	live    func(columns, rows int) []string

	frame atomic.Pointer[frame] // the live lines that are shown, or nil
	over  atomic.Bool           // see Wipe
}

// text is what one call has put.
type text struct {
	to   io.Writer
	text string
	rank Rank
}

// New returns a screen on tty. size returns how large the terminal is. lost makes the line that tells
// how many texts were dropped, and how many of them were of Trouble. guard is deferred by the
// goroutine.
func New(tty io.Writer, size func() (columns, rows int), lost func(texts, troubles int) string, guard func()) *Screen {
	s := &Screen{tty: tty, size: size, lost: lost, guard: guard, wake: make(chan struct{}, 1)}
	s.changed = sync.NewCond(&s.mu)
	return s
}

// Put writes a text to a terminal, which need not be the one with the live lines. It returns at
// once, except for Data: then it waits while too much waits already. It returns the error of earlier
// Data, or ErrStopped.
func (s *Screen) Put(to io.Writer, what string, rank Rank) error {
	s.begin.Do(func() { go s.serve() })
	s.mu.Lock()
	defer s.mu.Unlock()
	if rank == Data {
		for s.isFull() && !s.ending && s.failed == nil {
			s.changed.Wait()
		}
		if s.failed != nil {
			return s.failed
		}
		if s.isFull() {
			return ErrStopped
		}
	}
	s.queue = append(s.queue, text{to, what, rank})
	s.octets += len(what)
	if s.isFull() {
		s.drop(News)
		s.drop(Trouble)
	}
	s.rouse()
	return nil
}

func (s *Screen) isFull() bool { return len(s.queue) > mostTexts || s.octets > mostOctets }

// drop drops the oldest texts of a rank, until a quarter of what may wait is free.
func (s *Screen) drop(rank Rank) {
	left := len(s.queue)
	s.queue = slices.DeleteFunc(s.queue, func(t text) bool {
		if t.rank != rank || left <= mostTexts*3/4 && s.octets <= mostOctets*3/4 {
			return false
		}
		left--
		s.octets -= len(t.text)
		s.dropped[rank]++
		return true
	})
}

func (s *Screen) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Ask puts a question. Live lines are not shown until Answered is called.
func (s *Screen) Ask(to io.Writer, prompt string) {
	s.mu.Lock()
	s.asking++
	s.mu.Unlock()
	_ = s.Put(to, prompt, Dialog) // only Data returns errors
}

// Answered says that a question is not open any more. rest ends its line.
func (s *Screen) Answered(to io.Writer, rest string) {
	_ = s.Put(to, rest, Dialog)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asking--
}

// Live begins to show live lines. Nil ends it. lines returns them for the present size of the
// terminal. Each must be narrower than that. lines is called by the screen's goroutine.
func (s *Screen) Live(lines func(columns, rows int) []string) {
	s.begin.Do(func() { go s.serve() })
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ending {
		s.live = lines
	}
	s.rouse()
}

// Stop says that the program is to end. From then on Put does not wait, and Flush not long. There are
// no live lines any more, so none are left if the program is killed now.
func (s *Screen) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = true
	s.live = nil
	s.rouse()
	s.changed.Broadcast()
}

// Flush waits until all texts are written, and until live lines that have ended are gone. Once Stop
// is called, it waits for a second at most. It returns the error of Data that could not be written.
func (s *Screen) Flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var limit *time.Timer
	expired := false
	for !expired && (len(s.queue) > 0 || s.writing || s.live == nil && s.frame.Load() != nil) {
		if s.ending && limit == nil {
			limit = time.AfterFunc(lastWait, func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				expired = true
				s.changed.Broadcast()
			})
		}
		s.changed.Wait()
	}
	if limit != nil {
		limit.Stop()
	}
	return s.failed
}

// Wipe returns what removes the live lines, and ends all output. It takes no lock, for a program that
// panics.
func (s *Screen) Wipe() string {
	s.over.Store(true)
	return s.frame.Load().wipe(0)
}

// serve is the goroutine. It ends with the program.
func (s *Screen) serve() {
	defer s.guard()
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	var tick <-chan time.Time
	for {
		ticked := false
		select {
		case <-s.wake:
			if s.frame.Load() != nil {
				time.Sleep(collect)
			}
		case <-tick:
			ticked = true
		case <-continued: // meanwhile, others may have written on the terminal
			s.frame.Store(nil)
		}
		for due := ticked; s.step(due); {
			due = false
		}
		if ticked || tick == nil {
			tick = s.next()
		}
	}
}

// next returns when to draw the live lines again; nil: there are none.
func (s *Screen) next() <-chan time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live == nil {
		return nil
	}
	return time.After(period)
}

// step writes a part of what waits, and draws the live lines if it is due or if they have moved. It
// reports whether more waits.
func (s *Screen) step(due bool) (more bool) {
	s.mu.Lock()
	texts := s.take()
	live := s.live
	if s.asking > 0 {
		live = nil
	}
	old := s.frame.Load()
	s.writing = true
	s.mu.Unlock()

	var out output
	var shown *frame
	if live != nil || old != nil {
		columns, rows := s.size()
		if draws := live != nil && (due || old != nil); draws {
			shown = newFrame(live(columns, rows), columns, rows)
		}
		if shown.differs(old) || len(texts) > 0 {
			out.add(s.tty, old.wipe(columns))
			out.addAll(texts)
			out.add(s.tty, shown.String())
		}
	} else {
		out.addAll(texts)
	}
	if s.over.Load() {
		select {} // the program ends
	}
	err := out.write()

	s.mu.Lock()
	defer s.mu.Unlock()
	s.frame.Store(shown)
	s.writing = false
	if s.failed == nil {
		s.failed = err
	}
	s.changed.Broadcast()
	return len(s.queue) > 0
}

// take takes the texts that are written next.
func (s *Screen) take() []text {
	var texts []text
	if n := s.dropped[News] + s.dropped[Trouble]; n > 0 {
		texts = append(texts, text{s.tty, s.lost(n, s.dropped[Trouble]), Trouble})
		s.dropped = [2]int{}
	}
	n, octets := 0, 0
	for n < len(s.queue) && octets < atOnce {
		octets += len(s.queue[n].text)
		n++
	}
	texts = append(texts, s.queue[:n]...)
	s.queue = slices.Delete(s.queue, 0, n)
	s.octets -= octets
	return texts
}

// output is what one step writes: in one call what goes to one terminal in a row.
type output struct{ parts []part }

type part struct {
	to     io.Writer
	text   strings.Builder
	isData bool
}

func (o *output) add(to io.Writer, what string) { o.addAll([]text{{to, what, News}}) }

func (o *output) addAll(texts []text) {
	for _, t := range texts {
		if t.text == "" {
			continue
		}
		if n := len(o.parts); n == 0 || o.parts[n-1].to != t.to {
			o.parts = append(o.parts, part{to: t.to})
		}
		last := &o.parts[len(o.parts)-1]
		last.text.WriteString(t.text)
		last.isData = last.isData || t.rank == Data
	}
}

// write returns the error of Data. Other errors cannot be reported anywhere.
func (o *output) write() error {
	var failed error
	for i := range o.parts {
		p := &o.parts[i]
		if _, err := io.WriteString(p.to, p.text.String()); err != nil && p.isData && failed == nil {
			failed = err
		}
	}
	return failed
}
