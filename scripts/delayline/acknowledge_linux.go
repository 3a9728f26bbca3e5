package main

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// acknowledge makes the kernel acknowledge the received octets now.
func acknowledge(conn net.Conn) {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := socket.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) })
	}
}
