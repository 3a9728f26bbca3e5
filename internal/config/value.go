package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// value is the value of a key, as the TOML package decodes it. On the command line it is always a
// string.
type value struct {
	raw    any
	at     place
	folder string // where relative paths start
	option bool   // from the command line
}

// The methods of value return it as one kind of value. Their errors say what is wrong and what to
// do. If the type is wrong, or if the key is about passwords, no error shows the value: it could be
// a password.

// text returns a string that is not empty.
func (v value) text() (string, error) {
	s, isString := v.raw.(string)
	if !isString {
		return "", fmt.Errorf(`is %s; write text in "quotes"`, typeName(v.raw))
	}
	if s == "" {
		return "", errors.New("is empty; write a value or remove the key")
	}
	return s, nil
}

// typeName names the type of a TOML value.
func typeName(raw any) string {
	switch raw.(type) {
	case string:
		return "text"
	case int64:
		return "a number"
	case float64:
		return "a number with a point"
	case bool:
		return "true or false"
	case time.Time:
		return "a date or time"
	case []any:
		return "a list"
	case []map[string]any:
		return "a list of tables"
	default:
		return "a table"
	}
}

// printable returns text without control octets (C0003).
func (v value) printable() (string, error) {
	s, err := v.text()
	if err == nil && hasControl(s) {
		err = errors.New("holds a control character; remove it")
	}
	return s, err
}

// hasControl reports whether s has an ASCII control octet. No command may have one: the password
// "a\r\nDELE 1" would delete a message (C0003).
func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// oneOf returns a text that is one of words.
func (v value) oneOf(words ...string) (string, error) {
	s, err := v.text()
	if err == nil && !slices.Contains(words, s) {
		err = fmt.Errorf("%q is not known; write %s", s, alternatives(words))
	}
	return s, err
}

// alternatives returns words as `"a", "b" or "c"`.
func alternatives(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return quoteAll(words)
	}
	return fmt.Sprintf("%s or %q", quoteAll(words[:last]), words[last])
}

// list returns one text, or a list of at least one text. On the command line, commas separate the
// parts.
func (v value) list() ([]string, error) {
	if v.option {
		if s, isString := v.raw.(string); isString && s != "" {
			return strings.Split(s, ","), nil
		}
	}
	parts, isList := v.raw.([]any)
	if !isList {
		s, err := v.text()
		return []string{s}, err
	}
	if len(parts) == 0 {
		return nil, errors.New("is an empty list; write a value or remove the key")
	}
	var list []string
	for _, part := range parts {
		s, err := value{raw: part}.text()
		if err != nil {
			return nil, fmt.Errorf("a part of the list %w", err)
		}
		list = append(list, s)
	}
	return list, nil
}

// boolean returns true or false.
func (v value) boolean() (bool, error) {
	switch {
	case v.option && (v.raw == "true" || v.raw == "false"):
		return v.raw == "true", nil
	case v.option:
		return false, fmt.Errorf("%q is not known; write true or false", v.raw)
	}
	b, isBool := v.raw.(bool)
	if !isBool {
		return false, fmt.Errorf("is %s; write true or false, without quotes", typeName(v.raw))
	}
	return b, nil
}

// count returns a number from 1 to most.
func (v value) count(most int64) (int, error) {
	n, isNumber := v.raw.(int64)
	if s, isString := v.raw.(string); isString && v.option {
		var err error
		if n, err = strconv.ParseInt(s, 10, 64); err != nil {
			return 0, fmt.Errorf("%q is no number; write a number from 1 to %d", s, most)
		}
		isNumber = true
	}
	if !isNumber {
		return 0, fmt.Errorf("is %s; write a number from 1 to %d, without quotes", typeName(v.raw), most)
	}
	if n < 1 || n > most {
		return 0, fmt.Errorf("%d is out of range; write a number from 1 to %d", n, most)
	}
	return int(n), nil
}

// variable matches what a shell would expand in a path.
var variable = regexp.MustCompile(`\$(\w+|\{[^}]*\}|\([^)]*\))`)

// path returns a path that starts at v.folder, if that is known, unless it is absolute. In the file
// and on the command line, ~ stands for the home folder.
func (v value) path() (string, error) {
	s, err := v.text()
	if err != nil {
		return "", err
	}
	if strings.ContainsRune(s, 0) {
		return "", errors.New("holds a NUL character; remove it")
	}
	first, rest, _ := strings.Cut(s, "/")
	switch {
	case variable.MatchString(s):
		return "", fmt.Errorf("%s is not expanded; write ~ for the home folder, or the whole path", variable.FindString(s))
	case first == "~":
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("~ cannot be expanded: %w; write the whole path", err)
		}
		return filepath.Join(home, rest), nil
	case strings.HasPrefix(first, "~"):
		return "", errors.New("~ is expanded, but not ~ with a name; write the whole path")
	case filepath.IsAbs(s):
		return filepath.Clean(s), nil
	}
	return filepath.Join(v.folder, s), nil
}

// Path checks a path of the command line as one of the file, and replaces ~. A relative path stays
// relative.
func Path(path string) (string, error) { return value{raw: path}.path() }

// units are the units of a time.
var units = map[string]time.Duration{
	"s": time.Second,
	"m": time.Minute,
	"h": time.Hour,
	"d": 24 * time.Hour,
	"w": 7 * 24 * time.Hour,
}

// duration returns a time above 0. It is written as a number and a unit.
func (v value) duration(also ...string) (time.Duration, error) {
	usage := `write a number with its unit s, m, h, d or w, such as "60s" or "30d"`
	if len(also) > 0 {
		usage += ", or " + alternatives(also)
	}
	s, isString := v.raw.(string)
	if !isString {
		return 0, fmt.Errorf("is %s; %s", typeName(v.raw), usage)
	}
	digits := strings.TrimRight(s, "smhdw")
	unit, known := units[s[len(digits):]]
	if !known || !isDigits(digits) {
		if meant, err := time.ParseDuration(s); err == nil && meant > 0 && meant%time.Second == 0 { // as Go prints it
			return 0, fmt.Errorf("%q is not one number with one unit; write %q", s, timeText(meant, ""))
		}
		return 0, fmt.Errorf("%q is no time; %s", s, usage)
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > int64(math.MaxInt64/unit) {
		return 0, fmt.Errorf("%q is too long a time; write at most 100000d", s)
	}
	if n == 0 {
		return 0, fmt.Errorf("%q is zero; %s", s, usage)
	}
	return time.Duration(n) * unit, nil
}

// ParseTime returns a time above 0 that is written as in a configuration, such as "60s" or "30d".
func ParseTime(text string) (time.Duration, error) { return value{raw: text}.duration() }

// isDigits reports whether s is a number without a sign.
func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// octets returns a number of octets above 0. The letters K, M and G may stand behind it: 1K is 1024
// octets, 1M is 1024K, and 1G is 1024M.
func (v value) octets() (int64, error) {
	const usage = `write octets, such as 500000, or "500K", "25M", "25MiB"`
	if n, isNumber := v.raw.(int64); isNumber {
		if n < 1 {
			return 0, fmt.Errorf("%d is no size; %s", n, usage)
		}
		return n, nil
	}
	s, isString := v.raw.(string)
	if !isString {
		return 0, fmt.Errorf("is %s; %s", typeName(v.raw), usage)
	}
	digits := strings.TrimRight(s, "KMGiB")
	factor, known := factors[s[len(digits):]]
	if !known || !isDigits(digits) {
		return 0, fmt.Errorf("%q is no size; %s", s, usage)
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > math.MaxInt64/factor {
		return 0, fmt.Errorf("%q is too large; remove the key for no limit", s)
	}
	if n == 0 {
		return 0, fmt.Errorf("%q is no size; %s", s, usage)
	}
	return n * factor, nil
}

// factors are the units of a size. MB is not one of them, because it has two meanings.
var factors = map[string]int64{
	"":  1,
	"K": 1 << 10, "KiB": 1 << 10,
	"M": 1 << 20, "MiB": 1 << 20,
	"G": 1 << 30, "GiB": 1 << 30,
}

// fingerprints returns SHA-256 values in lower-case hexadecimal digits.
func (v value) fingerprints() ([]string, error) {
	list, err := v.list()
	if err != nil {
		return nil, err
	}
	for i, s := range list {
		digits := strings.TrimPrefix(strings.ToLower(s), "sha256:")
		digits = strings.ReplaceAll(digits, ":", "")
		if octets, err := hex.DecodeString(digits); err != nil || len(octets) != 32 {
			return nil, fmt.Errorf("%q is no SHA-256 fingerprint; write its 64 hexadecimal digits", s)
		}
		list[i] = digits
	}
	return list, nil
}

// server returns the host in lower case and ASCII, and the port, or "" if none is written.
func (v value) server() (host, port string, err error) {
	const usage = `write host or host:port, such as "pop.example.org:995" or "[::1]:995"`
	s, err := v.text()
	if err != nil {
		return "", "", err
	}
	if strings.Contains(s, "@") { // do not show it: it may be "pop://user:password@host"
		return "", "", errors.New(`holds an "@"; write the host alone here and the name in user`)
	}
	if addr, err := netip.ParseAddr(s); err == nil && addr.Is6() {
		return "", "", fmt.Errorf("the IPv6 address %s lacks brackets; write %q", s, "["+s+"]")
	}
	host = s
	if inner, found := strings.CutPrefix(s, "["); found && strings.HasSuffix(inner, "]") {
		host = strings.TrimSuffix(inner, "]")
	} else if strings.Contains(s, ":") {
		if host, port, err = net.SplitHostPort(s); err != nil {
			return "", "", errors.New("is no server; " + usage)
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || !isDigits(port) {
			return "", "", errors.New("the port is no number from 1 to 65535; " + usage)
		}
	}
	if strings.HasPrefix(s, "[") {
		addr, err := netip.ParseAddr(host)
		if err != nil || !addr.Is6() {
			return "", "", fmt.Errorf("%q is no IPv6 address; %s", host, usage)
		}
		return addr.String(), port, nil
	}
	host, err = asciiName(host, usage)
	return host, port, err
}

// checkHostName refuses a host name that cannot be looked up.
func checkHostName(host, usage string) error {
	for _, r := range host {
		if r > 0x7f || !isBare(byte(r)) && r != '.' {
			return fmt.Errorf("%q is no host name; %s", host, usage)
		}
	}
	if host == "" || len(host) > 253 || strings.HasPrefix(host, ".") || strings.Contains(host, "..") {
		return fmt.Errorf("%q is no host name; %s", host, usage)
	}
	return nil
}
