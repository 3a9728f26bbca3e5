package pop3

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// acknowledgeAtOnce lets the kernel acknowledge what comes next at once, instead of waiting up to 40 ms for something to send along
// with it. Many servers send the second reply of a packet of commands, or a line of their own, only when the one before is
// acknowledged (Nagle's algorithm, RFC 9293 section 3.7.4), and we would wait for each other. It is
// called after each write, since the kernel waits again once questions and answers take turns. Where it fails, replies come later.
func acknowledgeAtOnce(conn net.Conn) {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := socket.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) })
	}
}
