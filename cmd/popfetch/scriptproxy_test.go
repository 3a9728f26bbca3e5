package main

import (
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/popfetch/popfetch/internal/poptest"
)

func cmdProxy(ts *testscript.TestScript, neg bool, args []string) {
	all := servers(ts, neg, len(args) == 3 || len(args) == 4, "popproxy NAME SCHEME SERVER [user:password]")
	server := all.named(ts, args[2])
	known := map[string]string{
		"pop.invalid:110": server.Addr(), "localhost:110": server.Addr(), "pop.invalid:995": server.TLSAddr(), "localhost:995": server.TLSAddr(),
	}
	proxy := poptest.NewProxy(all.t, args[1], strings.Join(args[3:], ""), known)
	all.proxies[args[0]] = proxy
	ts.Setenv(args[0], proxy.Addr())
}

func cmdProxyAsked(ts *testscript.TestScript, neg bool, args []string) {
	all := servers(ts, neg, len(args) >= 1 && !neg, "proxyasked NAME addr...")
	proxy := all.proxies[args[0]]
	if proxy == nil {
		ts.Fatalf("there is no proxy %s", args[0])
	}
	if got := proxy.Asked(); !slices.Equal(got, args[1:]) {
		ts.Fatalf("the proxy was asked for %q, want %q", got, args[1:])
	}
}
