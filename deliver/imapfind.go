package deliver

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/popfetch/popfetch/internal/imapbox"
)

// imapAtOnce is how many messages are fetched by one command.
const imapAtOnce = 100

// look runs do with a session that looks into the mailbox. If the server has ended an idle session,
// do runs again with a new one, so do must be repeatable.
func (m *IMAP) look(ctx context.Context, do func(*imapbox.Box) error) error {
	m.begin()
	m.looking.Lock()
	defer m.looking.Unlock()
	for {
		kept := m.box != nil
		if kept && !m.box.Alive() {
			m.closeBox()
			kept = false
		}
		if !kept {
			box, err := imapbox.Open(ctx, &m.account)
			if err != nil {
				return m.failed(ctx, err)
			}
			m.box = box
		}
		err := do(m.box)
		var reply *imapbox.Reply
		if err == nil || errors.As(err, &reply) || errors.Is(err, fs.ErrNotExist) {
			m.mu.Lock()
			m.restLater()
			m.mu.Unlock()
			return m.failed(ctx, err)
		}
		m.closeBox()
		if !kept || ctx.Err() != nil {
			return m.failed(ctx, err)
		}
	}
}

// closeBox ends the session that looks. The caller holds m.looking.
func (m *IMAP) closeBox() {
	if m.box != nil {
		m.box.Close()
	}
	m.box, m.validity = nil, 0
}

// examine opens the mailbox. A missing one is none.
func (m *IMAP) examine(ctx context.Context, box *imapbox.Box) (exists bool, err error) {
	m.validity, exists, err = box.Examine(ctx)
	return exists, err
}

// Find looks in the mailbox for messages that are noted. It needs no session if there are none. Time
// does not matter.
func (m *IMAP) Find(ctx context.Context, tokens iter.Seq[Token], _ time.Time) (map[Token][]string, error) {
	m.begin()
	all, err := m.notes.All()
	if err != nil {
		return nil, err
	}
	search := &imapSearch{wanted: make(map[Token]bool)}
	for token, note := range all {
		if note.Mailbox == m.name() {
			search.notes = append(search.notes, imapNoted{token, note})
		}
	}
	for token := range tokens {
		if note, ok := all[token]; ok && note.Mailbox == m.name() {
			search.wanted[token] = true
		}
	}
	if len(search.wanted) == 0 {
		return nil, nil
	}
	err = m.look(ctx, func(box *imapbox.Box) error {
		exists, err := m.examine(ctx, box)
		if err != nil || !exists {
			return err
		}
		return search.in(ctx, box, m.validity)
	})
	return search.places, err
}

// imapNoted is a note and the token of its message.
type imapNoted struct {
	Token
	imapNote
}

// imapSearch looks for noted messages in a mailbox.
type imapSearch struct {
	notes  []imapNoted
	wanted map[Token]bool
	places map[Token][]string
}

// in looks through an open mailbox with this validity.
func (s *imapSearch) in(ctx context.Context, box *imapbox.Box, validity uint32) error {
	s.places = make(map[Token][]string)
	notes := slices.Clone(s.notes)
	notes = slices.DeleteFunc(notes, func(n imapNoted) bool {
		return n.UIDValidity != validity && n.MessageID == ""
	})
	from := uint32(1<<32 - 1)
	for i := range notes {
		if n := &notes[i]; n.UIDValidity != validity {
			n.UIDNext = 1 // identifiers have changed since
		}
		from = min(from, max(notes[i].UIDNext, 1))
	}
	if len(notes) == 0 {
		return nil
	}
	sizes, err := box.Sizes(ctx, from)
	if err != nil {
		return err
	}
	candidates := make([]uint32, 0, len(notes))
	for uid, octets := range sizes {
		if slices.ContainsFunc(notes, func(n imapNoted) bool { return n.UIDNext <= uid && n.has(octets) }) {
			candidates = append(candidates, uid)
		}
	}
	slices.Sort(candidates)
	there := make(map[string][]uint32) // by key, ascending
	for some := range slices.Chunk(candidates, imapAtOnce) {
		err := box.Fetch(ctx, some, func(uid uint32, message io.Reader) error {
			facts := newIMAPFacts()
			_, err := io.Copy(facts, message)
			_, note, _ := facts.finish()
			for _, key := range note.keys() {
				there[key] = append(there[key], uid)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	s.assign(notes, there, sizes, validity)
	return nil
}

// keys returns each key that a note of this message may have.
func (n imapNote) keys() []string {
	withID := n.key()
	n.MessageID = ""
	if without := n.key(); without != withID {
		return []string{withID, without}
	}
	return []string{withID}
}

// assign gives each copy in the mailbox to one note. Messages that nobody asks for come first,
// because they have their records, so they are there. Among the others, the earlier note comes first.
func (s *imapSearch) assign(notes []imapNoted, there map[string][]uint32, sizes map[uint32]int64, validity uint32) {
	rank := func(n imapNoted) int {
		if s.wanted[n.Token] {
			return 1
		}
		return 0
	}
	slices.SortFunc(notes, func(a, b imapNoted) int {
		return cmp.Or(rank(a)-rank(b), cmp.Compare(a.UIDNext, b.UIDNext), bytes.Compare(a.Token[:], b.Token[:]))
	})
	taken := make(map[uint32]bool)
	for _, n := range notes {
		for _, uid := range there[n.key()] {
			if taken[uid] || uid < n.UIDNext || !n.has(sizes[uid]) {
				continue
			}
			taken[uid] = true
			if s.wanted[n.Token] {
				s.places[n.Token] = []string{imapPlace(validity, uid)}
			}
			break
		}
	}
}

// Holds counts the messages in the mailbox. Nobody knows which of them came from popfetch.
func (m *IMAP) Holds(ctx context.Context) (own, others int, err error) {
	err = m.look(ctx, func(box *imapbox.Box) error {
		_, others, _, err = box.Status(ctx)
		return err
	})
	return 0, others, err
}

// Places yields the place of each message in the mailbox.
func (m *IMAP) Places(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var uids []uint32
		var validity uint32
		err := m.look(ctx, func(box *imapbox.Box) error {
			exists, err := m.examine(ctx, box)
			if err == nil && exists {
				uids, err = box.All(ctx)
			}
			validity = m.validity
			return err
		})
		for _, uid := range uids {
			if !yield(imapPlace(validity, uid), nil) {
				return
			}
		}
		if err != nil {
			yield("", err)
		}
	}
}

// PlaceOf returns the place by its name.
func (m *IMAP) PlaceOf(place string) Place { return Place{Name: place} }

// Open fetches a message. Its lines end in LF.
func (m *IMAP) Open(ctx context.Context, place string) (io.ReadCloser, error) {
	first, second, _ := strings.Cut(place, ":")
	validity, err1 := strconv.ParseUint(first, 10, 32)
	uid, err2 := strconv.ParseUint(second, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("%q is no place in a mailbox: %w", place, err)
	}
	var message *fetchedMessage
	err := m.look(ctx, func(box *imapbox.Box) (err error) {
		message = nil
		fresh := m.validity == 0
		for {
			if fresh {
				if _, err := m.examine(ctx, box); err != nil {
					return err
				}
			}
			if m.validity != uint32(validity) {
				return fmt.Errorf("the mailbox was made anew: %w", fs.ErrNotExist)
			}
			err := box.Fetch(ctx, []uint32{uint32(uid)}, func(_ uint32, from io.Reader) (err error) {
				message, err = fetchMessage(from)
				return err
			})
			switch {
			case err != nil && message != nil: // it may be cut
				return errors.Join(err, message.Close())
			case err != nil || message != nil:
				return err
			case fresh:
				return fmt.Errorf("message %s: %w", place, fs.ErrNotExist)
			}
			fresh = true // a session shows what comes later only when it opens the mailbox anew
		}
	})
	if err != nil {
		return nil, err
	}
	return message, nil
}

// fetchedMessage is a message that was fetched.
type fetchedMessage struct {
	io.Reader
	spool
}

// Close removes what was fetched.
func (f *fetchedMessage) Close() error { return f.spool.Close() }

// fetchMessage spools a message. Its lines end in LF then.
func fetchMessage(from io.Reader) (*fetchedMessage, error) {
	f := new(fetchedMessage)
	lines := newLineWriter(&f.spool)
	defer lines.release()
	_, err := io.Copy(lines, from)
	if err == nil {
		_, err = lines.finish()
	}
	if err == nil {
		f.Reader, err = f.spool.reader()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Sync does nothing: the server has confirmed the messages, or shows them.
func (m *IMAP) Sync(context.Context, []string) error { return nil }
