package imapbox

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/popfetch/popfetch/internal/escape"
)

// maxDialTimeout bounds the wait for a connection.
const maxDialTimeout = 30 * time.Second

// dial returns a connection on which the server's greeting is read next.
func (a *Account) dial(ctx context.Context) (*wire, error) {
	ctx, cancel := context.WithTimeout(ctx, min(a.Timeout, maxDialTimeout))
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", a.Address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	w := &wire{Conn: conn, timeout: a.Timeout}
	if a.StartTLS {
		if isLoopback(conn) && !a.strict {
			return w, nil
		}
		if err := a.startTLS(conn); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		// The library waits for a greeting, and the server sends none behind STARTTLS.
		w.prefix = []byte("* OK TLS\r\n")
	}
	secured, err := a.handshake(ctx, conn)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	w.Conn = secured
	return w, nil
}

func isLoopback(conn net.Conn) bool {
	addr, ok := conn.RemoteAddr().(*net.TCPAddr)
	return ok && addr.IP.IsLoopback()
}

// handshake begins TLS on a connection.
func (a *Account) handshake(ctx context.Context, conn net.Conn) (net.Conn, error) {
	config := a.TLSConfig.Clone()
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if config.ServerName == "" {
		host, _, err := net.SplitHostPort(a.Address)
		if err != nil {
			return nil, fmt.Errorf("the address of the IMAP server: %w", err)
		}
		config.ServerName = host
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, handshakeError(ctx, err)
	}
	return secured, nil
}

// handshakeError tells a line that broke from a server that cannot be trusted.
func handshakeError(ctx context.Context, err error) error {
	var wait net.Error
	if ctx.Err() != nil || errors.Is(err, io.EOF) || errors.As(err, &wait) && wait.Timeout() {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op != "remote error" && op.Op != "local error" { // not an alert
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return fmt.Errorf("%w: %w", ErrUntrusted, err)
}

// startTLS asks for TLS. It reads no octet behind the reply: what a stranger has put there in clear
// must not count as said under TLS.
func (a *Account) startTLS(conn net.Conn) error {
	greeting, err := readLine(conn)
	if err != nil {
		return err
	}
	switch {
	case isReply(greeting, "* PREAUTH"):
		return fmt.Errorf("%w: the server greets with PREAUTH, so STARTTLS is not possible", ErrUntrusted)
	case !isReply(greeting, "* OK"):
		return fmt.Errorf("%w: it greets with %s", ErrUnreachable, escape.Text([]byte(greeting), maxShown))
	}
	if _, err := io.WriteString(conn, "p0 STARTTLS\r\n"); err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	for {
		line, err := readLine(conn)
		switch {
		case err != nil:
			return err
		case isReply(line, "p0 OK"):
			return nil
		case isReply(line, "p0"):
			return fmt.Errorf("%w: STARTTLS was answered by %s", ErrUntrusted, escape.Text([]byte(line), maxShown))
		case isReply(line, "* BYE"):
			return fmt.Errorf("%w: it said %s", ErrUnreachable, escape.Text([]byte(line), maxShown))
		}
	}
}

// isReply reports whether a line begins with these words.
func isReply(line, words string) bool {
	return strings.EqualFold(line, words) || len(line) > len(words) && line[len(words)] == ' ' && strings.EqualFold(line[:len(words)], words)
}

// readLine reads one line and nothing behind it. It returns the line without its end.
func readLine(conn net.Conn) (string, error) {
	const longest = 8 << 10
	var line bytes.Buffer
	var octet [1]byte
	for line.Len() < longest {
		if _, err := io.ReadFull(conn, octet[:]); err != nil {
			return "", fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		if octet[0] == '\n' {
			return strings.TrimSuffix(line.String(), "\r"), nil
		}
		line.WriteByte(octet[0])
	}
	return "", fmt.Errorf("%w: a line of more than %d octets", ErrProtocol, longest)
}
