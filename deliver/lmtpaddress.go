package deliver

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/popfetch/popfetch/internal/escape"
)

// maxAddress is how many octets an envelope address may have. RFC 5321 section 4.5.3.1.3 allows 256
// for a path, which has angle brackets.
const maxAddress = 254

var (
	errNoUTF8 = errors.New("the server takes no address with letters outside ASCII (SMTPUTF8)")
	errNobody = errors.New("nobody is named as its recipient: neither by the configuration (rcpt), " +
		"nor by the message, nor by a user name that can be one")
)

// isAddress reports whether text can be an address of an envelope.
func isAddress(text string) bool {
	if text == "" || len(text) > maxAddress || !utf8.ValidString(text) {
		return false
	}
	for _, c := range text {
		if c == '<' || c == '>' || unicode.IsSpace(c) || unicode.IsControl(c) {
			return false
		}
	}
	return true
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(c rune) bool { return c >= utf8.RuneSelf })
}

// unusable tells that an address counts as absent.
func (l *LMTP) unusable(what, address, instead string) {
	l.remind(what + " " + escape.Lines([]byte(address), maxShownOutput) + " cannot be used in an envelope; " +
		instead + " is used instead")
}

// recipients returns those of a message, each once.
func (l *LMTP) recipients(env Envelope) (recipients []string, err error) {
	if len(l.Recipients) > 0 {
		once := make(map[string]bool)
		for _, to := range l.Recipients {
			if !once[to] {
				recipients = append(recipients, to)
			}
			once[to] = true
		}
		return recipients, nil
	}
	if isAddress(env.Recipient) {
		return []string{env.Recipient}, nil
	}
	if !isAddress(env.User) {
		return nil, &Error{Target: l.name(), Temporary: true, Status: -1, Err: errNobody}
	}
	if env.Recipient != "" {
		l.unusable("the recipient", env.Recipient, "the account's user")
	}
	return []string{env.User}, nil
}

// sender returns the address for MAIL, "" for the empty path.
func (l *LMTP) sender(d *lmtpDelivery, takesUTF8 bool) (string, error) {
	var address string
	if l.MailFrom != nil {
		address = *l.MailFrom
	} else {
		head, err := d.spool.head()
		if err != nil {
			return "", err
		}
		address = returnPath(head)
	}
	if address == "" || isAddress(address) && (takesUTF8 || isASCII(address)) {
		return address, nil
	}
	l.unusable("the sender", address, "the empty path <>")
	return "", nil
}

// returnPath returns what the first Return-Path field has as address, usable or not.
func returnPath(head []byte) string {
	value, _ := field(head, "return-path:")
	if _, inner, found := strings.Cut(value, "<"); found {
		value, _, _ = strings.Cut(inner, ">")
	}
	return strings.TrimSpace(value)
}
