package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// place is where one worker runs after the other, each with the same way to the database.
type place struct {
	sim  *sim
	wire *wire

	taken sync.Mutex // by a disturbance
	*process
}

// process is a popfetch worker.
type process struct {
	name   string // how it calls itself to the database
	pid    int
	log    string
	ended  chan struct{} // closed when it has ended
	mu     sync.Mutex
	wanted bool // its end is wanted
}

// wrong is by how much the clock of a worker is wrong.
type wrong time.Duration

// start starts a worker.
func (p *place) start(clock wrong) error {
	s := p.sim
	name := s.nextName()
	config := filepath.Join(s.dir, name+".toml")
	if err := s.writeConfig(config, p.wire.address(), name); err != nil {
		return err
	}
	program := s.popfetch
	c := exec.Command(program, "--config", config, "worker") //nolint:noctx // end ends it
	c.Env = append(os.Environ(), "HOME="+s.dir)
	if clock != 0 {
		c.Path = s.wrongClock
		c.Env = append(c.Env, fmt.Sprintf("POPFETCH_CLOCK=%d", time.Duration(clock)/time.Second))
	}
	n := &process{name: name, log: filepath.Join(s.dir, name+".log"), ended: make(chan struct{})}
	log, err := os.Create(n.log)
	if err != nil {
		return err
	}
	defer log.Close()
	c.Stdout, c.Stderr = log, log
	// The worker ends with this process, whatever ends it.
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: Pdeathsig ends the worker with its thread
		err := c.Start()
		if err == nil {
			n.pid = c.Process.Pid
		}
		started <- err
		if err == nil {
			n.await(c.Wait(), s)
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	s.know(n)
	p.process = n
	return nil
}

// await notes how a worker has ended.
func (n *process) await(err error, s *sim) {
	n.mu.Lock()
	wanted := n.wanted
	n.mu.Unlock()
	if !wanted {
		s.fault("wrong", time.Now(), "worker %s has ended by itself: %v: %s", n.name, err, n.said())
	}
	close(n.ended)
}

// said returns the last lines that the worker has printed.
func (n *process) said() string {
	text, _ := os.ReadFile(n.log)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], " | ")
}

func (n *process) signal(signal syscall.Signal) {
	select {
	case <-n.ended: // the number may be another's by now
	default:
		_ = syscall.Kill(n.pid, signal)
	}
}

func (n *process) want() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wanted = true
}

// kill ends a worker as a crash of its machine does.
func (n *process) kill() {
	n.want()
	n.signal(syscall.SIGKILL)
	<-n.ended
}

// longestEnd is how long a worker may take to hand over its accounts.
const longestEnd = 15 * time.Second

var errHung = errors.New("the worker does not end")

// end has a worker hand over its accounts.
func (n *process) end() error {
	n.want()
	n.signal(syscall.SIGTERM)
	select {
	case <-n.ended:
		return nil
	case <-time.After(longestEnd):
		n.kill()
		return errHung
	}
}
