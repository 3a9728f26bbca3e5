package deliver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
)

// Member is one target of a fan.
type Member struct {
	Name   string // of the target; it stands in the places of messages
	Target Target
}

// fan delivers each message to all its members. A message is Safe only when all have it.
//
// A member that refuses a message does not keep it from the others. When the message is delivered
// again, those that have it do not get it again. The fan knows that from its notes, and after a
// crash also from the members that are Finders. A message that is delivered again is compared with
// what a member has, because a server may use a unique-id again.
//
// The Finders are committed first, and then the programs. So a crash can repeat to a program only a
// message that it had when the crash came: as soon as it has a message, that is noted.
type fan struct {
	*Fans
	members []*member // the Finders first

	mu sync.Mutex
	// By the token: the places at each member, of messages that not all members have.
	partly map[Token][][]string
}

// Fans are the fans of one account. What they note of a target goes by its name. So a message that
// comes to another fan, because the routes were changed, does not go again to a target that has it.
type Fans struct {
	notes    *Notes[fanNote]
	noting   sync.Mutex // for changes of a note
	prepared *nameList  // the members that were prepared once
}

// NewFans returns fans that have no members yet. The book belongs to them alone.
func NewFans(book Book) *Fans {
	return &Fans{notes: NewNotes[fanNote](book), prepared: &nameList{book: book, name: "members"}}
}

// member is a target of a fan.
type member struct {
	port
	name   string
	finder Finder // nil: it is none
}

// fanNote says which members have a message that has no record yet.
type fanNote struct {
	Came sumText                `json:"came"`
	Has  map[string][]notePlace `json:"has"` // by the member's name: the places there
}

// notePlace is a place that stands in a note.
type notePlace struct {
	Name string  `json:"name"`
	Sum  sumText `json:"sum"`
}

// NewFan returns a fan that is the only one with this book; see NewFans.
func NewFan(members []Member, book Book) Target { return NewFans(book).Of(members) }

// Of returns a target that delivers each message to all its members. The names of the members differ.
// A name that several fans have is that of one target.
func (s *Fans) Of(members []Member) Target {
	f := &fan{Fans: s, partly: make(map[Token][][]string)}
	isFinder, isAltering := false, false
	for _, m := range members {
		finder, ok := AsFinder(m.Target)
		_, alters := m.Target.(Altering)
		isFinder, isAltering = isFinder || ok, isAltering || alters
		f.members = append(f.members, &member{port: port{Target: m.Target}, name: m.Name, finder: finder})
	}
	slices.SortStableFunc(f.members, func(a, b *member) int {
		switch {
		case (a.finder != nil) == (b.finder != nil):
			return 0
		case a.finder != nil:
			return -1
		default:
			return 1
		}
	})
	return honest(f, isFinder, isAltering)
}

// with returns a fan with the same notes, whose targets are what wrap makes of them.
func (f *fan) with(wrap func(Target) Target) Target {
	members := make([]Member, len(f.members))
	for i, m := range f.members {
		members[i] = Member{m.name, wrap(m.Target)}
	}
	return f.Of(members)
}

// wrong returns an error of the member with its name.
func (m *member) wrong(err error) error {
	if m.name == "" { // there is no other one
		return err
	}
	return fmt.Errorf("target %s: %w", m.name, err)
}

// targets returns the targets of the members.
func (f *fan) targets() []Target {
	targets := make([]Target, len(f.members))
	for i, m := range f.members {
		targets[i] = m.Target
	}
	return targets
}

// Prepare prepares all members. If create is not set, it still makes one that was never prepared
// before: it was added later, so nothing is missing there.
func (f *fan) Prepare(ctx context.Context, create bool) error {
	return f.prepare(ctx, create, func(m *member, create bool) error {
		if err := m.Target.Prepare(ctx, create); err != nil {
			return err
		}
		return f.prepared.add(m.name)
	})
}

// Probe probes all members that can tell.
func (f *fan) Probe(ctx context.Context, create bool) error {
	return f.prepare(ctx, create, func(m *member, create bool) error {
		return probe(ctx, m.Target, create)
	})
}

func (f *fan) prepare(ctx context.Context, create bool, do func(m *member, create bool) error) error {
	for _, m := range f.members {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("preparing the targets: %w", err)
		}
		before, err := f.prepared.has(m.name)
		if err != nil {
			return err
		}
		if err := do(m, create || !before); err != nil {
			return m.wrong(err)
		}
	}
	return nil
}

// Limit returns what a batch of all members may hold. See batchLimit.
func (f *fan) Limit() Limit { return batchLimit(f.targets(), true) }

// Room returns the room of the member that has the least.
func (f *fan) Room(ctx context.Context) (octets int64, err error) {
	return leastRoom(ctx, f.targets())
}

// leastRoom returns the room of the target that has the least.
func leastRoom(ctx context.Context, targets []Target) (octets int64, err error) {
	octets = math.MaxInt64
	for _, target := range targets {
		room, err := target.Room(ctx)
		if err != nil {
			return 0, err
		}
		octets = min(octets, room)
	}
	return octets, nil
}

// Maildir returns the first member that is a Maildir, or hands on to one.
func (f *fan) Maildir() (m *Maildir, found bool) {
	for _, member := range f.members {
		if m, found := MaildirOf(member.Target); found {
			return m, true
		}
	}
	return nil, false
}

// Recorded forgets the notes of messages, and tells the members.
func (f *fan) Recorded(tokens ...Token) {
	f.notes.Forget(tokens...)
	f.mu.Lock()
	for _, token := range tokens {
		delete(f.partly, token)
	}
	f.mu.Unlock()
	tellRecorded(f.targets(), tokens)
}

// tellRecorded tells targets of messages that have their records.
func tellRecorded(targets []Target, tokens []Token) {
	for _, target := range targets {
		if recorder, ok := target.(Recorder); ok {
			recorder.Recorded(tokens...)
		}
	}
}

// possession is one way in which a member may have a message already.
type possession struct {
	came   Sum // of the message as it came
	places []Place
}

// possessions returns for each member the ways in which it may have the message already. They are
// durable. What came decides which of them is this message.
func (f *fan) possessions(ctx context.Context, token Token) ([][]possession, error) {
	note, _, err := f.notes.Get(token)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	partly := f.partly[token]
	f.mu.Unlock()
	if partly == nil && len(note.Has) == 0 {
		return nil, nil
	}
	all := make([][]possession, len(f.members))
	for i, m := range f.members {
		if places, ok := note.Has[m.name]; ok {
			all[i] = append(all[i], possession{Sum(note.Came), m.noted(places)})
		}
		if i >= len(partly) {
			continue
		}
		for _, place := range partly[i] {
			held, err := m.possession(ctx, place)
			if err != nil {
				return nil, err
			}
			if held != nil {
				all[i] = append(all[i], *held)
			}
		}
	}
	return all, nil
}

// possession reads back and syncs what the member has at a place; nil: it is gone, or nobody knows
// how it came.
func (m *member) possession(ctx context.Context, place string) (*possession, error) {
	came, known, err := cameAs(ctx, m.finder, place)
	if err == nil && known {
		err = m.finder.Sync(ctx, []string{place})
	}
	switch {
	case isGone(err), err == nil && !known:
		return nil, nil
	case err != nil:
		return nil, err
	}
	places := m.placesOf(place)
	for i := range places {
		if places[i].Sum == (Sum{}) {
			file, err := m.finder.Open(ctx, place)
			if isGone(err) {
				return nil, nil
			}
			if err != nil {
				return nil, err
			}
			places[i].Sum, err = readSum(file)
			if err := errors.Join(err, file.Close()); err != nil {
				return nil, err
			}
		}
	}
	return &possession{came, places}, nil
}

// noted returns the places of a note.
func (m *member) noted(places []notePlace) []Place {
	named := make([]Place, len(places))
	for i, p := range places {
		named[i] = Place{Target: m.name, Name: p.Name, Sum: Sum(p.Sum)}
	}
	return named
}

// named returns places with the name of the member.
func (m *member) named(places []Place) []Place {
	named := slices.Clone(places)
	for i := range named {
		named[i].Target = m.name
	}
	return named
}

// placesOf returns what a record says of a message at a place of the member.
func (m *member) placesOf(place string) []Place { return m.named(PlacesOf(m.finder, place)) }

// all is the index of all members, for note.
const all = -1

// note adds to the notes that the member has those of the messages that wanted chooses, or that
// all members have them that do.
func (f *fan) note(messages []*fanDelivery, member int, wanted func(*fanDelivery) bool) error {
	f.noting.Lock()
	defer f.noting.Unlock()
	values := make(map[Token]fanNote)
	for _, d := range messages {
		if !wanted(d) {
			continue
		}
		before, _, err := f.notes.Get(d.env.Token)
		if err != nil {
			return err
		}
		note := fanNote{Came: sumText(d.came), Has: make(map[string][]notePlace)}
		if d.is(Sum(before.Came)) {
			maps.Copy(note.Has, before.Has)
		}
		for i, m := range f.members {
			if member != all && member != i || d.verdictOf(i).Outcome != Safe {
				continue
			}
			note.Has[m.name] = []notePlace{} // it has no place if the member has dropped it
			for _, p := range d.placesOf(i) {
				note.Has[m.name] = append(note.Has[m.name], notePlace{p.Name, sumText(p.Sum)})
			}
		}
		if len(note.Has) > 0 {
			values[d.env.Token] = note
		}
	}
	if len(values) == 0 {
		return nil
	}
	return f.notes.Put(values)
}
