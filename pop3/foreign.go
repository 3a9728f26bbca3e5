package pop3

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"time"
)

const (
	// silentAfter is how long a server is silent before it is looked at whether its port speaks
	// TLS. Such a server waits for the client.
	silentAfter = 5 * time.Second
	// probeTimeout limits that look. The greeting may come after it.
	probeTimeout = 5 * time.Second
)

// checkSilence returns ErrImplicitTLS if the server that sends no greeting speaks TLS at once.
func (c *Client) checkSilence() error {
	if addr := c.link.conn.RemoteAddr(); addr.Network() == "tcp" && speaksTLS(c.link.call.ctx, addr.String(), c.opts.TLSConfig) {
		return ErrImplicitTLS
	}
	return nil
}

// speaksTLS reports whether a server answers the beginning of TLS by TLS. It asks on a connection of
// its own, because a server that is only slow must not get that. Nothing else is sent, so no
// certificate is looked at.
func speaksTLS(ctx context.Context, addr string, like *tls.Config) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	defer conn.Close() //nolint:errcheck // nothing was to arrive
	config := &tls.Config{InsecureSkipVerify: true}
	if like != nil {
		config.ServerName = like.ServerName
	}
	first := &firstOctets{Conn: conn}
	_ = tls.Client(first, config).HandshakeContext(ctx) // what was answered counts
	return first.areTLS()
}

// firstOctets keeps the first octets that are read.
type firstOctets struct {
	net.Conn
	octets []byte
}

func (f *firstOctets) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	if len(f.octets) < 2 {
		f.octets = append(f.octets, p[:min(n, 2)]...)
	}
	return n, err
}

// areTLS reports whether they begin a record of TLS: a handshake or an alert, of version 3 (RFC 8446
// section 5.1).
func (f *firstOctets) areTLS() bool {
	return len(f.octets) >= 2 && (f.octets[0] == 22 || f.octets[0] == 21) && f.octets[1] == 3
}

// greetings has the beginnings of greetings of other protocols.
var greetings = []struct{ begin, service string }{
	{"* OK", "IMAP"}, {"* PREAUTH", "IMAP"}, {"* BYE", "IMAP"},
	{"220 ", "SMTP"}, {"220-", "SMTP"}, {"421 ", "SMTP"}, {"554 ", "SMTP"}, {"554-", "SMTP"}, // or FTP
	{"HTTP/", "HTTP"},
	{"SSH-", "SSH"},
}

// Service returns the protocol of a greeting that is not one of POP3, such as "IMAP"; empty: unknown.
// At least its first five octets must be given, or all of it.
func Service(greeting []byte) string {
	for _, known := range greetings {
		begin := known.begin[:min(len(known.begin), max(len(greeting), 4))]
		if bytes.HasPrefix(bytes.ToUpper(greeting), []byte(begin)) {
			if known.service == "SMTP" && bytes.Contains(greeting, []byte("FTP")) {
				return "FTP"
			}
			return known.service
		}
	}
	return ""
}
