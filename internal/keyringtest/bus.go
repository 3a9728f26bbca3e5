// Package keyringtest has keyrings on session buses, for tests. A test gets a bus of its own, and on
// it gnome-keyring or a [Service] that behaves in any way.
package keyringtest

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// TB is the part of testing.TB that this package uses. A script of testscript has one too.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// find returns the path of a program. If the program is not installed, the test is skipped. With
// POPFETCH_TEST_KEYRING=1 the test fails instead.
func find(t TB, program, debian string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("POPFETCH_TEST_KEYRING") == "1" {
			t.Fatalf("POPFETCH_TEST_KEYRING=1, but %s is not installed (Debian: %s)", program, debian)
		}
		t.Skipf("%s is not installed (Debian: %s)", program, debian)
	}
	return path
}

// Bus is a session bus of one test. It starts no programs by itself.
type Bus struct {
	Address string // for DBUS_SESSION_BUS_ADDRESS
	dir     string
	stop    func()
}

const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:dir=DIR</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    <allow own="*"/>
  </policy>
</busconfig>
`

// StartBus starts a bus. It ends with the test.
func StartBus(t TB) *Bus {
	t.Helper()
	program := find(t, "dbus-daemon", "dbus")
	dir, err := os.MkdirTemp("/tmp", "keyringtest-") // the path of a socket must be short
	if err != nil {
		t.Fatalf("making a folder: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	config := filepath.Join(dir, "bus.conf")
	if err := os.WriteFile(config, []byte(strings.ReplaceAll(busConfig, "DIR", dir)), 0o600); err != nil {
		t.Fatalf("writing the configuration of the bus: %v", err)
	}
	b := &Bus{dir: dir}
	var line string
	line, b.stop = run(t, nil, os.DevNull, program, "--config-file="+config, "--nofork", "--nopidfile", "--print-address=1")
	b.Address = strings.TrimSpace(line)
	return b
}

// Stop ends the bus.
func (b *Bus) Stop() { b.stop() }

// run starts a program and returns the first line that it prints. The program ends with the test, or
// by stop. It runs under a shell that ends it even if this process is killed. Its standard input is
// the file input.
func run(t TB, env []string, input, program string, args ...string) (line string, stop func()) {
	t.Helper()
	words := append([]string{"-c", `"$@" <"$0" & cat >/dev/null; kill $!; wait`, input, program}, args...)
	cmd := exec.CommandContext(context.Background(), "/bin/sh", words...)
	cmd.Env = append(os.Environ(), env...)
	alive, err := cmd.StdinPipe()
	if err != nil {
		t.Fatalf("opening a pipe: %v", err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatalf("opening a pipe: %v", err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("running %s: %v", program, err)
	}
	stop = sync.OnceFunc(func() {
		_ = alive.Close()
		_, _ = io.Copy(io.Discard, output)
		_ = cmd.Wait() // how it ended does not matter
	})
	t.Cleanup(stop)
	line, err = bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	return line, stop
}
