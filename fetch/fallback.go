package fetch

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// A unique-id that popfetch makes where the server has none (C0037) begins with a blank, which no server's ever holds (C0039).
const (
	headerMark = " header:" // of the header
	octetsMark = " octets:" // of LIST's octets alone: larger than the account's limit, so that nobody looks at the header
)

// mostMade bounds how many unique-ids are made, as the octets of a unique-id listing are bounded.
const mostMade = 1 << 20

// isMade tells whether popfetch has made the unique-id.
func isMade(uniqueID string) bool { return strings.HasPrefix(uniqueID, " ") }

// uniqueID makes a unique-id of the header.
func (h *header) uniqueID() string { return headerMark + base64.RawURLEncoding.EncodeToString(h.sum()) }

// lackOfIDs is what a refusal of UIDL means for the account: nil, if its messages are to be told apart by their headers.
func (s *session) lackOfIDs(l *pop3.Listings, messages int) error {
	var refusal *pop3.ReplyError
	errors.As(l.UIDErr, &refusal)
	switch {
	case refusal.Code == pop3.CodeSysTemp, refusal.Code == pop3.CodeInUse, refusal.Code == pop3.CodeLoginDelay:
		return fmt.Errorf("the server does not tell the unique-ids now: %w", l.UIDErr)
	case !s.account.UIDLFallback:
		return fmt.Errorf(`the server has no unique-ids, without which seen and new messages cannot be told apart (uidl = "fallback" does it by their headers): %w`, l.UIDErr)
	case l.ScanErr != nil:
		return fmt.Errorf("the server lists neither unique-ids nor sizes, so that nothing is known of its messages: %w", errors.Join(l.UIDErr, l.ScanErr))
	case messages > mostMade:
		return fmt.Errorf("the server has no unique-ids, and %d messages are too many to be told apart by their headers: %w", messages, l.UIDErr)
	}
	return nil
}

// makeIDs gives the messages of a server without UIDL unique-ids made of their headers. Where TOP does not show a header the
// whole message is retrieved for it, so that the message keeps its id when TOP comes or goes. What gets none is left out.
func (s *session) makeIDs(told *pop3.Listings, j *joining) error {
	j.sort()
	if err := s.lackOfIDs(told, len(j.listed)); err != nil {
		return s.fail(PhaseList, err)
	}
	entry := func(number int) *seen.Entry {
		i, _ := find(j.listed, number)
		return &j.listed[i]
	}
	octets := func(number int) int64 { return entry(number).Octets }
	take := func(number int, h *header) { entry(number).UniqueID = h.uniqueID() }
	all := func(yield func(int) bool) {
		for _, e := range j.listed {
			if !yield(e.Number) {
				return
			}
		}
	}
	if err := s.askHeaders(all, octets, take); err != nil {
		return err
	}
	if err := s.retrieveHeaders(j.listed, take); err != nil {
		return err
	}
	j.listed = slices.DeleteFunc(j.listed, func(e seen.Entry) bool { return e.UniqueID == "" })
	return nil
}

// retrieveHeaders is makeIDs' work on the messages that have no id yet.
func (s *session) retrieveHeaders(listed []seen.Entry, take func(int, *header)) error {
	messages := func(yield func(int, int64) bool) {
		for i := range listed {
			e := &listed[i]
			switch limit := s.account.MaxSize; {
			case e.UniqueID != "", s.silent[e.Number] > 1:
			case limit > 0 && e.Octets > limit:
				e.UniqueID = fmt.Sprint(octetsMark, e.Octets)
			case !yield(e.Number, e.Octets):
				return
			}
		}
	}
	var h header
	for m, err := range s.client.Retr(s.soft, messages) {
		switch {
		case isReply(err):
			s.cannotIdentify(m, err)
			continue
		case err != nil:
			return s.fail(PhaseList, err)
		}
		h.reset()
		octets, err := io.Copy(&h, m)
		if err == nil && octets == 0 && m.Octets > emptyOctets {
			if err = s.silence(m.Number); s.silent[m.Number] > 1 {
				s.cannotIdentify(m, err)
			}
		}
		if err != nil {
			return s.fail(PhaseList, err)
		}
		take(m.Number, &h)
	}
	return nil
}

// cannotIdentify tells of a message that cannot be set aside, for want of an id.
func (s *session) cannotIdentify(m *pop3.Message, err error) {
	s.result.Failed++
	s.event(Event{Kind: Refused, Number: m.Number, Octets: m.Octets, Err: err})
}
