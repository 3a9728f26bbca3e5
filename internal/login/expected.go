package login

import (
	"strings"

	"github.com/popfetch/popfetch/pop3"
)

// Announcement returns the part of a server's announcement that later runs give to Expected. The
// announcement is the one before the log-in, and the part is all that a log-in depends on. It is
// empty without PIPELINING or SASL, because then no commands can share a packet. It has only words
// of this package, never words of the server.
func Announcement(caps pop3.Capabilities, mode pop3.TLSMode) string {
	if !caps.Has("PIPELINING") || !caps.Has("SASL") {
		return ""
	}
	lines := protections[mode] + "\nPIPELINING\nSASL"
	for _, m := range table {
		if m.sasl != "" && announcesSASL(caps, m.sasl) {
			lines += " " + strings.ToLower(m.sasl)
		}
	}
	for _, name := range []string{"USER", "UTF8"} {
		if caps.Has(name) {
			lines += "\n" + name
		}
	}
	return lines
}

// Expected returns the capabilities that Announcement kept. It returns nil if none are known for
// this TLS mode.
func Expected(announcement string, mode pop3.TLSMode) pop3.Capabilities {
	protection, lines, known := strings.Cut(announcement, "\n")
	if !known || protection != protections[mode] {
		return nil
	}
	expected := pop3.Capabilities{}
	for line := range strings.SplitSeq(lines, "\n") {
		name, params, _ := strings.Cut(line, " ")
		expected[name] = strings.Fields(params)
	}
	if !expected.Has("PIPELINING") {
		return nil
	}
	return expected
}

// protections has the name of each TLS mode in an announcement.
var protections = map[pop3.TLSMode]string{pop3.TLSImplicit: "implicit", pop3.TLSStart: "starttls", pop3.TLSNone: "none"}
