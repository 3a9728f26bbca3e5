package pop3

import (
	"context"
	"strconv"
)

// ListNumber sends LIST for one message. The reply has one line (C0019). A refusal is a
// *ReplyError.
func (c *Client) ListNumber(ctx context.Context, n int) (ScanListing, error) {
	end, err := c.beginNumber(ctx, "LIST", n)
	if err != nil {
		return ScanListing{}, err
	}
	defer end()
	text, err := c.roundTrip(command{keyword: "LIST", args: strconv.Itoa(n)})
	if err != nil {
		return ScanListing{}, err
	}
	listing, ok := parseScanListing(text)
	if !ok || listing.Number != n {
		return ScanListing{}, c.lose(protocolError("LIST", text, "a scan listing of message "+strconv.Itoa(n)))
	}
	return listing, nil
}

// UIDLNumber sends UIDL for one message. The reply has one line (C0036). Some servers leave out the
// number, or list the whole maildrop. To tell what such a reply is, UIDLNumber also sends NOOP. A
// refusal is a *ReplyError.
func (c *Client) UIDLNumber(ctx context.Context, n int) (UniqueIDListing, error) {
	return c.uniqueIDOf(ctx, UniqueIDListing{Number: n})
}

// HasUID sends UIDL for one message, and reports whether the server lists it by this unique-id, or
// by any if l.UniqueID is empty. The reply may be one that UIDLNumber understands. A refusal is a
// *ReplyError.
func (c *Client) HasUID(ctx context.Context, l UniqueIDListing) (bool, error) {
	got, err := c.uniqueIDOf(ctx, l)
	return err == nil && (l.UniqueID == "" || got.UniqueID == l.UniqueID), err
}

func (c *Client) beginNumber(ctx context.Context, keyword string, n int) (end func(), err error) {
	if end, err = c.begin(ctx, keyword, stateTransaction); err != nil {
		return nil, err
	}
	if err := checkNumber(keyword, n); err != nil {
		end()
		return nil, err
	}
	return end, nil
}

// uniqueIDOf asks for the unique-id of message want.Number. A text such as "1 messages" may be that
// of a listing or begin a whole one. So a reply with another unique-id than want.UniqueID is
// believed only if nothing follows it; an empty one is any.
func (c *Client) uniqueIDOf(ctx context.Context, want UniqueIDListing) (UniqueIDListing, error) {
	end, err := c.beginNumber(ctx, "UIDL", want.Number)
	if err != nil {
		return UniqueIDListing{}, err
	}
	defer end()
	if err := c.send(command{keyword: "UIDL", args: strconv.Itoa(want.Number)}); err != nil {
		return UniqueIDListing{}, err
	}
	r, err := c.readStatus("UIDL")
	if err != nil {
		return UniqueIDListing{}, err
	}
	got, complete := readUniqueID(r.text, want.Number)
	switch {
	case complete && want.UniqueID == "", got.UniqueID != "" && got.UniqueID == want.UniqueID:
		c.answered()
		return got, nil
	}
	nothing := protocolError("UIDL", r.text, "a unique-id listing of message "+strconv.Itoa(want.Number))
	listed, whole, err := c.listedBehind(want.Number)
	switch {
	case err != nil:
		return UniqueIDListing{}, err
	case whole:
		got = listed
	}
	if got.UniqueID == "" {
		return UniqueIDListing{}, c.lose(nothing)
	}
	return got, nil
}

// readUniqueID reads the text of a reply to UIDL for message n: its listing, or its unique-id alone.
// A text that is neither gives no unique-id. complete says that it is a listing.
func readUniqueID(text []byte, n int) (l UniqueIDListing, complete bool) {
	number, id, ok := parseUniqueIDListing(text)
	if ok {
		if number != n {
			return UniqueIDListing{}, false
		}
		return UniqueIDListing{n, string(id)}, true
	}
	id, rest := cutField(text)
	if len(rest) > 0 || !isUniqueID(id) {
		return UniqueIDListing{}, false
	}
	return UniqueIDListing{n, string(id)}, false
}

// listedBehind finds out whether a whole listing follows the positive status line of UIDL, and
// returns what it lists of message n. The reply to NOOP shows it: no line of a listing begins as a
// reply does.
func (c *Client) listedBehind(n int) (l UniqueIDListing, whole bool, err error) {
	if err := c.send(command{keyword: "NOOP"}); err != nil {
		return l, false, err
	}
	c.awaitReply()
	next, err := c.peek("UIDL")
	if err != nil {
		return l, false, err
	}
	if whole = next != '+' && next != '-'; !whole {
		c.answered()
	} else if l, err = c.readLineOf(n); err != nil || l.UniqueID == "" {
		return l, whole, err
	}
	c.awaitReply()
	if _, err = c.readReply("NOOP"); err != nil {
		return l, whole, err
	}
	c.answered()
	return l, whole, nil
}

// readLineOf reads the lines of UIDL, and returns the one of message n.
func (c *Client) readLineOf(n int) (l UniqueIDListing, err error) {
	check := listingCheck{keyword: "UIDL"}
	err = c.readLines("UIDL", func(line []byte) error {
		if number, id, ok := parseUniqueIDListing(line); ok && number == n {
			l = UniqueIDListing{n, string(id)}
		}
		return check.octets(max(len(line), leastUnread), line)
	})
	return l, err
}

// peek returns the next octet and leaves it where it is.
func (c *Client) peek(keyword string) (byte, error) {
	if len(c.reader.buffered()) == 0 {
		if err := c.reader.fill(); err != nil {
			return 0, c.lose(keywordError(keyword, cut(err, 0)))
		}
	}
	return c.reader.buffered()[0], nil
}
