package pgtest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Bouncer is a PgBouncer in transaction mode in front of a server. It has few connections to it, so
// that transactions of one client change from one to another.
type Bouncer struct {
	server   *Server
	port     int
	program  string
	settings string // a file
	process  *exec.Cmd
	ended    <-chan struct{}
}

// bouncerSettings leave out all that would make PgBouncer kinder to clients, as it is installed.
const bouncerSettings = `[databases]
* = host=127.0.0.1 port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %s
pool_mode = transaction
default_pool_size = %d
max_client_conn = 200
`

// bouncerPool is the number of connections to the server, for each database.
const bouncerPool = 3

// StartBouncer starts a PgBouncer for one test.
func StartBouncer(t testing.TB, s *Server) *Bouncer {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		if program = "/usr/sbin/pgbouncer"; !isFile(program) {
			t.Fatal("PgBouncer is missing: apt-get install pgbouncer")
		}
	}
	dir, err := os.MkdirTemp(s.dir, "pgbouncer-")
	if err != nil {
		t.Fatal(err)
	}
	b := &Bouncer{server: s, program: program, settings: filepath.Join(dir, "settings")}
	if b.port, err = freePort(); err != nil {
		t.Fatal(err)
	}
	users := filepath.Join(dir, "users")
	err = errors.Join(os.Chmod(dir, 0o755),
		os.WriteFile(users, fmt.Appendf(nil, "\"popfetch\" \"%s\"\n", Password), 0o644),
		os.WriteFile(b.settings, fmt.Appendf(nil, bouncerSettings, s.Port, b.port, users, bouncerPool), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	b.Start(t)
	t.Cleanup(b.Stop)
	return b
}

// Stop kills PgBouncer. All connections of its clients end.
func (b *Bouncer) Stop() {
	_ = b.process.Process.Kill()
	<-b.ended
}

// Start starts PgBouncer again after Stop.
func (b *Bouncer) Start(t testing.TB) {
	t.Helper()
	c := b.server.commandAt(b.program, b.settings)
	var said strings.Builder
	c.Stdout, c.Stderr = &said, &said
	var err error
	if b.ended, err = started(c); err != nil {
		t.Fatal(err)
	}
	b.process = c
	address := fmt.Sprintf("127.0.0.1:%d", b.port)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-b.ended:
			t.Fatalf("PgBouncer has ended: %s", &said)
		default:
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// Database makes an empty database, and returns its URL through PgBouncer.
func (b *Bouncer) Database(t testing.TB) string {
	t.Helper()
	direct := b.server.Database(t)
	return strings.Replace(direct, fmt.Sprintf(":%d/", b.server.Port), fmt.Sprintf(":%d/", b.port), 1)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// freePort returns a TCP port of loopback that a server is to have.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
