package pop3

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// After a write, the kernel is ready to acknowledge the first of several replies at once.
func TestLink_acknowledgesAtOnce(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	noError(t, "Listen()", err)
	t.Cleanup(func() { _ = listener.Close() })
	conn, err := net.Dial("tcp", listener.Addr().String())
	noError(t, "Dial()", err)
	t.Cleanup(func() { _ = conn.Close() })
	server, err := listener.Accept()
	noError(t, "Accept()", err)
	t.Cleanup(func() { _ = server.Close() })

	l := newLink(conn)
	octet := make([]byte, 1)
	for range 5 { // questions and answers in turn teach the kernel to wait
		_, err = server.Write(octet)
		noError(t, "Write() of the server", err)
		_, err = conn.Read(octet)
		noError(t, "Read()", err)
		_, err = conn.Write(octet)
		noError(t, "Write()", err)
	}
	if acknowledgesAtOnce(t, conn) {
		t.Fatal("the kernel acknowledges at once without being asked to: this test shows nothing")
	}
	noError(t, "write()", l.write(octet, time.Minute))
	if !acknowledgesAtOnce(t, conn) {
		t.Error("after write() the kernel waits before it acknowledges")
	}
}

func acknowledgesAtOnce(t *testing.T, conn net.Conn) bool {
	t.Helper()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	noError(t, "SyscallConn()", err)
	var quick int
	noError(t, "Control()", raw.Control(func(fd uintptr) {
		quick, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK)
	}))
	noError(t, "GetsockoptInt()", err)
	return quick != 0
}
