package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/discover"
)

// findServer looks for servers of the address, unless an option names one.
func (in *interview) findServer(ctx context.Context) error {
	in.found = &discover.Found{Provider: discover.ProviderOf(in.domain)}
	if in.given["server"] != "" {
		return nil
	}
	finder, err := in.finder()
	if err != nil {
		return err
	}
	if in.found.Provider == nil {
		if err := in.say("Looking for the POP3 servers of %s ...\n", in.domain); err != nil {
			return err
		}
	}
	if in.found, err = finder.Find(ctx, in.domain); err != nil {
		return err
	}
	if err := in.agree(ctx, finder); err != nil {
		return err
	}
	if len(in.found.Servers) == 0 {
		return in.giveUp()
	}
	if err := in.tellFailed(); err != nil || in.found.Source != discover.ByGuess {
		return err
	}
	return in.say("DNS announces none, but %s answers.\n", in.found.Servers[0].Addr())
}

// finder returns what finds servers. It trusts the authorities that an option names, too.
func (in *interview) finder() (*discover.Finder, error) {
	finder := &discover.Finder{}
	if ca := in.given["tls_ca"]; ca != "" {
		c, _, err := tlsConfig(&config.Account{Server: net.JoinHostPort(in.domain, "0"), TLSCA: ca}, make(authorities))
		if err != nil {
			return nil, usagef("--tls-ca: %w", err)
		}
		c.ServerName = "" // that of each server is filled in
		finder.Options.TLSConfig = c
	}
	return finder, nil
}

// agree asks about servers outside of the domain, which DNS has named. If the person does not know
// them, the usual names are tried.
func (in *interview) agree(ctx context.Context, finder *discover.Finder) error {
	if in.found.Source != discover.ByDNS || len(in.found.Servers) == 0 {
		return nil
	}
	server := in.found.Servers[0]
	if !discover.IsOutside(server, in.domain) {
		return nil
	}
	if err := in.say("DNS names the server %s, which is not within %s. Your password would be sent there.\n", server.Addr(), in.domain); err != nil {
		return err
	}
	yes, err := in.confirm(ctx, "Is that the server of your provider?")
	if yes || err != nil {
		return err
	}
	in.found, err = finder.Guess(ctx, in.domain)
	return err
}

// tellFailed tells of servers that cannot be used.
func (in *interview) tellFailed() error {
	for _, f := range in.found.Failed {
		if !f.Matters() {
			continue
		}
		if err := in.say("%s is not used: %s.\n", f.Server.Addr(), discover.Reason(f.Err)); err != nil {
			return err
		}
	}
	return nil
}

// noServerError means that init has found no server.
type noServerError struct{ error }

func noServerf(format string, args ...any) error {
	return noServerError{fmt.Errorf(format, args...)}
}

// giveUp tells why there is no server, and what to do.
func (in *interview) giveUp() error {
	p := in.found.Provider
	if p != nil && p.Host == "" {
		return noServerf("%s has no POP3: %s", p.Name, strings.Join(p.Needs, " "))
	}
	if in.found.None {
		return noServerf("%s says by DNS that it offers no POP3; ask your provider", in.domain)
	}
	if err := in.tellFailed(); err != nil {
		return err
	}
	return noServerf("no POP3 server of %s was found, neither by DNS nor as pop, pop3 or mail.%s; ask your provider for its name, and type: popfetch init --server NAME %s",
		in.domain, in.domain, shellWord(in.address))
}

// tellNeeds tells what the provider wants before it lets a program log in.
func (in *interview) tellNeeds(context.Context) error {
	p := in.found.Provider
	if p == nil || len(p.Needs) == 0 {
		return nil
	}
	text := p.Name + " needs this first:\n"
	for _, need := range p.Needs {
		text += "- " + need + "\n"
	}
	if p.URL != "" {
		text += "  " + p.URL + "\n"
	}
	return in.say("%s", text)
}

func (in *interview) askServer(ctx context.Context) error {
	if in.given["server"] == "" {
		best := in.found.Servers[0]
		_, err := in.ask(ctx, "Server", best.Addr(), func(answer string) error { return in.takeServer(answer, best) })
		if err != nil {
			return err
		}
	}
	if err := in.takeGiven(); err != nil || in.found.Provider != nil {
		return err
	}
	host, _, _ := strings.Cut(in.get("server"), ":")
	in.found.Provider = discover.ProviderAt(host) // a domain of one's own at a provider
	return in.tellNeeds(ctx)
}

// takeServer takes the answer that names the server. For the usual port of STLS, TLS begins so.
func (in *interview) takeServer(answer string, best discover.Server) error {
	_, port, err := net.SplitHostPort(answer)
	starttls := err == nil && port == "110"
	if answer == best.Addr() {
		starttls = best.STARTTLS
		if port == "995" && !starttls || port == "110" && starttls {
			answer = best.Host // the usual port need not be written
		}
	}
	in.set("server", answer)
	in.remove("tls")
	if starttls {
		in.set("tls", "starttls")
	}
	return in.mistake("server")
}

// takeGiven takes the keys that options give.
func (in *interview) takeGiven() error {
	for _, o := range config.Options() {
		value, given := in.given[o.Key]
		if !given {
			continue
		}
		if strings.Contains(value, ",") && slices.Contains([]string{"auth", "tls_fingerprint", "rcpt"}, o.Key) {
			in.set(o.Key, strings.Split(value, ","))
		} else {
			in.set(o.Key, value)
		}
		if err := in.mistake(o.Key); err != nil {
			return usagef("--%s: %w", o.Name, errors.Unwrap(err))
		}
	}
	if in.get("tls") == "none" {
		return usagef("--tls none: init sends no password in clear; write such an account by hand")
	}
	return nil
}
