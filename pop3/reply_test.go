package pop3

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/popfetch/popfetch/internal/escape"
)

func TestParseReply(t *testing.T) {
	tests := []struct {
		name, line string
		want       string // positive or negative, code, text; "" for no status line
	}{
		{"V0001/usual", "+OK", "+||"},
		{"V0001/lower-case", "+ok x", "+||x"},
		{"V0001/mixed-case", "+Ok x", "+||x"},
		{"V0001/plus-alone", "+", "+||"},
		{"V0001/plus-and-word", "+YES x", "+||x"},
		{"V0001/negative", "-ERR no", "-||no"},
		{"V0001/negative-lower-case", "-err no", "-||no"},
		{"V0001/minus-alone", "-", "-||"},
		{"V0001/empty", "", ""},
		{"V0001/http", "HTTP/1.1 400 Bad Request", ""},
		{"V0001/imap", "* OK ready", ""},
		{"V0001/smtp", "220 ready", ""},
		{"V0001/no-plus", "OK ready", ""},
		{"V0001/blank-first", " +OK", ""},
		{"C0004/tabs-and-blanks", "+OK \t 2\t 320 \t", "+||2\t 320"},
		{"R2449-6/code", "-ERR [IN-USE] locked", "-|IN-USE|locked"},
		{"R2449-6/lower-case", "-ERR [in-use] locked", "-|IN-USE|locked"},
		{"R2449-6/without-text", "-ERR [LOGIN-DELAY]", "-|LOGIN-DELAY|"},
		{"R2449-6/positive", "+OK [X-OLD] well", "+|X-OLD|well"},
		{"R2449-6/not-at-start", "-ERR no [AUTH]", "-||no [AUTH]"},
		{"R2449-6/open", "-ERR [AUTH no", "-||[AUTH no"},
		{"R2449-6/empty", "-ERR [] no", "-||[] no"},
		{"R2449-6/empty-level", "-ERR [SYS/] no", "-||[SYS/] no"},
		{"R2449-6/blank-inside", "-ERR [not a code] no", "-||[not a code] no"},
		{"R2449-6/control-octet", "-ERR [A\x1bB] no", "-||[A\x1bB] no"},
		{"R3206-1/levels", "-ERR [SYS/TEMP] later", "-|SYS/TEMP|later"},
		{"R3206-1/glued", "-ERR [AUTH]wrong", "-|AUTH|wrong"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if r, ok := parseReply([]byte(tt.line)); ok {
				got = map[bool]string{true: "+", false: "-"}[r.positive] + "|" + string(r.code) + "|" + string(r.text)
			}
			if got != tt.want {
				t.Errorf("parseReply(%q) = %q, want %q", tt.line, got, tt.want)
			}
		})
	}
}

func TestParseDropListing(t *testing.T) {
	tests := []struct {
		name, text string
		want       DropListing
		ok         bool
	}{
		{"C0017/rfc", "2 320", DropListing{2, 320}, true},
		{"C0017/tabs", "\t2\t \t320\t", DropListing{2, 320}, true},
		{"C0017/extra-text", "2 320 and more", DropListing{2, 320}, true},
		{"C0017/leading-zeros", "0002 0320", DropListing{2, 320}, true},
		{"C0017/empty-maildrop", "0 0", DropListing{}, true},
		{"C0017/2147483647", "2147483647 9", DropListing{math.MaxInt32, 9}, true},
		{"C0017/unsigned-64-bit", "1 18446744073709551615", DropListing{1, math.MaxInt64}, true},
		{"C0017/overflow", "1 18446744073709551616", DropListing{}, false},
		{"C0017/20-digits", "99999999999999999999 1", DropListing{}, false},
		{"C0017/count-beyond-32-bit", "2147483648 1", DropListing{}, false},
		{"C0017/no-octets", "2", DropListing{}, false},
		{"C0017/nothing", "", DropListing{}, false},
		{"C0017/sign", "-1 5", DropListing{}, false},
		{"C0017/plus-sign", "+1 5", DropListing{}, false},
		{"C0017/sign-of-octets", "1 -5", DropListing{}, false},
		{"C0017/words", "two messages", DropListing{}, false},
		{"C0017/glued", "2x 320", DropListing{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := parseDropListing([]byte(tt.text))
			if got != tt.want || ok != tt.ok {
				t.Errorf("parseDropListing(%q) = %v, %v, want %v, %v", tt.text, got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestParseScanListing(t *testing.T) {
	tests := []struct {
		name, line string
		want       ScanListing
		ok         bool
	}{
		{"C0021/rfc", "1 120", ScanListing{1, 120}, true},
		{"C0021/tabs", "\t 1 \t 120 \t", ScanListing{1, 120}, true},
		{"C0021/extra-text", "1 120 octets", ScanListing{1, 120}, true},
		{"C0021/leading-zeros", "007 0120", ScanListing{7, 120}, true},
		{"C0021/overflow", "1 99999999999999999999", ScanListing{1, 0}, true},
		{"C0021/beyond-int64", "1 9223372036854775808", ScanListing{1, 0}, true},
		{"C0021/negative", "1 -5", ScanListing{1, 0}, true},
		{"C0021/word", "1 many", ScanListing{1, 0}, true},
		{"C0021/no-octets", "1", ScanListing{1, 0}, true},
		{"C0011/zero", "0 120", ScanListing{}, false},
		{"C0011/zeros", "000 120", ScanListing{}, false},
		{"C0011/no-number", "one 120", ScanListing{}, false},
		{"C0011/sign", "-1 120", ScanListing{}, false},
		{"C0011/too-large", "4194305 120", ScanListing{}, false},
		{"C0011/largest", "4194304 120", ScanListing{4194304, 120}, true},
		{"C0011/overflow", "18446744073709551617 120", ScanListing{}, false},
		{"C0011/empty", "", ScanListing{}, false},
		{"C0011/blanks", " \t ", ScanListing{}, false},
		{"C0011/glued", "1,120", ScanListing{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := parseScanListing([]byte(tt.line))
			if got != tt.want || ok != tt.ok {
				t.Errorf("parseScanListing(%q) = %v, %v, want %v, %v", tt.line, got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestParseUniqueIDListing(t *testing.T) {
	long := strings.Repeat("u", maxUniqueID)
	tests := []struct {
		name, line string
		number     int
		id         string
		ok         bool
	}{
		{"C0038/rfc", "1 whqtswO00WBw418f9t5JxYwZ", 1, "whqtswO00WBw418f9t5JxYwZ", true},
		{"C0038/tabs", "\t1 \t uid \t", 1, "uid", true},
		{"C0038/extra-text", "1 uid and more", 1, "uid", true},
		{"C0038/leading-zeros-of-number", "01 uid", 1, "uid", true},
		{"C0038/no-id", "1", 0, "", false},
		{"C0038/blanks-for-id", "1 \t ", 0, "", false},
		{"C0038/no-number", "uid 1", 0, "", false},
		{"C0011/zero", "0 uid", 0, "", false},
		{"C0039/leading-zeros", "1 007", 1, "007", true},
		{"C0039/quotes-and-paths", `1 "../%2e$(id)'`, 1, `"../%2e$(id)'`, true},
		{"C0039/dot", "1 .", 1, ".", true},
		{"C0039/8-bit", "1 \xff\xfe\x80", 1, "\xff\xfe\x80", true},
		{"C0039/escape", "1 a\x1b[2J", 1, "a\x1b[2J", true},
		{"C0039/nul", "1 a\x00b", 0, "", false},
		{"C0039/cr", "1 a\rb", 0, "", false},
		{"C0039/1", "1 u", 1, "u", true},
		{"C0039/70", "1 " + long[:70], 1, long[:70], true},
		{"C0039/71", "1 " + long[:71], 1, long[:71], true},
		{"C0039/1024", "1 " + long, 1, long, true},
		{"C0039/1025", "1 u" + long, 0, "", false},
	}
	for c := byte(0x21); c <= 0x7e; c++ { // the 94 characters of RFC 1939
		id := string([]byte{c, 'x', c})
		tests = append(tests, struct {
			name, line string
			number     int
			id         string
			ok         bool
		}{fmt.Sprintf("C0039/character-%02x", c), "1 " + id, 1, id, true})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			number, id, ok := parseUniqueIDListing([]byte(tt.line))
			if number != tt.number || string(id) != tt.id || ok != tt.ok {
				t.Errorf("parseUniqueIDListing(%q) = %d, %q, %v, want %d, %q, %v",
					tt.line, number, id, ok, tt.number, tt.id, tt.ok)
			}
		})
	}
}

func TestParseCapability(t *testing.T) {
	tests := []struct{ name, line, want string }{
		{"R2449-2/plain", "TOP", "TOP []"},
		{"R2449-2/params", "SASL CRAM-MD5 KERBEROS_V4", "SASL [CRAM-MD5 KERBEROS_V4]"},
		{"R2449-1/lower-case", "sasl plain", "SASL [plain]"},
		{"C0004/tabs", "\tLOGIN-DELAY \t 900 ", "LOGIN-DELAY [900]"},
		{"R2449-1/empty", " ", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if name, params, ok := parseCapability([]byte(tt.line)); ok {
				got = fmt.Sprint(name, " ", params)
			}
			if got != tt.want {
				t.Errorf("parseCapability(%q) = %q, want %q", tt.line, got, tt.want)
			}
		})
	}
}

func TestParseTimestamp(t *testing.T) {
	tests := []struct{ name, greeting, want string }{
		{"V0008/rfc", "POP3 server ready <1896.697170952@dbc.mtview.ca.us>", "<1896.697170952@dbc.mtview.ca.us>"},
		{"V0008/dovecot", "Dovecot ready. <1a2b.2.5f3.ab+/cd==@host_1>", "<1a2b.2.5f3.ab+/cd==@host_1>"},
		{"V0008/text-behind", "<1@a> ready", "<1@a>"},
		{"V0008/address", "<1.2@[127.0.0.1]>", "<1.2@[127.0.0.1]>"},
		{"V0008/none", "ready", ""},
		{"V0008/no-at", "<1896>", ""},
		{"V0008/no-brackets", "1@a", ""},
		{"V0008/open", "<1@a", ""},
		{"V0008/reversed", ">1@a<", ""},
		{"V0008/twice", "<1@a> <2@b>", ""},
		{"V0008/nested", "<<1@a>>", ""},
		{"V0008/two-ats", "<1@a@b>", ""},
		{"V0008/8-bit", "<1\x80@a>", ""},
		{"V0008/8-bit-domain", "<1@a\xff>", ""},
		{"V0008/control-octet", "<1\x01@a>", ""},
		{"V0008/blank", "<1 2@a>", ""},
		{"V0008/empty-local-part", "<@a>", ""},
		{"V0008/empty-domain", "<1@>", ""},
		{"V0008/two-dots", "<1..2@a>", ""},
		{"V0008/empty-address", "<1@[]>", ""},
		{"V0008/quoted", `<"1"@a>`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := parseTimestamp([]byte(tt.greeting))
			if got != tt.want || ok != (tt.want != "") {
				t.Errorf("parseTimestamp(%q) = %q, %v, want %q", tt.greeting, got, ok, tt.want)
			}
		})
	}
}

func TestParseChallenge(t *testing.T) {
	tests := []struct {
		name, line, want string
		ok               bool
	}{
		{"V0001/blank", "+ ", "", true},
		{"OX-1/no-blank", "+", "", true},
		{"V0001/challenge", "+ PDE4OTY=", "PDE4OTY=", true},
		{"OX-1/challenge-no-blank", "+PDE4OTY=", "PDE4OTY=", true},
		{"V0001/begins-like-ok", "+OKay", "OKay", true},
		{"V0001/ok-as-base64", "+ OK", "OK", true},
		{"V0001/end", "+OK", "", false},
		{"V0001/end-lower-case", "+ok done", "", false},
		{"V0001/end-tab", "+Ok\tdone", "", false},
		{"V0001/negative", "-ERR", "", false},
		{"V0001/empty", "", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := parseChallenge([]byte(tt.line))
			if got != tt.want || ok != tt.ok {
				t.Errorf("parseChallenge(%q) = %q, %v, want %q, %v", tt.line, got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestAPOPDigest(t *testing.T) {
	t.Run("V0008/rfc-example", func(t *testing.T) {
		got := apopDigest("<1896.697170952@dbc.mtview.ca.us>", "tanstaaf")
		if want := "c4c9334bac560ecc979e58001b3e22fb"; got != want {
			t.Errorf("apopDigest() = %q, want %q", got, want)
		}
	})
}

func TestEscape(t *testing.T) {
	tests := []struct {
		name, octets string
		limit        int
		want         string
	}{
		{"R6856-3/plain", `as "it" is\`, 80, `as "it" is\`},
		{"R6856-3/utf-8", "Grüße", 80, "Grüße"},
		{"R6856-3/control", "a\x1b[2J\x00\r\n\x7f", 80, `a\x1b[2J\x00\x0d\x0a\x7f`},
		{"R6856-3/c1-control", "\u009b", 80, `\u009b`},
		{"R6856-3/not-utf-8", "\xff\xc3", 80, `\xff\xc3`},
		{"R6856-3/right-to-left", "a\u202eb", 80, `a\u202eb`},
		{"R6856-3/fits", "12345678", 8, "12345678"},
		{"R6856-3/cut", "123456789", 8, "12345…"},
		{"R6856-3/cut-in-escape", "1234\x00\x00", 8, "1234…"},
		{"R6856-3/replacement", "\ufffd", 8, "\ufffd"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := escape.Text([]byte(tt.octets), tt.limit)
			if got != tt.want {
				t.Errorf("escape.Text(%q, %d) = %q, want %q", tt.octets, tt.limit, got, tt.want)
			}
			if len(got) > tt.limit || !utf8.ValidString(got) {
				t.Errorf("escape.Text(%q, %d) = %q, want at most %d octets of UTF-8", tt.octets, tt.limit, got, tt.limit)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"refused", &ReplyError{Command: "PASS", Code: CodeAuth, Text: "wrong"}, "server refused PASS: [AUTH] wrong"},
		{"no-code", &ReplyError{Command: "RETR", Text: "no such message"}, "server refused RETR: no such message"},
		{"code-alone", &ReplyError{Command: "PASS", Code: CodeInUse}, "server refused PASS: [IN-USE]"},
		{"nothing", &ReplyError{Command: "TOP"}, "server refused TOP"},
		{"greeting", &ReplyError{Text: "busy"}, "server refused the session: busy"},
		{"out-of-step", protocolError("STAT", []byte("220\x07"), "a status line"),
			`STAT: protocol error: got "220\x07", want a status line`},
		{"foreign-greeting", protocolError("", []byte("220 ready"), "a status line"),
			`greeting: protocol error: got "220 ready", want a status line`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.err.Error(); got != tt.want {
				t.Errorf("Error() = %q, want %q", got, tt.want)
			}
		})
	}
}
