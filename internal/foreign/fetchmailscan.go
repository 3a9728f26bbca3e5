package foreign

import (
	"errors"
	"strconv"
	"strings"
)

// token is a word of a .fetchmailrc.
type token struct {
	kind tokenKind
	text string // the keyword, or the value of a string
	n    int64  // of a number
	line int
}

type tokenKind int

const (
	endOfFile tokenKind = iota
	keyword
	stringToken
	numberToken
)

// scanState is what fetchmail's scanner expects. After some keywords, the next word is a name,
// whatever it looks like.
type scanState int

const (
	anything scanState = iota
	aName
	aMechanism
)

// fetchmailKeywords maps the words of a .fetchmailrc to the keywords that they stand for.
var fetchmailKeywords = keywords(
	"set logfile idfile pidfile daemon syslog invisible showdots postmaster bouncemail spambounce "+
		"softbounce warnings tracepolls defaults poll skip via aka localdomains protocol service "+
		"port interval auth timeout idletimeout envelope qvirtual principal esmtpname "+
		"esmtppassword bad-header accept reject user pass folder smtphost fetchdomains "+
		"smtpaddress smtpname antispam mda bsmtp lmtp preconnect postconnect interface monitor "+
		"plugin plugout batchlimit fetchlimit fetchsizelimit fastuidl expunge properties is here "+
		"there to no keep flush limitflush fetchall rewrite forcecr stripcr pass8bits dropstatus "+
		"dropdelivered mimedecode idle forceidle dns uidl ssl sslkey sslcert sslproto sslcertck "+
		"sslcertfile sslcertpath sslcommonname sslfingerprint checkalias limit",
	"server=poll local=localdomains proto=protocol preauth=auth preauthenticate=auth "+
		"authenticate=auth username=user password=pass folders=folder smtp=smtphost "+
		"pre=preconnect post=postconnect pass8=pass8bits mimedec=mimedecode")

// fetchmailMechanisms are the words that name a mechanism wherever they stand.
var fetchmailMechanisms = keywords("any gssapi ssh implicit external otp cram-md5 msn ntlm "+
	"kerberos_v4 kerberos_v5",
	"kerberos4=kerberos_v4 kerberos=kerberos_v4 kerberos5=kerberos_v5 opie=otp cram=cram-md5")

// fetchmailProtocols are the words that name a protocol, in capitals as well.
var fetchmailProtocols = keywords("auto pop2 sdps pop3 imap apop rpop etrn odmr kpop", "")

// gluedNo are the keywords that may follow "no" without a blank.
var gluedNo = keywords("bouncemail uidl checkalias dns envelope keep flush limitflush fetchall "+
	"rewrite forcecr stripcr pass8bits dropstatus dropdelivered mimedecode spambounce idle "+
	"forceidle", "pass8=pass8bits mimedec=mimedecode")

func keywords(words, synonyms string) map[string]string {
	known := map[string]string{}
	for _, word := range strings.Fields(words) {
		known[word] = word
	}
	for _, pair := range strings.Fields(synonyms) {
		word, meaning, _ := strings.Cut(pair, "=")
		known[word] = meaning
	}
	return known
}

// scanFetchmail splits a .fetchmailrc into tokens. It takes the longest of the forms that fit, as
// fetchmail does: "a"b is one word with two quotes in it.
func scanFetchmail(text string) ([]token, error) {
	var tokens []token
	state, line := anything, 1
	for text != "" {
		if n := spaceLength(text); n > 0 {
			line += strings.Count(text[:n], "\n")
			text = text[n:]
			continue
		}
		quoted, word := quotedLength(text), wordLength(text)
		switch {
		case quoted > 0 && quoted >= word:
			value := unescape(text[1 : quoted-1])
			tokens = append(tokens, token{kind: stringToken, text: value, line: line})
			state = anything
			line += strings.Count(text[:quoted], "\n")
			text = text[quoted:]
			continue
		case word > 0:
			tokens, state = appendWord(tokens, text[:word], state, line)
			text = text[word:]
			continue
		case text[0] == '=':
			tokens = append(tokens, token{kind: keyword, text: "=", line: line})
			state = aName
		}
		text = text[1:] // one of = ; : ,
	}
	if len(tokens) > maxTokens {
		return nil, errors.New("has too many words")
	}
	return append(tokens, token{kind: endOfFile, line: line}), nil
}

const maxTokens = 100_000

// spaceLength returns the length of the blanks, the line's end or the comment that text begins
// with.
func spaceLength(text string) int {
	switch {
	case strings.IndexByte(" \t\r\n", text[0]) >= 0:
		return 1
	case strings.HasPrefix(text, "\\\n"):
		return 2
	case text[0] == '#':
		end := strings.IndexByte(text, '\n')
		if end < 0 {
			end = len(text) - 1
		}
		return end + 1
	}
	return 0
}

// quotedLength returns the length of the quoted string that text begins with, or 0. A backslash
// does not protect the quote that ends it.
func quotedLength(text string) int {
	if text[0] != '"' && text[0] != '\'' {
		return 0
	}
	end := strings.IndexByte(text[1:], text[0])
	if end < 0 {
		return 0
	}
	return end + 2
}

// wordLength returns the length of the word that text begins with.
func wordLength(text string) int {
	if n := strings.IndexAny(text, "=;:, \t\r\n"); n >= 0 {
		return n
	}
	return len(text)
}

// appendWord appends the tokens of a word without quotes.
func appendWord(tokens []token, word string, state scanState, line int) ([]token, scanState) {
	text := token{kind: stringToken, text: unescape(word), line: line}
	if state == aName {
		return append(tokens, text), anything
	}
	lower := strings.ToLower(word)
	capitals := word == lower || word == strings.ToUpper(word)
	switch {
	case noise[word]:
		return tokens, state
	case state == aMechanism && word == "password":
		return append(tokens, token{kind: keyword, text: "mechanism:password", line: line}), anything
	case fetchmailMechanisms[word] != "":
		name := "mechanism:" + fetchmailMechanisms[word]
		return append(tokens, token{kind: keyword, text: name, line: line}), anything
	case capitals && fetchmailProtocols[lower] != "":
		name := "protocol:" + lower
		return append(tokens, token{kind: keyword, text: name, line: line}), state
	case fetchmailKeywords[word] != "":
		key := fetchmailKeywords[word]
		switch key {
		case "user", "pass", "is", "to":
			state = aName
		case "auth":
			state = aMechanism
		}
		return append(tokens, token{kind: keyword, text: key, line: line}), state
	}
	if key := gluedNo[strings.TrimPrefix(word, "no")]; key != "" && strings.HasPrefix(word, "no") {
		return append(tokens, token{kind: keyword, text: "no", line: line},
			token{kind: keyword, text: key, line: line}), state
	}
	if isNumber(word) {
		n, err := strconv.ParseInt(word, 10, 64)
		if err == nil {
			return append(tokens, token{kind: numberToken, text: word, n: n, line: line}), state
		}
	}
	return append(tokens, text), state
}

// noise are the words that mean nothing.
var noise = map[string]bool{"with": true, "and": true, "has": true, "wants": true, "options": true}

// isNumber reports whether a word is a number, possibly with a minus sign.
func isNumber(word string) bool {
	digits := strings.TrimPrefix(word, "-")
	return digits != "" && strings.Trim(digits, "0123456789") == ""
}

// unescape replaces the escape sequences of fetchmail. They look like those of C, but \123 is
// decimal, \0123 octal, and at most three digits count, of \x two.
func unescape(text string) string {
	if strings.IndexByte(text, '\\') < 0 {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			b.WriteByte(text[i])
			continue
		}
		i++
		if i == len(text) {
			break
		}
		c := text[i]
		switch {
		case c >= '0' && c <= '9' || c == 'x' || c == 'X':
			value, length := escapedNumber(text[i:])
			i += length - 1
			c = value
		case c == '\n': // joins two lines
			continue
		case simpleEscapes[c] != 0:
			c = simpleEscapes[c]
		}
		b.WriteByte(c)
	}
	value, _, _ := strings.Cut(b.String(), "\x00") // C ends a string there
	return value
}

var simpleEscapes = map[byte]byte{'n': '\n', 't': '\t', 'b': '\b', 'r': '\r'}

// escapedNumber reads the digits after a backslash. It returns how many octets they take.
func escapedNumber(text string) (value byte, length int) {
	digits, base, most := "0123456789", 10, 3
	switch text[0] {
	case 'x', 'X':
		digits, base, most = "0123456789abcdef", 16, 2
		length = 1
	case '0':
		digits, base = "01234567", 8
	}
	n := 0
	for count := 0; count < most && length < len(text); count++ {
		c := text[length]
		if c >= 'A' && c <= 'F' {
			c += 'a' - 'A'
		}
		digit := strings.IndexByte(digits, c)
		if digit < 0 {
			break
		}
		n = n*base + digit
		length++
	}
	return byte(n), length
}
