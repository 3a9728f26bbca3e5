package main

import (
	"encoding/hex"
	"strings"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/pop3"
)

// writeID returns a unique-id as people and scripts see it, and as they give it back (C0039). A
// unique-id may have any octets. As in POPFETCH_UID, % and all octets that are not visible ASCII
// become % and two hexadecimal digits.
func writeID(uniqueID string) string { return deliver.EscapeUniqueID(uniqueID) }

// tellID returns a unique-id for a line that a person reads. It is cut like any other text of a
// server. Data for scripts has the whole unique-id, because they give it back.
func tellID(uniqueID string) string { return pop3.Escape(writeID(uniqueID)) }

// readID is the inverse of writeID.
func readID(word string) (string, error) {
	before, rest, escaped := strings.Cut(word, "%")
	var b strings.Builder
	b.WriteString(before)
	for escaped {
		octet, err := hex.DecodeString(rest[:min(2, len(rest))])
		if err != nil || len(octet) != 1 {
			return "", usagef("unique-id %q: %% must be followed by two hexadecimal digits; %% itself is written %%25", word)
		}
		b.Write(octet)
		before, rest, escaped = strings.Cut(rest[2:], "%")
		b.WriteString(before)
	}
	return b.String(), nil
}

func readIDs(words []string) ([]string, error) {
	ids := make([]string, len(words))
	for i, word := range words {
		var err error
		if ids[i], err = readID(word); err != nil {
			return nil, err
		}
	}
	return ids, nil
}
