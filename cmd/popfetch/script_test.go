package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/popfetch/popfetch/internal/keyringtest"
	"github.com/popfetch/popfetch/internal/oauthtest"
	"github.com/popfetch/popfetch/internal/pgtest"
	"github.com/popfetch/popfetch/internal/poptest"
)

// TestMain makes the program a command of scripts. Every test of this package can run it by its
// name.
func TestMain(m *testing.M) {
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil { // otherwise each run of the program takes a second longer
		panic(err)
	}
	checkJSON = checkEvent
	testscript.Main(pgtest.Stopping{M: m}, map[string]func(){"popfetch": main, "popfetch-crashing": crashing, "popfetch-resolving": resolving, "relay": relay})
}

// relay connects its standard streams to the address that is its argument. A second argument is how
// long everything takes that comes from there.
func relay() {
	conn, err := net.Dial("tcp", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	go func() {
		_, _ = io.Copy(conn, os.Stdin)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	var delay time.Duration
	if len(os.Args) > 2 {
		delay, _ = time.ParseDuration(os.Args[2])
	}
	for buffer := make([]byte, 1<<16); ; {
		n, err := conn.Read(buffer)
		time.Sleep(delay)
		if _, writeErr := os.Stdout.Write(buffer[:n]); err != nil || writeErr != nil {
			return
		}
	}
}

// TestScript runs the sessions in testdata/script. The first word of a file's name is the command
// that the session is about. There are more commands than those of testscript:
//
//	status N program args...    the program must end with this exit status
//	popserver NAME key=value... starts a model server; $NAME, $NAME_tls and $NAME_ca are its
//	                            addresses and authority
//	    users=mrose,alice       each has a maildrop; the password is tanstaaf
//	    messages=3 octets=400   in each maildrop
//	    exclusive=true          one session at a time
//	    capa=none               CAPA is refused
//	    token=NAME              by OAUTHBEARER alone, and by the token in the file token-NAME
//	    provider=NAME           by OAUTHBEARER alone, and by tokens of that provider
//	    expire=0                EXPIRE 0 is announced, and QUIT removes what was sent
//	    cert=wrong-name|...     a poptest.Variant
//	    lax=true                commands may break the rules of the RFCs
//	    tls=none                accounts of the script have tls = "none" for it; popconfig says so itself
//	popwhen NAME COMMAND ACTION sets what the server does with the command from now on:
//	                            refuse TEXT, cut N, as-usual, or reply TEXT (with Go's escapes)
//	popgreets NAME FILE         makes the server greet with the line in a file
//	popadd NAME unique-id...    adds mail to the first maildrop
//	popmail NAME unique-id FILE adds the message in a file
//	popremove NAME unique-id... removes mail, as another client would
//	poprename NAME              gives all messages of the first maildrop new unique-ids
//	popuids NAME unique-id...   the first maildrop must have these messages now
//	popcount NAME N COMMAND     the server must have got the command N times
//	popproxy NAME SCHEME SERVER [user:password]
//	                            starts a proxy, socks5 or http; $NAME is its address. It knows the
//	                            server as pop.invalid and as localhost, with the usual ports
//	proxyasked NAME addr...     the proxy must have been asked for these servers
//	keyring SERVICE USER PASSWORD ANSWER
//	                            starts a session bus with a keyring that has this password; it is
//	                            locked if ANSWER, a keyringtest.Answer, is there
//	popconfig NAME line...      writes ~/.config/popfetch/config.toml with these lines: an account
//	                            work for the first maildrop, without TLS; the target is ~/Maildir
//	                            if no line names one, and the state is in ~/state. Lines behind
//	                            one that begins with [ are those of other tables; those of state,
//	                            state_password_command, lease and accounts stand at the top
//	postgres NAME               makes an empty database; $NAME is its URL, with the password, and
//	                            $NAME_at the same without it; $NAME_name is the name of the database
//	postgresql NAME STATEMENT   runs a statement in it, as the superuser
//	provider NAME option...     starts a provider of OAuth 2; $NAME is its address. The options are
//	                            rotates, norefresh, denied and life=10s, as in package oauthtest
//	providerwhen NAME PATH STATUS [CODE TEXT]  what the endpoint answers next
//	providerend NAME            ends all tokens
//	providercount NAME N PATH   the endpoint must have got N requests
//	providerbrowse FILE         opens the address in the file, once it is there
//	lmtpserver NAME lmtp|smtp   starts a server that takes mail; $NAME is its address. It answers a
//	                            recipient whose name begins with 4yz or 5yz so
//	lmtphas NAME N              it must have so many messages, each recipient's counted
//	imapserver NAME             starts an IMAP server; $NAME is its address. Its user is mrose
//	imaphas NAME MAILBOX N      so many messages must have been appended to the mailbox
//	expand FILE                 replaces the variables in the file; nobody else may read it
//	maildir DIR N               the Maildir must hold N messages, each once, and nothing in tmp
func TestScript(t *testing.T) {
	t.Parallel()
	commands := map[string]func(*testscript.TestScript, bool, []string){
		"status":    cmdStatus,
		"popserver": cmdServer,
		"popwhen":   cmdWhen,
		"popgreets": cmdGreets,
		"popadd":    cmdAdd,
		"popmail":   cmdMail,
		"popremove": cmdRemove,
		"poprename": cmdRename,
		"popuids":   cmdUniqueIDs,
		"popcount":  cmdCount,
		"popproxy":  cmdProxy,
		"keyring":   cmdKeyring,
		"popconfig": cmdConfig,
		"postgres":  cmdPostgres,
		"expand":    cmdExpand,
		"maildir":   cmdMaildir,

		"proxyasked": cmdProxyAsked,
		"postgresql": cmdPostgreSQL,
	}
	maps.Copy(commands, oauthCommands)
	maps.Copy(commands, mailCommands)
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			if err := os.Chmod(filepath.Dir(env.WorkDir), 0o755); err != nil { // files with secrets are to be reachable
				return err
			}
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("GORACE", os.Getenv("GORACE"))
			t, ok := env.T().(poptest.TB)
			if !ok {
				return fmt.Errorf("testscript's %T is no poptest.TB", env.T())
			}
			env.Values[mailServersKey{}] = newMailServers()
			env.Values[providersKey{}] = make(map[string]*oauthtest.Provider)
			env.Values[serversKey{}] = &scriptServers{t, make(map[string]*scriptServer), make(map[string]*poptest.Proxy)}
			return nil
		},
		Cmds:               commands,
		RequireUniqueNames: true,
		Condition:          scriptCondition,
	})
}

// scriptCondition knows the condition mounts: a program may be run with mounts of its own.
func scriptCondition(name string) (bool, error) {
	if name != "mounts" {
		return false, fmt.Errorf("unknown condition %q", name)
	}
	return exec.CommandContext(context.Background(), "unshare", "-rm", "mount", "--bind", ".", ".").Run() == nil, nil
}

type serversKey struct{}

// scriptServers are the model servers of one script.
type scriptServers struct {
	t       poptest.TB
	byName  map[string]*scriptServer
	proxies map[string]*poptest.Proxy
}

type scriptServer struct {
	*poptest.Server
	mu      sync.Mutex
	actions map[string]poptest.Action // by the beginning of the command, or "greeting"
}

func (s *scriptServer) hook(_ *poptest.Session, cmd string) poptest.Action {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cmd == "" {
		cmd = "greeting"
	}
	for command, action := range s.actions {
		if cmd == command || strings.HasPrefix(cmd, command+" ") {
			return action
		}
	}
	return poptest.Action{}
}

// servers returns the servers of a script. If a command was used wrongly, it stops the script.
func servers(ts *testscript.TestScript, neg, wellUsed bool, usage string) *scriptServers {
	if neg || !wellUsed {
		ts.Fatalf("usage: %s", usage)
	}
	return ts.Value(serversKey{}).(*scriptServers)
}

func (all *scriptServers) named(ts *testscript.TestScript, name string) *scriptServer {
	server := all.byName[name]
	if server == nil {
		ts.Fatalf("there is no server %s", name)
	}
	return server
}

func cmdStatus(ts *testscript.TestScript, neg bool, args []string) {
	servers(ts, neg, len(args) >= 2, "status N program args...")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status = %d, want %d", got, want)
	}
}

// takeToken is the server's side of OAUTHBEARER. It takes the token in a file, and tells others that
// theirs has expired.
func takeToken(file string) poptest.Mechanism {
	return func(_ *poptest.Session, _ []byte, ask func([]byte) ([]byte, error)) (string, error) {
		good, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		message, err := ask(nil)
		if err != nil {
			return "", err
		}
		user, _, _ := strings.Cut(strings.TrimPrefix(string(message), "n,a="), ",")
		if strings.HasSuffix(string(message), "\x01auth=Bearer "+strings.TrimSpace(string(good))+"\x01\x01") {
			return user, nil
		}
		if _, err := ask([]byte(`{"status":"invalid_token"}`)); err != nil {
			return "", err
		}
		return "", errors.New("[AUTH] no")
	}
}

func cmdServer(ts *testscript.TestScript, neg bool, args []string) {
	all := servers(ts, neg, len(args) >= 1, "popserver NAME key=value...")
	name, users, messages, octets := args[0], []string{"mrose"}, 0, 400
	var drop poptest.Maildrop
	configure := func(*poptest.Config) {}
	var variant poptest.Variant
	lax, clear := false, false
	for _, arg := range args[1:] {
		key, value, _ := strings.Cut(arg, "=")
		var err error
		switch key {
		case "users":
			users = strings.Split(value, ",")
		case "messages":
			messages, err = strconv.Atoi(value)
		case "octets":
			octets, err = strconv.Atoi(value)
		case "exclusive":
			drop.Exclusive, err = strconv.ParseBool(value)
		case "capa":
			configure = func(c *poptest.Config) { c.Capabilities = nil }
		case "token":
			configure = func(c *poptest.Config) {
				c.Capabilities = []string{"SASL OAUTHBEARER", "UIDL", "TOP", "PIPELINING", "AUTH-RESP-CODE"}
				c.Mechanisms["OAUTHBEARER"] = takeToken(filepath.Join(ts.Getenv("WORK"), "token-"+value))
			}
		case "provider":
			configure = func(c *poptest.Config) {
				c.Capabilities = []string{"SASL OAUTHBEARER", "UIDL", "TOP", "PIPELINING", "AUTH-RESP-CODE"}
				c.Mechanisms["OAUTHBEARER"] = takeTokensOf(providerOf(ts, value))
			}
		case "expire":
			configure = func(c *poptest.Config) { c.Expire0 = true }
		case "cert":
			variant = poptest.Variant(value)
		case "lax":
			lax, err = strconv.ParseBool(value)
		case "tls":
			clear = value == "none"
		default:
			err = fmt.Errorf("popserver knows no %s", key)
		}
		ts.Check(err)
	}
	var drops []poptest.Maildrop
	for _, user := range users {
		drop.User, drop.Password, drop.Messages = user, "tanstaaf", poptest.Numbered(messages, int64(octets))
		drops = append(drops, drop)
	}
	server := &scriptServer{Server: poptest.NewServer(all.t, drops...), actions: make(map[string]poptest.Action)}
	server.Configure(func(c *poptest.Config) {
		configure(c)
		c.Hook = server.hook
		c.TLS = server.CA().ServerTLS(variant)
	})
	ts.Defer(func() {
		server.Wait()
		if !lax {
			server.CheckRules(all.t)
		}
	})
	all.byName[name] = server
	ts.Setenv(name, poptest.InClear(server.Addr(), clear))
	ts.Setenv(name+"_tls", server.TLSAddr())
	ts.Setenv(name+"_ca", server.CA().File())
}

func cmdKeyring(ts *testscript.TestScript, neg bool, args []string) {
	all := servers(ts, neg, len(args) == 3 || len(args) == 4, "keyring SERVICE USER PASSWORD [ANSWER]")
	service := &keyringtest.Service{Attributes: map[string]string{"service": args[0], "username": args[1]}, Password: args[2]}
	if len(args) == 4 {
		service.Locked, service.Answer = true, keyringtest.Answer(args[3])
	}
	bus := keyringtest.StartBus(all.t)
	service.Start(all.t, bus)
	ts.Setenv("DBUS_SESSION_BUS_ADDRESS", bus.Address)
}

func cmdWhen(ts *testscript.TestScript, neg bool, args []string) {
	all := servers(ts, neg, len(args) >= 3, "popwhen NAME COMMAND refuse|reply|cut|as-usual [TEXT]")
	server := all.named(ts, args[0])
	text := strings.Join(args[3:], " ")
	var action poptest.Action
	switch args[2] {
	case "refuse":
		action = poptest.Refuse(text)
	case "reply":
		reply, err := strconv.Unquote(`"` + text + `"`)
		ts.Check(err)
		action = poptest.Reply([]byte(reply + "\r\n"))
	case "cut":
		at, err := strconv.ParseInt(text, 10, 64)
		ts.Check(err)
		action = poptest.Cut(at)
	case "as-usual":
	default:
		ts.Fatalf("popwhen knows no action %s", args[2])
	}
	server.mu.Lock()
	defer server.mu.Unlock()
	server.actions[args[1]] = action
}

func cmdGreets(ts *testscript.TestScript, neg bool, args []string) {
	all := servers(ts, neg, len(args) == 2, "popgreets NAME FILE")
	server := all.named(ts, args[0])
	line := strings.TrimRight(ts.ReadFile(args[1]), "\n") + "\r\n"
	server.mu.Lock()
	defer server.mu.Unlock()
	server.actions["greeting"] = poptest.Reply([]byte(line))
}

func cmdAdd(ts *testscript.TestScript, neg bool, args []string) {
	all := servers(ts, neg, len(args) >= 2, "popadd NAME unique-id...")
	drop := all.named(ts, args[0]).Drop("")
	for _, id := range args[1:] {
		drop.Add(newMail(id))
	}
}

func cmdMail(ts *testscript.TestScript, neg bool, args []string) {
	all := servers(ts, neg, len(args) == 3, "popmail NAME unique-id FILE")
	content := strings.ReplaceAll(ts.ReadFile(args[2]), "\n", "\r\n")
	all.named(ts, args[0]).Drop("").Add(poptest.Message{UniqueID: args[1], Content: []byte(content)})
}

func cmdRemove(ts *testscript.TestScript, neg bool, args []string) {
	all := servers(ts, neg, len(args) >= 2, "popremove NAME unique-id...")
	all.named(ts, args[0]).Drop("").Remove(args[1:]...)
}

// newMail makes a small message. Each unique-id gives another message.
func newMail(uniqueID string) poptest.Message {
	return poptest.Message{UniqueID: uniqueID, Content: fmt.Appendf(nil,
		"Message-ID: <%s@example.org>\r\nReturn-Path: <%s@example.net>\r\nSubject: later\r\n\r\nThis is %s.\r\n", uniqueID, uniqueID, uniqueID)}
}

func cmdRename(ts *testscript.TestScript, neg bool, args []string) {
	all := servers(ts, neg, len(args) == 1, "poprename NAME")
	server := all.named(ts, args[0])
	server.Wait()
	server.Drop("").SetUIDs(func(i int, old string) string { return fmt.Sprintf("%s.%d", old, i) })
}

func cmdUniqueIDs(ts *testscript.TestScript, neg bool, args []string) {
	all := servers(ts, neg, len(args) >= 1, "popuids NAME unique-id...")
	server := all.named(ts, args[0])
	server.Wait()
	if got := server.Drop("").UniqueIDs(); !slices.Equal(got, args[1:]) {
		ts.Fatalf("the maildrop holds %q, want %q", got, args[1:])
	}
}

func cmdCount(ts *testscript.TestScript, neg bool, args []string) {
	all := servers(ts, neg, len(args) >= 3, "popcount NAME N COMMAND")
	server := all.named(ts, args[0])
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	server.Wait()
	if got := server.Count(strings.Join(args[2:], " ")); got != want {
		ts.Fatalf("the server got %s %d times, want %d", strings.Join(args[2:], " "), got, want)
	}
}

// targetLine matches a key that says where mail goes.
var targetLine = regexp.MustCompile(`\n(maildir|mbox|mda|mda_argv|lmtp|smtp|imap|deliver) *=`)

func cmdConfig(ts *testscript.TestScript, neg bool, args []string) {
	all := servers(ts, neg, len(args) >= 1, "popconfig NAME line...")
	keys, lines := args[1:], []string(nil)
	for len(keys) > 0 && topLine.MatchString(keys[0]) {
		keys, lines = keys[1:], append(lines, keys[0])
	}
	if lines == nil {
		lines = []string{`state_dir = "~/state"`}
	}
	lines = append(lines,
		`[account.work]`, `server = "`+poptest.InClear(all.named(ts, args[0]).Addr(), true)+`"`, `tls = "none"`, `user = "mrose"`,
	)
	var tables []string
	if i := slices.IndexFunc(keys, func(line string) bool { return strings.HasPrefix(line, "[") }); i >= 0 {
		keys, tables = keys[:i], keys[i:]
	}
	lines = append(lines, keys...)
	own := "\n" + strings.Join(keys, "\n")
	if !strings.Contains(own, "\npassword") && !strings.Contains(own, "\noauth.") {
		lines = append(lines, `password_command = "echo tanstaaf"`)
	}
	if !targetLine.MatchString(own) {
		lines = append(lines, `maildir = "~/Maildir"`)
	}
	lines = append(lines, tables...)
	path := ts.MkAbs(".config/popfetch/config.toml")
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o700))
	ts.Check(os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
}

// topLine matches a line of popconfig that stands at the top of the file.
var topLine = regexp.MustCompile(`^(state|state_password_command|lease|accounts) = `)

func cmdPostgres(ts *testscript.TestScript, neg bool, args []string) {
	servers(ts, neg, len(args) == 1, "postgres NAME")
	url, err := pgtest.NewDatabase()
	ts.Check(err)
	ts.Setenv(args[0], url)
	ts.Setenv(args[0]+"_at", strings.Replace(url, ":"+pgtest.Password+"@", "@", 1))
	ts.Setenv(args[0]+"_name", regexp.MustCompile(`/(\w+)\?`).FindStringSubmatch(url)[1])
}

func cmdPostgreSQL(ts *testscript.TestScript, neg bool, args []string) {
	servers(ts, neg, len(args) == 2, "postgresql NAME STATEMENT")
	ts.Check(pgtest.ExecIn(ts.Getenv(args[0]), args[1]))
}

func cmdExpand(ts *testscript.TestScript, neg bool, args []string) {
	servers(ts, neg, len(args) == 1, "expand FILE")
	path := ts.MkAbs(args[0])
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(path, []byte(text), 0o600))
	ts.Check(os.Chmod(path, 0o600)) // WriteFile does not change the mode of an existing file
}

func cmdMaildir(ts *testscript.TestScript, neg bool, args []string) {
	servers(ts, neg, len(args) == 2, "maildir DIR N")
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	messages, err := readMaildir(ts.MkAbs(args[0]))
	ts.Check(err)
	total := 0
	for message, files := range messages {
		if total += len(files); len(files) > 1 {
			ts.Fatalf("%d files hold the same message: %q\n%s", len(files), files, message)
		}
	}
	if total != want {
		ts.Fatalf("%s holds %d messages, want %d", args[0], total, want)
	}
}

// readMaildir returns the names of a Maildir's files, by content. A file in tmp is an error.
func readMaildir(dir string) (map[string][]string, error) {
	messages := make(map[string][]string)
	for _, sub := range []string{"tmp", "new", "cur"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if errors.Is(err, fs.ErrNotExist) {
			return messages, nil // without a Maildir there are no messages
		}
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			if sub == "tmp" {
				if inside, err := os.ReadDir(filepath.Join(dir, sub, entry.Name())); err == nil && len(inside) == 0 {
					continue // the mark of the latest lease
				}
				return nil, fmt.Errorf("%s was left in %s/tmp", entry.Name(), dir)
			}
			content, err := os.ReadFile(filepath.Join(dir, sub, entry.Name()))
			if err != nil {
				return nil, err
			}
			messages[string(content)] = append(messages[string(content)], entry.Name())
		}
	}
	return messages, nil
}
