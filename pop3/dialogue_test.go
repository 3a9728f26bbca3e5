package pop3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/poptest"
)

// plain returns the options of a session without TLS. Its time limits are never reached.
func plain() *Options {
	const limit = 20 * time.Second
	return &Options{TLS: TLSNone, DialTimeout: limit, GreetingTimeout: limit, ReplyTimeout: limit, StallTimeout: limit}
}

// dial opens a session without TLS with a server that plays script.
func dial(t *testing.T, script string) *Client {
	t.Helper()
	return open(t, poptest.Dialogue(t, script).Addr(), plain())
}

func open(t *testing.T, addr string, opts *Options) *Client {
	t.Helper()
	poptest.InClear(addr, opts.TLS == TLSNone)
	c, err := Dial(t.Context(), addr, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

const (
	login           = "S: +OK ready\nC: USER alice\nS: +OK\nC: PASS secret\nS: +OK\n"
	pipeliningLogin = "S: +OK ready\nC: CAPA\nS: +OK\nS: PIPELINING\nS: .\nC: USER alice\nS: +OK\nC: PASS secret\nS: +OK\n"
)

// transaction opens a session in TRANSACTION state with a server that then plays script.
func transaction(t *testing.T, script string) *Client {
	t.Helper()
	return logIn(t, dial(t, login+script))
}

// pipelined does the same as transaction, with a server that announces PIPELINING.
func pipelined(t *testing.T, script string) *Client {
	t.Helper()
	c := dial(t, pipeliningLogin+script)
	if _, err := c.Capa(t.Context()); err != nil {
		t.Fatal(err)
	}
	return logIn(t, c)
}

func logIn(t *testing.T, c *Client) *Client {
	t.Helper()
	if err := c.User(t.Context(), "alice", "secret"); err != nil {
		t.Fatal(err)
	}
	return c
}

// numbers returns the sequence first to last, without announced octets.
func numbers(first, last int) iter.Seq2[int, int64] {
	return func(yield func(int, int64) bool) {
		for n := first; n <= last && yield(n, 0); n++ {
		}
	}
}

// bodies reads messages to their ends. For each it returns number and body, or number and error.
func bodies(messages iter.Seq2[*Message, error]) []string {
	var all []string
	for m, err := range messages {
		var body []byte
		if err == nil {
			body, err = io.ReadAll(m)
		}
		if err != nil {
			all = append(all, fmt.Sprintf("%d: error: %v", m.Number, err))
			continue
		}
		all = append(all, fmt.Sprintf("%d: %s", m.Number, body))
	}
	return all
}

// deletions returns the answers to DELE in the same form.
func deletions(answers iter.Seq2[int, error]) []string {
	var all []string
	for n, err := range answers {
		all = append(all, fmt.Sprintf("%d: %v", n, err))
	}
	return all
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s = %+v, want %+v", what, got, want)
	}
}

func noError(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s = %v, want nil", what, err)
	}
}

// refusal checks that err is a *ReplyError with the code.
func refusal(t *testing.T, what string, err error, code ResponseCode) {
	t.Helper()
	var refused *ReplyError
	if !errors.As(err, &refused) || refused.Code != code {
		t.Errorf("%s = %v, want a *ReplyError with code %q", what, err, code)
	}
}

// outOfStep checks that err is a *ProtocolError and that the session is marked.
func outOfStep(t *testing.T, c *Client, what string, err error) {
	t.Helper()
	var mistake *ProtocolError
	if !errors.As(err, &mistake) {
		t.Errorf("%s = %v, want a *ProtocolError", what, err)
	}
	if err := c.Noop(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Noop() out of step = %v, want %v", err, ErrClosed)
	}
}

// dialogues has the client's part of each file testdata/*.pop.
var dialogues = map[string]func(t *testing.T, c *Client, ctx context.Context){
	"rfc1939-section10": func(t *testing.T, c *Client, ctx context.Context) {
		noError(t, "Apop()", c.Apop(ctx, "mrose", "tanstaaf"))
		drop, err := c.Stat(ctx)
		noError(t, "Stat()", err)
		equal(t, "C0015: Stat()", drop, DropListing{2, 320})
		scan, err := c.List(ctx)
		noError(t, "List()", err)
		equal(t, "V0003: List()", scan, []ScanListing{{1, 120}, {2, 200}})
		equal(t, "V0004: Retr(1)", bodies(c.Retr(ctx, numbers(1, 1))), []string{"1: From: mrose\r\n\r\nfirst\r\n"})
		equal(t, "C0024: Dele(1)", deletions(c.Dele(ctx, slices.Values([]int{1}))), []string{"1: <nil>"})
		equal(t, "V0004: Retr(2)", bodies(c.Retr(ctx, numbers(2, 2))), []string{"2: From: mrose\r\n\r\nsecond\r\n"})
		equal(t, "C0024: Dele(2)", deletions(c.Dele(ctx, slices.Values([]int{2}))), []string{"2: <nil>"})
		noError(t, "C0030: Quit()", c.Quit(ctx))
	},
	"rfc1939-sections5to7": func(t *testing.T, c *Client, ctx context.Context) {
		noError(t, "C0044: User()", c.User(ctx, "mrose", "secret"))
		one, err := c.ListNumber(ctx, 2)
		noError(t, "ListNumber(2)", err)
		equal(t, "C0019: ListNumber(2)", one, ScanListing{2, 200})
		_, err = c.ListNumber(ctx, 3)
		refusal(t, "ListNumber(3)", err, "")
		noError(t, "C0027: Noop()", c.Noop(ctx))
		equal(t, "C0026: Dele(2)", deletions(c.Dele(ctx, slices.Values([]int{2}))),
			[]string{"2: server refused DELE: message 2 already deleted"})
		noError(t, "V0006: Rset()", c.Rset(ctx))
		equal(t, "C0032: Top(1, 10)", bodies(c.Top(ctx, slices.Values([]int{1}), 10)), []string{"1: From: mrose\r\n\r\nfirst\r\n"})
		equal(t, "C0032: Top(100, 3)", bodies(c.Top(ctx, slices.Values([]int{100}), 3)),
			[]string{"100: error: server refused TOP: no such message"})
		uids, err := c.UIDL(ctx)
		noError(t, "UIDL()", err)
		equal(t, "V0007: UIDL()", uids, []UniqueIDListing{{1, "whqtswO00WBw418f9t5JxYwZ"}, {2, "QhdPYR:00WBw1Ph7x7"}})
		uid, err := c.UIDLNumber(ctx, 2)
		noError(t, "UIDLNumber(2)", err)
		equal(t, "C0036: UIDLNumber(2)", uid, UniqueIDListing{2, "QhdPYR:00WBw1Ph7x7"})
		_, err = c.UIDLNumber(ctx, 3)
		refusal(t, "UIDLNumber(3)", err, "")
		noError(t, "C0030: Quit()", c.Quit(ctx))
	},
	"rfc2449-section5": func(t *testing.T, c *Client, ctx context.Context) {
		equal(t, "Capabilities() before Capa", c.Capabilities(), nil)
		capabilities, err := c.Capa(ctx)
		noError(t, "Capa()", err)
		want := Capabilities{"TOP": nil, "USER": nil, "SASL": {"CRAM-MD5", "KERBEROS_V4"}, "UIDL": nil, "LOGIN-DELAY": {"900"},
			"PIPELINING": nil, "EXPIRE": {"60"}, "IMPLEMENTATION": {"Shlemazle-Plotz-v302"}}
		equal(t, "R2449-2: Capa()", fmt.Sprint(capabilities), fmt.Sprint(want))
		equal(t, "Capabilities()", c.Capabilities(), capabilities)
		refusal(t, "R2449-6: User()", c.User(ctx, "mrose", "secret"), CodeInUse)
		noError(t, "C0012: Quit()", c.Quit(ctx))
	},
	"rfc5034-section6": func(t *testing.T, c *Client, ctx context.Context) {
		late := &mechanism{name: "PLAIN", responses: []string{"\x00test\x00test"}}
		refusal(t, "R5034-1: Auth() without initial response", c.Auth(ctx, late), CodeAuth)
		noError(t, "R5034-1: Auth()", c.Auth(ctx, &mechanism{name: "PLAIN", initial: []byte("\x00test\x00test")}))
		noError(t, "Quit()", c.Quit(ctx))
	},
	"C0005-lone-lf": func(t *testing.T, c *Client, ctx context.Context) {
		capabilities, err := c.Capa(ctx)
		noError(t, "Capa()", err)
		equal(t, "Capa().Has(UIDL)", capabilities.Has("UIDL"), true)
		fetchOne(t, c, "1: body\n.\nmore\r\n")
	},
	"V0001-lower-case": func(t *testing.T, c *Client, ctx context.Context) {
		_, err := c.Capa(ctx)
		refusal(t, "Capa()", err, "")
		fetchOne(t, c, "1: body\r\n")
	},
	"C0013-window": func(t *testing.T, c *Client, ctx context.Context) {
		c.opts.Window = 4
		_, err := c.Capa(ctx)
		noError(t, "Capa()", err)
		logIn(t, c)
		equal(t, "Retr()", bodies(c.Retr(ctx, numbers(1, 6))), []string{"1: one\r\n",
			"2: error: server refused RETR: [SYS/TEMP] not now", "3: .three\r\n", "4: ", "5: five\r\n", "6: six\r\n"})
		equal(t, "Dele()", deletions(c.Dele(ctx, slices.Values([]int{1, 2, 3}))),
			[]string{"1: <nil>", "2: server refused DELE: not that one", "3: <nil>"})
		noError(t, "Noop()", c.Noop(ctx))
		noError(t, "Quit()", c.Quit(ctx))
	},
	"V0002-dots": func(t *testing.T, c *Client, ctx context.Context) {
		capabilities, err := c.Capa(ctx)
		noError(t, "Capa()", err)
		equal(t, "Capa()", fmt.Sprint(capabilities), fmt.Sprint(Capabilities{"UIDL": nil, ".X": nil}))
		logIn(t, c)
		scan, err := c.List(ctx)
		noError(t, "List()", err)
		equal(t, "List()", scan, []ScanListing{{1, 120}, {2, 200}})
		uids, err := c.UIDL(ctx)
		noError(t, "UIDL()", err)
		equal(t, "UIDL()", uids, []UniqueIDListing{{1, "a"}, {3, "."}})
		noError(t, "Noop()", c.Noop(ctx))
	},
}

// fetchOne plays a session from AUTHORIZATION to its end, with one message in the maildrop.
func fetchOne(t *testing.T, c *Client, want string) {
	t.Helper()
	logIn(t, c)
	listings, err := c.Listings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "Listings()", *listings, Listings{Drop: DropListing{1, 9}, Scan: []ScanListing{{1, 9}},
		UIDs: []UniqueIDListing{{1, "a"}}})
	equal(t, "Retr()", bodies(c.Retr(t.Context(), numbers(1, 1))), []string{want})
	noError(t, "Quit()", c.Quit(t.Context()))
}

func TestDialogue(t *testing.T) {
	for name, play := range dialogues {
		t.Run(strings.Replace(name, "-", "/", 1), func(t *testing.T) {
			server := poptest.DialogueFile(t, filepath.Join("testdata", name+".pop"))
			play(t, open(t, server.Addr(), plain()), t.Context())
		})
	}
}

func TestDialogue_files(t *testing.T) {
	files, err := filepath.Glob("testdata/*.pop")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "number of files", len(files), len(dialogues))
}

// mechanism is a SASL mechanism that answers each challenge with the next of responses.
type mechanism struct {
	name      string
	initial   []byte
	responses []string
	err       error // returned after the last response

	challenges []string
}

func (m *mechanism) Start() (string, []byte, error) { return m.name, m.initial, nil }

func (m *mechanism) Next(challenge []byte) ([]byte, error) {
	m.challenges = append(m.challenges, string(challenge))
	if len(m.responses) == 0 {
		return nil, m.err
	}
	response := m.responses[0]
	m.responses = m.responses[1:]
	return []byte(response), nil
}
