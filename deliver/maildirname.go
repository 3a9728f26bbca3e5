package deliver

import (
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// deliveries counts the files that this process has named, in all Maildirs.
var deliveries atomic.Int64

// newName makes the name that a message bears in tmp: <unix seconds>.<token>Q<counter>P<pid>.<host>.
func newName(token Token) string {
	name := make([]byte, 0, 128)
	name = append(strconv.AppendInt(name, time.Now().Unix(), 10), '.')
	name = append(hex.AppendEncode(name, token[:]), 'Q')
	name = strconv.AppendInt(name, deliveries.Add(1), 10)
	return string(append(name, processAndHost()...))
}

// processAndHost is what names one process among those of all machines that share a Maildir.
var processAndHost = sync.OnceValue(func() string { return fmt.Sprintf("P%d.%s", os.Getpid(), localHost()) })

// withOctets adds the size of the file, which spares Dovecot a stat and tells Find whether a file is whole.
func withOctets(name string, octets int64) string {
	return name + ",S=" + strconv.FormatInt(octets, 10)
}

// maxHost keeps file names far below the 255 octets that file systems allow.
const maxHost = 100

func localHost() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		return "localhost"
	}
	return escapeHost(host)
}

// escapeHost makes a host name fit for a file name, with the octal escapes that the Maildir format gives for "/" and
// ":". A comma would be taken for the beginning of a field such as ",S=".
func escapeHost(host string) string {
	var b strings.Builder
	for _, c := range []byte(host) {
		escaped := string(rune(c))
		if c <= ' ' || c >= 0x7f || strings.IndexByte("/:,", c) >= 0 {
			escaped = fmt.Sprintf(`\%03o`, c)
		}
		if b.Len()+len(escaped) > maxHost {
			break
		}
		b.WriteString(escaped)
	}
	return b.String()
}

// fileName is what the name of a message's file tells.
type fileName struct {
	token  Token
	octets int64  // that the whole file has
	stem   string // the name up to the octets, without what mail programs add: further fields and ":2," with flags
}

// parseName reads the name of a file that popfetch delivered, whatever a mail program has added to it since.
func parseName(name string) (parsed fileName, ok bool) {
	_, rest, _ := strings.Cut(name, ".")
	const digits = 2 * len(parsed.token)
	if len(rest) <= digits || rest[digits] != 'Q' {
		return fileName{}, false
	}
	if _, err := hex.Decode(parsed.token[:], []byte(rest[:digits])); err != nil {
		return fileName{}, false
	}
	name, _, _ = strings.Cut(name, ":")
	_, size, _ := strings.Cut(name, ",S=")
	size, more, _ := strings.Cut(size, ",")
	octets, err := strconv.ParseUint(size, 10, 63)
	if err != nil {
		return fileName{}, false
	}
	parsed.octets = int64(octets)
	parsed.stem = strings.TrimSuffix(name, ","+more)
	return parsed, true
}
