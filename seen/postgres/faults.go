package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/popfetch/popfetch/seen"
)

var (
	// ErrAway says that the database cannot be reached, or has ended the connection. The same may
	// succeed later.
	ErrAway = errors.New("seen: the database cannot be reached now")
	// ErrRefused says that the database does not let this program in, or not do what it must. The
	// URL, the password, or the rights of the role are wrong.
	ErrRefused = errors.New("seen: the database refuses")
	// ErrInsecure says that the URL leads to another machine without TLS that proves who it is.
	ErrInsecure = errors.New("seen: the connection to the database would not be safe")
	// ErrURL says that the URL of the database cannot be used.
	ErrURL = errors.New("seen: the URL of the database cannot be used")
	// ErrNoTables says that no popfetch has made its tables yet, so there is nothing to read.
	ErrNoTables = fmt.Errorf("seen: no popfetch has made its tables in the database: %w; "+
		"run a pass, which makes them", seen.ErrCreate)
)

// sqlError is an error that SQL mends. Its text ends with that.
type sqlError struct {
	error
	sql string
}

func (e *sqlError) Error() string { return e.error.Error() + ":\n" + e.sql }
func (e *sqlError) Unwrap() error { return e.error }

// SQLOf returns the SQL that another role has to run, so that an error is mended; "": there is
// none. The error's text ends with it.
func SQLOf(err error) string {
	var mendable *sqlError
	if !errors.As(err, &mendable) {
		return ""
	}
	return mendable.sql
}

// explain adds to an error of the database what it means.
func (s *Store) explain(err error) error {
	var refused *pgconn.PgError
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, ErrAway),
		errors.Is(err, ErrRefused), errors.Is(err, seen.ErrLost):
		return err
	case errors.As(err, &refused):
		return explainRefusal(refused, err)
	case isCertificate(err):
		return fmt.Errorf("%w: %w", ErrRefused, err)
	case pgconn.Timeout(err), pgconn.SafeToRetry(err), isBroken(err):
		return fmt.Errorf("%w: %w", ErrAway, err)
	}
	return err
}

// explainRefusal explains what the server said.
func explainRefusal(refused *pgconn.PgError, err error) error {
	switch refused.Code {
	case codeLost:
		return fmt.Errorf("%w (%w)", seen.ErrLost, err)
	case "53300", "25006", "40001", "40P01": // too many clients, a standby, a conflict, a deadlock
		return fmt.Errorf("%w: %w", ErrAway, err)
	case "3D000", insufficientPrivilege: // no such database
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if refused.Code == "08P01" && isBouncersNo(refused.Message) {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	switch refused.Code[:2] {
	case "08", "57": // the connection, and what an operator did
		return fmt.Errorf("%w: %w", ErrAway, err)
	case "28": // name or password
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}

// isBouncersNo reports whether a message of PgBouncer says that name, password or database are
// wrong. It gives all that goes wrong one code.
func isBouncersNo(message string) bool {
	for _, no := range []string{
		"authentication failed", "no such user", "no such database", "does not exist",
	} {
		if strings.Contains(message, no) {
			return true
		}
	}
	return false
}

// isBroken reports whether the connection could not be made, or has ended.
func isBroken(err error) bool {
	var network net.Error
	var connect *pgconn.ConnectError
	return errors.As(err, &network) || errors.As(err, &connect) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded)
}

// isCertificate reports whether the server's certificate is not believed.
func isCertificate(err error) bool {
	var verify *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	return errors.As(err, &verify) || errors.As(err, &authority) || errors.As(err, &host)
}
