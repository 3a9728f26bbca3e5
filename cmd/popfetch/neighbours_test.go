package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/internal/poptest"
)

// neighbour is another program, as its users have set it up.
type neighbour struct {
	name string
	to   string // the target, where several are tried
	// The files below the home folder. HOST and PORT are the server's, FOLDER is the home folder, SOCKET
	// is an LMTP server, and AS-NOBODY has getmail deliver as another user than root.
	files map[string]string
	key   string // what the imported account has, to deliver to the same place
	run   string // the command that fetches
	mail  string // where it delivers to, if it does not make that itself
	ids   string // the state that export writes; "" if there is no such export
	// The program takes another home folder than HOME. This script tells it the right one.
	wrapper string
}

var neighbours = []neighbour{
	{
		name: "fetchmail",
		files: map[string]string{".fetchmailrc": "set no bouncemail\npoll HOST protocol pop3 port PORT uidl\n" +
			"\tuser 'mrose' password 'tanstaaf' sslproto '' keep\n\tmda 'cat >>mail'\n"},
		run: "fetchmail --nosyslog --pidfile fetchmail.pid",
	},
	{
		name: "getmail",
		files: map[string]string{".config/getmail/getmailrc": "[retriever]\ntype = SimplePOP3Retriever\nserver = HOST\nport = PORT\n" +
			"username = mrose\npassword = tanstaaf\n" +
			"[destination]\ntype = MDA_external\npath = /bin/sh\narguments = (\"-c\", \"cat >>mail\")\nallow_root_commands = true\n" +
			"[options]\nread_all = false\ndelete = false\ndelivered_to = false\nreceived = false\n"},
		run: "getmail", ids: ".config/getmail/oldmail-HOST-PORT-mrose",
	},
	{
		name: "mpop",
		files: map[string]string{".mpoprc": "defaults\ntls off\n\naccount default\nhost HOST\nport PORT\nauth user\nuser mrose\npassword tanstaaf\n" +
			"keep on\ndelivery maildir ~/Mail\n"},
		run: "mpop --quiet", mail: "Mail", ids: ".mpop_uidls/mrose_at_HOST",
	},
	{
		name: "fdm",
		files: map[string]string{".fdm.conf": "set default-user 'root'\naccount 'stdin' disabled stdin\n" +
			"account 'work' pop3 server 'HOST' port PORT user 'mrose' pass 'tanstaaf' new-only cache 'FOLDER/.fdm.cache' no-apop keep\n" +
			"action 'keep' maildir 'FOLDER/Mail'\nmatch all action 'keep'\n"},
		run: "fdm fetch", mail: "Mail", key: `maildir = "FOLDER/Mail"`, wrapper: fdmWrapper,
	},
	{
		name: "fetchmail", to: "lmtp",
		files: map[string]string{".fetchmailrc": "set no bouncemail\nset invisible\npoll HOST protocol pop3 port PORT uidl\n" +
			"\tuser 'mrose' password 'tanstaaf' is 'rose' here sslproto '' keep\n\tsmtphost 'SOCKET' fetchlimit 100 expunge 50\n"},
		run: "fetchmail --nosyslog --pidfile fetchmail.pid", key: `lmtp = "unix:SOCKET"`,
	},
	{
		name: "getmail", to: "mbox",
		files: map[string]string{".config/getmail/getmailrc": "[retriever]\ntype = SimplePOP3Retriever\nserver = HOST\nport = PORT\n" +
			"username = mrose\npassword = tanstaaf\n[destination]\ntype = Mboxrd\npath = FOLDER/mail\nAS-NOBODY" +
			"[options]\nread_all = false\ndelete = false\ndelivered_to = true\nreceived = true\nmax_messages_per_session = 100\n"},
		run: "getmail", ids: ".config/getmail/oldmail-HOST-PORT-mrose", mail: "mail", key: `mbox = "FOLDER/mail"`,
	},
	{
		name: "mpop", to: "mbox",
		files: map[string]string{".mpoprc": "defaults\ntls off\n\naccount default\nhost HOST\nport PORT\nauth user\nuser mrose\npassword tanstaaf\n" +
			"keep on\ndelivery mbox ~/mail\nfilter \"test '%S' -gt 10 && ! grep -q ^X-Spam:\"\nskipsize 10k\n"},
		run: "mpop --quiet", key: `mbox = "FOLDER/mail"`, ids: ".mpop_uidls/mrose_at_HOST",
	},
	{
		name: "fdm", to: "rules",
		files: map[string]string{".fdm.conf": "set default-user 'root'\naccount 'stdin' disabled stdin\n" +
			"account 'work' pop3 server 'HOST' port PORT user 'mrose' pass 'tanstaaf' new-only cache 'FOLDER/.fdm.cache' no-apop keep\n" +
			"action 'keep' maildir 'FOLDER/Mail'\nmatch '^Subject:' in headers action 'keep'\n"},
		run: "fdm fetch", mail: "Mail", key: "fetch 2>&1", wrapper: fdmWrapper,
	},
}

// fdmWrapper tells fdm its home folder.
const fdmWrapper = "#!/bin/sh\nexec /usr/bin/fdm -f \"$HOME/.fdm.conf\" \"$@\"\n"

// neighbourRig is the home of a person who moves to popfetch.
type neighbourRig struct {
	t    *testing.T
	home string
	*poptest.Server
	neighbour
	lmtp *poptest.MailServer
}

func newNeighbourRig(t *testing.T, n neighbour, ids ...string) *neighbourRig {
	t.Helper()
	r := &neighbourRig{t: t, home: t.TempDir(), neighbour: n, lmtp: poptest.NewMailServer(t, true, nil)}
	program, _, _ := strings.Cut(n.run, " ")
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("POPFETCH_TEST_NEIGHBOURS") == "1" {
			t.Fatalf("POPFETCH_TEST_NEIGHBOURS=1, but %s is not installed", program)
		}
		t.Skipf("%s is not installed", program)
	}
	r.Server = poptest.NewServer(t, poptest.Maildrop{User: "mrose", Password: "tanstaaf", Messages: oldLetters(ids...)})
	poptest.InClear(r.Addr(), true)
	files := make(map[string]string)
	for name, text := range n.files {
		files[name] = r.filled(text)
	}
	for name := range files {
		if err := os.MkdirAll(filepath.Join(r.home, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	writeFiles(t, r.home, files)
	if n.wrapper != "" {
		r.opens()
		if err := os.WriteFile(filepath.Join(r.home, program), []byte(n.wrapper), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if n.mail == "mail" { // getmail wants the file to be there, and may be another user
		r.opens()
		file := filepath.Join(r.home, "mail")
		if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Chmod(file, 0o666)); err != nil {
			t.Fatal(err)
		}
	} else if n.mail != "" {
		for _, part := range []string{"new", "cur", "tmp"} {
			if err := os.MkdirAll(filepath.Join(r.home, n.mail, part), 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	return r
}

// opens lets everybody write in the home folder. As root, fdm fetches as a user of its own.
func (r *neighbourRig) opens() {
	r.t.Helper()
	for folder, mode := range map[string]os.FileMode{filepath.Dir(r.home): 0o755, r.home: 0o777} {
		if err := os.Chmod(folder, mode); err != nil {
			r.t.Fatal(err)
		}
	}
}

// filled puts the address of the server into a text.
func (r *neighbourRig) filled(text string) string {
	host, port, err := net.SplitHostPort(r.Addr())
	if err != nil {
		r.t.Fatal(err)
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user = nobody\n"
	}
	return strings.NewReplacer("HOST", host, "PORT", port, "FOLDER", r.home, "SOCKET", r.lmtp.Socket(), "AS-NOBODY", user).Replace(text)
}

// oldLetters are messages that came long ago.
func oldLetters(ids ...string) (messages []poptest.Message) {
	for _, id := range ids {
		messages = append(messages, poptest.Message{UniqueID: id, Content: []byte("Date: Mon, 02 Mar 2020 10:00:00 +0000\r\nFrom: alice@example.org\r\n" +
			"To: mrose@example.org\r\nMessage-ID: <" + id + "@example.org>\r\nSubject: " + id + "\r\n\r\nabout " + id + "\r\n")})
	}
	return messages
}

// does runs a command in the home folder, and returns its output. It must end with the status.
func (r *neighbourRig) does(status int, command string) string {
	r.t.Helper()
	words := strings.Fields(command)
	if r.wrapper != "" && words[0] == r.name {
		words[0] = filepath.Join(r.home, r.name)
	}
	cmd := exec.CommandContext(r.t.Context(), words[0], words[1:]...)
	cmd.Dir, cmd.Env = r.home, []string{"HOME=" + r.home, "PATH=" + r.home + ":" + os.Getenv("PATH"), "GORACE=" + os.Getenv("GORACE"), "USER=root", "LOGNAME=root"}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if got := exitOf(r.t, cmd.Run()); got != status {
		r.t.Fatalf("%s ended with %d, want %d: %s", command, got, status, out.String())
	}
	r.Wait()
	return out.String()
}

// retrieves checks which messages a command retrieves.
func (r *neighbourRig) retrieves(status int, command string, want ...string) {
	r.t.Helper()
	before := r.RetrievedIDs()
	out := r.does(status, command)
	var got []string
	for id, n := range r.RetrievedIDs() {
		for range n - before[id] {
			got = append(got, id)
		}
	}
	slices.Sort(got)
	if slices.Sort(want); !slices.Equal(got, want) {
		r.t.Fatalf("%s retrieved %q, want %q: %s", command, got, want, out)
	}
}

// fetches checks which messages the other program delivers. It may retrieve them by TOP.
func (r *neighbourRig) fetches(want ...string) {
	r.t.Helper()
	before := r.delivered()
	out := r.does(0, r.run)
	got := r.delivered()
	for id, n := range before {
		if got[id] -= n; got[id] == 0 {
			delete(got, id)
		}
	}
	for _, id := range want {
		if got[id] != 1 || len(got) != len(want) {
			r.t.Fatalf("%s delivered %v, want %q: %s", r.run, got, want, out)
		}
	}
}

// delivered counts the messages that were delivered, by unique-id.
func (r *neighbourRig) delivered() map[string]int {
	r.t.Helper()
	files, err := filepath.Glob(filepath.Join(r.home, "Mail", "new", "*"))
	if err != nil {
		r.t.Fatal(err)
	}
	counts := make(map[string]int)
	var texts []string
	for _, file := range append(files, filepath.Join(r.home, "mail")) {
		text, _ := os.ReadFile(file) // it may not be there yet
		texts = append(texts, string(text))
	}
	for _, text := range append(texts, r.lmtp.Delivered()...) {
		for _, id := range regexp.MustCompile(`(?m)^about (.*?)\r?$`).FindAllStringSubmatch(text, -1) {
			counts[id[1]]++
		}
	}
	return counts
}

// TestNeighbours moves from each other program to popfetch. Nothing is fetched twice, new mail is
// fetched once, and old mail is deleted when the account says so. Then it moves back.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	old := []string{"0000000265e3", "UID1@x/1-a#", "a-b-c", "x/y/z", "!~\"$%&'()*+,./:;<=>?@[]^_`{|}"}
	for _, n := range neighbours {
		t.Run(strings.TrimSuffix(n.name+"/"+n.to, "/"), func(t *testing.T) {
			t.Parallel()
			r := newNeighbourRig(t, n, old...)
			r.fetches(old...)

			shown := r.does(0, "popfetch import "+n.name)
			want := fmt.Sprintf("would mark %d of %d as seen", len(old), len(old))
			if !strings.Contains(shown, want) || strings.Contains(shown, "tanstaaf") || strings.Contains(shown, "work.password would") {
				t.Errorf("import shows %s\nwant %q, and no password", shown, want)
			}
			if key := r.filled(n.key); !strings.Contains(strings.ReplaceAll(shown, `"~/`, `"`+r.home+"/"), key) {
				t.Errorf("import shows %s\nwant %s", shown, key)
			}
			if _, err := os.Stat(filepath.Join(r.home, ".config/popfetch")); err == nil {
				t.Error("import without --apply has written something")
			}
			r.does(0, "popfetch import --apply "+n.name)
			r.retrieves(73, "popfetch import --apply "+n.name)
			r.retrieves(0, "popfetch --once")
			r.Drop("").Add(oldLetters("new/1", "new-2")...)
			r.retrieves(0, "popfetch --once", "new/1", "new-2")
			r.retrieves(0, "popfetch --once")
			if got := r.delivered(); got["new/1"] != 1 || got["new-2"] != 1 {
				t.Errorf("delivered %v where %s delivers, want new/1 and new-2 once", got, n.name)
			}
			if all, rose := len(r.lmtp.Delivered()), r.lmtp.Has("rose@localhost"); all != rose {
				t.Errorf("of %d messages by LMTP, %d are for the recipient that %s names", all, rose, n.name)
			}
			if got := r.kinds(); got["imported"] != len(old) || got["delivered"] != 2 {
				t.Errorf("seen list shows %v, want %d imported and 2 delivered", got, len(old))
			}
			r.goesBack()
			r.clears()
		})
	}
}

// kinds counts the records by kind.
func (r *neighbourRig) kinds() map[string]int {
	r.t.Helper()
	kinds := make(map[string]int)
	for line := range strings.Lines(r.does(0, "popfetch seen list --json")) {
		var known record
		if err := json.Unmarshal([]byte(line), &known); err != nil {
			r.t.Fatalf("%v in %s", err, line)
		}
		kinds[known.Kind]++
		if known.Kind == "imported" && known.FirstSeenAt == nil {
			r.t.Errorf("an imported message is shown without a time: %s", line)
		}
	}
	return kinds
}

// account returns the name of the imported account.
func (r *neighbourRig) account() string {
	r.t.Helper()
	name := regexp.MustCompile(`(?m)^\[account\.(.*)\]$`).FindStringSubmatch(r.does(0, "popfetch config"))
	if name == nil {
		r.t.Fatal("no account was written")
	}
	return strings.Trim(name[1], `"`)
}

// goesBack exports what was seen. The other program then fetches nothing again.
func (r *neighbourRig) goesBack() {
	r.t.Helper()
	if r.ids == "" {
		return
	}
	command := "popfetch export " + r.name + " " + r.account()
	text := r.does(0, command)
	file := filepath.Join(r.home, r.filled(r.ids))
	if before, err := os.ReadFile(file); err != nil || len(before) == 0 {
		r.t.Fatalf("%s was %q, %v, want the state of %s", file, before, err, r.name)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.fetches()
	r.Drop("").Add(oldLetters("newer")...)
	r.fetches("newer")
	r.retrieves(0, "popfetch --once", "newer")
}

// clears has popfetch delete all that the other program has fetched.
func (r *neighbourRig) clears() {
	r.t.Helper()
	file := filepath.Join(r.home, ".config/popfetch/config.toml")
	text, err := os.ReadFile(file)
	if err != nil {
		r.t.Fatal(err)
	}
	keeps := regexp.MustCompile(`(?m)^delete = .*$`).ReplaceAll(text, nil)
	keeps = append(keeps, "delete.imported = true\ndelete.after = \"delivered\"\n"...)
	if err := os.WriteFile(file, keeps, 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.retrieves(0, "popfetch --once")
	if left := r.Drop("").UniqueIDs(); len(left) > 0 {
		r.t.Errorf("the maildrop still has %q, want nothing", left)
	}
}
