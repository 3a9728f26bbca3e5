package content

import (
	"net/mail"
	"strings"
	"time"
)

// ArrivedBefore reports whether the message is older than at. POP3 does not say when a message
// arrived. Its topmost Received field does, and its Date field says when it was written. A message
// that lacks both, or has one that cannot be read, may be new.
func (h *Header) ArrivedBefore(at time.Time) bool {
	dated := false
	for _, name := range []string{"received", "date"} {
		value, ok := h.Value(name)
		if !ok {
			continue
		}
		if name == "received" { // the date stands behind the last semicolon (RFC 5322 section 3.6.7)
			value = value[strings.LastIndexByte(value, ';')+1:]
		}
		latest, ok := latestTime(value)
		if !ok || !latest.Before(at) {
			return false
		}
		dated = true
	}
	return dated
}

// firstMail is earlier than any message with a date (RFC 822). Clocks that were never set begin in
// 1970 or 1980.
var firstMail = time.Date(1982, 8, 13, 0, 0, 0, 0, time.UTC)

// latestTime reads a date as late as it may be meant: a zone that is only a name, such as EST, may
// lie twelve hours behind UTC.
func latestTime(value string) (time.Time, bool) {
	t, err := mail.ParseDate(value)
	if err != nil || t.Before(firstMail) {
		return time.Time{}, false
	}
	if name, offset := t.Zone(); offset == 0 && name != "" && name != "UTC" && name != "GMT" {
		t = t.Add(12 * time.Hour)
	}
	return t, true
}
