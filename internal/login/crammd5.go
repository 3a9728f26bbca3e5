package login

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
	"errors"

	"github.com/emersion/go-sasl"
)

// beginCramMD5 logs in by AUTH CRAM-MD5 (RFC 2195). The password is not sent, but it can be guessed
// from what is.
func beginCramMD5(s server, id *identity) (*attempt, error) {
	if err := checkSASL(s, id, "CRAM-MD5"); err != nil {
		return nil, err
	}
	password, err := id.password()
	if err != nil {
		return nil, err
	}
	d := &keyedDigest{name: id.user, password: password}
	return &attempt{sasl: d, sent: func(error) bool { return d.sent }}, nil
}

// keyedDigest is the mechanism CRAM-MD5.
type keyedDigest struct {
	name, password string
	sent           bool
}

func (d *keyedDigest) Start() (mech string, ir []byte, err error) { return "CRAM-MD5", nil, nil }

func (d *keyedDigest) Next(challenge []byte) ([]byte, error) {
	switch {
	case d.sent:
		return nil, sasl.ErrUnexpectedServerChallenge
	case len(challenge) == 0: // the digest would be the same each time
		return nil, errors.New("the challenge is empty")
	}
	d.sent = true
	key := []byte(d.password)
	defer clear(key)
	mac := hmac.New(md5.New, key)
	mac.Write(challenge)
	return []byte(d.name + " " + hex.EncodeToString(mac.Sum(nil))), nil
}
