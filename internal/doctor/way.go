package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/popfetch/popfetch/internal/escape"
	"github.com/popfetch/popfetch/pop3"
)

const (
	// mostAddresses limits how many addresses of a server are examined.
	mostAddresses = 8
	// wayTime limits the examination of the way, whatever the account's time limits are.
	wayTime = 30 * time.Second
)

// Way is the way to a server.
type Way struct {
	Server  string // host:port
	Options pop3.Options
	// Via is the key of what connects in place of popfetch, such as connect_command; empty: nothing does.
	Via string
	// Visits has the connections to further addresses. Nil: no other account shares them.
	Visits *Visits
	// Trust is all that the account accepts a server by. Only accounts with the same share visits.
	Trust string
	// Lookup finds the addresses of a name. Nil: the system's resolver does.
	Lookup func(ctx context.Context, host string) ([]net.IPAddr, error)
}

// Examine returns findings about the server's name and addresses. The session is the one that has
// used the way, and err is why it got no further; nil: it has succeeded.
//
// Each further address is connected to, all at once, if the session itself got past its greeting: else
// all would show the same fault. There the greeting is read, under TLS if the account wants it, and QUIT
// is sent. No name and no password is sent.
func (w *Way) Examine(ctx context.Context, s *Session, err error) []Finding {
	host, port, splitErr := net.SplitHostPort(w.Server)
	switch {
	case splitErr != nil:
		return nil
	case w.Via != "" && s.TLS == nil && s.GreetedAt.IsZero() && err != nil:
		return nil // the fault tells it; a command may run and reach nothing
	case w.Via != "":
		return []Finding{ok(CheckAddress, "%s leads to %s; popfetch does not see the way behind it", w.Via, w.Server)}
	case net.ParseIP(host) != nil:
		return w.addresses(ctx, []net.IPAddr{{IP: net.ParseIP(host)}}, port, s, err)
	}
	var dns *net.DNSError
	if errors.As(err, &dns) && s.Reached == 0 {
		return nil // the fault tells it
	}
	lookup := w.Lookup
	if lookup == nil {
		lookup = net.DefaultResolver.LookupIPAddr
	}
	limited, cancel := context.WithTimeout(ctx, w.limit())
	ips, lookupErr := lookup(limited, host)
	cancel()
	if lookupErr != nil || len(ips) == 0 {
		return []Finding{warning(CheckDNS, "run check again; if it lasts, ask whoever runs the resolver in /etc/resolv.conf",
			"%s was found before, and is not found now: %s", host, reason(lookupErr))}
	}
	names := make([]string, len(ips))
	for i, ip := range ips {
		names[i] = ip.String()
	}
	resolved := ok(CheckDNS, "%s is %s", host, list(names, mostAddresses))
	return append([]Finding{resolved}, w.addresses(ctx, ips[:min(len(ips), mostAddresses)], port, s, err)...)
}

func (w *Way) limit() time.Duration {
	limit := wayTime
	if t := w.Options.GreetingTimeout; t > 0 {
		limit = min(limit, t)
	}
	return limit
}

// addresses returns a finding for each address.
func (w *Way) addresses(ctx context.Context, ips []net.IPAddr, port string, s *Session, err error) []Finding {
	findings := make([]Finding, len(ips))
	failed := dialFailures(err)
	var wg sync.WaitGroup
	for i, ip := range ips {
		addr := net.JoinHostPort(ip.String(), port)
		switch cause, tried := failed[addr]; {
		case s.Reached > 0 && addr == s.Address:
			findings[i] = ok(CheckAddress, "%s answers", addr)
		case tried && s.Reached == 0:
			findings[i] = unreached(addr, cause, "look at the network between this machine and the server")
			findings[i].State = Fault
		case !s.opened(w.Options.TLS): // it is not tried
		default:
			wg.Add(1)
			go func() {
				defer wg.Done()
				findings[i] = w.Visits.once(ctx, w.key(addr), func() Finding { return w.visit(ctx, addr) })
			}()
		}
	}
	wg.Wait()
	return slices.DeleteFunc(findings, func(f Finding) bool { return f.Check == "" })
}

// visit connects to an address, reads the greeting and quits.
func (w *Way) visit(ctx context.Context, addr string) Finding {
	options := w.Options
	options.Idle, options.Step, options.Trace = nil, nil, nil // they are the session's
	options.Dial = func(ctx context.Context, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}
	ctx, cancel := context.WithTimeout(ctx, w.limit())
	defer cancel()
	client, err := pop3.Dial(ctx, w.Server, &options)
	if err != nil {
		return unreached(addr, err, "this address differs from that of the session; tell whoever runs the server")
	}
	_ = client.Quit(ctx) // the greeting was all that mattered
	return ok(CheckAddress, "%s answers", addr)
}

// unreached returns the warning that an address does not answer as it should. The mend is for an
// error that says nothing of the network.
func unreached(addr string, err error, mend string) Finding {
	return warning(CheckAddress, cmp.Or(reachMend(err), mend), "%s: %s", addr, reason(err))
}

// reachMend returns what to do about an address that does not answer; empty: that is not known.
func reachMend(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens on that port: look at the port in server (995 with TLS, 110 without), and whether the server runs"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this machine has no way there: look at its network, and for an IPv6 address whether it has IPv6"
	case tookTooLong(err):
		return "nothing answers: a firewall may drop the packets, or the port in server is another one (995 with TLS, 110 without)"
	}
	return ""
}

// ReachMend returns what to do about an error of connecting; empty: it is not one.
func ReachMend(err error) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Sprintf("look at the spelling in server; getent hosts %s asks the same resolver", escape.Text([]byte(dns.Name), shownOctets))
	case errors.As(err, &dns):
		return "the resolver in /etc/resolv.conf does not answer: look at this machine's network"
	case len(dialFailures(err)) > 0:
		for _, cause := range dialFailures(err) {
			return reachMend(cause)
		}
	}
	return ""
}

// reason returns the text of an error without the address. It is short for common errors of networks.
func reason(err error) string {
	var op *net.OpError
	var call syscall.Errno
	switch {
	case err == nil:
		return "no address"
	case errors.As(err, &op) && op.Op == "dial" && errors.As(err, &call):
		return call.Error()
	case tookTooLong(err):
		return "no answer in time"
	}
	text := err.Error()
	if opening, rest, cut := strings.Cut(text, ": "); cut && strings.HasPrefix(opening, "opening a session with ") {
		text = rest
	}
	return shown(text)
}

func tookTooLong(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded)
}

// dialFailures returns the errors of connecting that err wraps, by address.
func dialFailures(err error) map[string]error {
	failures := make(map[string]error)
	var walk func(error)
	walk = func(err error) {
		if op, isOp := err.(*net.OpError); isOp { //nolint:errorlint // the tree is walked by hand
			if op.Op == "dial" && op.Addr != nil {
				failures[op.Addr.String()] = op
			}
			return
		}
		switch e := err.(type) { //nolint:errorlint // the tree is walked by hand
		case interface{ Unwrap() error }:
			walk(e.Unwrap())
		case interface{ Unwrap() []error }:
			for _, one := range e.Unwrap() {
				walk(one)
			}
		}
	}
	walk(err)
	return failures
}
