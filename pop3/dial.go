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

// nextAddress is how long one address has to answer before the next one is tried too (RFC 8305
// section 8).
const nextAddress = 250 * time.Millisecond

// dialEach connects to the address that answers first. The next one is tried when the one before has
// failed, or does not answer soon: a host may have IPv6 addresses that lead nowhere (RFC 8305
// section 5). The error wraps the cause for each.
func dialEach(ctx context.Context, ips []net.IPAddr, port string, limit time.Duration) (net.Conn, error) {
	type outcome struct {
		at   int
		conn net.Conn
		err  error
	}
	attempts, cancel := context.WithCancel(ctx)
	defer cancel()
	ips = alternating(ips)
	outcomes := make(chan outcome, len(ips))
	causes := make([]error, len(ips))
	next := time.NewTimer(0)
	defer next.Stop()
	begun, ended := 0, 0
	defer func() { // the others end soon, because attempts has ended
		go func() {
			for range begun - ended {
				if late := <-outcomes; late.conn != nil {
					_ = late.conn.Close() // nothing was sent
				}
			}
		}()
	}()
	for ended < len(ips) {
		select {
		case <-next.C:
			if begun == len(ips) {
				continue
			}
			at := begun
			begun++
			go func() {
				dialer := net.Dialer{Timeout: limit}
				conn, err := dialer.DialContext(attempts, "tcp", net.JoinHostPort(ips[at].String(), port))
				outcomes <- outcome{at, conn, err}
			}()
			next.Reset(nextAddress)
		case o := <-outcomes:
			ended++
			if o.err == nil {
				return o.conn, nil
			}
			if ctx.Err() != nil {
				return nil, dialError(ctx, o.err)
			}
			causes[o.at] = dialError(ctx, o.err)
			next.Reset(0)
		}
	}
	return nil, inTurn(causes)
}

// alternating returns the addresses with the families in turn, beginning with the first one's. The
// resolver has put the better ones first.
func alternating(ips []net.IPAddr) []net.IPAddr {
	var first, second []net.IPAddr
	for _, ip := range ips {
		if (ip.IP.To4() == nil) == (ips[0].IP.To4() == nil) {
			first = append(first, ip)
		} else {
			second = append(second, ip)
		}
	}
	mixed := make([]net.IPAddr, 0, len(ips))
	for i := range ips {
		if i < len(first) {
			mixed = append(mixed, first[i])
		}
		if i < len(second) {
			mixed = append(mixed, second[i])
		}
	}
	return mixed
}

// inTurn joins the causes in one line.
func inTurn(causes []error) error {
	err := causes[0]
	for _, cause := range causes[1:] {
		err = fmt.Errorf("%w; %w", err, cause)
	}
	return err
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
