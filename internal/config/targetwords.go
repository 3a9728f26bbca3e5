package config

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/popfetch/popfetch/internal/hosts"
)

const (
	accountMark = "{account}"
	yearMark    = "{year}"
	monthMark   = "{month}"
)

// mark matches what is replaced in the path of a target.
var mark = regexp.MustCompile(`\{[^{}]*\}`)

// pathPattern returns a path in which {account}, {year} and {month} are replaced later.
func (v value) pathPattern() (string, error) {
	path, err := v.path()
	if err != nil {
		return "", err
	}
	for _, found := range mark.FindAllString(path, -1) {
		if found != accountMark && found != yearMark && found != monthMark {
			return "", fmt.Errorf("%s is not replaced; write %s, %s or %s, or another path",
				found, accountMark, yearMark, monthMark)
		}
	}
	return path, nil
}

// mbox returns the path of an mbox, or StandardOutput.
func (v value) mbox() (string, error) {
	if s, err := v.text(); err == nil && s == StandardOutput {
		return s, nil
	}
	return v.pathPattern()
}

// argv are the words of a command that no shell reads.
var argv = kind[[]string]{value.argv, quoteListSome}

// quoteListSome is quoteList, or "" for an empty list.
func quoteListSome(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return quoteList(list)
}

// argv returns the words of a command. Only the first may not be empty.
func (v value) argv() ([]string, error) {
	const usage = `write a list of words, such as ["procmail", "-t"]`
	parts, isList := v.raw.([]any)
	if !isList {
		return nil, fmt.Errorf("is %s; %s", typeName(v.raw), usage)
	}
	var words []string
	for _, part := range parts {
		word, isString := part.(string)
		if !isString {
			return nil, fmt.Errorf("a part of the list is %s; %s", typeName(part), usage)
		}
		if strings.ContainsRune(word, 0) {
			return nil, errors.New("holds a NUL character; remove it")
		}
		words = append(words, word)
	}
	if len(words) == 0 || strings.TrimSpace(words[0]) == "" {
		return nil, errors.New("names no program; " + usage)
	}
	return words, nil
}

// lmtp returns the address of an LMTP server.
func (v value) lmtp() (string, error) { return v.daemon("localhost:24") }

// smtp returns the address of a mail server. Nobody on the way to it may read the mail.
func (v value) smtp() (string, error) {
	address, err := v.daemon("localhost:25")
	if err == nil && !strings.HasPrefix(address, unixPrefix) && !hosts.IsLoopback(address) {
		return "", fmt.Errorf("%s is not this machine, and the mail would go there in clear; "+
			`write "localhost:25", and let the mail server of this machine pass it on`, address)
	}
	return address, err
}

const unixPrefix = "unix:"

// daemon returns host:port in lower case and ASCII, or the absolute path of a socket behind "unix:".
func (v value) daemon(example string) (string, error) {
	usage := fmt.Sprintf(`write "host:port", such as %q, or "unix:/path"`, example)
	s, err := v.text()
	if err != nil {
		return "", err
	}
	if path, isUnix := strings.CutPrefix(s, unixPrefix); isUnix {
		path, err := value{raw: path, folder: v.folder}.path()
		return unixPrefix + path, err
	}
	host, port, err := v.server()
	if err != nil {
		return "", err
	}
	if port == "" {
		return "", errors.New("has no port; " + usage)
	}
	return net.JoinHostPort(host, port), nil
}

// addresses are one or more envelope addresses.
var addresses = kind[[]string]{value.addresses, quoteListSome}

func (v value) addresses() ([]string, error) {
	list, err := v.distinct()
	if err != nil {
		return nil, err
	}
	for _, address := range list {
		if err := checkAddress(address); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// distinct is list for a list in which no part is there twice.
func (v value) distinct() ([]string, error) {
	list, err := v.list()
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, part := range list {
		if known[part] {
			return nil, fmt.Errorf("%q is there twice; remove one", part)
		}
		known[part] = true
	}
	return list, nil
}

// maxAddress is the longest address of an envelope, in octets (RFC 5321 section 4.5.3.1.3).
const maxAddress = 254

// checkAddress refuses what cannot stand between the angle brackets of RCPT or MAIL.
func checkAddress(address string) error {
	unfit := func(r rune) bool { return unicode.IsControl(r) || r == '<' || r == '>' || r == ' ' }
	if strings.ContainsFunc(address, unfit) {
		return fmt.Errorf(`%q is no mail address; write it alone, such as "alice@example.org"`, address)
	}
	if len(address) > maxAddress {
		return fmt.Errorf("an address is longer than %d octets; write a shorter one", maxAddress)
	}
	return nil
}

// sender returns an envelope address, or NullSender.
func (v value) sender() (string, error) {
	s, err := v.text()
	if err != nil || s == NullSender {
		return s, err
	}
	return s, checkAddress(s)
}

// countIfSet is count for a key that is left out if it is 0.
func countIfSet(most int64) kind[int] {
	return kind[int]{func(v value) (int, error) { return v.count(most) }, func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}}
}

// countOrNone is a number from 1 to most. The word "none" stands for 0.
func countOrNone(most int64) kind[int] {
	return kind[int]{
		func(v value) (int, error) {
			if v.raw == "none" {
				return 0, nil
			}
			return v.count(most)
		},
		func(n int) string {
			if n == 0 {
				return quote("none")
			}
			return strconv.Itoa(n)
		},
	}
}

// fieldNames are the names of header fields.
var fieldNames = kind[[]string]{value.fieldNames, quoteListSome}

func (v value) fieldNames() ([]string, error) {
	list, err := v.distinct()
	if err != nil {
		return nil, err
	}
	for _, name := range list {
		unfit := func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' }
		if strings.ContainsFunc(name, unfit) {
			return nil, fmt.Errorf(`%q is no name of a header field; write it alone, such as "Delivered-To"`, name)
		}
	}
	return list, nil
}

// envelopeFields are the names of header fields in which a server names the envelope recipient.
var envelopeFields = kind[[]string]{value.envelopeFields, quoteListSome}

func (v value) envelopeFields() ([]string, error) {
	list, err := v.fieldNames()
	if err != nil {
		return nil, err
	}
	for _, name := range list {
		switch strings.ToLower(name) {
		case "to", "cc", "bcc":
			return nil, fmt.Errorf("%s does not say to whom a message was sent: it names neither the readers of a list "+
				`nor blind copies; name the header that your server adds, such as "Delivered-To"`, name)
		}
	}
	return list, nil
}

// The lines that popfetch can put on top of a message, by their words.
var headerWords = []string{"received", "delivered-to", "return-path", "popfetch"}

// addedHeaders are the header lines to put on top.
var addedHeaders = kind[[]string]{value.addedHeaders, quoteListSome}

func (v value) addedHeaders() ([]string, error) {
	list, err := v.distinct()
	if err != nil {
		return nil, err
	}
	for _, word := range list {
		if _, err := (value{raw: word}).oneOf(headerWords...); err != nil {
			return nil, err
		}
	}
	return list, nil
}
