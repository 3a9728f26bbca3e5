package deliver_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// sink is an SMTP server that writes each message as it comes into a file of a folder.
const sink = `
import os, sys
from aiosmtpd.controller import Controller
class Sink:
    n = 0
    async def handle_DATA(self, server, session, envelope):
        self.n += 1
        name = os.path.join(sys.argv[1], str(self.n))
        with open(name, "wb") as file:
            file.write(envelope.original_content.replace(b"\r\n", b"\n"))
        return "250 2.0.0 OK"
port = int(sys.argv[2])
controller = Controller(Sink(), hostname="127.0.0.1", port=port)
controller.start()
sys.stdin.read()
controller.stop()
`

// needProgram skips a test for want of a package. With POPFETCH_TEST_DOVECOT=1 the test fails.
func needProgram(t *testing.T, what, debian string) {
	t.Helper()
	if os.Getenv("POPFETCH_TEST_DOVECOT") == "1" {
		t.Fatalf("POPFETCH_TEST_DOVECOT=1, but %s is not installed (Debian: %s)", what, debian)
	}
	t.Skipf("%s is not installed (Debian: %s)", what, debian)
}

// startSink starts the server, which ends with the test.
func startSink(t *testing.T, python string) (address, folder string) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = listener.Addr().String()
	_ = listener.Close()
	folder = t.TempDir()
	_, port, _ := net.SplitHostPort(address)
	cmd := exec.CommandContext(context.Background(), python, "-c", sink, folder, port)
	cmd.Stderr = os.Stderr
	stop, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stop.Close()
		_ = cmd.Wait()
	})
	limit, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(limit, "tcp", address)
		if err == nil {
			_ = conn.Close()
			return address, folder
		}
		if limit.Err() != nil {
			t.Fatalf("the SMTP server does not answer: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// sunk returns what the server has written.
func sunk(t *testing.T, folder string) (texts []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}
