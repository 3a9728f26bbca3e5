package pop3

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// acknowledgeAtOnce makes the kernel acknowledge the next octets at once. By default the kernel
// waits up to 40 ms for something to send along with the acknowledgement. It is called after each
// write, because the kernel waits again once questions and answers take turns. If it fails, replies
// only come later.
//
// The reason is Nagle's algorithm (RFC 9293 section 3.7.4). Many servers answer a packet of
// commands in several small writes. The second write leaves only after the first is acknowledged,
// so client and server would wait for each other.
func acknowledgeAtOnce(conn net.Conn) {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := socket.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) })
	}
}
