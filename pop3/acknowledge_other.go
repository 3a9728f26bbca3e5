//go:build !linux

package pop3

import "net"

// acknowledgeAtOnce does nothing: other systems have no way to ask for it.
func acknowledgeAtOnce(net.Conn) {}
