package tunnel

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// maxHead limits the status line and the header of a proxy's answers, in octets.
const maxHead = 8 << 10

// askHTTP is ask for HTTP.
func (p Proxy) askHTTP(proxy io.ReadWriter, addr string) error {
	request := "CONNECT " + addr + " HTTP/1.1\r\nHost: " + addr + "\r\n"
	if p.User != "" {
		request += "Proxy-Authorization: Basic " + p.basic() + "\r\n"
	}
	if _, err := io.WriteString(proxy, request+"\r\n"); err != nil {
		return err
	}
	answer := &head{proxy: proxy, left: maxHead}
	for {
		code, line, err := p.readStatus(answer)
		if err != nil {
			return err
		}
		logins, err := answer.readHeader()
		switch {
		case err != nil:
			return err
		case code/100 == 1 && code != http.StatusSwitchingProtocols: // the answer proper follows
			continue
		case code/100 == 2:
			return nil
		case code == http.StatusProxyAuthRequired:
			return p.unauthorized(line, logins)
		case code == http.StatusUnauthorized, code == http.StatusForbidden:
			return fmt.Errorf("%w: %s", ErrRefused, line)
		}
		return fmt.Errorf("%w: %s", ErrUnreached, line)
	}
}

// readStatus reads a status line. It returns the code, and the line for people from the code on.
func (p Proxy) readStatus(answer *head) (code int, line string, err error) {
	octets, err := answer.readLine()
	if err != nil {
		return 0, "", err
	}
	version, rest, _ := bytes.Cut(octets, []byte(" "))
	digits, _, _ := bytes.Cut(rest, []byte(" "))
	code, err = strconv.Atoi(string(digits))
	if !bytes.HasPrefix(version, []byte("HTTP/1.")) || err != nil || len(digits) != 3 || code < 100 {
		return 0, "", fmt.Errorf("%w: it answers %q, which is not HTTP", ErrBroken, p.shown(octets))
	}
	return code, p.shown(rest), nil
}

// unauthorized returns the error for an answer 407. The proxy may want a log-in that popfetch does
// not know.
func (p Proxy) unauthorized(line string, logins [][]byte) error {
	known := len(logins) == 0
	for _, scheme := range logins {
		known = known || bytes.EqualFold(scheme, []byte("Basic"))
	}
	switch {
	case !known:
		return fmt.Errorf("%w: %s; it takes %s, and popfetch only Basic", ErrRefused, line, p.shown(bytes.Join(logins, []byte(", "))))
	case p.User == "":
		return fmt.Errorf("%w: %s; write %s://USER:PASSWORD@%s", ErrRefused, line, p.Scheme, p.Addr)
	}
	return fmt.Errorf("%w: %s; user or password is wrong", ErrRefused, line)
}

// head reads the heads of a proxy's answers. It reads one octet at a time, because the server's
// first octets may follow at once.
type head struct {
	proxy io.Reader
	left  int // octets that may still be read
}

// readLine reads a line. A line feed alone ends it too (RFC 9112 section 2.2).
func (h *head) readLine() ([]byte, error) {
	var line []byte
	for octet := make([]byte, 1); octet[0] != '\n'; {
		if h.left--; h.left < 0 {
			return nil, fmt.Errorf("%w: the header of its answer is longer than %d octets", ErrBroken, maxHead)
		}
		if err := read(h.proxy, octet); err != nil {
			return nil, err
		}
		line = append(line, octet[0])
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}

// readHeader reads the header up to the blank line. It returns the ways to log in that the proxy
// names.
func (h *head) readHeader() (logins [][]byte, err error) {
	for {
		line, err := h.readLine()
		if err != nil || len(line) == 0 {
			return logins, err
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if strings.EqualFold(string(name), "Proxy-Authenticate") {
			scheme, _, _ := bytes.Cut(bytes.TrimSpace(value), []byte(" "))
			logins = append(logins, scheme)
		}
	}
}
