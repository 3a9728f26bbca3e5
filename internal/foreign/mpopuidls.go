package foreign

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// readSeen reads the account's part of its file of seen messages.
func (a *mpopAccount) readSeen(d *draft, env Env) error {
	place := "~/.mpop_uidls/%U_at_%H"
	if name := a.text("uidls_file"); name != "" {
		place = name
	}
	place = strings.NewReplacer("%U", d.User, "%H", d.Server).Replace(place)
	place = env.expand(place, env.Home)
	if !exists(place) {
		d.noState(env.short(place), "mpop has not kept any")
		return nil
	}
	r := uidlsReader{host: d.Server, user: d.User}
	if err := eachLine(place, r.line); err != nil {
		return err
	}
	if r.left > 0 {
		return &Error{place, 0, errors.New("the last block of mpop's seen messages is cut off")}
	}
	d.SeenFile, d.InFile, d.Seen = place, r.count, r.seen
	return nil
}

// uidlsReader reads a file of mpop: blocks of a head, " COUNT HOST USER", and COUNT lines.
type uidlsReader struct {
	host, user string // whose block counts
	begun      bool   // a head has been read
	ours       bool   // the block is that of host and user
	left       int    // lines of the block that are to come
	count      int    // of all messages
	seen       []Seen
}

func (r *uidlsReader) line(_ int, text string) error {
	switch {
	case r.left > 0:
		r.left--
		r.count++
		if r.ours {
			r.seen = append(r.seen, mpopSeen(text))
		}
		return nil
	case !r.begun && strings.HasPrefix(text, "#"):
		return nil
	case text == "":
		return nil
	}
	fields := strings.SplitN(text, " ", 4) // a user may have blanks
	if len(fields) != 4 || fields[0] != "" {
		return errors.New(`is no head of a block of mpop's seen messages: " COUNT HOST USER"`)
	}
	n, err := strconv.ParseUint(fields[1], 10, 31)
	if err != nil {
		return errors.New("the number of messages of the block is no number")
	}
	r.begun = true
	r.left = int(n)
	r.ours = strings.EqualFold(fields[2], r.host) && fields[3] == r.user
	return nil
}

// mpopSeen reads a unique-id. From version 1.4.23 on, a blank and the Unix time follow.
func mpopSeen(text string) Seen {
	blank := strings.LastIndexByte(text, ' ')
	if blank > 0 {
		if seconds, ok := unixTime(text[blank+1:]); ok {
			return Seen{text[:blank], seconds}
		}
	}
	return Seen{UniqueID: text}
}

// unixTime reads seconds since 1970. A time far off counts as none.
func unixTime(text string) (time.Time, bool) {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, false
	}
	if seconds == 0 || seconds > 1<<33 {
		return time.Time{}, true
	}
	return time.Unix(seconds, 0).UTC(), true
}
