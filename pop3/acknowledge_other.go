//go:build !linux

package pop3

import "net"

// acknowledgeAtOnce does nothing: other systems do not offer this option.
func acknowledgeAtOnce(net.Conn) {}
