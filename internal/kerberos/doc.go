// Package kerberos proves to a service who the owner of a Kerberos ticket is, and lets the service
// prove itself (RFC 4120, RFC 4121).
//
// A ticket comes from the cache that kinit fills. The key distribution centre (KDC) exchanges it for
// one of the service. gokrb5 has the messages and the cryptography. This package has what gokrb5
// lacks: the caches and krb5.conf of MIT read as MIT does, KDCs asked within a context and within bounds,
// the answer of the service checked, and wrap tokens with sequence numbers and the acceptor's key.
package kerberos

import (
	"errors"
	"fmt"
)

// Error says why there is no ticket for the service.
type Error struct {
	// Temporary says that no KDC answered as one, so that a later attempt may succeed. Otherwise a
	// person is needed.
	Temporary bool
	Err       error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// ErrUntrue says that the service has not proved that it has the key of its name.
var ErrUntrue = errors.New("the server does not prove that it is the service of the ticket")

// guard calls f, and returns a panic of gokrb5 as an error. What f reads has come from elsewhere,
// and gokrb5 indexes some of it without a check.
func guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("malformed: %v", r)
		}
	}()
	return f()
}
