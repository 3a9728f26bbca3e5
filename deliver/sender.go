package deliver

import (
	"bytes"
	"strings"
)

// maxSender bounds an address; RFC 5321 section 4.5.3.1.3 allows 256 octets for a path.
const maxSender = 256

// sender returns the address in the first Return-Path field of a message that begins with head. It
// returns "" if there is no such field, or if it is the empty path <>. It also returns "" for an
// address that is too long or holds blanks, control octets or 8-bit octets.
func sender(head []byte) string {
	value, ok := field(head, "return-path:")
	if !ok {
		return ""
	}
	if _, inner, found := strings.Cut(value, "<"); found {
		value, _, _ = strings.Cut(inner, ">")
	}
	value = strings.TrimSpace(value)
	if len(value) > maxSender {
		return ""
	}
	for _, c := range []byte(value) {
		if c <= ' ' || c >= 0x7f {
			return ""
		}
	}
	return value
}

// field returns the value of the first header field that begins with prefix, unfolded. The prefix
// is in lower case and ends in a colon.
func field(head []byte, prefix string) (value string, ok bool) {
	for line := range bytes.Lines(head) {
		text := strings.TrimRight(string(line[:min(len(line), 2*maxSender)]), "\r\n")
		switch {
		case text == "":
			return value, ok
		case ok && (text[0] == ' ' || text[0] == '\t'):
			value += text
			if len(value) > 4*maxSender {
				return "", false
			}
		case ok:
			return value, ok
		case len(text) >= len(prefix) && strings.EqualFold(text[:len(prefix)], prefix):
			value, ok = text[len(prefix):], true
		}
	}
	return value, ok
}
