package poptest

import (
	"slices"
	"sync"
)

// Maildrop describes the maildrop of one user when a [Server] starts.
type Maildrop struct {
	User, Password string
	Messages       []Message
	// Exclusive makes the server refuse a login with [IN-USE] while another session has the
	// maildrop.
	Exclusive bool
}

// Drop is a maildrop of a running [Server]. Its methods may be called at any time. An open session
// keeps the messages that it found at its login.
type Drop struct {
	user, password string
	exclusive      bool

	mu       sync.Mutex
	messages []*Message // sessions share these messages, so they never change
	sessions int
	deleted  []string
}

func newDrop(m Maildrop) *Drop {
	d := &Drop{user: m.User, password: m.Password, exclusive: m.Exclusive}
	d.Add(m.Messages...)
	return d
}

// Add appends messages to the maildrop.
func (d *Drop) Add(messages ...Message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	added := slices.Clone(messages)
	for i := range added {
		d.messages = append(d.messages, &added[i])
	}
}

// Remove removes the messages with these unique-ids, as another client would.
func (d *Drop) Remove(uniqueIDs ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.messages = slices.DeleteFunc(slices.Clone(d.messages), func(m *Message) bool {
		return slices.Contains(uniqueIDs, m.UniqueID)
	})
}

// SetUIDs gives each message a new unique-id, which f returns. i counts from 0. If a session is
// open at that time, its deletions have no effect.
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

// Messages returns the messages in the maildrop.
func (d *Drop) Messages() []Message {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]Message, len(d.messages))
	for i, m := range d.messages {
		all[i] = *m
	}
	return all
}

// UniqueIDs returns the unique-ids of the messages in the maildrop.
func (d *Drop) UniqueIDs() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []string
	for _, m := range d.messages {
		all = append(all, m.UniqueID)
	}
	return all
}

// open begins a session and returns its messages. ok is false if the maildrop is in use.
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

// remove removes these messages at QUIT. It does not remove other messages with the same
// unique-ids.
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
