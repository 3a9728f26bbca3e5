package doctor

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
)

// mostIDOctets is the length that RFC 1939 section 7 allows for a unique-id.
const mostIDOctets = 70

// Listed is one message of a listing.
type Listed struct {
	Number   int
	UniqueID string
	Copy     int  // above 0: others before it have the same unique-id
	Made     bool // popfetch has made the unique-id
}

// UniqueIDs returns a finding about the unique-ids of a listing. The argument unusable counts the
// messages that were listed without one, or without a usable number.
func UniqueIDs(listing iter.Seq[Listed], unusable int) Finding {
	var q quality
	for l := range listing {
		q.add(l)
	}
	if unusable > 0 {
		return Finding{Check: CheckUIDL, State: Fault, Mend: "they cannot be fetched; tell whoever runs the server",
			Text: fmt.Sprintf("%d messages are listed without a usable number, size or unique-id", unusable)}
	}
	switch {
	case q.count == 0:
		return ok(CheckUIDL, "no message is listed, so nothing can be said")
	case q.made == q.count:
		return warning(CheckUIDL, "a message whose header changes is fetched again; ask the provider for UIDL",
			"the server has none; popfetch makes %d from headers", q.count)
	case q.numbers == q.count && q.count > 1:
		return warning(CheckUIDL, "delete a message on the server and run check again: no other unique-id may change by that",
			"%d, each like its message-number; if they follow these, they change when mail is deleted", q.count)
	}
	if breaches := q.breaches(); len(breaches) > 0 {
		return warning(CheckUIDL, "popfetch copes; tell whoever runs the server, because other programs may not",
			"%d, of %s; %s", q.count, q.lengths(), strings.Join(breaches, "; "))
	}
	return ok(CheckUIDL, "%d, all different, of %s", q.count, q.lengths())
}

// quality is what the unique-ids of a listing are like.
type quality struct {
	count, made, copies, long, foreign, numbers int
	shortest, longest                           int
}

func (q *quality) add(l Listed) {
	q.count++
	if l.Made {
		q.made++
		return
	}
	n := len(l.UniqueID)
	if q.count-q.made == 1 || n < q.shortest {
		q.shortest = n
	}
	q.longest = max(q.longest, n)
	if l.Copy > 0 {
		q.copies++
	}
	if n > mostIDOctets {
		q.long++
	}
	if strings.ContainsFunc(l.UniqueID, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
		q.foreign++
	}
	if l.UniqueID == strconv.Itoa(l.Number) {
		q.numbers++
	}
}

func (q *quality) lengths() string {
	if q.shortest == q.longest {
		return fmt.Sprintf("%d octets", q.longest)
	}
	return fmt.Sprintf("%d to %d octets", q.shortest, q.longest)
}

// breaches returns what RFC 1939 section 7 does not allow.
func (q *quality) breaches() (texts []string) {
	for _, one := range []struct {
		n    int
		what string
	}{
		{q.copies, "repeated: %d"},
		{q.long, "longer than the 70 octets that are allowed: %d"},
		{q.foreign, "not visible ASCII: %d"},
		{q.made, "missing, and made from the header: %d"},
	} {
		if one.n > 0 {
			texts = append(texts, fmt.Sprintf(one.what, one.n))
		}
	}
	return texts
}
