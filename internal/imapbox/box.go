package imapbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// Box is a session that looks into the mailbox. It is not safe for concurrent use. After an error
// that is no Reply it must be closed.
type Box struct {
	account *Account
	client  *imapclient.Client
	wire    *wire
	caps    imap.CapSet
}

// Mark says where the next message of a mailbox will be. Zero: not known.
type Mark struct{ UIDValidity, UIDNext uint32 }

// Open logs in.
func Open(ctx context.Context, a *Account) (*Box, error) { return a.open(ctx) }

// Close ends the session.
func (b *Box) Close() { _ = b.client.Close() } // the connection is of no use any more

// Alive reports whether the server has not ended the session, as far as is known.
func (b *Box) Alive() bool {
	select {
	case <-b.client.Closed():
		return false
	default:
		return true
	}
}

// run runs one command of the library under the limits of an operation.
func (b *Box) run(ctx context.Context, octets int64, do func() error) error {
	end := b.wire.begin(ctx, octets)
	defer end()
	err := replyOf(do(), "")
	var reply *Reply
	if err == nil || errors.As(err, &reply) {
		return err
	}
	return broken(ctx, err)
}

// Status returns where the next message will be, and how many there are. exists tells whether there
// is such a mailbox.
func (b *Box) Status(ctx context.Context) (mark Mark, messages int, exists bool, err error) {
	err = b.run(ctx, mostSaid, func() error {
		data, err := b.client.Status(b.account.Mailbox, &imap.StatusOptions{NumMessages: true, UIDNext: true, UIDValidity: true}).Wait()
		if err != nil {
			return err
		}
		mark = Mark{data.UIDValidity, uint32(data.UIDNext)}
		if data.NumMessages != nil {
			messages = int(*data.NumMessages)
		}
		return nil
	})
	if err == nil {
		return mark, messages, true, nil
	}
	return mark, 0, false, b.unlessMissing(ctx, err)
}

// unlessMissing returns nil if there is no such mailbox, which a refusal alone does not prove.
func (b *Box) unlessMissing(ctx context.Context, refusal error) error {
	var reply *Reply
	if !errors.As(refusal, &reply) {
		return refusal
	}
	missing := false
	err := b.run(ctx, mostSaid, func() error {
		all, err := b.client.List("", b.account.Mailbox, nil).Collect()
		missing = err == nil && !contains(all)
		return err
	})
	switch {
	case err != nil:
		return err
	case missing:
		return nil
	case reply.passes():
		return fmt.Errorf("%w: %w", ErrUnreachable, refusal)
	}
	return fmt.Errorf("%w: %w", ErrMailbox, refusal)
}

// contains reports whether a listing has a mailbox that messages may be in.
func contains(all []*imap.ListData) bool {
	for _, data := range all {
		isNone := false
		for _, attribute := range data.Attrs {
			isNone = isNone || strings.EqualFold(string(attribute), string(imap.MailboxAttrNonExistent))
		}
		if !isNone {
			return true
		}
	}
	return false
}

// Create makes the mailbox, and subscribes to it so that mail programs show it.
func (b *Box) Create(ctx context.Context) error {
	err := b.run(ctx, mostSaid, func() error { return b.client.Create(b.account.Mailbox, nil).Wait() })
	var reply *Reply
	switch {
	case errors.As(err, &reply) && reply.Code == alreadyExists:
		return nil
	case reply != nil && reply.passes():
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	case reply != nil:
		return fmt.Errorf("%w: it is missing and cannot be made: %w", ErrMailbox, err)
	case err != nil:
		return err
	}
	err = b.run(ctx, mostSaid, func() error { return b.client.Subscribe(b.account.Mailbox).Wait() })
	if errors.As(err, &reply) {
		return nil // a mail program can do that too
	}
	return err
}

const alreadyExists = "ALREADYEXISTS"

// Examine opens the mailbox for the methods below, without changing anything in it.
func (b *Box) Examine(ctx context.Context) (uidValidity uint32, exists bool, err error) {
	err = b.run(ctx, mostSaid, func() error {
		data, err := b.client.Select(b.account.Mailbox, &imap.SelectOptions{ReadOnly: true}).Wait()
		if err == nil {
			uidValidity = data.UIDValidity
		}
		return err
	})
	if err == nil {
		return uidValidity, true, nil
	}
	return 0, false, b.unlessMissing(ctx, err)
}

// Sizes returns the sizes of the messages whose unique identifier is at least from.
func (b *Box) Sizes(ctx context.Context, from uint32) (octets map[uint32]int64, err error) {
	octets = make(map[uint32]int64)
	since := imap.UIDSet{{Start: imap.UID(max(from, 1)), Stop: 0}}
	err = b.run(ctx, mostSaid, func() error {
		fetch := b.client.Fetch(since, &imap.FetchOptions{UID: true, RFC822Size: true})
		for message := fetch.Next(); message != nil; message = fetch.Next() {
			data, err := message.Collect()
			if err != nil {
				break // Close returns the cause
			}
			// The last message is always named, too, even if its identifier is smaller.
			if uint32(data.UID) >= from {
				octets[uint32(data.UID)] = data.RFC822Size
			}
		}
		return fetch.Close()
	})
	return octets, err
}

// All returns the unique identifiers of all messages.
func (b *Box) All(ctx context.Context) (uids []uint32, err error) {
	err = b.run(ctx, mostSaid, func() error {
		data, err := b.client.UIDSearch(&imap.SearchCriteria{}, nil).Wait()
		if err == nil {
			for _, uid := range data.AllUIDs() {
				uids = append(uids, uint32(uid))
			}
		}
		return err
	})
	return uids, err
}

// Fetch gives each of the messages to read, which reads it to its end. It does not mark them as
// seen. A message that is not there any more is left out. After an error, the last message may have
// been cut. An error of read ends the session.
func (b *Box) Fetch(ctx context.Context, uids []uint32, read func(uid uint32, message io.Reader) error) error {
	var set imap.UIDSet
	for _, uid := range uids {
		set.AddNum(imap.UID(uid))
	}
	var failed error
	err := b.run(ctx, math.MaxInt64, func() error {
		fetch := b.client.Fetch(set, &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}}})
		for message := fetch.Next(); message != nil; message = fetch.Next() {
			if failed = readMessage(message, read); failed != nil {
				b.Close() // fetch would read the rest, beside the client's own reading
				return failed
			}
		}
		return fetch.Close()
	})
	return cmp.Or(failed, err)
}

// countingReader counts the octets that are read. The client tells the end of a literal that was cut
// like that of a whole one.
type countingReader struct {
	from   io.Reader
	octets int64
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	r.octets += int64(n)
	return n, err
}

// readMessage gives a message to read.
func readMessage(message *imapclient.FetchMessageData, read func(uid uint32, message io.Reader) error) error {
	var uid imap.UID
	for item := message.Next(); item != nil; item = message.Next() {
		switch data := item.(type) {
		case imapclient.FetchItemDataUID:
			uid = data.UID
		case imapclient.FetchItemDataBodySection:
			if data.Literal == nil { // NIL: it is not there any more
				continue
			}
			counted := &countingReader{from: data.Literal}
			if err := read(uint32(uid), counted); err != nil {
				return err
			}
			if counted.octets < data.Literal.Size() {
				return fmt.Errorf("a message was cut: %w: %w", ErrUnreachable, io.ErrUnexpectedEOF)
			}
		}
	}
	return nil
}
