package tunnel

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// The streams of a program are a connection: it has deadlines, its end is told, and Close ends the
// program.
func TestCommand(t *testing.T) {
	conn, err := Command("cat")(t.Context(), "pop.example.org:110")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello" {
		t.Errorf("Read() = %q, %v, want hello", got, err)
	}
	if err := conn.SetDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(got); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read() after the deadline = %v, want %v", err, os.ErrDeadlineExceeded)
	}
	if got := conn.RemoteAddr().String(); !strings.HasPrefix(got, "pop.example.org:110") {
		t.Errorf("RemoteAddr() = %q, want the server", got)
	}
	if err := conn.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	if state := conn.(*stream).cmd.ProcessState; state == nil {
		t.Error("the program runs after Close")
	}
}

// A program that ends is the end of the connection, and what it wrote to standard error says why.
func TestCommand_ends(t *testing.T) {
	conn, err := Command("echo 'no way' >&2; exit 3")(t.Context(), "h:1")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = conn.Read(make([]byte, 1))
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), `exit status 3; it said "no way"`) {
		t.Errorf("Read() = %v, want how the program ended", err)
	}
}

// A connection is not begun when the time is over.
func TestCommand_tooLate(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if conn, err := Command("cat")(ctx, "h:1"); !errors.Is(err, context.Canceled) {
		t.Errorf("Command() = %v, %v, want %v", conn, err, context.Canceled)
	}
}
