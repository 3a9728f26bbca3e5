package fetch

import (
	"context"
	"errors"
	"io"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch/custody"
	"github.com/popfetch/popfetch/internal/content"
	"github.com/popfetch/popfetch/seen"
)

// Held is a listed message that a target holds, by its header.
type Held struct {
	seen.Entry
	Digest seen.Digest
	Place  seen.Place
}

// findHeld looks for messages among all that finder holds, from whatever program it came. A message
// is held if a place with its token has its header. It is also held if its header has a Message-ID,
// and only it and one other message, or equal copies of that, have the same Message-ID, Date, From,
// To and Subject. A file that cannot be read holds nothing.
func (s *session) findHeld(messages iter.Seq[item], finder deliver.Finder) ([]Held, error) {
	listed := make(map[seen.Digest]item)
	several := make(map[seen.Digest]bool) // more than one message of the maildrop has it, or it has no Message-ID
	var shown []int32
	err := s.headers(messages, func(it item, h *content.Header) {
		id, _ := h.Value("message-id")
		several[h.Digest()] = id == "" || listed[h.Digest()].Entry != nil
		listed[h.Digest()] = it
		it.drop.digests[it.index] = h.Digest()
		shown = append(shown, it.index)
	})
	if err != nil {
		return nil, err
	}
	held, err := s.findTokens(shown, finder, several)
	if err != nil {
		return nil, err
	}
	for i := range held {
		several[held[i].Digest] = true
	}
	for r, err := range s.job.ledger.All(s.job.soft) { // the files of these are theirs
		if err != nil {
			return nil, s.job.fail(PhaseState, err)
		}
		several[r.Digest] = true
	}
	places := make(map[seen.Digest]string)
	buffer := make([]byte, copySize)
	for place, err := range finder.Places(s.job.soft) {
		if err != nil {
			return nil, s.job.fail(PhaseTarget, err)
		}
		digest := headerOf(s.job.soft, finder, place, buffer)
		if listed[digest].Entry == nil || several[digest] {
			continue
		}
		if before := places[digest]; before != "" {
			several[digest] = !equalFiles(s.job.soft, finder, before, place)
		}
		places[digest] = place
	}
	for digest, place := range places {
		if !several[digest] {
			held = append(held, heldAt(listed[digest], finder, place))
		}
	}
	slices.SortFunc(held, func(a, b Held) int { return a.Number - b.Number })
	return held, nil
}

// heldAt makes the Held of a message whose digest is known.
func heldAt(it item, finder deliver.Finder, place string) Held {
	known := finder.PlaceOf(place)
	return Held{*it.Entry, it.digest(), seen.Place{Target: known.Target, Name: known.Name}}
}

// findTokens looks for messages whose digests are known by their tokens. A token of another spelling
// of the server proves less, so the header must be that of one message.
func (s *session) findTokens(indexes []int32, finder deliver.Finder, several map[seen.Digest]bool) (held []Held, err error) {
	servers, err := s.spellings()
	if err != nil {
		return nil, err
	}
	buffer := make([]byte, copySize)
	for part := range slices.Chunk(indexes, max(1, lookedForAtOnce/len(servers))) {
		places, err := finder.Find(s.job.soft, s.tokens(part, servers), time.Time{})
		if err != nil {
			return nil, s.job.fail(PhaseTarget, err)
		}
		for it := range s.drop.items(part) {
			for n, server := range servers {
				if n > 0 && several[it.digest()] {
					break
				}
				at := places[s.job.tokenAt(server, it.Entry)]
				i := slices.IndexFunc(at, func(place string) bool {
					return headerOf(s.job.soft, finder, place, buffer) == it.digest()
				})
				if i >= 0 {
					held = append(held, heldAt(it, finder, at[i]))
					break
				}
			}
		}
	}
	return held, nil
}

// headerOf returns the digest of the header of a message that finder holds; zero: it cannot be read.
func headerOf(ctx context.Context, finder deliver.Finder, place string, buffer []byte) seen.Digest {
	file, err := finder.Open(ctx, place)
	if err != nil {
		return seen.Digest{}
	}
	defer file.Close() //nolint:errcheck // it was only read
	var h content.Header
	for !h.Whole() {
		n, err := file.Read(buffer)
		_, _ = h.Write(buffer[:n])
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return seen.Digest{}
		}
	}
	return h.Digest()
}

// equalFiles reports whether a finder holds the same octets at both places.
func equalFiles(ctx context.Context, finder deliver.Finder, a, b string) bool {
	sumA, errA := measureAt(ctx, finder, a)
	sumB, errB := measureAt(ctx, finder, b)
	return errA == nil && errB == nil && sumA == sumB
}

func measureAt(ctx context.Context, finder deliver.Finder, place string) (deliver.Sum, error) {
	file, err := finder.Open(ctx, place)
	if err != nil {
		return deliver.Sum{}, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	return deliver.Measure(file)
}

// restore gives Sanitized records the unique-ids that the listing shows (see seen.Restore), and
// returns what it has found. Until a run is finished, it looks at all these records, and notes the
// sizes of the others. Later only a new message, which was hidden so far, may have one.
func (s *session) restore(listing []seen.Entry, diff *seen.Diff) (restored seen.Restored, err error) {
	known := s.job.ledger.Account()
	if known.Records == 0 || len(diff.New) == 0 && known.Finished {
		return restored, nil
	}
	var sanitized []seen.Record
	sizeless := false
	add := func(r seen.Record) {
		switch {
		case r.Copy > 0:
		case r.Kind == seen.Sanitized:
			sanitized = append(sanitized, r)
		case r.Kind == seen.Imported && r.Listed == 0:
			sizeless = true
		}
	}
	if known.Finished {
		err = s.sanitizedOf(listing, diff.New, add)
	} else {
		if err = s.eachImported(seen.AnyTime, add); err == nil && sizeless {
			err = s.noteSizes(listing)
		}
	}
	if err != nil {
		return restored, err
	}
	restored = seen.Restore(listing, sanitized, !known.Finished)
	if len(restored.Changes.Replace) == 0 {
		return restored, nil
	}
	return restored, s.job.record(restored.Changes)
}

// noteSizes gives imported records the octets that the listing shows. Other programs keep none, and
// without them a message that gets the unique-id of another one would count as seen.
func (s *session) noteSizes(listing []seen.Entry) error {
	copies := make(map[string]bool) // nobody knows which one the other program has fetched
	for i := range listing {
		if listing[i].Copy > 0 {
			copies[listing[i].UniqueID] = true
		}
	}
	for part := range slices.Chunk(listing, sizesAtOnce) {
		octets := make(map[string]int64, len(part))
		for i := range part {
			if !copies[part[i].UniqueID] && part[i].Octets > 0 {
				octets[part[i].UniqueID] = part[i].Octets
			}
		}
		records, err := s.job.ledger.Records(s.job.soft, slices.Sorted(maps.Keys(octets)))
		if err != nil {
			return s.job.fail(PhaseState, err)
		}
		records = slices.DeleteFunc(records, func(r seen.Record) bool {
			return r.Kind != seen.Imported || r.Listed > 0 || !r.DeletedAt.IsZero() || r.Copy > 0
		})
		if len(records) == 0 {
			continue
		}
		for i := range records {
			records[i].Listed = octets[records[i].UniqueID]
		}
		if err := s.job.record(seen.Changes{Records: slices.Values(records)}); err != nil {
			return err
		}
	}
	return nil
}

// sizesAtOnce is how many entries of a listing noteSizes looks up and commits together.
const sizesAtOnce = 4 * chunk

// sanitizedOf calls do with the records that new messages may have under sanitized unique-ids.
func (s *session) sanitizedOf(listing []seen.Entry, fresh []int, do func(seen.Record)) error {
	forms := make(map[string]bool)
	for _, i := range fresh {
		if form := seen.Sanitize(listing[i].UniqueID); form != listing[i].UniqueID {
			forms[form] = true
		}
	}
	for part := range slices.Chunk(slices.Sorted(maps.Keys(forms)), chunk) {
		records, err := s.job.ledger.Records(s.job.soft, part)
		if err != nil {
			return s.job.fail(PhaseState, err)
		}
		for _, r := range records {
			do(r)
		}
	}
	return nil
}

func (s *session) eachImported(until time.Time, do func(seen.Record)) error {
	for r, err := range s.job.ledger.Imported(s.job.soft, until) {
		if err != nil {
			return s.job.fail(PhaseState, err)
		}
		do(r)
	}
	return nil
}

// noteRestored brings a Diff up to date where the ledger of a look has written nothing.
func noteRestored(diff *seen.Diff, restored seen.Restored) {
	before := len(diff.New)
	diff.New = slices.DeleteFunc(diff.New, func(i int) bool {
		_, known := slices.BinarySearch(restored.Known, i)
		return known
	})
	diff.New = slices.Compact(slices.Sorted(slices.Values(slices.Concat(diff.New, restored.Unknown))))
	diff.Seen += before - len(diff.New)
}

// addImported adds the imported messages that are due to a Diff, if the account deletes such
// messages. It leaves out those in doubt, and those whose unique-id is listed twice.
func (s *session) addImported(diff *seen.Diff, listing []seen.Entry, due time.Time) error {
	if !s.job.account.Delete.Imported || due.IsZero() {
		return nil
	}
	ids := make(map[string]bool)
	err := s.eachImported(due, func(r seen.Record) {
		if r.Kind == seen.Imported && r.Copy == 0 {
			ids[r.UniqueID] = true
		}
	})
	if err != nil || len(ids) == 0 {
		return err
	}
	for _, i := range slices.Concat(diff.New, diff.Check, diff.Likely) {
		delete(ids, listing[i].UniqueID)
	}
	var found []int
	for i := range listing {
		if ids[listing[i].UniqueID] {
			found = append(found, i)
		}
	}
	diff.AddDue(listing, found...)
	return nil
}

// watch looks at what the target holds now, for the rule Removed. What is there is measured against
// the last run, and not against an earlier session of this one.
func (s *session) watch() error {
	if s.memory.watch == nil {
		w, ok := custody.New(s.job.account.Target, s.memory.standing.Kept)
		if !ok {
			s.job.warn(CodeRemoved, "only a Maildir shows what was removed from it: "+
				"the rule removed deletes nothing here")
			return nil
		}
		s.memory.watch = w
	}
	s.removal = s.memory.watch
	s.removal.Look(s.job.soft, s.job.now())
	return s.keepWatch()
}

// forgetWatch is called while the rule Removed is not in force. What is delivered meanwhile is not
// deleted by it later.
func (s *session) forgetWatch() error {
	if s.memory.purpose != fetching {
		return nil
	}
	return s.memory.change(func(st *seen.Standing) { st.Kept = "" })
}

// keepWatch keeps what a run has found out about the target.
func (s *session) keepWatch() error {
	if s.memory.purpose != fetching {
		return nil
	}
	return s.memory.change(func(st *seen.Standing) { st.Kept = s.removal.Kept() })
}

// isRemoved reports whether a person has removed the message of a record. It warns if that is
// doubtful, once in a run.
func (s *session) isRemoved(r *seen.Record) bool {
	if s.removal == nil {
		return false
	}
	removed, doubt := s.removal.IsRemoved(s.job.soft, r)
	if doubt != nil {
		s.removal = nil // whatever else seems to be removed is in doubt, too
		s.job.warn(CodeRemoved, "messages seem to be removed from the Maildir, and are not deleted on the server: %w", doubt)
	}
	return removed
}
