package deliver

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/internal/poptest"
)

// serveOdd starts a server that answers what the test wants.
func serveOdd(t *testing.T, protocol Protocol, answer func(connection int, command string) string) *oddMail {
	t.Helper()
	return &oddMail{poptest.NewMailServer(t, protocol == LMTPProtocol, answer), protocol}
}

type oddMail struct {
	*poptest.MailServer
	protocol Protocol
}

// target returns a target before this server, with notes in a new file.
func (m *oddMail) target(t *testing.T, recipients ...string) *LMTP {
	t.Helper()
	return &LMTP{Protocol: m.protocol, Network: "unix", Address: m.Socket(), Recipients: recipients,
		Notes: NewFileBook(filepath.Join(t.TempDir(), "state", "notes"))}
}

// openLMTP returns the fixture of the suite for a protocol.
func openLMTP(protocol Protocol) func(t *testing.T, dir string) fixture {
	return func(t *testing.T, dir string) fixture {
		server := serveOdd(t, protocol, nil)
		spools := filepath.Join(dir, "spools")
		if err := os.Mkdir(spools, 0o700); err != nil {
			t.Fatal(err)
		}
		t.Setenv("TMPDIR", spools)
		target := server.target(t, "mrose")
		target.Deliveries = 2
		t.Cleanup(target.Disconnect)
		return fixture{
			Target: target,
			delivered: func(*testing.T) []string {
				var texts []string
				for _, text := range server.Delivered() {
					texts = append(texts, withoutEnd(text))
				}
				return texts
			},
			leftovers: func(t *testing.T) []string { return files(t, spools) },
			spares:    true,
			endsLine:  true,
		}
	}
}

// withoutEnd takes away the line end that an empty message, or one that ends in LF alone, has to get.
func withoutEnd(text string) string {
	switch text {
	case "\n", "a\nb\n\n":
		return strings.TrimSuffix(text, "\n")
	}
	return text
}

func TestLMTP(t *testing.T)      { testTarget(t, openLMTP(LMTPProtocol)) }
func TestLMTP_smtp(t *testing.T) { testTarget(t, openLMTP(SMTPProtocol)) }
