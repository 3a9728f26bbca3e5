package imapbox

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
)

// modified is the Base64 of mailbox names (RFC 3501 section 5.1.3).
var modified = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)

// encodeMailbox returns the name of a mailbox in modified UTF-7.
func encodeMailbox(name string) string {
	var b strings.Builder
	var wide []rune
	flush := func() {
		if len(wide) == 0 {
			return
		}
		var octets []byte
		for _, unit := range utf16.Encode(wide) {
			octets = append(octets, byte(unit>>8), byte(unit))
		}
		b.WriteString("&" + modified.EncodeToString(octets) + "-")
		wide = wide[:0]
	}
	for _, r := range name {
		if r < ' ' || r > '~' {
			wide = append(wide, r)
			continue
		}
		flush()
		if r == '&' {
			b.WriteString("&-")
		} else {
			b.WriteRune(r)
		}
	}
	flush()
	return b.String()
}

// quote returns a string as a command may hold it. The text is printable ASCII, or UTF-8 for a
// server that knows only IMAP4rev2.
func quote(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}
