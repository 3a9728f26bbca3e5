package main

import (
	"encoding/hex"
	"strings"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/pop3"
)

// writeID is how a unique-id, which may be any octets, is shown to people and scripts and taken
// back from them (C0039): as POPFETCH_UID, with % and what is no visible ASCII as % and two
// hexadecimal digits.
func writeID(uniqueID string) string { return deliver.EscapeUniqueID(uniqueID) }

// tellID is how a line for a person shows a unique-id: no more of it than of any other text of a
// server. Data for scripts, who give it back, have it whole.
func tellID(uniqueID string) string { return pop3.Escape(writeID(uniqueID)) }

// readID takes a unique-id as writeID shows it.
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
