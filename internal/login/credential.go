package login

import (
	"bytes"
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
)

// A mark lets a later run find out whether the credentials are still those that a server refused.
// It must not help to guess them. So it has so few octets that one in 65536 of all passwords fits
// it, and each guess costs many rounds of a hash. The price is that one in 65536 changed passwords
// is taken for the old one.
const (
	markSalt   = 16 // octets
	markRounds = 20_000
	markOctets = 2
)

// mark returns the mark of password, of the mechanisms and of the charset. These belong to it,
// because a server refuses a wrong one like a wrong password.
func (cr *Credentials) mark(password string, salt []byte) ([]byte, error) {
	names := make([]string, len(cr.Mechanisms))
	for i, m := range cr.Mechanisms {
		names[i] = string(m)
	}
	if cr.Charset != "" && cr.Charset != ASCII {
		names = append(names, string(cr.Charset))
	}
	sum, err := pbkdf2.Key(sha256.New, strings.Join(names, " ")+"\x00"+password, salt, markRounds, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("hashing the credentials: %w", err)
	}
	return append(slices.Clip(salt), sum[:markOctets]...), nil
}

// marked returns what a mark is of: the password, or the sign-in, because an access token changes by
// itself, and the next one may be refused for the same reason. If no password was asked for, it is the
// ticket. It returns "" if there is no mark.
func (cr *Credentials) marked(password, ticketID string) string {
	switch {
	case password == "":
		return ticketID
	case !cr.Bearer:
		return password
	case cr.SignInID == nil:
		return ""
	}
	return cr.SignInID()
}

// newMark returns a mark with a new salt, or nil if neither a password nor a ticket was used, or if
// there is no mark of an access token.
func (cr *Credentials) newMark(password, ticketID string) []byte {
	marked := cr.marked(password, ticketID)
	if marked == "" {
		return nil
	}
	salt := make([]byte, markSalt)
	_, _ = rand.Read(salt) // Read never fails
	mark, err := cr.mark(marked, salt)
	if err != nil {
		return nil // without a mark, only the command check ends the wait
	}
	return mark
}

// Mark returns a mark of the password or ticket that the last log-in used. If known is a mark that it
// fits, it returns known, so that the two do not tell more of the password than one. It returns nil if
// that log-in used neither. It does not ask for the password again.
func (cr *Credentials) Mark(known []byte) []byte {
	cr.mu.Lock()
	password, ticketID := cr.last, cr.lastTicket
	cr.mu.Unlock()
	if marked := cr.marked(password, ticketID); len(known) > markSalt && marked != "" {
		if mark, err := cr.mark(marked, known[:markSalt]); err == nil && bytes.Equal(mark, known) {
			return known
		}
	}
	return cr.newMark(password, ticketID)
}

// Changed reports whether the credentials differ from those of Error.Credential. Without a mark in
// credential, it reports false. It asks for the password, as each run does anyway, but for no access
// token. If there is no password, the error is a *Error.
func (cr *Credentials) Changed(ctx context.Context, credential []byte) (bool, error) {
	if len(credential) <= markSalt {
		return false, nil
	}
	if slices.Contains(cr.Mechanisms, GSSAPI) {
		ticketID := cr.ticketID()
		if ticketID == "" && cr.secretless() { // it has ended, and no other is there
			return false, nil
		}
		mark, err := cr.mark(ticketID, credential[:markSalt])
		if err != nil {
			return false, err
		}
		if same := bytes.Equal(mark, credential); same || cr.secretless() {
			return !same, nil
		}
	}
	password, err := "token", error(nil)
	if !cr.Bearer {
		password, err = cr.password(ctx)
	}
	if err != nil {
		return false, err
	}
	mark, err := cr.mark(cr.marked(password, ""), credential[:markSalt])
	if err != nil {
		return false, err
	}
	return !bytes.Equal(mark, credential), nil
}

// secretless reports whether no mechanism of the account uses a password or an access token.
func (cr *Credentials) secretless() bool {
	for _, m := range cr.Mechanisms {
		if m != GSSAPI && m != External {
			return false
		}
	}
	return len(cr.Mechanisms) > 0
}

// password asks for the password. If there is none, the error is a *Error.
func (cr *Credentials) password(ctx context.Context) (string, error) {
	password, err := cr.Password(ctx)
	return password, cr.noSecret(ctx, err)
}

// renewed asks for another access token than the refused one.
func (cr *Credentials) renewed(ctx context.Context, refused string) (string, error) {
	token, err := cr.Renew(ctx, refused)
	return token, cr.noSecret(ctx, err)
}

// noSecret returns the error of a log-in that has no password because of err.
func (cr *Credentials) noSecret(ctx context.Context, err error) error {
	what := "the password"
	if cr.Bearer {
		what = "the access token"
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil: // the run ends for another reason
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	return &Error{Fault: Cannot, Err: fmt.Errorf("%s: %w", what, err)}
}
