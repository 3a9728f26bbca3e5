package config

import (
	"fmt"
	"slices"
	"strings"
)

// foreignKey returns the error for a key of another program, which says how to write the same here,
// or nil. People write such keys from memory.
func foreignKey(key string) error {
	word := strings.ToLower(strings.ReplaceAll(key, "-", "_"))
	if mend, needless := needlessKeys[word]; needless {
		return fmt.Errorf("is not a known key; %s", mend)
	}
	return accountKeys.foreign(word)
}

// foreign is foreignKey for the keys that have word as an alias.
func (keys table[T]) foreign(word string) error {
	for i := range keys {
		if r := &keys[i]; slices.Contains(r.aliases, word) {
			return fmt.Errorf("is not a known key; %s", keys.mend(r))
		}
	}
	return nil
}

const (
	mendProtocol = `popfetch speaks POP3 alone; remove it`
	mendFolder   = `POP3 has only one folder, so none is named; where mail goes to is maildir = "DIR", mbox = "FILE" or another target`
	mendNew      = `popfetch always fetches what it has not delivered yet; remove it (popfetch --all fetches the rest too)`
	mendPoll     = `write [account.NAME] with server = "HOST" for each maildrop, and enabled = false where it is not to be polled`
)

// needlessKeys are keys of other programs that no key of popfetch stands for. Keys that one stands
// for are the aliases of its row.
var needlessKeys = map[string]string{
	"protocol": mendProtocol, "proto": mendProtocol, "type": mendProtocol,
	"folder": mendFolder, "folders": mendFolder, "mailbox": mendFolder, "mailboxes": mendFolder,
	"fetchall": mendNew, "read_all": mendNew, "only_new": mendNew, "new_only": mendNew,
	"poll": mendPoll, "skip": mendPoll,
}
