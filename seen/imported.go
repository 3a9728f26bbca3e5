package seen

import (
	"slices"
	"strings"
)

// Sanitize returns a unique-id as a Sanitized record has it.
func Sanitize(uniqueID string) string { return strings.ReplaceAll(uniqueID, "/", "-") }

// Restored says which listed messages are those of Sanitized records.
type Restored struct {
	// Changes give those records the unique-ids that the server lists. They are Imported then.
	Changes Changes
	Known   []int // indexes into the listing: the messages of these records
	// Unknown are messages under the unique-id of a record that may be another one's. They count as
	// new.
	Unknown []int
}

// Restore finds the messages of Sanitized records in a complete listing. first says that no run of
// the account was finished before.
//
// Several unique-ids have the same sanitized form: "a/b" and "a-b" are both "a-b" there. If several
// of them are listed, nobody knows which one the other program has fetched. Then none of them is the
// record's, since a message that comes twice is better than one that is lost. Only after the first
// run a message that is listed under that form itself has the record.
func Restore(listing []Entry, sanitized []Record, first bool) Restored {
	if len(sanitized) == 0 {
		return Restored{}
	}
	alike := make(map[string][]int, len(sanitized)) // indexes by sanitized unique-id
	for _, r := range sanitized {
		alike[r.UniqueID] = nil
	}
	for i := range listing {
		form := Sanitize(listing[i].UniqueID)
		if indexes, wanted := alike[form]; wanted {
			alike[form] = append(indexes, i)
		}
	}
	var restored Restored
	var records []Record
	for _, r := range sanitized {
		indexes := alike[r.UniqueID]
		isItself := func(i int) bool { return listing[i].UniqueID == r.UniqueID }
		itself := slices.IndexFunc(indexes, isItself)
		switch {
		case len(indexes) == 1:
			r.Key, r.Kind, r.Listed = listing[indexes[0]].Key, Imported, listing[indexes[0]].Octets
			records = append(records, r)
			restored.Known = append(restored.Known, indexes[0])
		case itself >= 0 && first:
			restored.Unknown = append(restored.Unknown, indexes[itself])
		default:
			continue
		}
		restored.Changes.Replace = append(restored.Changes.Replace, Sanitize(r.UniqueID))
	}
	restored.Changes.Records = slices.Values(records)
	slices.Sort(restored.Known)
	slices.Sort(restored.Unknown)
	return restored
}
