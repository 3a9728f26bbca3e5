package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// echo is a server that sends back everything that it receives.
func echo(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				conn.Close()
			}()
		}
	}()
	return listener.Addr().String()
}

// start runs a delay line in front of the server and connects to it.
func start(t *testing.T, to string, delay time.Duration) net.Conn {
	t.Helper()
	stdin, end := io.Pipe()
	said, stdout := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- run("127.0.0.1:0", to, delay, stdin, stdout) }()
	t.Cleanup(func() {
		end.Close()
		if err := <-done; err != nil {
			t.Errorf("run() = %v, want nil", err)
		}
	})
	address, err := bufio.NewReader(said).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", strings.TrimSpace(address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestRun_roundTrip(t *testing.T) {
	const delay = 40 * time.Millisecond
	conn := start(t, echo(t), delay)
	for range 3 {
		began := time.Now()
		if _, err := conn.Write([]byte("NOOP\r\n")); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 6)
		if _, err := io.ReadFull(conn, got); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 2*delay {
			t.Errorf("a round trip took %v, want at least %v", took, 2*delay)
		}
	}
}

// Octets on their way do not delay the octets behind them. So everything takes one round trip. A
// line that waited for each piece would take a hundred.
func TestRun_throughput(t *testing.T) {
	const delay = 100 * time.Millisecond
	conn := start(t, echo(t), delay)
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	began := time.Now()
	go func() { _, _ = conn.Write(want) }()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the octets came changed")
	}
	if took := time.Since(began); took > 50*delay {
		t.Errorf("%d octets took %v, want below %v", len(want), took, 50*delay)
	}
}

func TestRun_end(t *testing.T) {
	conn := start(t, echo(t), time.Millisecond)
	if _, err := conn.Write([]byte("QUIT\r\n")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 6)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "QUIT\r\n" {
		t.Errorf("read %q, %v; want QUIT", got, err)
	}
}

// If the server closes, the client sees the end.
func TestRun_serverCloses(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		if conn, err := listener.Accept(); err == nil {
			_, _ = conn.Write([]byte("-ERR busy\r\n"))
			conn.Close()
		}
	}()
	conn := start(t, listener.Addr().String(), time.Millisecond)
	got, err := io.ReadAll(conn)
	if err != nil || string(got) != "-ERR busy\r\n" {
		t.Errorf("read %q, %v; want the line and the end", got, err)
	}
}
