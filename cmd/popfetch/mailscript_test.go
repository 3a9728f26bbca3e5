package main

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/popfetch/popfetch/internal/poptest"
)

// mailServersKey is the key of a script's servers that take mail, by name.
type mailServersKey struct{}

// mailServers are the servers of a script that take mail.
type mailServers struct {
	lmtp map[string]*poptest.MailServer
	imap map[string]*poptest.IMAP
}

func newMailServers() *mailServers {
	return &mailServers{make(map[string]*poptest.MailServer), make(map[string]*poptest.IMAP)}
}

// mailCommands are the commands of scripts about servers that take mail; TestScript describes them.
var mailCommands = map[string]func(*testscript.TestScript, bool, []string){
	"lmtpserver": cmdLMTPServer,
	"lmtphas":    cmdLMTPHas,
	"imapserver": cmdIMAPServer,
	"imaphas":    cmdIMAPHas,
}

// refusedRecipient matches RCPT for a recipient whose name begins with the code of a refusal.
var refusedRecipient = regexp.MustCompile(`(?i)^RCPT TO:<([45]\d\d)`)

func cmdLMTPServer(ts *testscript.TestScript, neg bool, args []string) {
	all := servers(ts, neg, len(args) == 2 && (args[1] == "lmtp" || args[1] == "smtp"), "lmtpserver NAME lmtp|smtp")
	server := poptest.NewMailServer(all.t, args[1] == "lmtp", func(_ int, command string) string {
		if refused := refusedRecipient.FindStringSubmatch(command); refused != nil {
			return refused[1] + " not today"
		}
		return ""
	})
	ts.Value(mailServersKey{}).(*mailServers).lmtp[args[0]] = server
	ts.Setenv(args[0], "unix:"+server.Socket())
}

func cmdLMTPHas(ts *testscript.TestScript, neg bool, args []string) {
	servers(ts, neg, len(args) == 2, "lmtphas NAME N")
	got := ts.Value(mailServersKey{}).(*mailServers).lmtp[args[0]].Delivered()
	if want, err := strconv.Atoi(args[1]); err != nil || len(got) != want {
		ts.Fatalf("%s has %d messages, want %s", args[0], len(got), args[1])
	}
}

func cmdIMAPServer(ts *testscript.TestScript, neg bool, args []string) {
	all := servers(ts, neg, len(args) == 1, "imapserver NAME")
	server := poptest.StartIMAP(all.t)
	ts.Value(mailServersKey{}).(*mailServers).imap[args[0]] = server
	ts.Setenv(args[0], strings.Replace(server.Addr(), "127.0.0.1", "localhost", 1))
}

func cmdIMAPHas(ts *testscript.TestScript, neg bool, args []string) {
	servers(ts, neg, len(args) == 3, "imaphas NAME MAILBOX N")
	got := ts.Value(mailServersKey{}).(*mailServers).imap[args[0]].Appended(args[1])
	if want, err := strconv.Atoi(args[2]); err != nil || len(got) != want {
		ts.Fatalf("the mailbox %s of %s has %d messages, want %s", args[1], args[0], len(got), args[2])
	}
}
