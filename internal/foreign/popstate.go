package foreign

import (
	"errors"
	"path/filepath"
	"strings"
)

// readSeen reads popstate.dat, the file in which Thunderbird keeps what it has seen.
func (a *thunderbirdAccount) readSeen(env Env) error {
	place := filepath.Join(a.folder(), "popstate.dat")
	if !exists(place) {
		a.noState(env.short(place), "Thunderbird has not kept any")
		return nil
	}
	hosts := []string{a.Server, a.value("hostname").text}
	users := []string{a.User, a.value("userName").text}
	ours := false
	err := eachLine(place, func(_ int, text string) error {
		text = strings.TrimRight(text, "\r")
		switch {
		case text == "" || text[0] == '#':
			return nil
		case text[0] == '*':
			host, user, found := strings.Cut(text[1:], " ")
			if !found {
				return errors.New("is no head of a block of Thunderbird's seen messages: *HOST USER")
			}
			ours = containsFold(hosts, host) && containsFold(users, user)
			return nil
		}
		fields := strings.Split(text, " ")
		if len(fields) < 2 || len(fields[0]) != 1 || fields[1] == "" {
			return errors.New("is no line of Thunderbird's seen messages: LETTER UNIQUE-ID TIME")
		}
		a.InFile++
		// k is kept, d is to be deleted; b was too big, and f is to be fetched.
		if ours && (fields[0] == "k" || fields[0] == "d") {
			seen := Seen{UniqueID: fields[1]}
			if len(fields) > 2 {
				seen.FirstSeen, _ = unixTime(fields[2])
			}
			a.Seen = append(a.Seen, seen)
		}
		return nil
	})
	a.SeenFile = place
	return err
}

// containsFold reports whether list has text, whatever the case of its letters.
func containsFold(list []string, text string) bool {
	for _, each := range list {
		if each != "" && strings.EqualFold(each, text) {
			return true
		}
	}
	return false
}
