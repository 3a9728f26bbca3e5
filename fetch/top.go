package fetch

import (
	"io"
	"iter"
)

// emptyOctets is what LIST may announce for a message without octets: servers count a line end that is not there.
const emptyOctets = 2

// endedAtOnce is why nothing behind a message can be believed (behaviour 38).
const endedAtOnce = "it ended at once, though LIST announced octets"

// mostSilent is how many messages may show nothing before a run does without TOP: a server that shows nothing of any must not
// cost a session for each.
const mostSilent = 3

// hasTop tells whether the server may know TOP. One that refuses CAPA may.
func (s *session) hasTop() bool {
	caps := s.client.Capabilities()
	return (caps == nil || caps.Has("TOP")) && len(s.silent) < mostSilent
}

// askHeaders asks TOP for the headers of the messages, pipelined, and lets take see each. A message whose TOP is refused, and
// each message of a server without TOP, is left out. octets is what LIST says of a message.
func (s *session) askHeaders(numbers iter.Seq[int], octets func(number int) int64, take func(number int, h *header)) error {
	if !s.hasTop() {
		return nil
	}
	spoken := func(yield func(int) bool) {
		for n := range numbers {
			if s.silent[n] == 0 && !yield(n) {
				return
			}
		}
	}
	var h header
	for m, err := range s.client.Top(s.soft, spoken, 0) {
		switch {
		case isReply(err):
			continue
		case err != nil:
			return s.fail(PhaseIdentify, err)
		}
		h.reset()
		n, err := io.Copy(&h, m)
		if err == nil && n == 0 && octets(m.Number) > emptyOctets {
			err = s.silence(m.Number)
		}
		if err != nil {
			return s.fail(PhaseIdentify, err)
		}
		take(m.Number, &h)
	}
	return nil
}

// silence notes that a message ended at once, so that what follows may be its own lines. Its error ends the session. A further
// one of this run does not ask TOP for it, and after the second time does not look at it by RETR either.
func (s *session) silence(number int) error {
	s.silent[number]++
	if len(s.listing) > 0 {
		s.suspects[s.listing[s.indexOf(number)].Key] = &suspicion{octets: 0} // if it is retrieved, then alone
	}
	return &suspectError{number, endedAtOnce}
}

// indexOf returns the index of a message-number that is listed.
func (s *session) indexOf(number int) int {
	i, _ := find(s.listing, number)
	return i
}

// octetsOf returns what LIST says of a message-number that is listed.
func (s *session) octetsOf(number int) int64 { return s.listing[s.indexOf(number)].Octets }
