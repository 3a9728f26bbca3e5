package pop3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/popfetch/popfetch/internal/escape"
)

// served returns, for each dialogue in testdata, the lines of the server with their ends. Most
// dialogues are examples of the RFCs.
func served(f *testing.F) [][]string {
	files, err := filepath.Glob("testdata/*.pop")
	if err != nil {
		f.Fatal(err)
	}
	var all [][]string
	for _, file := range files {
		script, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var lines []string
		for line := range strings.Lines(string(script)) {
			if text, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "S:"); ok {
				lines = append(lines, strings.TrimPrefix(text, " ")+"\r\n")
			}
		}
		all = append(all, lines)
	}
	return all
}

func addLines(f *testing.F) {
	for _, lines := range served(f) {
		for _, line := range lines {
			f.Add([]byte(strings.TrimSuffix(line, "\r\n")))
		}
	}
}

func FuzzStatusLine(f *testing.F) {
	addLines(f)
	f.Add([]byte("-ERR [SYS/TEMP] later"))
	f.Add([]byte("+OK <1@[127.0.0.1]>"))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, ok := parseReply(line)
		if want := len(line) > 0 && (line[0] == '+' || line[0] == '-'); ok != want {
			t.Fatalf("parseReply(%q): a status line: %v, want %v", line, ok, want)
		}
		if ok && r.positive != (line[0] == '+') {
			t.Errorf("parseReply(%q): positive: %v", line, r.positive)
		}
		if code := string(r.code); code != strings.ToUpper(code) || strings.ContainsAny(code, " ]\r\n\t") {
			t.Errorf("parseReply(%q): code %q", line, code)
		}
		if text := escape.Text(line, maxErrorText); len(text) > maxErrorText || !utf8.ValidString(text) ||
			strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) }) {
			t.Errorf("escape.Text(%q) = %q", line, text)
		}
		if timestamp, ok := parseTimestamp(line); ok && (!strings.Contains(timestamp, "@") ||
			strings.ContainsFunc(timestamp, func(r rune) bool { return r <= ' ' || r > '~' })) {
			t.Errorf("parseTimestamp(%q) = %q", line, timestamp)
		}
		parseChallenge(line)
		parseDropListing(r.text)
	})
}

func FuzzListing(f *testing.F) {
	addLines(f)
	f.Fuzz(func(t *testing.T, line []byte) {
		if listing, ok := parseScanListing(line); ok && (listing.Number < 1 || listing.Number > maxNumber || listing.Octets < 0) {
			t.Errorf("parseScanListing(%q) = %v", line, listing)
		}
		number, id, ok := parseUniqueIDListing(line)
		if !ok {
			return
		}
		// Written in the simplest form, it must be read as the same id.
		again, same, ok := parseUniqueIDListing([]byte(strconv.Itoa(number) + " " + string(id)))
		if !ok || again != number || !bytes.Equal(same, id) || len(id) > maxUniqueID || bytes.ContainsAny(id, " \t\r\n\x00") {
			t.Errorf("parseUniqueIDListing(%q) = %d, %q", line, number, id)
		}
		if name, _, ok := parseCapability(line); ok && name == "" {
			t.Errorf("parseCapability(%q) has no name", line)
		}
	})
}

// unstuffed is the simplest way to read a body. The result ok is false if the terminating line is
// missing.
func unstuffed(stream string) (body, rest string, ok bool) {
	var out strings.Builder
	before := "\r\n" // the last two octets of the body
	for stream != "" {
		if before == "\r\n" && strings.HasPrefix(stream, ".\r\n") {
			return out.String(), stream[3:], true
		}
		if before == "\r\n" && stream[0] == '.' {
			before = "."
		} else {
			out.WriteByte(stream[0])
			before = before[len(before)-1:] + stream[:1]
		}
		stream = stream[1:]
	}
	return out.String(), "", false
}

// pieces is a stream that comes in pieces. Their lengths are those given, over and over.
type pieces struct {
	stream  []byte
	lengths []byte
	next    int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.stream) == 0 {
		return 0, io.EOF
	}
	n := len(p.stream)
	if len(p.lengths) > 0 {
		n = min(n, int(p.lengths[p.next%len(p.lengths)])+1)
		p.next++
	}
	n = copy(b, p.stream[:n])
	p.stream = p.stream[n:]
	return n, nil
}

func FuzzDotReader(f *testing.F) {
	for _, stream := range []string{"From: mrose\r\n\r\nfirst\r\n.\r\n+OK", "..\r\n...\r\n.\r\n", "a\n.\nb\r\n.\r\n", ".\r\r\n\r.\r\n.\r\n", ".\r\n"} {
		f.Add([]byte(stream), []byte{0, 1, 2}, uint8(3))
		f.Add([]byte(stream), []byte{}, uint8(200))
	}
	f.Fuzz(func(t *testing.T, stream, lengths []byte, most uint8) {
		body, rest, ok := unstuffed(string(stream))
		src := &pieces{stream: stream, lengths: lengths}
		b := bodyReader{reader: newReader(src)}
		got, err := readBody(&b, int(most)+1)
		if ok && (got != body || !errors.Is(err, io.EOF)) {
			t.Fatalf("body of %q = %q, %v, want %q, EOF", stream, got, err, body)
		}
		if !ok && (!strings.HasPrefix(body, got) || !isCut(err)) {
			t.Fatalf("cut body of %q = %q, %v, want the start of %q, and that it is cut", stream, got, err, body)
		}
		if left := string(b.buffered()) + string(src.stream); ok && left != rest {
			t.Errorf("%q is left of %q, want %q", left, stream, rest)
		}
		b = bodyReader{reader: newReader(&pieces{stream: []byte(stuffed(string(stream))), lengths: lengths})}
		if again, err := readBody(&b, int(most)+1); !errors.Is(err, io.EOF) || again != terminated(string(stream)) {
			t.Errorf("V0002: %q, stuffed and unstuffed, = %q, %v", stream, again, err)
		}
	})
}

// terminated returns body with CRLF at its end.
func terminated(body string) string {
	if body != "" && !strings.HasSuffix(body, "\r\n") {
		return body + "\r\n"
	}
	return body
}

// stuffed returns a body as it goes over the wire.
func stuffed(body string) string {
	body = terminated(body)
	if strings.HasPrefix(body, ".") {
		body = "." + body
	}
	return strings.ReplaceAll(body, "\r\n.", "\r\n..") + ".\r\n"
}

// canned is a connection to a server that sends the same octets whatever the client sends.
type canned struct {
	pieces
	closed bool
}

func (c *canned) Write(p []byte) (int, error)      { return len(p), nil }
func (c *canned) Close() error                     { c.closed = true; return nil }
func (c *canned) LocalAddr() net.Addr              { return new(net.TCPAddr) }
func (c *canned) RemoteAddr() net.Addr             { return new(net.TCPAddr) }
func (c *canned) SetDeadline(time.Time) error      { return nil }
func (c *canned) SetReadDeadline(time.Time) error  { return nil }
func (c *canned) SetWriteDeadline(time.Time) error { return nil }

// FuzzSession lets a server send anything. Nothing panics or hangs. Everything sent is a command. A
// message counts as whole only if all of it came. QUIT succeeds only if the server said so.
func FuzzSession(f *testing.F) {
	for _, lines := range served(f) {
		f.Add([]byte(strings.Join(lines, "")), []byte{}, false)
		f.Add([]byte(strings.Join(lines, "")), []byte{0}, true)
	}
	const start = "+OK <1@a>\r\n+OK\r\nPIPELINING\r\n.\r\n+OK\r\n+OK\r\n+OK 2 9\r\n+OK\r\n1 4\r\n2 5\r\n.\r\n+OK\r\n1 a\r\n2 b\r\n.\r\n"
	f.Add([]byte(start+"+OK\r\none\r\n.\r\n+OK\r\n..\r\n.\r\n+OK\r\nh\r\n\r\n.\r\n-ERR\r\n+OK\r\n+OK\r\n+OK bye\r\n"), []byte{255}, false)
	f.Add([]byte(start+"+OK\r\none\r\n.\r"), []byte{30, 2}, false)
	f.Add([]byte("+OK\r\n+OK\r\n.\r\n+ YQ==\r\n+OK\r\n+OK 0 0\r\n"), []byte{}, true)
	f.Fuzz(func(t *testing.T, server, lengths []byte, byAuth bool) {
		conn := &canned{pieces: pieces{stream: slices.Clone(server), lengths: lengths}}
		c, err := anySession(t, conn, server, byAuth)
		if !conn.closed {
			t.Error("the connection was left open")
		}
		if c == nil || err != nil {
			return
		}
		// Without the last octet that was read, QUIT must fail.
		needed := server[:len(server)-len(conn.stream)-len(c.reader.buffered())-1]
		cut := &canned{pieces: pieces{stream: slices.Clone(needed), lengths: lengths}}
		if _, err := anySession(t, cut, needed, byAuth); err == nil {
			t.Errorf("C0006: QUIT is done with %q, and with its last octet cut off", server)
		}
	})
}

// anySession opens a session with conn and calls every method. The error is that of QUIT. If the
// Client is nil, the error is that of New.
func anySession(t *testing.T, conn net.Conn, server []byte, byAuth bool) (*Client, error) {
	opts := plain()
	opts.Trace = func(_ bool, line string) {
		if strings.ContainsFunc(line, unicode.IsControl) || !utf8.ValidString(line) {
			t.Errorf("trace has %q", line)
		}
	}
	c, err := New(t.Context(), conn, opts)
	if err != nil {
		return nil, err
	}
	return c, wholeSession(t, c, server, byAuth)
}

// wholeSession calls every method that a session allows, and returns the error of QUIT.
func wholeSession(t *testing.T, c *Client, server []byte, byAuth bool) error {
	ctx := t.Context()
	_, _ = c.Capa(ctx)
	if byAuth {
		_ = c.Auth(ctx, &mechanism{name: "X", responses: []string{"a", "b"}, err: errors.New("no more")})
	} else {
		_ = c.User(ctx, "alice", "secret")
	}
	listings, err := c.Listings(ctx)
	if err != nil {
		return quit(ctx, c)
	}
	all := func(yield func(int, int64) bool) {
		for _, listing := range listings.Scan {
			if !yield(listing.Number, listing.Octets) {
				return
			}
		}
	}
	ids := func(yield func(int) bool) {
		for _, listing := range listings.UIDs {
			if !yield(listing.Number) {
				return
			}
		}
	}
	for m, err := range c.Retr(ctx, all) {
		if err != nil {
			continue
		}
		body, err := io.ReadAll(m)
		if wire := rawBody(server, string(body)); err == nil && !wire {
			t.Errorf("message %d is whole with %q, which the server never sent", m.Number, body)
		}
	}
	bodies(c.Top(ctx, ids, 0))
	deletions(c.Dele(ctx, ids))
	_ = c.Noop(ctx)
	return quit(ctx, c)
}

// quit calls Quit, and checks that a session out of step returns ErrClosed.
func quit(ctx context.Context, c *Client) error {
	lost := c.lost
	err := c.Quit(ctx)
	if lost != nil && !errors.Is(err, ErrClosed) {
		return fmt.Errorf("Quit() out of step = %w, want %w", err, ErrClosed)
	}
	return err
}

// rawBody reports whether the server sent this body with its end.
func rawBody(server []byte, body string) bool {
	for i := range server {
		if startsWithBody(server[i:], body) {
			return true
		}
	}
	return false
}

func startsWithBody(stream []byte, body string) bool {
	for body != "" {
		line, rest, _ := strings.Cut(body, "\r\n")
		line += "\r\n"
		switch {
		case line != "\r\n" && bytes.HasPrefix(stream, []byte("."+line)):
			stream = stream[len(line)+1:]
		case line[0] != '.' && bytes.HasPrefix(stream, []byte(line)):
			stream = stream[len(line):]
		default:
			return false
		}
		body = rest
	}
	return bytes.HasPrefix(stream, []byte(".\r\n"))
}
