package foreign

import (
	"cmp"
	"errors"
	"path/filepath"
	"regexp"
	"strings"
)

// oldmailStripped matches what getmail replaces by "-" in the name of its file of seen messages.
var oldmailStripped = regexp.MustCompile(`[/:;<>|]+`)

// readSeen reads getmail's file of seen messages. Its name is made of server, port and user. It
// lies beside the rc file or in getmail's folder.
func (rc *getmailrc) readSeen() error {
	port := cmp.Or(rc.port, rc.usualPort())
	name := oldmailStripped.ReplaceAllString("oldmail-"+rc.Server+"-"+port+"-"+rc.User, "-")
	usual := filepath.Join(getmailFolder(rc.env), name)
	place := firstExisting(filepath.Join(filepath.Dir(rc.file), name), usual)
	if place == "" {
		rc.noState(rc.env.short(usual), "getmail has not kept any")
		return nil
	}
	rc.SeenFile, rc.Sanitized = place, true
	return eachLine(place, func(_ int, text string) error {
		if strings.TrimSpace(text) == "" {
			return nil
		}
		id, seconds, found := strings.Cut(strings.TrimRight(text, "\r"), "\x00")
		first, isTime := unixTime(strings.TrimSpace(seconds))
		if !found || id == "" || !isTime {
			return errors.New("is no line of getmail's seen messages: UNIQUE-ID NUL TIME")
		}
		rc.InFile++
		rc.Seen = append(rc.Seen, Seen{id, first})
		return nil
	})
}
