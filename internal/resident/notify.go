package resident

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// notifyTimeout bounds a message to a service manager that does not read.
const notifyTimeout = 100 * time.Millisecond

// Notifier tells a service manager how the program is, as sd_notify(3) does. A nil Notifier tells
// nobody. Its methods may be called at the same time.
type Notifier struct {
	conn     *net.UnixConn
	watchdog time.Duration // the manager ends a program that has not said Alive for so long; 0: it does not
}

// NotifierFromEnvironment returns a Notifier for the socket in NOTIFY_SOCKET, or nil if there is none.
// It takes the variables out of the environment, because they do not concern the programs that this
// one starts.
func NotifierFromEnvironment() (*Notifier, error) {
	path, usec, pid := os.Getenv("NOTIFY_SOCKET"), os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID")
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		if err := os.Unsetenv(name); err != nil {
			return nil, err
		}
	}
	if path == "" {
		return nil, nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"}) // a name with @ is abstract
	if err != nil {
		return nil, fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	n := &Notifier{conn: conn}
	if micros, err := strconv.ParseInt(usec, 10, 63); err == nil && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		n.watchdog = time.Duration(micros) * time.Microsecond
	}
	return n, nil
}

// Interval returns how often Alive must be called; 0: never.
func (n *Notifier) Interval() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog / 2
}

// Starting says that the start goes on, and may take so much longer.
func (n *Notifier) Starting(longer time.Duration) {
	n.send("EXTEND_TIMEOUT_USEC=" + strconv.FormatInt(longer.Microseconds(), 10))
}

// Ready says that the program does its work, after its start or after Reloading.
func (n *Notifier) Ready() { n.send("READY=1") }

// Reloading says that the configuration is being read again. Ready must follow.
func (n *Notifier) Reloading() {
	n.send("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(Monotonic().Microseconds(), 10))
}

// Stopping says that the program begins to end.
func (n *Notifier) Stopping() { n.send("STOPPING=1") }

// Alive satisfies the watchdog.
func (n *Notifier) Alive() { n.send("WATCHDOG=1") }

// Status tells in one line how the program is.
func (n *Notifier) Status(text string) { n.send("STATUS=" + strings.ReplaceAll(text, "\n", " ")) }

// send sends a message. Nobody can be told of one that is lost.
func (n *Notifier) send(lines ...string) {
	if n == nil {
		return
	}
	_ = n.conn.SetWriteDeadline(time.Now().Add(notifyTimeout))
	_, _ = n.conn.Write([]byte(strings.Join(lines, "\n")))
}
