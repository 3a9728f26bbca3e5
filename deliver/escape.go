package deliver

import (
	"fmt"
	"strings"
)

// EscapeUniqueID returns a unique-id as one printable word, for POPFETCH_UID. It percent-encodes
// "%" and every octet outside of 0x21 to 0x7E.
func EscapeUniqueID(uniqueID string) string {
	var b strings.Builder
	for _, c := range []byte(uniqueID) {
		if c == '%' || c < 0x21 || c > 0x7e {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
