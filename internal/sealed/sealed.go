// Package sealed keeps secrets in places that others can read. Only who has a key can open them.
//
// A key is an age identity (X25519), as age-keygen makes it. A key file holds identities, one a
// line. On a machine that only seals, it may hold recipients instead: they open nothing. What is
// sealed is sealed for the first key of the file, and opened by any. So keys can be exchanged one
// machine after the other.
//
// Each secret is bound to a label, such as the name of an account. Opened under another label, it
// is an error: whoever can write to the place cannot exchange the secrets of two accounts.
package sealed

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

// Keys seal and open. Their methods may be called at the same time.
type Keys struct {
	file       string // for error texts
	recipient  age.Recipient
	identities []age.Identity
}

// ErrNoIdentity means that a key file has only recipients, which open nothing.
var ErrNoIdentity = errors.New("the key file can only seal")

// ErrOther means that none of the keys opens what is sealed, or that it is damaged.
var ErrOther = errors.New("none of the keys opens it")

// letter is what is encrypted.
type letter struct {
	Label  string          `json:"for"`
	Secret json.RawMessage `json:"secret"`
}

// Seal returns a value, as JSON, sealed for the first key.
func (k *Keys) Seal(label string, value any) ([]byte, error) {
	secret, err := json.Marshal(value)
	if err != nil {
		return nil, errors.New("sealing: the value cannot be written") // err may show it
	}
	text, err := json.Marshal(letter{label, secret})
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	defer clear(secret)
	defer clear(text)
	var b bytes.Buffer
	w, err := age.Encrypt(&b, k.recipient)
	if err == nil {
		_, err = w.Write(text)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	return b.Bytes(), nil
}

// Open reads what was sealed under the label into value. The error is ErrNoIdentity or ErrOther, or
// it says that the label is another one. It never shows what is sealed.
func (k *Keys) Open(label string, sealed []byte, value any) error {
	if len(k.identities) == 0 {
		return fmt.Errorf("%w: %s has recipients alone; a worker needs the identity", ErrNoIdentity, k.file)
	}
	var text []byte
	r, err := age.Decrypt(bytes.NewReader(sealed), k.identities...)
	if err == nil {
		text, err = io.ReadAll(r)
	}
	defer clear(text)
	var l letter
	if err == nil {
		err = json.Unmarshal(text, &l)
	}
	if err != nil {
		return fmt.Errorf("%w: it was sealed for a key that is not in %s, or it is damaged", ErrOther, k.file)
	}
	defer clear(l.Secret)
	if l.Label != label {
		return fmt.Errorf("what is sealed belongs to %q, not to %q", l.Label, label)
	}
	if err := json.Unmarshal(l.Secret, value); err != nil {
		return fmt.Errorf("%w: its form is unknown", ErrOther)
	}
	return nil
}

// CanOpen reports whether there is an identity.
func (k *Keys) CanOpen() bool { return len(k.identities) > 0 }

// Parse reads the text of a key file. No error shows a part of a line, which may be an identity.
func Parse(file, text string) (*Keys, error) {
	k := &Keys{file: file}
	recipients := 0
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		var recipient age.Recipient
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			continue
		case strings.HasPrefix(line, "age1"):
			public, err := age.ParseX25519Recipient(line)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: is no recipient of age; copy the whole line that age-keygen -y prints", file, i+1)
			}
			recipient = public
			recipients++
		default:
			identity, err := age.ParseX25519Identity(line)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: is no key of age; age-keygen makes one, and its line begins with AGE-SECRET-KEY-1", file, i+1)
			}
			k.identities = append(k.identities, identity)
			recipient = identity.Recipient()
		}
		if k.recipient == nil {
			k.recipient = recipient
		}
	}
	switch {
	case k.recipient == nil:
		return nil, fmt.Errorf("%s: has no key; age-keygen makes one", file)
	case recipients > 0 && len(k.identities) > 0:
		return nil, fmt.Errorf("%s: has identities and recipients; keep the identities where secrets are opened, and the recipients elsewhere", file)
	}
	return k, nil
}

// IsSecret reports whether the text of a key file has anything but recipients and comments.
func IsSecret(text string) bool {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "age1") {
			return true
		}
	}
	return false
}
