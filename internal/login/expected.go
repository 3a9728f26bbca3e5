package login

import (
	"strings"

	"github.com/popfetch/popfetch/pop3"
)

// Announcement returns what a later run is to remember of a server, for Expected: what it announced
// before the log-in that the log-in depends on. It is empty if nothing is worth it: without
// PIPELINING or SASL nothing can be put together. The words are ours, never the server's.
func Announcement(caps pop3.Capabilities, mode pop3.TLSMode) string {
	if !caps.Has("PIPELINING") || !caps.Has("SASL") {
		return ""
	}
	lines := protections[mode] + "\nPIPELINING\nSASL"
	for _, m := range table {
		if announcesSASL(caps, m.name) {
			lines += " " + string(m.name)
		}
	}
	for _, name := range []string{"USER", "UTF8"} {
		if caps.Has(name) {
			lines += "\n" + name
		}
	}
	return lines
}

// Expected returns what Announcement kept, nil if nothing is known of the server under this
// protection.
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

// protections are the names that an announcement has for the ways of protection.
var protections = map[pop3.TLSMode]string{pop3.TLSImplicit: "implicit", pop3.TLSStart: "starttls", pop3.TLSNone: "none"}
