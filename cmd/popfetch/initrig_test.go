package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/internal/poptest"
)

// resolving is a command of these tests: popfetch with the DNS server in $POPFETCH_TEST_DNS.
func resolving() {
	net.DefaultResolver = poptest.ResolverAt(os.Getenv("POPFETCH_TEST_DNS"))
	main()
}

// conversation is a popfetch init on a terminal, with answers.
type conversation struct {
	*pseudoTerminal
	home    string
	command *exec.Cmd
	from    int // how much of the screen was waited for
}

// newServer starts a server with a valid certificate for the hosts of example.org.
func newExampleServer(t *testing.T, messages int) *poptest.Server {
	t.Helper()
	server := poptest.NewServer(t, poptest.Maildrop{User: "alice@example.org", Password: "tanstaaf", Messages: poptest.Numbered(messages, 500)})
	server.Configure(func(c *poptest.Config) { c.TLS = server.CA().ServerTLS(poptest.ExampleOrg) })
	return server
}

// portOf returns the port of an address.
func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// converse starts popfetch init in a home folder. The authority is one that the system trusts.
func converse(t *testing.T, home string, dns *poptest.DNS, ca *poptest.CA, args ...string) *conversation {
	t.Helper()
	env := []string{"POPFETCH_TEST_DNS=" + dns.Addr()}
	if ca != nil {
		env = append(env, "SSL_CERT_FILE="+ca.File(), "SSL_CERT_DIR=/nonexistent")
	}
	p := newTerminalPair(t)
	return &conversation{pseudoTerminal: p, home: home, command: p.startIn(home, env, "popfetch-resolving", append([]string{"init"}, args...)...)}
}

// answer waits for a question, and answers it. It may have been on the screen before.
func (c *conversation) answer(question, text string) {
	c.t.Helper()
	c.expect(question)
	if strings.HasPrefix(question, "Password") {
		c.waitForSilence()
	}
	c.typeIn(text)
}

// expect waits for a text that was not waited for before.
func (c *conversation) expect(text string) {
	c.t.Helper()
	c.waitUntil(text, func(screen string) bool {
		at := strings.Index(screen[c.from:], text)
		if at >= 0 {
			c.from += at + len(text)
		}
		return at >= 0
	})
}

// end waits for the end of the program, which must have this exit status.
func (c *conversation) end(status int) {
	c.t.Helper()
	if got := exitOf(c.t, c.command.Wait()); got != status {
		c.t.Errorf("exit status = %d, want %d: %s", got, status, c.screen())
	}
	if !c.echoes() {
		c.t.Error("the terminal was left without echo")
	}
	if strings.Contains(c.screen(), "tanstaaf") {
		c.t.Errorf("the screen shows the password: %s", c.screen())
	}
}

// file returns the contents of a file of the home folder; "" if it is missing.
func (c *conversation) file(name string) string {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(c.home, name))
	if err != nil && !os.IsNotExist(err) {
		c.t.Fatal(err)
	}
	return string(text)
}

// writeTree writes files of mode 0600 below a folder.
func writeTree(t *testing.T, folder string, files map[string]string) {
	t.Helper()
	for name := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	writeFiles(t, folder, files)
}
