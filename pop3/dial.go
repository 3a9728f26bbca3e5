package pop3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// dialAny connects to the first address of addr's host that answers (C0001).
func dialAny(ctx context.Context, addr string, limit time.Duration) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	ips, err := lookup(ctx, host, limit)
	if err != nil {
		return nil, dialError(ctx, err)
	}
	return dialEach(ctx, ips, port, limit)
}

func lookup(ctx context.Context, host string, limit time.Duration) ([]net.IPAddr, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	// The resolver returns neither for names that it must not look up, such as those in .onion.
	if err == nil && len(ips) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return ips, err
}

// dialEach tries the addresses in turn. The error wraps the cause for each.
func dialEach(ctx context.Context, ips []net.IPAddr, port string, limit time.Duration) (net.Conn, error) {
	var causes error
	for _, ip := range ips {
		dialer := net.Dialer{Timeout: limit}
		conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(ip.String(), port))
		if err == nil {
			return conn, nil
		}
		if ctx.Err() != nil {
			return nil, dialError(ctx, err)
		}
		if err = dialError(ctx, err); causes == nil {
			causes = err
		} else {
			causes = fmt.Errorf("%w; %w", causes, err)
		}
	}
	return nil, causes
}

// dialError returns the error that the rest of the package uses: the cause of an ended context, or
// os.ErrDeadlineExceeded after a time limit. Any other error stays as it is.
func dialError(ctx context.Context, err error) error {
	var timeout net.Error
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &timeout) && timeout.Timeout() && !errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: %w", err, os.ErrDeadlineExceeded)
	default:
		return err
	}
}
