package tunnel

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode"
)

func TestProxy_askHTTP_octets(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n\r\n"
	const request = "CONNECT pop.invalid:995 HTTP/1.1\r\nHost: pop.invalid:995\r\n"
	if sent, _, err := answered(Proxy{Scheme: HTTP}, ok); err != nil || sent != request+"\r\n" {
		t.Errorf("ask() = %v and sent %q", err, sent)
	}
	sent, _, err := answered(Proxy{Scheme: HTTP, User: "Aladdin", Password: "open sesame"}, ok)
	if want := request + "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"; err != nil || sent != want { // RFC 7617 section 2
		t.Errorf("ask() = %v and sent %q, want %q", err, sent, want)
	}
}

func TestProxy_askHTTP(t *testing.T) {
	full := "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", maxHead-len("HTTP/1.1 200 OK\r\nX: \r\n\r\n")) + "\r\n\r\n"
	common := []answer{
		{"200", "HTTP/1.1 200 Connection established\r\n\r\n" + greeting, nil, ""},
		{"header", "HTTP/1.0 200 OK\r\nProxy-Agent: x\r\nContent-Length: 3\r\n\r\n" + greeting, nil, ""},
		{"299 without a reason", "HTTP/1.1 299\r\n\r\n" + greeting, nil, ""},
		{"line feeds", "HTTP/1.1 200 OK\nA: b\n\n" + greeting, nil, ""},
		{"100", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n" + greeting, nil, ""},
		{"as large as may be", full + greeting, nil, ""},
		{"too large", "HTTP/1.1 200 OK\r\nX" + full[len("HTTP/1.1 200 OK\r\n"):] + greeting, ErrBroken, "longer than 8192 octets"},
		{"100 for ever", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 400), ErrBroken, "longer than 8192 octets"},
		{"a line without end", strings.Repeat("H", 1<<20), ErrBroken, "longer than 8192 octets"},
		{"101", "HTTP/1.1 101 Switching Protocols\r\n\r\n" + greeting, ErrUnreached, "101 Switching Protocols"},
		{"302", "HTTP/1.1 302 Found\r\nLocation: http://h/\r\n\r\n", ErrUnreached, "302 Found"},
		{"403", "HTTP/1.1 403 Forbidden\r\n\r\n", ErrRefused, "403 Forbidden"},
		{"502", "HTTP/1.1 502 Bad\x1b[2J Gateway\r\n\r\n<html>", ErrUnreached, `502 Bad\x1b[2J Gateway`},
		{"a long reason", "HTTP/1.1 500 " + strings.Repeat("x", 4000) + "\r\n\r\n", ErrUnreached, "xxx…"},
		{"another protocol", "+OK ready\r\n", ErrBroken, `it answers "+OK ready", which is not HTTP`},
		{"HTTP/2", "HTTP/2 200\r\n\r\n", ErrBroken, "not HTTP"},
		{"no code", "HTTP/1.1 OK\r\n\r\n", ErrBroken, "not HTTP"},
		{"a short code", "HTTP/1.1 20 OK\r\n\r\n", ErrBroken, "not HTTP"},
		{"a signed code", "HTTP/1.1 +20 OK\r\n\r\n", ErrBroken, "not HTTP"},
		{"a blank line", "\r\n\r\n", ErrBroken, "not HTTP"},
		{"nothing", "", io.ErrUnexpectedEOF, "breaks off"},
		{"half a line", "HTTP/1.1 200 OK", io.ErrUnexpectedEOF, "breaks off"},
		{"half a header", "HTTP/1.1 200 OK\r\nA: b\r\n", io.ErrUnexpectedEOF, "breaks off"},
	}
	p := Proxy{Scheme: HTTP, Addr: "h:3128"}
	checkAnswers(t, p, common)
	checkAnswers(t, p, []answer{
		{"407", "HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic realm=x\r\n\r\n", ErrRefused, "407 Who?; write http://USER:PASSWORD@h:3128"},
	})
	p.User, p.Password = "alice", "hunter2"
	checkAnswers(t, p, common)
	checkAnswers(t, p, []answer{
		{"407", "HTTP/1.1 407 Who?\r\n\r\n", ErrRefused, "407 Who?; user or password is wrong"},
		{"407 with Basic too", "HTTP/1.1 407 Who?\r\nproxy-authenticate:NTLM\r\nProxy-Authenticate: basic realm=x\r\n\r\n", ErrRefused, "is wrong"},
		{"407 without Basic", "HTTP/1.1 407 Who?\r\nProxy-Authenticate: NTLM\r\nProxy-Authenticate: Negotiate\r\n\r\n", ErrRefused, "it takes NTLM, Negotiate, and"},
		{"repeated", "HTTP/1.1 407 no hunter2 " + p.basic() + "\r\nProxy-Authenticate: hunter2\r\n\r\n", ErrRefused, "no *** ***; it takes ***,"},
		{"repeated as nonsense", "what is Basic " + p.basic() + "?\r\n", ErrBroken, "what is Basic ***?"},
	})
}

// Whatever a proxy answers, the connection is made only after a whole positive answer, as net/http
// understands it. What is behind it is left to the server. An error is one short line.
func FuzzConnectReply(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nA: b\r\n\r\n+OK ready\r\n")
	f.Add("HTTP/1.1 100 Continue\n\nHTTP/1.0 200\n\n")
	f.Add("HTTP/1.1 407 hunter2\r\nProxy-Authenticate: NTLM\r\n\r\n")
	f.Add("HTTP/1.1 502 \x1b[2J\xff\r\n\r\n")
	p := Proxy{Scheme: HTTP, Addr: "h:3128", User: "alice", Password: "hunter2"}
	f.Fuzz(func(t *testing.T, octets string) {
		_, left, err := answered(p, octets)
		if err != nil {
			checkNoPassword(t, p, err)
			if text := err.Error(); len(text) > 2*maxShown+200 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("of %q: %q", octets, text)
			}
			return
		}
		head, _ := strings.CutSuffix(octets, left)
		if len(head) > maxHead || !strings.HasSuffix(strings.ReplaceAll(head, "\r\n", "\n"), "\n\n") {
			t.Errorf("%q counts as a whole answer", head)
		}
		// net/http is stricter about the header, which says nothing here.
		status, _, _ := strings.Cut(head[max(0, strings.LastIndex(head, "HTTP/1.")):], "\n")
		if strings.Count(head, "HTTP/1.") > 1 {
			return
		}
		response, err := http.ReadResponse(bufio.NewReader(strings.NewReader(strings.TrimSuffix(status, "\r")+"\r\n\r\n")), nil)
		if err == nil && response.StatusCode/100 != 2 {
			t.Errorf("%q counts as positive, and net/http has %d", status, response.StatusCode)
		}
	})
}
