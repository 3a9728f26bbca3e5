package pop3

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
)

const (
	maxListingLine = 8192     // octets of a line, its end included
	maxListing     = 64 << 20 // octets of unique-ids and of unreadable lines
	leastUnread    = 64       // octets that an unreadable line counts at least: it limits empty ones
)

// DropListing is the answer to STAT: the number of messages in the maildrop, and the number of
// octets.
type DropListing struct {
	Messages int
	Octets   int64
}

// ScanListing is a line of LIST. Octets is a hint, because servers count in different ways. It is 0
// if it could not be read.
type ScanListing struct {
	Number int
	Octets int64
}

// UniqueIDListing is a line of UIDL. UniqueID is opaque. It has 1 to 1024 octets, of any kind but
// space, tab, CR, LF and NUL.
type UniqueIDListing struct {
	Number   int
	UniqueID string
}

// Stat sends STAT. A refusal is a *ReplyError. A positive reply without two numbers is a
// *ProtocolError, but the session stays usable. The reason is that the numbers of old servers
// overflow here, and that they are only a hint (C0017).
func (c *Client) Stat(ctx context.Context) (DropListing, error) {
	end, err := c.begin(ctx, "STAT", stateTransaction)
	if err != nil {
		return DropListing{}, err
	}
	defer end()
	if err := c.send(command{keyword: "STAT"}); err != nil {
		return DropListing{}, err
	}
	return c.readDrop()
}

// List sends LIST without a message-number. It leaves out lines that cannot be read. A refusal is a
// *ReplyError. A repeated message-number is a *ProtocolError (C0011).
func (c *Client) List(ctx context.Context) ([]ScanListing, error) {
	var l Listings
	err := c.list(ctx, "LIST", func() error { return c.readScan(&l, l.addScan) })
	if err != nil {
		return nil, err
	}
	return l.Scan, nil
}

// UIDL sends UIDL without a message-number. It leaves out lines that cannot be read. A refusal is a
// *ReplyError. A repeated message-number is a *ProtocolError (C0011). The caller must deal with
// repeated unique-ids.
func (c *Client) UIDL(ctx context.Context) ([]UniqueIDListing, error) {
	var l Listings
	err := c.list(ctx, "UIDL", func() error { return c.readUIDs(&l, l.addUID) })
	if err != nil {
		return nil, err
	}
	return l.UIDs, nil
}

func (c *Client) list(ctx context.Context, keyword string, read func() error) error {
	end, err := c.begin(ctx, keyword, stateTransaction)
	if err != nil {
		return err
	}
	defer end()
	if err := c.send(command{keyword: keyword}); err != nil {
		return err
	}
	return read()
}

// readDrop reads the reply to STAT.
func (c *Client) readDrop() (DropListing, error) {
	r, err := c.readStatus("STAT")
	if err != nil {
		return DropListing{}, err
	}
	c.answered()
	drop, ok := parseDropListing(r.text)
	if !ok {
		return DropListing{}, protocolError("STAT", r.text, "the number of messages and of octets")
	}
	return drop, nil
}

// readScan reads the reply to LIST.
func (c *Client) readScan(l *Listings, each func(ScanListing)) error {
	if _, err := c.readListStatus("LIST"); err != nil {
		return err
	}
	check := listingCheck{keyword: "LIST"}
	return c.readLines("LIST", func(line []byte) error {
		listing, ok := parseScanListing(line)
		if !ok {
			return l.unread(&check, line)
		}
		if err := check.number(listing.Number, line); err != nil {
			return err
		}
		each(listing)
		return nil
	})
}

// readUIDs reads the reply to UIDL.
func (c *Client) readUIDs(l *Listings, each func(UniqueIDListing)) error {
	if _, err := c.readListStatus("UIDL"); err != nil {
		return err
	}
	check := listingCheck{keyword: "UIDL"}
	var ids idStore
	return c.readLines("UIDL", func(line []byte) error {
		number, id, ok := parseUniqueIDListing(line)
		if !ok {
			return l.unread(&check, line)
		}
		if err := cmp.Or(check.number(number, line), check.octets(len(id), line)); err != nil {
			return err
		}
		each(UniqueIDListing{Number: number, UniqueID: ids.keep(id)})
		return nil
	})
}

// readListStatus reads the status line of a listing. Some servers send an empty line before it.
func (c *Client) readListStatus(keyword string) (reply, error) {
	c.blankDue = true
	return c.readStatusOfLines(keyword)
}

// listingPace is how many octets of a listing must come within each ReplyTimeout. Without it, a
// listing that comes octet by octet would hardly end (behaviour 14).
const listingPace = 256

// readLines calls each for the lines of a multi-line reply, up to the terminating line. The lines
// have no line ends and no stuffed dots. A line that only begins with a dot does not end the reply
// (V0002). Any error leaves the session out of step.
func (c *Client) readLines(keyword string, each func(line []byte) error) error {
	for octets := listingPace; ; {
		if octets >= listingPace {
			c.link.wait = wait{what: "progress in the listing (" + strconv.Itoa(listingPace) + " octets)", limit: c.opts.ReplyTimeout}
			octets = 0
		}
		line, err := c.readLine(keyword, maxListingLine)
		if err != nil {
			return err
		}
		octets += len(line) + len("\n")
		if len(line) > 0 && line[0] == '.' {
			line = line[1:]
			if len(line) == 0 {
				c.answered()
				return nil
			}
		}
		if err := each(line); err != nil {
			return c.lose(err)
		}
	}
}

// listingCheck checks the limits of a listing as a whole.
type listingCheck struct {
	keyword string
	total   int
	listed  []uint64 // a bit for each message-number
}

// octets adds n octets of line to the total, and returns an error beyond maxListing.
func (k *listingCheck) octets(n int, line []byte) error {
	if k.total += n; k.total > maxListing {
		return protocolError(k.keyword, line, fmt.Sprintf("a listing of at most %d octets", maxListing))
	}
	return nil
}

// number records that n is listed. A second line for n is an error: it is unknown which line is
// true, and a DELE could delete the wrong message (C0011).
func (k *listingCheck) number(n int, line []byte) error {
	word, bit := n/64, uint64(1)<<(n%64)
	if missing := word + 1 - len(k.listed); missing > 0 {
		k.listed = append(k.listed, make([]uint64, missing)...)
	}
	if k.listed[word]&bit != 0 {
		return protocolError(k.keyword, line, "each message-number once")
	}
	k.listed[word] |= bit
	return nil
}

// idStore keeps unique-ids in large pieces of memory. A string for each id would need twice its
// length.
type idStore struct {
	piece strings.Builder
}

const idPiece = 16 << 10 // octets; small, because one id that is kept longer keeps its whole piece

func (s *idStore) keep(id []byte) string {
	if s.piece.Cap()-s.piece.Len() < len(id) {
		s.piece.Reset()
		s.piece.Grow(idPiece)
	}
	start := s.piece.Len()
	s.piece.Write(id)
	return s.piece.String()[start:]
}
