package content

import (
	"net/mail"
	"strings"
	"time"
)

// ArrivedBefore reports whether the message is older than at. POP3 does not say when a message
// arrived. The topmost Received field says it, and the Date field says when the message was
// written. The result is false if both are missing, or if one of them cannot be read: the message
// may then be new.
func (h *Header) ArrivedBefore(at time.Time) bool {
	dated := false
	for _, name := range []string{"received", "date"} {
		value, ok := h.Value(name)
		if !ok {
			continue
		}
		if name == "received" { // the date follows the last semicolon (RFC 5322 section 3.6.7)
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

// ArrivedAfter reports whether the message is younger than at, give or take a day for zones that
// are only a name. The topmost Received field says it, or the Date field if there is none. The
// result is false if the time is missing or cannot be read.
func (h *Header) ArrivedAfter(at time.Time) bool {
	value, ok := h.Value("received")
	if ok {
		value = value[strings.LastIndexByte(value, ';')+1:]
	} else if value, ok = h.Value("date"); !ok {
		return false
	}
	t, err := mail.ParseDate(value)
	return err == nil && t.After(at)
}

// Written returns when the message was written, by its Date field: the latest time that this may
// mean. The result ok is false if the field is missing or cannot be read.
func (h *Header) Written() (at time.Time, ok bool) {
	value, ok := h.Value("date")
	if !ok {
		return time.Time{}, false
	}
	return latestTime(value)
}

// Arrived returns when the message arrived: the time in the topmost Received field that has a
// readable one, else in the Date field. It returns the zero time if there is none.
func (h *Header) Arrived() time.Time {
	h.fields = appendFields(h.fields[:0], h.octets)
	var written time.Time
	for _, f := range h.fields {
		received := f.is("received")
		if !received && (!written.IsZero() || !f.is("date")) {
			continue
		}
		value := string(appendSqueezed(nil, f.value()))
		if received {
			value = value[strings.LastIndexByte(value, ';')+1:]
		}
		at, err := mail.ParseDate(value)
		switch {
		case err != nil || at.Before(firstMail):
		case received:
			return at
		default:
			written = at
		}
	}
	return written
}

// firstMail is earlier than any message with a date (RFC 822). A clock that was never set starts in
// 1970 or 1980.
var firstMail = time.Date(1982, 8, 13, 0, 0, 0, 0, time.UTC)

// latestTime returns the latest time that a date may mean. A zone that is only a name, such as EST,
// may be twelve hours behind UTC.
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
