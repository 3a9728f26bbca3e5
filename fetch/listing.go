package fetch

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/popfetch/popfetch/internal/content"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// octetsMark begins a unique-id that is made only of the octets in LIST. Such a message is larger
// than the account's limit, so nobody looks at its header. For the others see
// content.Header.UniqueID.
const octetsMark = " octets:"

// mostMade limits how many unique-ids are made, as the octets of a unique-id listing are limited.
const mostMade = 1 << 20

// isMade reports whether popfetch has made the unique-id.
func isMade(uniqueID string) bool { return strings.HasPrefix(uniqueID, " ") }

// expectedUID is what the server lists of e if it has unique-ids; an empty one is any.
func expectedUID(e *seen.Entry) pop3.UniqueIDListing {
	if isMade(e.UniqueID) {
		return pop3.UniqueIDListing{Number: e.Number}
	}
	return pop3.UniqueIDListing{Number: e.Number, UniqueID: e.UniqueID}
}

// list reads the listings, once and before any DELE, since some servers renumber after it. It
// compares them with the ledger and makes the maildrop.
func (s *session) list() error {
	j := joining{expected: max(2*s.job.ledger.Account().Records, atLeastExpected)}
	lines := pop3.ListingLines{Drop: j.drop, Scan: j.scan, UID: j.uniqueID}
	told, err := s.client.EachListing(s.job.soft, lines)
	if err != nil {
		return s.job.fail(PhaseList, err)
	}
	if told.UIDErr != nil {
		if err := s.makeIDs(told, &j); err != nil {
			return err
		}
	}
	if told.ScanErr != nil {
		s.job.warn(CodeNoSizes, "the server does not tell the sizes of messages: %w", told.ScanErr)
	}
	listing, unusable := j.entries(told)
	s.job.count(func(r *Result) { // a further session finds fewer, if messages were deleted
		r.Listed, r.Unusable = max(r.Listed, len(listing)), max(r.Unusable, unusable)
	})
	if unusable > 0 {
		s.job.warn(CodeUnusable, "%d listed without a usable number, size or unique-id, and skipped", unusable)
	}
	diff, asOf, err := s.compareListing(listing)
	if err != nil {
		return err
	}
	restored, err := s.restore(listing, &diff)
	if err == nil && len(restored.Changes.Replace) > 0 {
		if diff, asOf, err = s.compareListing(listing); err == nil {
			noteRestored(&diff, restored)
		}
	}
	if err != nil {
		return err
	}
	shown := s.drop.shown
	s.drop = newMaildrop(listing, diff, s.job.account.All)
	s.drop.shown, s.drop.asOf = shown, asOf
	s.history.intake.noteListed(listing, &s.job.account.Select)
	return nil
}

// compareListing compares the listing with the ledger. asOf is the time for which the age of
// messages is judged; see policy.Delete.AsOf. It warns if messages would be due but for that.
func (s *session) compareListing(listing []seen.Entry) (diff seen.Diff, asOf time.Time, err error) {
	rules, now := &s.job.account.Delete, s.job.now()
	asOf, until, err := s.memory.judgeAge(now)
	if err != nil {
		return diff, asOf, err
	}
	diff, err = s.diff(listing, rules.Due(now, len(listing)))
	due := len(diff.Due)
	if err != nil || due == 0 || asOf.Equal(now) {
		return diff, asOf, err
	}
	diff, err = s.diff(listing, rules.Due(asOf, len(listing)))
	if waiting := due - len(diff.Due); err == nil && waiting > 0 {
		s.job.warn(CodeDeletionsWait, "%d messages are old enough to be deleted, but no run took place for as long "+
			"as messages are to stay on the server, or the clock has jumped: they are deleted by a run after %s",
			waiting, until.Local().Format("2006-01-02 15:04 MST"))
	}
	return diff, asOf, err
}

// diff is Ledger.Diff, with the imported messages that are due, and without those that stay or that
// nobody has named.
func (s *session) diff(listing []seen.Entry, due time.Time) (seen.Diff, error) {
	diff, err := s.job.ledger.Diff(s.job.soft, listing, due)
	if err != nil {
		return diff, s.job.fail(PhaseState, err)
	}
	err = s.addImported(&diff, listing, due)
	stay := len(listing) - s.job.account.Delete.Keeps()
	diff.Due = slices.DeleteFunc(diff.Due, func(i int) bool {
		return i >= stay || !s.job.account.Select.Names(listing[i].UniqueID)
	})
	return diff, err
}

// lackOfIDs returns what a refusal of UIDL means for the account: nil if its messages are to be
// told apart by their headers, else an error.
func (s *session) lackOfIDs(l *pop3.Listings, messages int) error {
	var refusal *pop3.ReplyError
	errors.As(l.UIDErr, &refusal)
	switch {
	case refusal.Code == pop3.CodeSysTemp, refusal.Code == pop3.CodeInUse, refusal.Code == pop3.CodeLoginDelay:
		return fmt.Errorf("the server does not tell the unique-ids now: %w", l.UIDErr)
	case !s.job.account.UIDLFallback:
		return s.noIDs(refusal)
	case l.ScanErr != nil:
		return fmt.Errorf("the server lists neither unique-ids nor sizes, so that nothing is known of its messages: %w",
			errors.Join(l.UIDErr, l.ScanErr))
	case messages > mostMade:
		return fmt.Errorf("the server has no unique-ids, and %d messages are too many "+
			"to be told apart by their headers: %w", messages, l.UIDErr)
	}
	return nil
}

// noIDs returns the error of an account that needs unique-ids and got none.
func (s *session) noIDs(refusal *pop3.ReplyError) error {
	had, err := s.hadIDs()
	switch {
	case err != nil:
		return err
	case had && refusal.Code != pop3.CodeSysPerm:
		return fmt.Errorf(`%w; if that lasts, uidl = "fallback" tells messages apart by their headers: %w`, ErrNoIDsNow, refusal)
	}
	return fmt.Errorf("the server has no unique-ids, without which seen and new messages cannot be told apart "+
		`(uidl = "fallback" does it by their headers): %w`, refusal)
}

// hadIDs reports whether this server has told unique-ids before. The records of another server
// count as deleted, and are older than the account is with this one.
func (s *session) hadIDs() (bool, error) {
	since := s.job.ledger.Account().Since
	for r, err := range s.job.ledger.All(s.job.soft) {
		if err != nil {
			return false, err
		}
		if !isMade(r.UniqueID) && (r.DeletedAt.IsZero() || !r.DeliveredAt.Before(since)) {
			return true, nil
		}
	}
	return false, nil
}

// makeIDs gives the messages of a server without UIDL unique-ids made of their headers. If TOP does
// not show a header, the whole message is retrieved instead. So the message keeps its id when TOP
// comes or goes. A message that gets no id is left out.
func (s *session) makeIDs(told *pop3.Listings, j *joining) error {
	j.sort()
	if err := s.lackOfIDs(told, len(j.listed)); err != nil {
		return s.job.fail(PhaseList, err)
	}
	all := func(yield func(*seen.Entry) bool) {
		for i := range j.listed {
			if !yield(&j.listed[i]) {
				return
			}
		}
	}
	s.drop.shown = true
	itself := func(e *seen.Entry) *seen.Entry { return e }
	err := askHeaders(s, all, topReader[*seen.Entry]{listed: itself, take: func(e *seen.Entry, h *content.Header) { e.UniqueID = h.UniqueID() }})
	if err != nil {
		return err
	}
	if err := s.retrieveHeaders(j.listed); err != nil {
		return err
	}
	j.listed = slices.DeleteFunc(j.listed, func(e seen.Entry) bool { return e.UniqueID == "" })
	return nil
}

// retrieveHeaders retrieves the messages that have no id yet, and makes their ids.
func (s *session) retrieveHeaders(listed []seen.Entry) error {
	var asked []*seen.Entry
	messages := func(yield func(int, int64) bool) {
		for i := range listed {
			e := &listed[i]
			switch {
			case e.UniqueID != "":
				continue
			case s.history.silent[e.Number] > 1:
				s.leaveOut(e, errNotShown)
				continue
			case s.job.account.tooLarge(e.Octets):
				e.UniqueID = fmt.Sprint(octetsMark, e.Octets)
				continue
			}
			asked = append(asked, e)
			if !yield(e.Number, e.Octets) {
				return
			}
		}
	}
	var h content.Header
	for m, err := range s.client.Retr(s.job.soft, messages) {
		if err != nil && !isReply(err) {
			if len(asked) > 0 {
				s.brokeAtLook(asked[0], err)
			}
			return s.job.fail(PhaseList, err)
		}
		e := asked[0]
		asked = asked[1:]
		if err != nil {
			s.leaveOut(e, err)
			continue
		}
		h.Reset()
		octets, err := io.Copy(&h, m)
		if err != nil {
			s.brokeAtLook(e, err)
		} else if octets == 0 && e.Octets > emptyOctets {
			err = s.silence(e)
		}
		if err != nil {
			return s.job.fail(PhaseList, err)
		}
		e.UniqueID = h.UniqueID()
	}
	return nil
}

// errNotShown says why a message has no id.
var errNotShown = errors.New(`the server shows its header neither by TOP nor by RETR, and uidl = "fallback" needs it`)

// leaveOut warns, once in a run, of a message that cannot be set aside, because it has no id. Later
// sessions leave it out again, and after deletions its number is another one.
func (s *session) leaveOut(e *seen.Entry, err error) {
	h := s.history
	if h.leftOut[e.Number] || h.breaks.turn {
		return
	}
	h.leftOut[e.Number] = true
	s.job.count(func(r *Result) { r.Failed++ })
	s.job.event(Event{Kind: Refused, Number: e.Number, Octets: e.Octets, Err: err})
}

// joining makes entries from the lines of LIST and UIDL while they are read, those of LIST first.
// If both listings were kept until their ends, those of a large maildrop would take more memory
// than the entries.
type joining struct {
	listed   []seen.Entry // a line of LIST each, without a unique-id until that is read
	unsorted bool         // listed is not in ascending order
	next     int          // where the next line of UIDL belongs if UIDL is ordered, too
	strange  []seen.Entry // lines of UIDL without a line of LIST
	expected int          // room for more entries is made only when they arrive
}

// atLeastExpected is how many entries STAT is believed about, if the account is not known to have
// more.
const atLeastExpected = 1 << 16

// drop makes room for as many entries as STAT announces. A growing slice would be copied, and
// scanned by the garbage collector, again and again.
func (j *joining) drop(d pop3.DropListing) {
	j.listed = make([]seen.Entry, 0, min(d.Messages, j.expected))
}

func (j *joining) scan(l pop3.ScanListing) {
	if n := len(j.listed); n > 0 && l.Number < j.listed[n-1].Number {
		j.unsorted = true
	}
	if len(j.listed) == cap(j.listed) {
		// append by itself would copy a large slice four times as often.
		j.listed = slices.Grow(j.listed, max(len(j.listed), 64))
	}
	j.listed = append(j.listed, seen.Entry{Number: l.Number, Octets: l.Octets})
}

// sort sorts the lines of LIST, all of which have been read.
func (j *joining) sort() {
	if j.unsorted {
		sortByNumber(j.listed)
		j.unsorted = false
	}
}

func (j *joining) uniqueID(l pop3.UniqueIDListing) {
	j.sort()
	i, found := j.next, j.next < len(j.listed) && j.listed[j.next].Number == l.Number
	if !found {
		i, found = find(j.listed, l.Number)
	}
	if !found {
		j.strange = append(j.strange, seen.Entry{Number: l.Number, Key: seen.Key{UniqueID: l.UniqueID}})
		return
	}
	j.listed[i].UniqueID = l.UniqueID
	j.next = i + 1
}

// entries returns the messages that have a unique-id and, if LIST was answered, a scan listing, in
// ascending order; it counts the others.
func (j *joining) entries(told *pop3.Listings) (entries []seen.Entry, unusable int) {
	if told.ScanErr != nil {
		sortByNumber(j.strange)
		return j.strange, told.Malformed
	}
	j.sort() // UIDL may have had no line
	all := len(j.listed)
	entries = slices.DeleteFunc(j.listed, func(e seen.Entry) bool { return e.UniqueID == "" })
	// A malformed line of one listing leaves its partner in the other alone: one message, not two.
	return entries, max(told.Malformed, all-len(entries)+len(j.strange))
}

func sortByNumber(entries []seen.Entry) {
	slices.SortFunc(entries, func(a, b seen.Entry) int { return a.Number - b.Number })
}
