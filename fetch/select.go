package fetch

import "time"

// SelectPolicy says which messages a pass takes, of those that are to be retrieved. The zero value
// takes all of them.
type SelectPolicy struct {
	// A pass retrieves no more than so many messages, and so many octets as LIST announces them. Its
	// first message always goes, however large. Zero: no limit.
	Messages int
	Octets   int64
	// What was sent before this time span is left out, by its Date; zero: nothing is.
	Within  time.Duration
	Session int  // the run logs in again after so many messages; zero: it does not
	Drain   bool // further sessions follow until a listing brings nothing new
	// Only these unique-ids are retrieved or deleted, whatever Within says; nil: all.
	Only map[string]bool
}

// Names reports whether messages with this unique-id may be retrieved and deleted.
func (p *SelectPolicy) Names(uniqueID string) bool { return p.Only == nil || p.Only[uniqueID] }
