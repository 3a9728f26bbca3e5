package poptest

import (
	"slices"
	"sync"
)

// Maildrop is what a [Server] begins with for one user.
type Maildrop struct {
	User, Password string
	Messages       []Message
	// Exclusive makes the server refuse a second login with [IN-USE] while a session has the maildrop.
	Exclusive bool
}

// Drop is a maildrop of a running [Server]. Its methods may be called at any time; a session keeps the messages that were
// there at its login.
type Drop struct {
	user, password string
	exclusive      bool

	mu       sync.Mutex
	messages []*Message // what they point to never changes: sessions share it
	sessions int
	deleted  []string
}

func newDrop(m Maildrop) *Drop {
	d := &Drop{user: m.User, password: m.Password, exclusive: m.Exclusive}
	d.Add(m.Messages...)
	return d
}

// Add puts messages behind those that are there.
func (d *Drop) Add(messages ...Message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	added := slices.Clone(messages)
	for i := range added {
		d.messages = append(d.messages, &added[i])
	}
}

// Remove takes the messages with these unique-ids away, as another client would.
func (d *Drop) Remove(uniqueIDs ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.messages = slices.DeleteFunc(slices.Clone(d.messages), func(m *Message) bool {
		return slices.Contains(uniqueIDs, m.UniqueID)
	})
}

// SetUIDs gives each message the unique-id that f returns; i counts from 0. What a session that is open then deletes is no
// longer there for it.
func (d *Drop) SetUIDs(f func(i int, old string) string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	changed := make([]*Message, len(d.messages))
	for i, m := range d.messages {
		c := *m
		c.UniqueID = f(i, m.UniqueID)
		changed[i] = &c
	}
	d.messages = changed
}

// Messages returns what is in the maildrop.
func (d *Drop) Messages() []Message {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]Message, len(d.messages))
	for i, m := range d.messages {
		all[i] = *m
	}
	return all
}

// UniqueIDs returns the unique-ids of what is in the maildrop.
func (d *Drop) UniqueIDs() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []string
	for _, m := range d.messages {
		all = append(all, m.UniqueID)
	}
	return all
}

// open begins a session and returns what it will see; ok is false if the maildrop is in use.
func (d *Drop) open() (messages []*Message, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.exclusive && d.sessions > 0 {
		return nil, false
	}
	d.sessions++
	return slices.Clone(d.messages), true
}

// close ends a session that open began.
func (d *Drop) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sessions--
}

// remove does what QUIT does: it takes these very messages away, not others that have their unique-ids.
func (d *Drop) remove(messages map[*Message]bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var kept []*Message
	for _, m := range d.messages {
		if messages[m] {
			d.deleted = append(d.deleted, m.UniqueID)
		} else {
			kept = append(kept, m)
		}
	}
	d.messages = kept
}
