package fetch

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/seen"
)

// lookedForAtOnce is how many messages the target is asked for at once. Each time it reads the names of all its files, and what
// it finds is held until it is recorded.
const lookedForAtOnce = 8192

// found is a message that the target holds though the store has no record of it.
type found struct {
	number int
	at     string // where Target.Find found it
	seen.Record
}

// judgeFound looks for files of the messages that have no record: a crash, a lost seen.db or another state folder leaves
// messages at the target that this store knows nothing of. What is found is recorded part by part, since it may be a whole maildrop.
func (s *session) judgeFound(verdicts map[int]*verdict) error {
	wanted := make([]int, 0, len(s.diff.New))
	for _, i := range s.diff.New {
		if verdicts[i] == nil {
			wanted = append(wanted, i)
		}
	}
	for i, v := range verdicts {
		if !v.seen {
			wanted = append(wanted, i)
		}
	}
	for _, m := range s.diff.Aside {
		if m.Reason != seen.Wanted && m.Reason != seen.Quarantined {
			wanted = append(wanted, m.Index)
		}
	}
	for part := range slices.Chunk(wanted, lookedForAtOnce) {
		tokens := func(yield func(deliver.Token) bool) {
			for _, i := range part {
				if !yield(s.token(s.listing[i])) {
					return
				}
			}
		}
		places, err := s.account.Target.Find(s.soft, tokens, s.known.Records == 0)
		if errors.Is(err, deliver.ErrMissing) && !s.known.Delivered {
			return nil // a look at an account whose target a run would make
		}
		if err != nil {
			return s.fail(PhaseTarget, err)
		}
		if len(places) == 0 {
			continue
		}
		held := slices.DeleteFunc(part, func(i int) bool { return len(places[s.token(s.listing[i])]) == 0 })
		s.found = s.found || len(held) > 0
		for indexes := range slices.Chunk(held, chunk) {
			if err := s.judgeHeld(indexes, places, verdicts); err != nil {
				return err
			}
		}
	}
	return nil
}

// judgeHeld compares the messages at indexes with the files that bear their tokens, and records those that they are of. Only the
// header digest makes a file the listed message.
func (s *session) judgeHeld(indexes []int, places map[deliver.Token][]string, verdicts map[int]*verdict) error {
	numbers := make([]int, len(indexes))
	for n, i := range indexes {
		numbers[n] = s.listing[i].Number
	}
	if err := s.askDigests(numbers); err != nil {
		return err
	}
	var held []found
	buffer := make([]byte, copySize)
	for _, i := range indexes {
		e := s.listing[i]
		v := verdict{}
		if before := verdicts[i]; before != nil {
			v.known = before.known
		}
		var match *found
		for _, place := range places[s.token(e)] {
			f, err := s.readBack(place, buffer)
			if errors.Is(err, fs.ErrNotExist) {
				continue // somebody has taken it out since
			}
			if err != nil {
				return s.fail(PhaseTarget, err)
			}
			switch digest := s.digests[e.Number]; {
			case digest == seen.Digest{}, digest == f.Digest && len(v.known) > 0:
				// No TOP, or a copy whose header is that of another one (C0041): the octets will tell.
				v.known = append(v.known, &twin{sha256: f.Came.SHA256, octets: f.Came.Octets, place: placeOf(f.Record)})
			case digest == f.Digest:
				f.number, f.Key, f.Listed = e.Number, e.Key, e.Octets
				match = &f
			}
		}
		if match == nil {
			verdicts[i] = &v
			continue
		}
		held = append(held, *match)
		verdicts[i] = isHeld
		if _, copied := s.copies[e.UniqueID]; !copied {
			delete(s.digests, e.Number) // nobody asks for it any more
		}
	}
	if s.looking {
		return nil
	}
	return s.recognise(held)
}

// readBack reads a message that the target holds, through buffer, and tells what a record of it would say.
func (s *session) readBack(place string, buffer []byte) (found, error) {
	file, err := s.account.Target.Open(s.soft, place)
	if err != nil {
		return found{}, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	var h header
	hash := sha256.New()
	octets, err := io.CopyBuffer(io.MultiWriter(&h, hash), struct{ io.Reader }{file}, buffer) // a file would bring a buffer of its own
	if err != nil {
		return found{}, fmt.Errorf("reading %s back: %w", place, err)
	}
	name, _, _ := strings.Cut(path.Base(place), ":")
	f := found{at: place, Record: seen.Record{Kind: seen.Delivered, Came: seen.Sum{Octets: octets}, Digest: h.digest()}}
	hash.Sum(f.Came.SHA256[:0])
	f.Places = []seen.Place{{Name: name, Sum: f.Came}}
	return f, nil
}

// recognise makes sure of the messages that the target was found to hold, and records them.
func (s *session) recognise(held []found) error {
	if len(held) == 0 {
		return nil
	}
	places := make([]string, len(held))
	records := make([]seen.Record, len(held))
	for n, f := range held {
		places[n] = f.at
		records[n] = f.Record
		records[n].DeliveredAt = s.runner.now()
	}
	if err := s.account.Target.Sync(s.soft, places); err != nil {
		return s.fail(PhaseTarget, err)
	}
	if err := s.record(records); err != nil {
		return err
	}
	for _, f := range held {
		s.result.Recognised++
		s.retrieved[f.number] = true
		s.event(Event{Kind: Recognised, Number: f.number, UniqueID: f.UniqueID, Octets: f.Came.Octets})
	}
	return nil
}
