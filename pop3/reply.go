package pop3

import (
	"bytes"
	"math"
	"slices"
	"strings"

	"github.com/popfetch/popfetch/internal/escape"
)

const (
	maxErrorText = 256 // octets of a server's text in an error
	maxErrorGot  = 80  // octets of an unreadable line in an error

	maxUniqueID = 1024 // octets; RFC 1939 section 7 allows 70, servers do more (C0039)
	maxNumber   = 1 << 22
)

// reply is a status line.
type reply struct {
	positive bool
	code     ResponseCode
	text     []byte // what follows the status indicator, without the code; valid until the next read
}

// parseReply reads a status line. Whatever follows the first octet, + is positive and - is negative (V0001); a line that
// starts otherwise is no status line.
func parseReply(line []byte) (r reply, ok bool) {
	if len(line) == 0 || line[0] != '+' && line[0] != '-' {
		return reply{}, false
	}
	_, text := cutField(line)
	text = bytes.TrimRight(text, " \t")
	code, rest := cutCode(text)
	return reply{positive: line[0] == '+', code: code, text: rest}, true
}

// cutCode takes the response code off the start of a reply's text (RFC 2449 section 8). Text that only looks like one is
// left as it is.
func cutCode(text []byte) (code ResponseCode, rest []byte) {
	if len(text) == 0 || text[0] != '[' {
		return "", text
	}
	end := bytes.IndexByte(text, ']')
	if end < 0 {
		return "", text
	}
	for level := range bytes.SplitSeq(text[1:end], []byte("/")) {
		if len(level) == 0 || bytes.ContainsFunc(level, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return "", text
		}
	}
	return ResponseCode(bytes.ToUpper(text[1:end])), bytes.TrimLeft(text[end+1:], " \t")
}

// asError is the ReplyError for a negative reply, nil for a positive one.
func (r reply) asError(keyword string) error {
	if r.positive {
		return nil
	}
	return &ReplyError{Command: keyword, Code: r.code, Text: escape.Text(r.text, maxErrorText)}
}

// cutField takes the first field off a line. Any run of blanks and tabs separates fields, and may stand before the first
// one, too (C0004). The field is empty if there is none. It is called for each line of a listing, and the functions of package
// bytes for sets of octets would take most of its time.
func cutField(line []byte) (field, rest []byte) {
	line = skipBlanks(line)
	for i, octet := range line {
		if blank(octet) {
			return line[:i], skipBlanks(line[i:])
		}
	}
	return line, nil
}

func skipBlanks(line []byte) []byte {
	for len(line) > 0 && blank(line[0]) {
		line = line[1:]
	}
	return line
}

func blank(octet byte) bool { return octet == ' ' || octet == '\t' }

// parseUint reads a number that is made of digits only and fits 64 bits.
func parseUint(field []byte) (n uint64, ok bool) {
	if len(field) == 0 {
		return 0, false
	}
	for _, digit := range field {
		if digit < '0' || digit > '9' {
			return 0, false
		}
		digit -= '0'
		if n > math.MaxUint64/10 || n == math.MaxUint64/10 && digit > math.MaxUint64%10 {
			return 0, false
		}
		n = n*10 + uint64(digit)
	}
	return n, true
}

// parseNumber reads a message-number: 1 and up (C0011). What lies beyond maxNumber is not believed, so that the numbers of
// a listing can be kept in a small bitmap.
func parseNumber(field []byte) (n int, ok bool) {
	u, ok := parseUint(field)
	if !ok || u == 0 || u > maxNumber {
		return 0, false
	}
	return int(u), true
}

// parseDropListing reads the text of a reply to STAT: count and octets, the rest ignored (C0017).
func parseDropListing(text []byte) (DropListing, bool) {
	field, rest := cutField(text)
	messages, ok := parseUint(field)
	if !ok || messages > math.MaxInt32 {
		return DropListing{}, false
	}
	field, _ = cutField(rest)
	octets, ok := parseUint(field)
	if !ok {
		return DropListing{}, false
	}
	return DropListing{Messages: int(messages), Octets: int64(min(octets, math.MaxInt64))}, true
}

// parseScanListing reads a line of LIST: message-number and octets, the rest ignored (C0021). The octets are a hint, so
// a message whose octets cannot be read (none, a sign, a word) is listed all the same, with 0.
func parseScanListing(line []byte) (ScanListing, bool) {
	field, rest := cutField(line)
	number, ok := parseNumber(field)
	if !ok {
		return ScanListing{}, false
	}
	field, _ = cutField(rest)
	octets, _ := parseUint(field)
	if octets > math.MaxInt64 {
		octets = 0
	}
	return ScanListing{Number: number, Octets: int64(octets)}, true
}

// parseUniqueIDListing reads a line of UIDL: message-number and unique-id, the rest ignored (C0038). The unique-id is a
// part of line: 1 to 1024 octets of any kind but blank, tab, CR, LF and NUL (C0039).
func parseUniqueIDListing(line []byte) (number int, id []byte, ok bool) {
	field, rest := cutField(line)
	number, ok = parseNumber(field)
	if !ok {
		return 0, nil, false
	}
	id, _ = cutField(rest)
	if !isUniqueID(id) {
		return 0, nil, false
	}
	return number, id, true
}

func isUniqueID(id []byte) bool {
	for _, octet := range id { // each of a listing; bytes.ContainsAny takes four times as long
		if octet == '\r' || octet == '\n' || octet == 0 {
			return false
		}
	}
	return len(id) > 0 && len(id) <= maxUniqueID
}

// parseCapability reads a line of CAPA: a name, which is put in upper case, and its parameters (RFC 2449 section 3).
func parseCapability(line []byte) (name string, params []string, ok bool) {
	fields := strings.FieldsFunc(string(line), func(r rune) bool { return r == ' ' || r == '\t' })
	if len(fields) == 0 {
		return "", nil, false
	}
	return strings.ToUpper(fields[0]), fields[1:], true
}

// parseTimestamp finds the timestamp of a greeting, the challenge of APOP. It must be the only thing in angle brackets and
// a msg-id of RFC 822 without quoting: with looser rules somebody between client and server can choose challenges that
// give away octets of the secret (CVE-2007-1558, V0008).
func parseTimestamp(greeting []byte) (timestamp string, ok bool) {
	start, end := bytes.IndexByte(greeting, '<'), bytes.IndexByte(greeting, '>')
	if start < 0 || end < start || bytes.Count(greeting, []byte("<")) > 1 || bytes.Count(greeting, []byte(">")) > 1 {
		return "", false
	}
	local, domain, found := bytes.Cut(greeting[start+1:end], []byte("@"))
	if !found || !isDotAtom(local) || !isDotAtom(domain) && !isDomainLiteral(domain) {
		return "", false
	}
	return string(greeting[start : end+1]), true
}

// isDotAtom reports whether s is made of atoms (RFC 822 section 3.3) with dots between them.
func isDotAtom(s []byte) bool {
	for atom := range bytes.SplitSeq(s, []byte(".")) {
		if len(atom) == 0 || slices.ContainsFunc(atom, func(b byte) bool {
			return b <= ' ' || b > '~' || strings.IndexByte(`()<>@,;:\".[]`, b) >= 0
		}) {
			return false
		}
	}
	return true
}

// isDomainLiteral reports whether s is an address in square brackets.
func isDomainLiteral(s []byte) bool {
	if len(s) < 3 || s[0] != '[' || s[len(s)-1] != ']' {
		return false
	}
	return !slices.ContainsFunc(s[1:len(s)-1], func(b byte) bool {
		return b <= ' ' || b > '~' || b == '[' || b == ']' || b == '\\'
	})
}

// Escape makes text of a server fit for people, logs and terminals: one line of UTF-8 without anything that is not
// printable, which is written as in a Go string, and at most 256 octets; an ellipsis stands for what is cut off.
func Escape(text string) string { return escape.Text([]byte(text), maxErrorText) }
