// Package pgtest starts a private PostgreSQL of Debian's packages for tests. The whole test binary
// shares one, and each test has a database of its own:
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
//	url := pgtest.Database(t)
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a PostgreSQL server on loopback. Only its role "popfetch", which owns its databases,
// may log in by the password Password. The superuser is "postgres".
type Server struct {
	Port int

	dir     string // a folder that belongs to the server's user
	bin     string
	user    *syscall.Credential
	process *exec.Cmd
}

// Password is that of all roles.
const Password = "tanstaaf"

var (
	shared   *Server
	sharedMu sync.Mutex
	count    atomic.Int64
)

// Main runs the tests, and then stops the server if one was started.
func Main(m *testing.M) { os.Exit(Stopping{m}.Run()) }

// Stopping is a testing.M that stops the server after the tests, for a main function that is not
// Main.
type Stopping struct{ *testing.M }

// Run runs the tests.
func (s Stopping) Run() int {
	status := s.M.Run()
	sharedMu.Lock()
	defer sharedMu.Unlock()
	if shared != nil {
		shared.remove()
	}
	return status
}

// Shared returns the server of the test binary.
func Shared(t testing.TB) *Server {
	t.Helper()
	s, err := sharedServer()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sharedServer() (*Server, error) {
	sharedMu.Lock()
	defer sharedMu.Unlock()
	if shared == nil {
		s, err := start()
		if err != nil {
			return nil, err
		}
		shared = s
	}
	return shared, nil
}

// Database makes an empty database in the shared server, and returns its URL.
func Database(t testing.TB) string { return Shared(t).Database(t) }

// NewDatabase is Database for what is no test of package testing, such as a script.
func NewDatabase() (url string, err error) {
	s, err := sharedServer()
	if err != nil {
		return "", err
	}
	return s.NewDatabase()
}

// ExecIn runs statements in a database of the shared server, as the superuser, one transaction
// each.
func ExecIn(databaseURL string, statements ...string) error {
	parsed, err := url.Parse(databaseURL)
	if err != nil {
		return err
	}
	s, err := sharedServer()
	if err != nil {
		return err
	}
	return s.Exec(strings.TrimPrefix(parsed.Path, "/"), statements...)
}

// Start starts a server for one test, which may stop and kill it.
func Start(t testing.TB) *Server {
	t.Helper()
	s, err := start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.remove)
	return s
}

// New starts a server for what is no test of package testing. Its caller ends it by Remove.
func New() (*Server, error) { return start() }

// Remove ends the server and removes its files.
func (s *Server) Remove() { s.remove() }

// start makes a cluster and starts it.
func start() (*Server, error) {
	programs, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // the pattern is right
	if len(programs) == 0 {
		return nil, errors.New("PostgreSQL is missing: apt-get install postgresql")
	}
	dir, err := os.MkdirTemp("", "pgtest-")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, bin: filepath.Dir(programs[len(programs)-1])}
	if err := s.make(); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

func (s *Server) make() (err error) {
	if os.Getuid() == 0 { // PostgreSQL refuses to run as root
		account, err := user.Lookup("postgres")
		if err != nil {
			return err
		}
		uid, _ := strconv.Atoi(account.Uid) // the user database has numbers
		gid, _ := strconv.Atoi(account.Gid)
		s.user = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)} //nolint:gosec // likewise
		if err := os.Chown(s.dir, uid, gid); err != nil {
			return err
		}
	}
	if err := os.Chmod(s.dir, 0o755); err != nil {
		return err
	}
	secret := filepath.Join(s.dir, "secret")
	if err := os.WriteFile(secret, []byte(Password+"\n"), 0o644); err != nil {
		return err
	}
	if err := s.run("initdb", "-D", s.data(), "-U", "postgres", "-A", "scram-sha-256", "--pwfile",
		secret, "--no-sync", "-E", "UTF8", "--locale", "C"); err != nil {
		return err
	}
	if s.Port, err = freePort(); err != nil {
		return err
	}
	if err := s.Start(); err != nil {
		return err
	}
	return s.Exec("postgres", "CREATE ROLE popfetch LOGIN PASSWORD '"+Password+"'")
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) command(name string, args ...string) *exec.Cmd {
	return s.commandAt(filepath.Join(s.bin, name), args...)
}

// commandAt is a program that runs as the server's user, and ends with this process.
func (s *Server) commandAt(path string, args ...string) *exec.Cmd {
	c := exec.CommandContext(context.Background(), path, args...)
	c.Dir = s.dir
	c.SysProcAttr = &syscall.SysProcAttr{Credential: s.user, Pdeathsig: syscall.SIGQUIT}
	return c
}

func (s *Server) run(name string, args ...string) error {
	if out, err := s.command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

// Start starts the server again after Stop.
func (s *Server) Start() error {
	c := s.command("postgres", "-D", s.data(), "-p", strconv.Itoa(s.Port), "-k", s.dir, "-h",
		"127.0.0.1", "-c", "max_connections=200", "-c", "fsync=off", "-c", "timezone=UTC")
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	c.Stdout, c.Stderr = log, log
	if _, err := started(c); err != nil {
		return err
	}
	s.process = c
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if err = s.Exec("postgres", "SELECT 1"); err == nil {
			return nil
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(log.Name())
			return fmt.Errorf("PostgreSQL does not answer: %w\n%s", err, text)
		}
	}
}

// started starts a command, and closes ended when it has ended.
func started(c *exec.Cmd) (ended <-chan struct{}, err error) {
	// Pdeathsig ends the command with the thread that has started it, so the thread must stay.
	result, end := make(chan error), make(chan struct{})
	go func() {
		// Never unlocked: the goroutine waits until the command ends.
		runtime.LockOSThread()
		err := c.Start()
		result <- err
		if err == nil {
			_ = c.Wait()
		}
		close(end)
	}()
	return end, <-result
}

// Stop ends the server by a signal and waits until it has ended: SIGTERM waits for clients, SIGINT
// is "fast", SIGQUIT is "immediate" and leaves a recovery to the next start.
func (s *Server) Stop(signal syscall.Signal) {
	if s.process == nil {
		return
	}
	pid := s.process.Process.Pid
	_ = syscall.Kill(pid, signal)
	for syscall.Kill(pid, 0) == nil { // the goroutine of Start waits for it
		time.Sleep(5 * time.Millisecond)
	}
	s.process = nil
}

func (s *Server) remove() {
	s.Stop(syscall.SIGQUIT)
	_ = os.RemoveAll(s.dir)
}

// URL names a database for a role.
func (s *Server) URL(role, database string) string {
	return fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/%s?sslmode=disable", role, Password, s.Port,
		database)
}

// Database makes an empty database that the role popfetch owns, and returns its URL for it.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	url, err := s.NewDatabase()
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// NewDatabase is Database for what is no test of package testing.
func (s *Server) NewDatabase() (url string, err error) {
	name := fmt.Sprintf("test%d", count.Add(1))
	if err := s.Exec("postgres", "CREATE DATABASE "+name+" OWNER popfetch"); err != nil {
		return "", err
	}
	return s.URL("popfetch", name), nil
}

// Exec runs statements as the superuser, one transaction each.
func (s *Server) Exec(database string, statements ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL("postgres", database))
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // the statements are done
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}
