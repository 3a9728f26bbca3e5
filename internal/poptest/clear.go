package poptest

import (
	"bytes"
	"encoding/binary"
	"net"
	"sync"
)

// told has the ports whose clients are told to use no TLS. Each server has a port of its own.
var told sync.Map

// forwarded has the port of the server behind the port of a proxy.
var forwarded sync.Map

// InClear says that clients are from now on told to log in at addr without TLS, as tls = "none" does,
// or that they no longer are. It returns addr.
//
// Without that, a client must send nothing outside TLS but CAPA, STLS and QUIT. Each server of this
// package records the octets of its connections as they come from the network. If there is anything
// else, the test fails when the server ends.
func InClear(addr string, so bool) string {
	port := portOf(addr)
	for {
		behind, is := forwarded.Load(port)
		if !is {
			break
		}
		port = behind.(string)
	}
	told.Store(port, so)
	return addr
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// listened makes a port's clients strict. An earlier server may have had the port.
func listened(l net.Listener) {
	told.Delete(portOf(l.Addr().String()))
	forwarded.Delete(portOf(l.Addr().String()))
}

// wire is a connection that keeps the octets that it receives, as they come from the network. If the
// client was told to use no TLS, it keeps nothing.
type wire struct {
	net.Conn
	exempt bool

	mu       sync.Mutex
	received []byte
}

func newWire(c net.Conn) *wire {
	so, _ := told.Load(portOf(c.LocalAddr().String()))
	return &wire{Conn: c, exempt: so == true}
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if !w.exempt {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.received = append(w.received, p[:n]...)
	}
	return n, err
}

// checkWires fails the test if something was sent outside TLS.
func checkWires(t TB, wires []*wire) {
	t.Helper()
	for i, w := range wires {
		w.mu.Lock()
		shown := outsideTLS(w.received)
		w.mu.Unlock()
		if shown != nil {
			t.Errorf("connection %d: %q was sent outside TLS, though the client was not told to (see poptest.InClear)", i+1, clip(shown))
			return // the others are most likely alike
		}
	}
}

// beforeTLS are the lines that a client may send before TLS.
var beforeTLS = []string{"CAPA\r\n", "STLS\r\n", "QUIT\r\n"}

// outsideTLS returns the first octets that a client should have sent under TLS; nil: there are none.
// The last line and the last record may be incomplete.
func outsideTLS(octets []byte) []byte {
	for len(octets) > 0 && !isRecord(octets) {
		line, rest, whole := bytes.Cut(octets, []byte("\n"))
		if whole {
			line = octets[:len(line)+1]
		}
		if !isHarmless(line) {
			return line
		}
		octets = rest
	}
	const header = 5 // octets before the content of a record (RFC 8446 section 5.1)
	for len(octets) > header {
		if !isRecord(octets) {
			return octets
		}
		length := int(binary.BigEndian.Uint16(octets[3:]))
		octets = octets[min(header+length, len(octets)):]
	}
	if len(octets) > 0 && !isRecord(octets) {
		return octets
	}
	return nil
}

// isRecord reports whether the octets begin as a record of TLS does.
func isRecord(octets []byte) bool {
	return octets[0] >= 20 && octets[0] <= 23 && (len(octets) == 1 || octets[1] == 3)
}

func isHarmless(line []byte) bool {
	for _, known := range beforeTLS {
		if bytes.HasPrefix([]byte(known), line) {
			return true
		}
	}
	return false
}
