// Package doctor examines what a fetch depends on: the way to the server, what the server has shown of
// itself, and the disk. It says of each part whether it is in order, and if not, how to mend it.
//
// It takes plain values and prints nothing. The functions of this package log in nowhere and change
// nothing. Texts of servers are escaped in all that they return.
package doctor

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/popfetch/popfetch/internal/escape"
)

// State says whether a part is in order.
type State string

// The states. A warning does not keep mail from being fetched now. A fault does.
const (
	OK      State = "ok"
	Warning State = "warning"
	Fault   State = "fault"
)

// The checks, in the order of a report. Their names are part of the contract.
const (
	CheckDNS          = "dns"
	CheckAddress      = "address"
	CheckTLS          = "tls"
	CheckCertificate  = "certificate"
	CheckGreeting     = "greeting"
	CheckCapabilities = "capabilities"
	CheckMechanisms   = "mechanisms"
	CheckLogin        = "login"
	CheckClock        = "clock"
	CheckUIDL         = "uidl"
	CheckDelay        = "login-delay"
	CheckExpire       = "expire"
	CheckMaildrop     = "maildrop"
	CheckTarget       = "target"
	CheckState        = "state"
)

// Finding is the result of one check. The names of its fields in JSON are part of the contract.
type Finding struct {
	Check string `json:"check"`
	State State  `json:"state"`
	Text  string `json:"text"`
	// Mend is what to do. It is empty if there is nothing to do.
	Mend string `json:"mend,omitempty"`
	// Paste is a line for the configuration file.
	Paste string `json:"paste,omitempty"`
}

// ok returns a finding that everything is in order.
func ok(check, format string, args ...any) Finding {
	return Finding{Check: check, State: OK, Text: fmt.Sprintf(format, args...)}
}

// warning returns a finding of something that will keep mail from being fetched, or that is not as it
// should be.
func warning(check, mend, format string, args ...any) Finding {
	return Finding{Check: check, State: Warning, Text: fmt.Sprintf(format, args...), Mend: mend}
}

// shownOctets limits one text of the server.
const shownOctets = 256

// shown returns a text of the server fit for people.
func shown(text string) string { return escape.Text([]byte(text), shownOctets) }

// list returns words of the server, at most so many, separated by commas.
func list(words []string, most int) string {
	first := words
	if len(first) > most {
		first = first[:most:most]
	}
	text := make([]string, len(first))
	for i, word := range first {
		text[i] = shown(word)
	}
	if more := len(words) - len(first); more > 0 {
		text = append(text, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(text, ", ")
}

// Size returns octets as people say it.
func Size(octets int64) string {
	units := []string{"octets", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	size, unit := float64(octets), 0
	for size >= 1024 && unit < len(units)-1 {
		size /= 1024
		unit++
	}
	switch {
	case octets == math.MaxInt64:
		return "an unknown size"
	case unit == 0:
		return fmt.Sprintf("%d octets", octets)
	case size < 10:
		return fmt.Sprintf("%.1f %s", size, units[unit])
	}
	return fmt.Sprintf("%.0f %s", size, units[unit])
}

// span returns a time as people say it, in whole units.
func span(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Round(time.Second).Seconds()))
	case d < 3*time.Hour:
		return fmt.Sprintf("%d min", int(d.Round(time.Minute).Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Round(time.Hour).Hours()))
	}
	return fmt.Sprintf("%d days", days(d))
}

// days returns the whole days of a time.
func days(d time.Duration) int { return int(d / (24 * time.Hour)) }
