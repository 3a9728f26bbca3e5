//go:build !linux

package main

import "net"

// acknowledge does nothing, because other systems cannot be asked to acknowledge now.
func acknowledge(net.Conn) {}
