// Command realprovider is an OpenID provider on loopback for tests. It is made of zitadel/oidc's
// packages, so that popfetch's OAuth 2 code is tested against code of other people.
//
//	realprovider [-listen ADDRESS] [-life DURATION] [-poll DURATION] [-for DURATION]
//
// It prints one line of JSON, a [description], and serves HTTP without TLS. It keeps everything in
// memory. It ends when its standard input is closed, or after the time of -for. So it does not
// outlive its test.
//
// It has authorization codes with PKCE (S256 only), device codes, client credentials, introspection
// and revocation. Refresh tokens rotate: each serves once. If one is used again, all tokens of this
// sign-in are revoked.
//
// A test acts as the person by HTTP requests:
//
//   - /approve?user_code=CODE and /deny?user_code=CODE decide about a device. With user=NAME it is
//     another person than alice. At /device there is a form for that.
//   - A browser is sent to /login?id=ID. With user=NAME added, that person signs in. With deny=1
//     added, the person declines. With neither, the login_hint of the request signs in. If that is
//     nobody, there is a form.
//   - /expire makes all access tokens expire that were issued so far.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// settings are the options of the command line.
type settings struct {
	listen string
	life   time.Duration
	poll   time.Duration
	limit  time.Duration
}

func main() {
	var s settings
	flag.StringVar(&s.listen, "listen", "127.0.0.1:0", "`address` to listen at")
	flag.DurationVar(&s.life, "life", 5*time.Minute, "access tokens expire after this `time`")
	flag.DurationVar(&s.poll, "poll", time.Second, "devices are told to ask at this `interval`, in whole seconds")
	flag.DurationVar(&s.limit, "for", 2*time.Minute, "end after this `time`")
	flag.Parse()
	if err := run(s, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "realprovider:", err)
		os.Exit(1)
	}
}

// run serves until stdin ends or the time is over.
func run(s settings, stdin io.Reader, stdout io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.limit)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		cancel()
	}()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	p, err := newProvider("http://"+listener.Addr().String(), s.life, s.poll)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: p.handler(), ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := json.NewEncoder(stdout).Encode(p.description()); err != nil {
		return fmt.Errorf("printing the addresses: %w", err)
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}
