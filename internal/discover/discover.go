// Package discover finds the POP3 servers of a mail address. It knows well-known providers, asks DNS
// (RFC 6186), and else tries the usual names. It logs in nowhere, and finds only servers that protect
// the log-in by TLS, with a certificate that is valid for their name.
package discover

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/popfetch/popfetch/pop3"
)

// Server is a POP3 server.
type Server struct {
	Host string // in lower case, without a dot at the end
	Port string
	// STARTTLS says that TLS begins with STLS. Otherwise it begins with the first octet.
	STARTTLS bool
}

// Addr returns host:port.
func (s Server) Addr() string { return net.JoinHostPort(s.Host, s.Port) }

// Source says what a server was found by.
type Source int

// The sources, in the order in which they are asked.
const (
	ByTable Source = iota // a well-known provider's
	ByDNS                 // SRV records of the domain
	ByGuess               // a usual name within the domain
)

// Found is what is known of the servers of a domain.
type Found struct {
	Provider *Provider // nil if the domain is no well-known provider's
	Source   Source    // of Servers
	Servers  []Server  // they have answered; the best one first
	Failed   []Failure // those that were tried in vain
	None     bool      // the domain says by DNS that it offers no POP3
}

// Failure is a server that cannot be used.
type Failure struct {
	Server Server
	Source Source
	Err    error
}

// Matters reports whether a person should know of the failure. Most of the usual names do not exist.
func (f *Failure) Matters() bool { return f.Source != ByGuess || !isAbsent(f.Err) }

// IsOutside reports whether a server's host lies outside of the domain. Where DNS is not signed, a
// stranger may have named it. So a person must agree to it (RFC 6186 section 6).
func IsOutside(s Server, domain string) bool {
	return s.Host != domain && !strings.HasSuffix(s.Host, "."+domain)
}

// Finder finds servers. The zero value uses the resolver of the system and its authorities.
type Finder struct {
	Resolver *net.Resolver // nil: the system's
	Options  pop3.Options  // for the sessions that try a server; the kind of TLS is set by Finder
}

// Find finds the servers of a domain, which is in lower case and ASCII. It returns an error only if
// ctx ends. Then, and if nothing is found, Servers is empty.
func (f *Finder) Find(ctx context.Context, domain string) (*Found, error) {
	found := &Found{Provider: ProviderOf(domain)}
	if p := found.Provider; p != nil {
		if p.Host == "" {
			return found, nil
		}
		if f.try(ctx, found, ByTable, []Server{p.server()}) {
			return found, nil
		}
	}
	servers, none := f.srv(ctx, domain)
	if found.None = none; none {
		return found, context.Cause(ctx)
	}
	if f.try(ctx, found, ByDNS, servers) || f.try(ctx, found, ByGuess, guesses(domain)) {
		return found, nil
	}
	return found, context.Cause(ctx)
}

// try tries servers that were found by source. It reports whether one can be used.
func (f *Finder) try(ctx context.Context, found *Found, source Source, servers []Server) bool {
	good, failed := f.Probe(ctx, servers)
	for i := range failed {
		failed[i].Source = source
	}
	found.Failed = append(found.Failed, failed...)
	if len(good) == 0 {
		return false
	}
	found.Source, found.Servers = source, good
	return true
}

// guesses returns the usual names of servers of a domain. TLS from the first octet comes first
// (RFC 8314 section 3).
func guesses(domain string) []Server {
	var servers []Server
	for _, port := range []Server{{Port: "995"}, {Port: "110", STARTTLS: true}} {
		for _, prefix := range []string{"pop.", "pop3.", "mail.", ""} {
			port.Host = prefix + domain
			servers = append(servers, port)
		}
	}
	return servers
}

// srv returns the servers that the SRV records of a domain name, those with TLS from the first octet
// first. If the records say that there is no such service, and name no server, none is true.
func (f *Finder) srv(ctx context.Context, domain string) (servers []Server, none bool) {
	type answer struct {
		servers []Server
		none    bool
	}
	ctx, cancel := context.WithTimeout(ctx, dnsTimeout)
	defer cancel()
	services := []string{"pop3s", "pop3"}
	answers := make([]chan answer, len(services))
	for i, service := range services {
		answers[i] = make(chan answer, 1)
		go func() {
			servers, none := f.service(ctx, service, domain)
			answers[i] <- answer{servers, none}
		}()
	}
	for _, c := range answers {
		a := <-c
		servers, none = append(servers, a.servers...), none || a.none
	}
	return servers, none && len(servers) == 0
}

// service returns the servers of one service, in the order of their priorities. A target "." says
// that the service is not offered (RFC 2782).
func (f *Finder) service(ctx context.Context, service, domain string) (servers []Server, none bool) {
	resolver := f.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	// An error may come with the records that are valid. Without any, the service is not announced.
	_, records, _ := resolver.LookupSRV(ctx, service, "tcp", domain+".")
	for _, r := range records {
		host := strings.ToLower(strings.TrimSuffix(r.Target, "."))
		switch {
		case host == "":
			none = true
		case r.Port != 0 && len(servers) < mostServers:
			servers = append(servers, Server{Host: host, Port: fmt.Sprint(r.Port), STARTTLS: service == "pop3"})
		}
	}
	return servers, none
}

// mostServers bounds how many records of a domain are used.
const mostServers = 8

// Reason returns in a few words why a server cannot be used.
func Reason(err error) string {
	var dns *net.DNSError
	var refused *tls.CertificateVerificationError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "there is no such host"
	case errors.As(err, &refused):
		return fmt.Sprintf("its certificate is refused (%v)", refused.Err)
	case errors.Is(err, pop3.ErrInsecure):
		return "it offers no encryption, so no password is sent there"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "it refuses connections"
	case isSilent(err):
		return "it does not answer"
	}
	return err.Error()
}

// Guess finds servers by their usual names alone.
func (f *Finder) Guess(ctx context.Context, domain string) (*Found, error) {
	found := &Found{}
	f.try(ctx, found, ByGuess, guesses(domain))
	return found, context.Cause(ctx)
}

// isAbsent reports whether a server cannot be used because it is not there at all.
func isAbsent(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound || errors.Is(err, syscall.ECONNREFUSED) || isSilent(err)
}

// isSilent reports whether a server has not answered in time.
func isSilent(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.Canceled)
}
