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

	maxUniqueID = 1024 // octets; RFC 1939 section 7 allows 70, but some servers send more (C0039)
	maxNumber   = 1 << 22
)

// reply is a status line.
type reply struct {
	positive bool
	code     ResponseCode
	text     []byte // the text after the status indicator and the code; valid until the next read
}

// parseReply reads a status line. Only the first octet counts: + is positive and - is negative
// (V0001). Any other line is not a status line.
func parseReply(line []byte) (r reply, ok bool) {
	if len(line) == 0 || line[0] != '+' && line[0] != '-' {
		return reply{}, false
	}
	_, text := cutField(line)
	text = bytes.TrimRight(text, " \t")
	code, rest := cutCode(text)
	return reply{positive: line[0] == '+', code: code, text: rest}, true
}

// cutCode cuts the response code off the start of a reply's text (RFC 2449 section 8). A text that
// only resembles a code stays as it is.
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

// asError returns the ReplyError for a negative reply, and nil for a positive one.
func (r reply) asError(keyword string) error {
	if r.positive {
		return nil
	}
	return &ReplyError{Command: keyword, Code: r.code, Text: escape.Text(r.text, maxErrorText)}
}

// cutField cuts the first field off a line. Any run of spaces and tabs separates fields, and may
// also stand before the first one (C0004). The field is empty if there is none. A loop is used
// because this function runs for each line of a listing. The functions of package bytes for sets of
// octets would take most of its time.
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

// parseUint reads a number of digits only that fits in 64 bits.
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

// parseNumber reads a message-number: 1 or more (C0011). A number above maxNumber is not accepted,
// so a small bitmap can hold the numbers of a listing.
func parseNumber(field []byte) (n int, ok bool) {
	u, ok := parseUint(field)
	if !ok || u == 0 || u > maxNumber {
		return 0, false
	}
	return int(u), true
}

// parseDropListing reads the text of a reply to STAT: messages and octets. Further text is ignored
// (C0017).
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

// parseScanListing reads a line of LIST: message-number and octets. Further text is ignored
// (C0021). The octets are only a hint. If they cannot be read (none, a sign, a word), the message
// is listed with 0.
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

// parseUniqueIDListing reads a line of UIDL: message-number and unique-id. Further text is ignored
// (C0038). The unique-id is a part of line. It has 1 to 1024 octets, of any kind but space, tab,
// CR, LF and NUL (C0039).
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
	for _, octet := range id { // bytes.ContainsAny takes four times as long
		if octet == '\r' || octet == '\n' || octet == 0 {
			return false
		}
	}
	return len(id) > 0 && len(id) <= maxUniqueID
}

// parseCapability reads a line of CAPA: a name and its parameters (RFC 2449 section 3). It puts the
// name in upper case.
func parseCapability(line []byte) (name string, params []string, ok bool) {
	fields := strings.FieldsFunc(string(line), func(r rune) bool { return r == ' ' || r == '\t' })
	if len(fields) == 0 {
		return "", nil, false
	}
	return strings.ToUpper(fields[0]), fields[1:], true
}

// parseTimestamp finds the timestamp of a greeting, which is the challenge of APOP. The timestamp
// must be the only text in angle brackets, and a msg-id of RFC 822 without quoting. With looser
// rules, an attacker between client and server can choose challenges that reveal octets of the
// secret (CVE-2007-1558, V0008).
func parseTimestamp(greeting []byte) (timestamp string, ok bool) {
	start, end := bytes.IndexByte(greeting, '<'), bytes.IndexByte(greeting, '>')
	if start < 0 || end < start || bytes.Count(greeting, []byte("<")) > 1 || bytes.Count(greeting, []byte(">")) > 1 {
		return "", false
	}
	local, domain, hasAt := bytes.Cut(greeting[start+1:end], []byte("@"))
	if !hasAt || !isDotAtom(local) || !isDotAtom(domain) && !isDomainLiteral(domain) {
		return "", false
	}
	return string(greeting[start : end+1]), true
}

// isDotAtom reports whether s consists of atoms (RFC 822 section 3.3) with dots between them.
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

// Escape makes text of a server safe for people, logs and terminals. The result is one line of
// UTF-8 with at most 256 octets. Characters that are not printable are written as in a Go string.
// An ellipsis replaces the text that is cut off.
func Escape(text string) string { return escape.Text([]byte(text), maxErrorText) }
