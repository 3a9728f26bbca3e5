package pop3

import (
	"context"
	"iter"
)

// Listings is the answer to STAT, LIST and UIDL. Numbers are in the order of the server and may
// have gaps.
type Listings struct {
	Drop    DropListing
	DropErr error // nil, *ReplyError, or *ProtocolError if a positive reply could not be read
	Scan    []ScanListing
	ScanErr error // nil or *ReplyError
	UIDs    []UniqueIDListing
	UIDErr  error // nil or *ReplyError
	// Malformed counts the lines of LIST and UIDL that could not be read. Examples are a line
	// without a number, with the number 0, or without a usable unique-id. Empty lines do not count.
	Malformed int
}

// Listing is all that a server lists of one message.
type Listing struct {
	Number   int
	Octets   int64  // a hint, as in ScanListing; 0: unknown
	UniqueID string // "": unknown
}

// All yields what LIST and UIDL say of each message, in the order of LIST. Messages that only UIDL
// lists come last.
func (l *Listings) All() iter.Seq[Listing] {
	return func(yield func(Listing) bool) {
		ids := make(map[int]string, len(l.UIDs))
		for _, u := range l.UIDs {
			ids[u.Number] = u.UniqueID
		}
		for _, s := range l.Scan {
			id := ids[s.Number]
			delete(ids, s.Number)
			if !yield(Listing{s.Number, s.Octets, id}) {
				return
			}
		}
		for _, u := range l.UIDs {
			if id, left := ids[u.Number]; left && !yield(Listing{Number: u.Number, UniqueID: id}) {
				return
			}
		}
	}
}

// Messages yields the number and the octets of each message, for Retr, in the order of All.
func (l *Listings) Messages() iter.Seq2[int, int64] {
	return func(yield func(int, int64) bool) {
		for one := range l.All() {
			if !yield(one.Number, one.Octets) {
				return
			}
		}
	}
}

// Numbers yields the number of each message, for Top and Dele, in the order of All.
func (l *Listings) Numbers() iter.Seq[int] {
	return func(yield func(int) bool) {
		for one := range l.All() {
			if !yield(one.Number) {
				return
			}
		}
	}
}

func (l *Listings) addScan(s ScanListing) { l.Scan = append(l.Scan, s) }

func (l *Listings) addUID(u UniqueIDListing) { l.UIDs = append(l.UIDs, u) }

// unread takes a line that is no listing. An empty one says nothing, so it does not count as
// malformed.
func (l *Listings) unread(check *listingCheck, line []byte) error {
	if len(line) > 0 {
		l.Malformed++
	}
	return check.octets(max(len(line), leastUnread), line)
}

// Listings sends STAT, LIST and UIDL, in one packet if the server announces PIPELINING. If the
// server refuses one of them, the *ReplyError is in its own field, and the others go on. The same
// holds for an unreadable reply to STAT. Any other error is returned.
func (c *Client) Listings(ctx context.Context) (*Listings, error) {
	l := new(Listings)
	if err := c.listings(ctx, l, ListingLines{Scan: l.addScan, UID: l.addUID}); err != nil {
		return nil, err
	}
	return l, nil
}

// ListingLines are the functions that EachListing calls, in the order of the fields.
type ListingLines struct {
	Drop func(DropListing)     // once, if STAT was answered; the numbers may be wrong; may be nil
	Scan func(ScanListing)     // for each line of LIST
	UID  func(UniqueIDListing) // for each line of UIDL
}

// EachListing does the same as Listings, but hands over each line as it is read. The result has no
// lines. A caller that converts the lines then does not need memory for them twice.
func (c *Client) EachListing(ctx context.Context, each ListingLines) (*Listings, error) {
	l := new(Listings)
	if err := c.listings(ctx, l, each); err != nil {
		return nil, err
	}
	return l, nil
}

func (c *Client) listings(ctx context.Context, l *Listings, each ListingLines) error {
	end, err := c.begin(ctx, "STAT", stateTransaction)
	if err != nil {
		return err
	}
	defer end()
	steps := []struct {
		keyword string
		read    func() error
		refusal *error
	}{
		{"STAT", func() (err error) {
			if l.Drop, err = c.readDrop(); err == nil && each.Drop != nil {
				each.Drop(l.Drop)
			}
			return err
		}, &l.DropErr},
		{"LIST", func() error { return c.readScan(l, each.Scan) }, &l.ScanErr},
		{"UIDL", func() error { return c.readUIDs(l, each.UID) }, &l.UIDErr},
	}
	together := c.window() >= len(steps)
	if together {
		if err := c.send(command{keyword: "STAT"}, command{keyword: "LIST"}, command{keyword: "UIDL"}); err != nil {
			return err
		}
	}
	for _, step := range steps {
		if !together {
			if err := c.send(command{keyword: step.keyword}); err != nil {
				return err
			}
		}
		*step.refusal = step.read()
		if c.lost != nil {
			return *step.refusal
		}
	}
	return nil
}
