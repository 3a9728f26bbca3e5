package resident

import (
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// listen makes the socket of a service manager, in the environment.
func listen(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return conn
}

// next returns the next message.
func next(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	buffer := make([]byte, 4096)
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := conn.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	return string(buffer[:n])
}

func TestNotifier(t *testing.T) {
	for name, path := range map[string]string{"file": filepath.Join(t.TempDir(), "notify"), "abstract": "@" + t.Name() + strconv.Itoa(int(time.Now().UnixNano()))} {
		t.Run(name, func(t *testing.T) {
			conn := listen(t, path)
			t.Setenv("WATCHDOG_USEC", "2000000")
			n, err := NotifierFromEnvironment()
			if err != nil || n.Interval() != time.Second {
				t.Fatalf("NotifierFromEnvironment() = %+v, %v, want a watchdog of 2 s", n, err)
			}
			if again, err := NotifierFromEnvironment(); again != nil || err != nil {
				t.Errorf("a program that is started would get %+v, %v, want nothing", again, err)
			}
			n.Starting(time.Minute)
			n.Ready()
			n.Status("3 accounts;\nwell")
			n.Alive()
			n.Stopping()
			for _, want := range []string{"EXTEND_TIMEOUT_USEC=60000000", "READY=1", "STATUS=3 accounts; well", "WATCHDOG=1", "STOPPING=1"} {
				if got := next(t, conn); got != want {
					t.Errorf("sent %q, want %q", got, want)
				}
			}
			before := Monotonic()
			n.Reloading()
			micros, found := strings.CutPrefix(next(t, conn), "RELOADING=1\nMONOTONIC_USEC=")
			usec, err := strconv.ParseInt(micros, 10, 64)
			if at := time.Duration(usec) * time.Microsecond; !found || err != nil || at < before-time.Microsecond || at > Monotonic() {
				t.Errorf("reloading at %q, want a time after %v", micros, before)
			}
		})
	}
}

// A manager that does not read holds up nothing.
func TestNotifier_unread(t *testing.T) {
	_ = listen(t, filepath.Join(t.TempDir(), "notify"))
	n, err := NotifierFromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for range 20 { // more than a socket holds by default on some systems
			n.Status(strings.Repeat("x", 100_000))
		}
	}()
	select {
	case <-sent:
	case <-time.After(30 * time.Second):
		t.Fatal("it still waits after 30 s")
	}
}

func TestNotifierFromEnvironment(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	n, err := NotifierFromEnvironment()
	if n != nil || err != nil {
		t.Errorf("without NOTIFY_SOCKET: %+v, %v, want nil", n, err)
	}
	n.Ready() // to nobody
	_ = listen(t, filepath.Join(t.TempDir(), "notify"))
	t.Setenv("WATCHDOG_USEC", "1000000")
	t.Setenv("WATCHDOG_PID", "1")
	if n, err := NotifierFromEnvironment(); err != nil || n == nil || n.Interval() != 0 {
		t.Errorf("the watchdog of another process: %+v, %v, want none", n, err)
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "missing"))
	if n, err := NotifierFromEnvironment(); n != nil || err == nil || !strings.Contains(err.Error(), "NOTIFY_SOCKET") {
		t.Errorf("a socket that is missing: %+v, %v, want an error", n, err)
	}
}
