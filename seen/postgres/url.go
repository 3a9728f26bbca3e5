package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// configuration returns the settings of a URL. No error of it shows the password.
func configuration(o Options) (*pgxpool.Config, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		// What url.Parse says may hold a part of the password.
		return nil, fmt.Errorf("%w: it is not one such as postgres://user@host/database; "+
			"write special characters in it as %%XX", ErrURL)
	}
	config, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrURL, reasonOf(err, u))
	}
	conn := config.ConnConfig
	if err := checkSafe(conn); err != nil {
		return nil, err
	}
	config.MaxConns = mostConnections
	// PgBouncer in transaction mode keeps no prepared statement for us.
	conn.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn.StatementCacheCapacity, conn.DescriptionCacheCapacity = 0, 0
	if conn.ConnectTimeout == 0 {
		conn.ConnectTimeout = connectTimeout
	}
	dialer := &net.Dialer{KeepAliveConfig: keepAlive}
	conn.DialFunc = dialer.DialContext
	if o.Password != nil {
		config.BeforeConnect = func(ctx context.Context, c *pgx.ConnConfig) (err error) {
			c.Password, err = o.Password(ctx)
			return err
		}
	}
	return config, nil
}

// Check returns an error if the URL cannot be used, or would not be safe. It contacts nobody.
func Check(o Options) error {
	_, err := configuration(o)
	return err
}

const connectTimeout = 10 * time.Second

// keepAlive finds a peer that is silent because it is gone, while a statement waits for its rows.
var keepAlive = net.KeepAliveConfig{
	Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 4,
}

// reasonOf returns why pgx refuses a URL, without the URL and its password.
func reasonOf(err error, u *url.URL) string {
	text := err.Error()
	if parse := (*pgconn.ParseConfigError)(nil); errors.As(err, &parse) {
		if i := strings.LastIndex(text, "`: "); i >= 0 {
			text = text[i+len("`: "):]
		}
	}
	password, _ := u.User.Password()
	query := u.Query()
	for _, secret := range []string{password, query.Get("password"), query.Get("sslpassword")} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "xxxxx")
		}
	}
	return text
}

// checkSafe refuses a connection to another machine that does not prove who it is. Otherwise
// whoever stands between could read the records, and change them.
func checkSafe(c *pgx.ConnConfig) error {
	check := func(host string, proven bool) error {
		if proven || isLocal(host) {
			return nil
		}
		return fmt.Errorf("%w: host %q is another machine; add sslmode=verify-full to the URL, "+
			"and sslrootcert=FILE with the "+
			"certificate of its authority (sslrootcert=system: one that the system trusts)",
			ErrInsecure, host)
	}
	isProven := func(c *pgconn.FallbackConfig) bool {
		return c.TLSConfig != nil && !c.TLSConfig.InsecureSkipVerify && c.TLSConfig.ServerName != ""
	}
	errs := check(c.Host, isProven(&pgconn.FallbackConfig{TLSConfig: c.TLSConfig}))
	for _, f := range c.Fallbacks {
		if errs == nil {
			errs = check(f.Host, isProven(f))
		}
	}
	return errs
}

// isLocal reports whether a host is this machine: a Unix socket or loopback.
func isLocal(host string) bool {
	if host == "localhost" || strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
