package pop3

import (
	"bytes"
	"encoding/base64"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// told is a canned connection that keeps the octets that the client sends.
type told struct {
	canned
	sent bytes.Buffer
}

func (c *told) Write(p []byte) (int, error) { return c.sent.Write(p) }

// inSession returns a client in AUTHORIZATION state. The argument server is all that its server
// will ever send.
func inSession(server, lengths []byte) (*Client, *told) {
	conn := &told{canned: canned{pieces: pieces{stream: slices.Clone(server), lengths: lengths}}}
	l := newLink(conn)
	return &Client{link: l, reader: newReader(l), state: stateAuthorization, opts: plain().withDefaults()}, conn
}

// lineOf cuts the first line off a stream. The result ok is false if the line has no end. It does
// not check the length.
func lineOf(stream string) (line, rest string, ok bool) {
	line, rest, ok = strings.Cut(stream, "\n")
	return strings.TrimSuffix(line, "\r"), rest, ok
}

func tooLong(stream []byte) bool {
	for line := range bytes.Lines(stream) {
		if len(line) >= maxStatusLine {
			return true
		}
	}
	return false
}

func isBlank(r rune) bool { return r == ' ' || r == '\t' }

// FuzzAuth lets a server send anything in a SASL exchange (R5034-1). Only +OK logs in. The
// mechanism gets the decoded challenges. The client sends AUTH and base64 only, or an asterisk as
// its last line.
func FuzzAuth(f *testing.F) {
	for _, server := range []string{
		"+OK\r\n", "+ \r\n+OK\r\n", "+\r\n+\r\n+OK in\r\n", "+ VXNlcm5hbWU6\r\n+ UGFzc3dvcmQ6\r\n+OK\r\n", "-ERR [AUTH] no\r\n",
		"+ !\r\n-ERR\r\n", "+ YQ\r\n-ERR\r\n", "+ YR==\r\n-ERR\r\n", "+ YQ==\r\n+ YQ==\r\n+ YQ==\r\n-ERR cancelled\r\n", "+ YQ==\r\n+ok\n", "+OKAY\r\n-\r\n", "* OK\r\n",
	} {
		f.Add([]byte(server), []byte{})
		f.Add([]byte(server), []byte{0})
	}
	sent := regexp.MustCompile(`^AUTH X\r\n([A-Za-z0-9+/]+=*\r\n)*(\*\r\n)?$`)
	f.Fuzz(func(t *testing.T, server, lengths []byte) {
		if tooLong(server) {
			return
		}
		challenges, in := saslReference(string(server), 2)
		c, conn := inSession(server, lengths)
		m := &mechanism{name: "X", responses: []string{"a", "b"}, err: errors.New("no more")}
		err := c.Auth(t.Context(), m)
		if (err == nil) != in || !slices.Equal(m.challenges, challenges) {
			t.Errorf("Auth() with %q = %v, challenges %q, want logged in: %v, challenges %q", server, err, m.challenges, in, challenges)
		}
		if !sent.MatchString(conn.sent.String()) {
			t.Errorf("with %q was sent %q", server, conn.sent.String())
		}
		if (c.state == stateTransaction) != in {
			t.Errorf("after Auth() with %q the state is %v", server, c.state)
		}
	})
}

// saslReference returns the outcome of an exchange with a mechanism that has so many responses.
func saslReference(server string, responses int) (challenges []string, in bool) {
	for {
		line, rest, ok := lineOf(server)
		if !ok || !strings.HasPrefix(line, "+") {
			return challenges, false
		}
		if fields := strings.FieldsFunc(line, isBlank); strings.EqualFold(fields[0], "+OK") {
			return challenges, true
		}
		encoded := strings.TrimFunc(line[1:], isBlank)
		decoded, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if err != nil || base64.StdEncoding.EncodeToString(decoded) != encoded {
			return challenges, false
		}
		challenges = append(challenges, string(decoded))
		if len(challenges) > responses {
			return challenges, false
		}
		server = rest
	}
}

// FuzzCapa compares the result of Capa with the simplest way to read the reply (R2449-1).
func FuzzCapa(f *testing.F) {
	for _, lines := range served(f) {
		f.Add([]byte(strings.Join(lines, "")), []byte{})
	}
	for _, server := range []string{"+OK\r\n.\r\n", "+OK\r\nUSER\r\nuser\r\nSASL  PLAIN\tLOGIN \r\n\r\n..X\r\n.\r\n", "+ok\nTOP\n.\n", "-ERR\r\n", "+OK\r\nUSER\r\n.", "+OK\r\n\xff \x00\r\n.\r\n"} {
		f.Add([]byte(server), []byte{3, 0})
	}
	f.Fuzz(func(t *testing.T, server, lengths []byte) {
		if tooLong(server) || bytes.Count(server, []byte("\n")) > maxCapabilities {
			return
		}
		want, ok := capaReference(string(server))
		c, conn := inSession(server, lengths)
		got, err := c.Capa(t.Context())
		if (err == nil) != ok || !maps.EqualFunc(got, want, slices.Equal) {
			t.Errorf("Capa() with %q = %q, %v, want %q, well: %v", server, got, err, want, ok)
		}
		if conn.sent.String() != "CAPA\r\n" {
			t.Errorf("was sent %q, want CAPA", conn.sent.String())
		}
		if err != nil && strings.ContainsFunc(err.Error(), unicode.IsControl) {
			t.Errorf("Capa() = %q has control characters", err)
		}
	})
}

func capaReference(server string) (Capabilities, bool) {
	status, rest, ok := lineOf(server)
	if !ok || !strings.HasPrefix(status, "+") {
		return nil, false
	}
	found := Capabilities{}
	for {
		line, after, ok := lineOf(rest)
		if !ok {
			return nil, false
		}
		rest = after
		if line == "." {
			return found, true
		}
		fields := strings.FieldsFunc(strings.TrimPrefix(line, "."), isBlank)
		if len(fields) > 0 {
			name := strings.ToUpper(fields[0])
			found[name] = append(found[name], fields[1:]...)
		}
	}
}
