//go:build !linux

package main

import "net"

// acknowledge does nothing: other systems have no way to ask for it.
func acknowledge(net.Conn) {}
