package login

import (
	"errors"
	"unicode/utf8"
)

// Charset is how a name or password beyond ASCII goes into USER, PASS and APOP if the server does
// not know UTF8 USER. Its value is its name in the configuration.
type Charset string

// The charsets.
const (
	ASCII  Charset = "ascii" // such a name or password is not sent (C0003)
	UTF8   Charset = "utf-8"
	Latin1 Charset = "iso-8859-1"
)

// Octets returns the function for pop3.Options.Octets; nil for ASCII.
func (c Charset) Octets() func(text string) (string, error) {
	switch c {
	case UTF8:
		return asUTF8
	case Latin1:
		return asLatin1
	}
	return nil
}

func asUTF8(text string) (string, error) {
	if !utf8.ValidString(text) {
		return "", errors.New("is not UTF-8; if it is ISO 8859-1, write credentials_charset = \"iso-8859-1\"")
	}
	return text, nil
}

// asLatin1 leaves a text unchanged that is not UTF-8: its file may be in ISO 8859-1 already.
func asLatin1(text string) (string, error) {
	if !utf8.ValidString(text) {
		return text, nil
	}
	octets := make([]byte, 0, len(text))
	for _, r := range text {
		if r > 0xff {
			return "", errors.New("has characters that ISO 8859-1 lacks; write credentials_charset = \"utf-8\"")
		}
		octets = append(octets, byte(r))
	}
	return string(octets), nil
}
