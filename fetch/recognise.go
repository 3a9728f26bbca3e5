package fetch

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/internal/content"
	"github.com/popfetch/popfetch/internal/hosts"
	"github.com/popfetch/popfetch/internal/likeness"
	"github.com/popfetch/popfetch/seen"
)

const (
	// lookedForAtOnce is how many tokens the target is asked for at once. Each time it reads the
	// names of all its files, and the results are held until they are recorded.
	lookedForAtOnce = 128 << 10
	copySize        = 64 << 10
	// mostSpellings is how many spellings of a server are looked for.
	mostSpellings = 100
)

// recogniseFound looks for files of the messages that have no record. A crash, a lost seen.db or
// another state folder may leave messages at the target that the ledger does not know. The results
// are recorded part by part, since they may be a whole maildrop.
func (s *session) recogniseFound() error {
	if s.job.finder == nil {
		return nil
	}
	known := s.job.ledger.Account()
	wanted := make([]int32, 0, len(s.drop.diff.New))
	for it := range s.drop.all() {
		if it.fate() == isNew && !(it.is(isAside) && (it.reason() == seen.Wanted || it.reason() == seen.Quarantined)) {
			wanted = append(wanted, it.index)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	servers, err := s.spellings()
	if err != nil {
		return err
	}
	for part := range slices.Chunk(wanted, max(1, lookedForAtOnce/len(servers))) {
		places, err := s.job.finder.Find(s.job.soft, s.tokens(part, servers), known.UnrecordedSince(s.job.now()))
		if errors.Is(err, deliver.ErrMissing) && !known.Delivered {
			// This is a look, and a run would create the target of the account.
			return nil
		}
		if err != nil {
			return s.job.fail(PhaseTarget, err)
		}
		if len(places) == 0 {
			continue
		}
		found := func(i int32) (own, elsewhere []string) {
			e := &s.drop.listing[i]
			for _, server := range servers[1:] {
				elsewhere = append(elsewhere, places[s.job.tokenAt(server, e)]...)
			}
			return places[s.job.token(e)], elsewhere
		}
		held := slices.DeleteFunc(part, func(i int32) bool {
			own, elsewhere := found(i)
			return len(own)+len(elsewhere) == 0
		})
		s.drop.found = s.drop.found || len(held) > 0
		for some := range slices.Chunk(held, chunk) {
			if err := s.judgeFound(slices.Collect(s.drop.items(some)), found); err != nil {
				return err
			}
		}
	}
	return nil
}

// spellings returns the server of the account, and then other ways to write it. Under these,
// popfetch may have delivered the same messages for this user: as another account, without a
// configuration file, or before the port was changed. They are the servers of this user in the
// store, and, because another store may have been used, the usual names and ports of this server.
func (s *session) spellings() ([]string, error) {
	a := s.job.account
	known, err := s.job.ledger.Servers(s.job.soft, a.User)
	if err != nil {
		return nil, s.job.fail(PhaseState, err)
	}
	servers := []string{a.Server}
	for _, server := range append(known, hosts.Spellings(a.Server, s.client.RemoteAddr())...) {
		if !slices.Contains(servers, server) && len(servers) < mostSpellings {
			servers = append(servers, server)
		}
	}
	return servers, nil
}

func (s *session) tokens(indexes []int32, servers []string) iter.Seq[deliver.Token] {
	return func(yield func(deliver.Token) bool) {
		for _, i := range indexes {
			for _, server := range servers {
				if !yield(s.job.tokenAt(server, &s.drop.listing[i])) {
					return
				}
			}
		}
	}
}

// foundFile is a message that the target holds although the ledger has no record of it.
type foundFile struct {
	item item
	at   string // where Finder.Find found it
	// The header has a Message-ID. Without one, different messages may have equal digests.
	named bool
	// The target has changed the message. So only its octets as it came identify it.
	altered bool
	seen.Record
}

// judgeFound compares messages with the files that have their tokens. A file is the listed message
// only if their header digests are equal; then it is recorded. found returns the files that have the
// token of this server, and those that have one of another spelling. That may also be another
// server, so there a message without a Message-ID is identified by its octets.
func (s *session) judgeFound(items []item, found func(index int32) (own, elsewhere []string)) error {
	if err := s.askDigests(items, nil); err != nil {
		return err
	}
	var held []foundFile
	buffer := make([]byte, copySize)
	for _, it := range items {
		var match *foundFile
		own, elsewhere := found(it.index)
		for n, place := range slices.Concat(own, elsewhere) {
			f, err := s.readBack(place, buffer)
			if errors.Is(err, fs.ErrNotExist) {
				continue // somebody has taken it out since
			}
			if err != nil {
				return s.job.fail(PhaseTarget, err)
			}
			switch {
			case f.altered && f.Came == (seen.Sum{}): // nobody knows how it came
			case f.altered, !it.identified(), it.digest() == f.Digest && (len(it.twins()) > 0 || n >= len(own) && !f.named):
				// No TOP, or the header may be that of another message (C0041), or a filter has
				// changed it: only the octets identify it.
				t := new(twins)
				t.add(f.Came, &twin{kind: seen.Delivered, places: f.Places, file: f.at})
				it.mayBe(t)
			case it.digest() == f.Digest:
				f.item, f.Key, f.Listed = it, it.Key, it.Octets
				match = &f
			}
		}
		if match != nil {
			held = append(held, *match)
		}
	}
	return s.recognise(held)
}

// readBack reads a message that the target holds, through buffer, and returns what a record of it
// would hold.
func (s *session) readBack(place string, buffer []byte) (foundFile, error) {
	file, err := s.job.finder.Open(s.job.soft, place)
	if err != nil {
		return foundFile{}, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	var h content.Header
	hash := sha256.New()
	// A plain file would use a buffer of its own.
	octets, err := io.CopyBuffer(io.MultiWriter(&h, hash), struct{ io.Reader }{file}, buffer)
	if err != nil {
		return foundFile{}, fmt.Errorf("reading %s back: %w", place, err)
	}
	there := seen.Sum{Octets: octets}
	hash.Sum(there.SHA256[:0])
	id, _ := h.Value("message-id")
	f := foundFile{at: place, named: id != "", Record: seen.Record{
		Kind: seen.Delivered, Digest: h.Digest(), Came: there,
	}}
	for _, p := range deliver.PlacesOf(s.job.finder, place) {
		f.Places = append(f.Places, seen.Place{Target: p.Target, Name: p.Name, Sum: cmp.Or(seen.Sum(p.Sum), there)})
	}
	altering, ok := s.job.finder.(deliver.Altering)
	if !ok {
		return f, nil
	}
	came, isKnown, err := altering.CameAs(s.job.soft, place)
	if err != nil {
		return foundFile{}, fmt.Errorf("reading %s back: %w", place, err)
	}
	f.altered, f.Came = true, seen.Sum{}
	if isKnown {
		f.Came = seen.Sum(came)
	}
	return f, nil
}

// recognise syncs the messages that the target was found to hold, and records them.
func (s *session) recognise(held []foundFile) error {
	if len(held) == 0 {
		return nil
	}
	if err := s.job.checkClock(); err != nil {
		return err
	}
	places := make([]string, len(held))
	records := make([]seen.Record, len(held))
	for n, f := range held {
		places[n] = f.at
		records[n] = f.Record
		records[n].DeliveredAt = s.job.deliveredAt()
	}
	if err := s.job.finder.Sync(s.job.soft, places); err != nil {
		return s.job.fail(PhaseTarget, err)
	}
	if err := s.job.record(seen.Changes{Records: slices.Values(records)}); err != nil {
		return err
	}
	if s.memory.purpose == searching {
		s.found = append(s.found, records...)
	}
	s.job.count(func(r *Result) { r.Recognised += len(held) })
	for _, f := range held {
		if s.memory.purpose == fetching { // a look has recorded nothing
			s.job.tellRecorded(f.item)
		}
		f.item.decide(isRecorded)
		s.job.event(Event{
			Kind: Recognised, Number: f.item.Number, UniqueID: f.UniqueID, Octets: f.Came.Octets,
		})
	}
	return nil
}

// recogniseRenamed checks whether all unique-ids have changed, and recognises the known messages
// under the new ones. Their records move all at once. If a run breaks off before, the next one
// starts again, and nothing is half done.
func (s *session) recogniseRenamed() error {
	d, policy := s.drop, s.job.account.NewUIDs
	if len(d.diff.New) == 0 || len(d.diff.New) < len(d.listing) || d.knowsDates() ||
		s.job.ledger.Account().Records == 0 || policy == NewUIDsFetch {
		return nil
	}
	remaining, left, err := s.remaining()
	if err != nil {
		return err
	}
	if policy == NewUIDsStop && left {
		err := fmt.Errorf(`%w, none of those of the last run; set new_uids = "match" to recognise `+
			`its messages by their headers, or "fetch" to retrieve all of them`, ErrNewUIDs)
		if s.memory.purpose != fetching {
			s.job.warn(CodeNewUIDsStop, "%w", err)
			return nil
		}
		return s.job.fail(PhaseIdentify, err)
	}
	if policy == NewUIDsStop || !remaining {
		return nil
	}
	l, err := s.findLikeness(left)
	if err != nil || l.Len() == 0 {
		return err
	}
	// One extra reply would have shifted the headers from one message to the next.
	if err := s.checkStep(&d.listing[len(d.listing)-1]); err != nil && !isReply(err) {
		if isOutOfStep(err) {
			s.memory.blame(err)
			err = fmt.Errorf("%w: %w", &suspectError{len(d.listing), "the replies to TOP are out of step"}, err)
		}
		return s.job.fail(PhaseIdentify, err)
	}
	if err := s.job.record(seen.Changes{Moves: l.Each}); err != nil {
		return err
	}
	for index := range l.Indexes {
		d.item(index).decide(isSeen)
		d.item(index).set(isMoved)
	}
	s.job.warn(CodeNewUIDs, "the maildrop shows only new unique-ids; "+
		"%d of its %d messages are known, and not retrieved again", l.Len(), len(d.listing))
	return nil
}

// remaining reports whether there are records of messages that may still be listed, and whether the
// last finished run left any.
func (s *session) remaining() (any, left bool, err error) {
	for r, err := range s.job.ledger.Remaining(s.job.soft) {
		if err != nil {
			return false, false, s.job.fail(PhaseState, err)
		}
		any = true
		if left = r.AbsentAt.IsZero(); left {
			break
		}
	}
	return any, left, nil
}

// findLikeness asks the server for what a Likeness needs: the headers, and the whole messages if the
// headers leave a doubt. If the last run left none of the recorded messages, headers prove nothing,
// because all listed messages may be new.
func (s *session) findLikeness(left bool) (*likeness.Likeness, error) {
	d := s.drop
	l := likeness.New(d.listing)
	l.OctetsAlone = !left
	if !s.hasTop() {
		s.job.warn(CodeNewUIDsRetrieved, "the maildrop shows only new unique-ids, and its server has no TOP: "+
			"its messages are retrieved to be compared with what was delivered")
	}
	err := s.headers(d.all(), func(it item, h *content.Header) {
		id, _ := h.Value("message-id")
		l.Show(it.index, h.Digest(), id != "")
	})
	if err != nil {
		return nil, err
	}
	if err := s.eachRemaining(l.Count); err != nil {
		return nil, err
	}
	doubts := func(yield func(item) bool) {
		for i := range l.Doubts() {
			if !yield(d.item(i)) {
				return
			}
		}
	}
	err = s.measure(doubts, func(it item, sum seen.Sum) { l.Measure(it.index, sum.SHA256) })
	if err != nil {
		return nil, err
	}
	return l, s.eachRemaining(l.Assign)
}

func (s *session) eachRemaining(do func(seen.Record)) error {
	for r, err := range s.job.ledger.Remaining(s.job.soft) {
		if err != nil {
			return s.job.fail(PhaseState, err)
		}
		do(r)
	}
	return nil
}
