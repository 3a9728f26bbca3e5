package deliver_test

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/internal/poptest"
)

// oddTexts are messages that a server may misread. Where they stand, Dovecot must show them so, but
// it takes an LF alone as the end of a line.
var oddTexts = []string{
	"Subject: plain\r\n\r\nbody\r\n",
	"Subject: dots\r\n\r\n.\r\n..\r\n.a\r\n...\r\n",
	"Subject: no line end\r\n\r\nbody",
	"Subject: CR\r\n\r\na\rb\r\r\nc\r.\rd\r\n",
	"Subject: 8-bit \xe4\r\n\r\n\xff\xfe\r\n",
	"Subject: LF\r\n\r\na\nb\n\nc\r\n",
	"Subject: LF and a dot\r\n\r\na\n.\r\nRSET\r\nMAIL FROM:<>\r\n",
	"Subject: LF, a dot and LF\r\n\r\na\n.\nRSET\nMAIL FROM:<>\n",
	"Subject: CR and a dot\r\n\r\na\r.\r\nRSET\r\n",
	"Subject: a dot and CR\r\n\r\na\r\n.\rRSET\r\n",
	"Subject: LF CR\r\n\r\na\n\r.\r\n",
	"Subject: CR at the end\r\n\r\na\r",
	"Subject: long\r\n\r\n" + strings.Repeat("x", 300<<10) + "\r\n",
	"\r\nno header\r\n",
}

// A real server gets every message whole, and none is taken for commands.
func TestLMTP_dovecot(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			server := poptest.StartDovecotLMTP(t, &poptest.DovecotOptions{Users: map[string]string{"a": "x", "b": "x"}})
			target := &deliver.LMTP{Network: network, Address: server.LMTPAddr(), Recipients: []string{"a", "b"}, Deliveries: 2,
				Notes: deliver.NewFileBook(filepath.Join(t.TempDir(), "notes"))}
			if network == "unix" {
				target.Address = server.LMTPSocket()
			}
			if err := target.Prepare(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			for i, text := range oddTexts {
				if v := deliverBy(t, target, i, text); v.Outcome != deliver.Safe {
					t.Errorf("message %d: %+v, want it safe", i, v)
				}
			}
			target.Disconnect()
			for _, user := range []string{"a", "b"} {
				wantArrived(t, server.Messages(user))
			}
		})
	}
}

// An unknown recipient, and a mailbox that is full, are replies of a real server.
func TestLMTP_dovecotRefuses(t *testing.T) {
	server := poptest.StartDovecotLMTP(t, &poptest.DovecotOptions{Users: map[string]string{"a": "x"}, Extra: `
mail_plugins = quota
plugin {
  quota = maildir:User
  quota_rule = *:storage=20k
  quota_status_overquota = "552 5.2.2 full"
}
lmtp_rcpt_check_quota = yes
`})
	target := &deliver.LMTP{Network: "tcp", Address: server.LMTPAddr(), Recipients: []string{"a", "nobody"},
		Notes: deliver.NewFileBook(filepath.Join(t.TempDir(), "notes"))}
	v := deliverBy(t, target, 1, "Subject: s\r\n\r\n")
	if v.Outcome != deliver.Refused || !strings.Contains(v.Err.Error(), "nobody: 550 5.1.1 at RCPT") {
		t.Errorf("a message to nobody: %+v, want it refused by 550 5.1.1", v)
	}
	target.Recipients = []string{"a"}
	v = deliverBy(t, target, 2, "Subject: s\r\n\r\n"+strings.Repeat(strings.Repeat("x", 98)+"\r\n", 400))
	if v.Outcome == deliver.Safe || !strings.Contains(v.Err.Error(), " 5.2.2 ") && !strings.Contains(v.Err.Error(), " 4.2.2 ") {
		t.Errorf("a message to a full mailbox: %+v, want it refused by 5.2.2 or 4.2.2", v)
	}
	t.Log(v.Err)
	target.Disconnect()
	if got := len(server.Messages("a")); got != 1 {
		t.Errorf("%d messages arrived, want 1", got)
	}
}

// deliverBy delivers a message in a batch of its own.
func deliverBy(t *testing.T, target deliver.Target, n int, text string) deliver.Verdict {
	t.Helper()
	batch, err := target.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d, err := batch.Create(t.Context(), deliver.Envelope{Token: deliver.NewToken("u", "s", "id", n, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := batch.Commit(t.Context()); err != nil {
		t.Errorf("message %d: Commit() = %v, want no error", n, err)
	}
	return d.Verdict()
}

// wantArrived checks that all of oddTexts have arrived, behind lines that the server adds.
func wantArrived(t *testing.T, stored [][]byte) {
	t.Helper()
	if len(stored) != len(oddTexts) {
		t.Errorf("%d messages arrived, want %d", len(stored), len(oddTexts))
	}
	for _, text := range oddTexts {
		if !strings.HasSuffix(text, "\r\n") {
			text += "\r\n"
		}
		want := asLines(text)
		found := false
		for _, got := range stored {
			found = found || strings.HasSuffix(asLines(string(got)), want)
		}
		if !found {
			var near string
			subject, _, _ := strings.Cut(text, "\r\n")
			for _, got := range stored {
				if bytes.Contains(got, []byte(subject)) {
					near = fmt.Sprintf("%.600q", got)
				}
			}
			t.Errorf("%.100q has not arrived, but %s", want, near)
		}
	}
}

// asLines returns a text with lines that end in LF. Dovecot also drops a CR in front of CRLF.
func asLines(text string) string {
	for strings.Contains(text, "\r\n") {
		text = strings.ReplaceAll(text, "\r\n", "\n")
	}
	return text
}

// A real SMTP server gets messages in the same way.
func TestLMTP_smtpSink(t *testing.T) {
	python := "/usr/bin/python3" // Debian's, which has Debian's packages
	if err := exec.CommandContext(t.Context(), python, "-c", "import aiosmtpd").Run(); err != nil {
		needProgram(t, "aiosmtpd", "python3-aiosmtpd")
	}
	address, maildir := startSink(t, python)
	target := &deliver.LMTP{Protocol: deliver.SMTPProtocol, Network: "tcp", Address: address, Recipients: []string{"a@example.org"},
		Notes: deliver.NewFileBook(filepath.Join(t.TempDir(), "notes"))}
	texts := []string{oddTexts[0], oddTexts[1], oddTexts[2], oddTexts[4]}
	for i, text := range texts {
		if v := deliverBy(t, target, i, text); v.Outcome != deliver.Safe {
			t.Errorf("message %d: %+v, want it safe", i, v)
		}
	}
	target.Disconnect()
	stored := sunk(t, maildir)
	if len(stored) != len(texts) {
		t.Errorf("%d messages arrived, want %d", len(stored), len(texts))
	}
	for _, text := range texts {
		if want := asLines(strings.TrimSuffix(text, "\r\n")); !strings.Contains(strings.Join(stored, "\x00"), want) {
			t.Errorf("%q has not arrived in %q", want, stored)
		}
	}
}
