package foreign

import (
	"errors"
	"path/filepath"
	"strings"
)

// fetchedID is a line of fetchmail's file of seen messages.
type fetchedID struct{ user, host, id string }

// readSeen reads the files in which fetchmail keeps what it has seen, and gives each account its
// own.
func (rc *fetchmailrc) readSeen(file string, drafts []*draft, env Env) error {
	place := rc.seenPlace(file, env)
	if !exists(place) {
		for _, d := range drafts {
			d.noState(env.short(place), "fetchmail has not kept any")
		}
		return nil
	}
	var ids []fetchedID
	err := eachLine(place, func(_ int, text string) error {
		id, err := parseFetchedID(text)
		if err == nil && id.id != "" {
			ids = append(ids, id)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, d := range drafts {
		d.SeenFile, d.InFile = place, len(ids)
		for _, id := range ids {
			if strings.EqualFold(id.user, d.User) && strings.EqualFold(id.host, d.Server) {
				d.Seen = append(d.Seen, Seen{UniqueID: id.id})
			}
		}
	}
	return nil
}

// seenPlace returns the file that the .fetchmailrc names, or the default one. The service of Debian
// keeps another one.
func (rc *fetchmailrc) seenPlace(file string, env Env) string {
	if o, found := last(rc.global, "idfile"); found && o.text != "" {
		return env.expand(o.text, filepath.Dir(file))
	}
	usual := env.fetchmailHome(".fetchids", ".fetchids")
	if file == env.system("/etc/fetchmailrc") {
		service := firstExisting(env.system("/var/lib/fetchmail/.fetchmail-UIDL-cache"),
			env.system("/var/lib/fetchmail/.fetchids"))
		if service != "" {
			return service
		}
	}
	return usual
}

// parseFetchedID splits "user@host id". The user may have blanks and @, the id has neither blanks
// nor, before it, anything but the host's last @. An empty line has no id.
func parseFetchedID(text string) (fetchedID, error) {
	text = strings.TrimRight(text, "\r ")
	if text == "" {
		return fetchedID{}, nil
	}
	blank := strings.LastIndexByte(text, ' ')
	if blank < 0 {
		return fetchedID{}, errors.New("is no line of fetchmail's seen messages: USER@SERVER UNIQUE-ID")
	}
	at := strings.LastIndexByte(text[:blank], '@')
	if at <= 0 || at == blank-1 {
		return fetchedID{}, errors.New("is no line of fetchmail's seen messages: USER@SERVER UNIQUE-ID")
	}
	return fetchedID{user: text[:at], host: text[at+1 : blank], id: text[blank+1:]}, nil
}
