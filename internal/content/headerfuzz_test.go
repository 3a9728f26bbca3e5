package content

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"
)

// FuzzDigest compares the digest of a header with the digest of a simple reference. The digest must
// be the same from RETR, from TOP and from a file, however the message is cut: popfetch recognises
// a message by it.
func FuzzDigest(f *testing.F) {
	for _, message := range []string{sample, "", "\r\n", "X-A: 1\r\n\r\n", "Subject\t: a\r\n\tb  c\r\nsubject: d\r\n\r\nTo: x", "To: \r\r\n\r\r\nFrom: a\n\nb",
		" begins with a blank\r\n\r\n", "no colon\r\nStatus: RO\r\nX-UIDL:\r\n\r\n", "Date: 1", "\x00: \xff\r\n"} {
		f.Add([]byte(message), []byte{1, 2})
		f.Add([]byte(message), []byte{})
	}
	f.Fuzz(func(t *testing.T, message, lengths []byte) {
		if len(message) > maxHeader {
			return
		}
		want := digestReference(string(message))
		top, _, _ := bytes.Cut(message, []byte("\r\n\r\n"))
		for what, form := range map[string][]byte{
			"wire": message,
			"file": bytes.ReplaceAll(message, []byte("\r\n"), []byte("\n")),
			"TOP":  append(bytes.Clone(top), "\r\n\r\n"...),
		} {
			if what == "TOP" && len(top) == len(message) {
				continue // there is no body
			}
			var h Header
			for n := 0; len(form) > 0; n++ {
				size := len(form)
				if len(lengths) > 0 {
					size = min(size, int(lengths[n%len(lengths)])+1)
				}
				if wrote, err := h.Write(form[:size]); wrote != size || err != nil {
					t.Fatalf("Write() of %d octets = %d, %v", size, wrote, err)
				}
				form = form[size:]
			}
			if got := h.Digest(); got != want {
				t.Errorf("digest of %q (%s) = %x, want %x", message, what, got, want)
			}
		}
	})
}

// digestReference makes the digest from the whole message, with strings.
func digestReference(message string) Digest {
	message = strings.ReplaceAll(message, "\r", "")
	header, _, _ := strings.Cut("\n"+message, "\n\n")
	var fields []string
	for i, line := range strings.Split(strings.TrimPrefix(header, "\n"), "\n") {
		if i > 0 && line != "" && strings.ContainsAny(line[:1], " \t") {
			fields[len(fields)-1] += "\n" + line
		} else {
			fields = append(fields, line)
		}
	}
	squeezed := func(s string) string {
		return strings.Join(strings.FieldsFunc(s, func(c rune) bool { return c == ' ' || c == '\t' || c == '\n' }), " ")
	}
	name := func(field string) string {
		name, _, ok := strings.Cut(field, ":")
		if !ok {
			return ""
		}
		return strings.TrimRight(name, " \t")
	}
	hashed, any := "\x01", false
	for _, wanted := range []string{"Message-ID", "Date", "From", "To", "Subject"} {
		for _, field := range fields {
			if bytes.EqualFold([]byte(name(field)), []byte(wanted)) {
				_, value, _ := strings.Cut(field, ":")
				hashed, any = hashed+squeezed(value), true
				break
			}
		}
		hashed += "\n"
	}
	if !any {
		hashed = "\x01"
		for _, field := range fields {
			ours := false
			for _, changing := range []string{"X-UIDL", "Status", "X-Status", "X-IMAPbase"} {
				ours = ours || strings.EqualFold(name(field), changing)
			}
			if !ours && field != "" {
				hashed += squeezed(field) + "\n"
			}
		}
	}
	sum := sha256.Sum256([]byte(hashed))
	return Digest(sum[:16])
}
