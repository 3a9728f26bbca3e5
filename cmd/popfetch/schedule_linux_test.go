package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/poptest"
)

// Each thread is scheduled as batch work, also later threads. The nice value does not change.
func TestSchedule(t *testing.T) {
	t.Parallel()
	a := newAccount(t, poptest.Numbered(3, 100), "")
	asked, goOn := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(goOn) })
	defer release()
	var once sync.Once
	a.Configure(func(c *poptest.Config) {
		c.Hook = func(_ *poptest.Session, cmd string) poptest.Action {
			if cmd == "RETR 3" {
				once.Do(func() {
					close(asked)
					<-goOn
				})
			}
			return poptest.Action{}
		}
	})
	c := a.command(t, "--once")
	c.Stderr = new(bytes.Buffer)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, asked)
	own, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", c.Process.Pid))
	if err != nil || len(threads) < 2 {
		t.Fatalf("threads: %v, error %v, want several", threads, err)
	}
	for _, thread := range threads {
		id, _ := strconv.Atoi(thread.Name())
		if attr, err := unix.SchedGetAttr(id, 0); err != nil || attr.Policy != unix.SCHED_BATCH || attr.Nice != own.Nice {
			t.Errorf("thread %d: %+v, %v, want policy %d and nice %d", id, attr, err, unix.SCHED_BATCH, own.Nice)
		}
	}
	release()
	if err := c.Wait(); err != nil {
		t.Errorf("popfetch: %v; it said: %s", err, c.Stderr)
	}
}
