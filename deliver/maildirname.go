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

// newName makes the name of a message's file in tmp: <unix seconds>.<token>Q<counter>P<pid>.<host>.
func newName(token Token) string {
	name := make([]byte, 0, 128)
	name = append(strconv.AppendInt(name, time.Now().Unix(), 10), '.')
	name = append(hex.AppendEncode(name, token[:]), 'Q')
	name = strconv.AppendInt(name, deliveries.Add(1), 10)
	return string(append(name, processAndHost()...))
}

// processAndHost identifies this process among those of all machines that share a Maildir.
var processAndHost = sync.OnceValue(func() string { return fmt.Sprintf("P%d.%s", os.Getpid(), localHost()) })

// withOctets adds the size of the file to its name. Dovecot then needs no stat, and Find can check
// that the file is whole.
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

// escapeHost makes a host name fit for a file name. It uses octal escapes, as the Maildir format
// does for "/" and ":". A comma is escaped too, because it would begin a field such as ",S=".
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

// fileName is the information in the name of a message's file.
type fileName struct {
	token  Token
	octets int64  // the size of the whole file
	stem   string // the name up to the octets; mail programs add further fields and ":2," with flags
}

// parseName reads the name of a file that popfetch delivered. A mail program may have added to it.
func parseName(name string) (parsed fileName, ok bool) {
	_, tail, _ := strings.Cut(name, ".")
	const digits = 2 * len(parsed.token)
	if len(tail) <= digits || tail[digits] != 'Q' {
		return fileName{}, false
	}
	token, err := parseToken(tail[:digits])
	if err != nil {
		return fileName{}, false
	}
	parsed.token = token
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
