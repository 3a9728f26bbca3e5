package deliver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// composite is a target over other targets.
type composite interface {
	Target
	Prober
	Recorder
	Connected
	Fenced
	Maildir() (m *Maildir, found bool) // see MaildirOf
}

// whole is a composite with all that a target may be able to do. Its type says nothing about what
// the targets below it can do; honest does.
type whole interface {
	composite
	Altering
	severalFinder
}

// severalFinder is a Finder of which one place may stand for a message in several targets.
type severalFinder interface {
	Finder
	PlacesOf(place string) []Place // see the function PlacesOf
}

// These types show of a composite only what its targets can do, so that type assertions tell the
// truth.
type (
	plainComposite struct{ composite }
	foundComposite struct {
		composite
		severalFinder
	}
)

// honest returns w as a Finder and as Altering only if it is that.
func honest(w whole, isFinder, isAltering bool) Target {
	switch {
	case !isFinder:
		return plainComposite{w}
	case !isAltering:
		return foundComposite{w, w}
	default:
		return w
	}
}

// madeOf returns what honest was given.
func madeOf(target Target) Target {
	switch t := target.(type) {
	case plainComposite:
		return t.composite
	case foundComposite:
		return t.composite
	default:
		return target
	}
}

// MaildirOf returns the Maildir that holds the mail of a target, if the target is one, or one of
// several targets, or hands messages on to one.
func MaildirOf(target Target) (m *Maildir, found bool) {
	switch t := target.(type) {
	case *Maildir:
		return t, true
	case interface{ Maildir() (*Maildir, bool) }:
		return t.Maildir()
	default:
		return nil, false
	}
}

// PlacesOf returns what a record says of a message at a place that Find returned. There are several
// if several targets hold it. A Sum that is zero is that of the octets that Open reads.
func PlacesOf(finder Finder, place string) []Place {
	if several, ok := finder.(severalFinder); ok {
		return several.PlacesOf(place)
	}
	return []Place{finder.PlaceOf(place)}
}

// cameAs returns the Sum that a message at a place had when it came to a target.
func cameAs(ctx context.Context, finder Finder, place string) (came Sum, known bool, err error) {
	if altering, ok := finder.(Altering); ok {
		return altering.CameAs(ctx, place)
	}
	file, err := finder.Open(ctx, place)
	if err != nil {
		return Sum{}, false, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	came, err = readSum(file)
	return came, err == nil, err
}

// readSum reads octets as they were delivered, with lines that end in LF.
func readSum(r io.Reader) (sum Sum, err error) {
	hash := sha256.New()
	if sum.Octets, err = io.Copy(hash, r); err != nil {
		return Sum{}, fmt.Errorf("reading a message back: %w", err)
	}
	hash.Sum(sum.SHA256[:0])
	return sum, nil
}

// sumText is a Sum as it stands in notes: the octets, a colon and the SHA-256 in hexadecimal digits.
type sumText Sum

// MarshalText returns the text of the notes.
func (s sumText) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%d:%x", s.Octets, s.SHA256), nil
}

// UnmarshalText reads the text of the notes.
func (s *sumText) UnmarshalText(text []byte) (err error) {
	octets, digest, _ := strings.Cut(string(text), ":")
	if s.Octets, err = strconv.ParseInt(octets, 10, 64); err != nil {
		return err
	}
	if len(digest) != 2*len(s.SHA256) {
		return fmt.Errorf("%q is no SHA-256", digest)
	}
	_, err = hex.Decode(s.SHA256[:], []byte(digest))
	return err
}

// port is a target inside of a composite. It must not be copied.
type port struct {
	Target
	once  sync.Once
	slots chan struct{} // holds one element for each batch that is being committed
}

// section is what one batch of a composite holds for one of its targets. If the batch of the
// composite holds more messages than one of the target may, there are several.
type section struct {
	port    *port
	limit   Limit // of the target; zero before the first batch
	batches []*subBatch
}

// subBatch is a batch of a target inside of a batch of a composite.
type subBatch struct {
	Batch
	messages int
	octets   int64
	err      error // why it is not committed, or what Commit returned
}

// full reports whether no further message fits.
func (b *subBatch) full(limit Limit) bool {
	return b.messages >= limit.Messages || b.octets >= limit.Octets
}

// begin opens another batch if there is none with room for a message.
func (s *section) begin(ctx context.Context) (*subBatch, error) {
	if n := len(s.batches); n > 0 && !s.batches[n-1].full(s.limit) {
		return s.batches[n-1], nil
	}
	if len(s.batches) == 0 {
		s.limit = s.port.Limit()
	}
	opened, err := s.port.Begin(ctx)
	if err != nil {
		return nil, err
	}
	b := &subBatch{Batch: opened}
	s.batches = append(s.batches, b)
	return b, nil
}

// part is a message of a composite batch in one of its sections.
type part struct {
	Delivery
	in *subBatch
}

// create starts a message.
func (s *section) create(ctx context.Context, env Envelope) (*part, error) {
	b, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	d, err := b.Create(ctx, env)
	if err != nil {
		return nil, err
	}
	b.messages++
	return &part{d, b}, nil
}

// Close ends a whole message.
func (p *part) Close() error {
	err := p.Delivery.Close()
	if err != nil {
		p.in.messages--
		return err
	}
	p.in.octets += p.Receipt().Came.Octets
	return nil
}

// Abort takes the message out of its batch.
func (p *part) Abort() error {
	p.in.messages--
	return p.Delivery.Abort()
}

// Verdict returns what became of the message. If its batch was not committed, it says why.
func (p *part) Verdict() Verdict {
	v := p.Delivery.Verdict()
	if errors.Is(v.Err, errUnsettled) && p.in.err != nil {
		v.Err = p.in.err
	}
	return v
}

// commit commits the batches in their order, as many at once as the target allows, and calls
// settled after each. If the target is broken, or settled returns an error, it discards the batches
// that it has not begun with.
func (s *section) commit(ctx context.Context, settled func(*subBatch) error) error {
	s.port.once.Do(func() { s.port.slots = make(chan struct{}, max(1, s.port.Limit().Batches)) })
	var (
		running sync.WaitGroup
		mu      sync.Mutex
		failure error
	)
	commit := func(b *subBatch) {
		defer func() { <-s.port.slots }()
		b.err = b.Commit(ctx)
		err := errors.Join(b.err, settled(b))
		mu.Lock()
		failure = errors.Join(failure, err)
		mu.Unlock()
	}
	for i, b := range s.batches {
		if b.err != nil { // it was discarded
			continue
		}
		s.port.slots <- struct{}{}
		mu.Lock()
		broken := failure
		mu.Unlock()
		switch {
		case broken != nil:
			<-s.port.slots
			b.err = errors.Join(broken, b.Discard())
		case i == len(s.batches)-1:
			commit(b)
		default:
			running.Add(1)
			go func() {
				defer running.Done()
				commit(b)
			}()
		}
	}
	running.Wait()
	return failure
}

// discard removes what the section has written.
func (s *section) discard() error {
	var errs []error
	for _, b := range s.batches {
		if b.err == nil {
			errs = append(errs, b.Discard())
		}
	}
	return errors.Join(errs...)
}

// commitAll commits sections at the same time, and calls settled after each of their batches.
func commitAll(
	ctx context.Context, sections []*section, settled func(*section, *subBatch) error,
) error {
	var running sync.WaitGroup
	sections = slices.DeleteFunc(slices.Clone(sections), func(s *section) bool { return len(s.batches) == 0 })
	errs := make([]error, len(sections))
	commit := func(i int, s *section) {
		errs[i] = s.commit(ctx, func(b *subBatch) error { return settled(s, b) })
	}
	for i, s := range sections {
		if i == len(sections)-1 {
			commit(i, s)
			continue
		}
		running.Add(1)
		go func() {
			defer running.Done()
			commit(i, s)
		}()
	}
	running.Wait()
	return errors.Join(errs...)
}

// discardAll discards sections.
func discardAll(sections []*section) error {
	var errs []error
	for _, s := range sections {
		errs = append(errs, s.discard())
	}
	return errors.Join(errs...)
}

// refused returns the verdict of a message that the target has refused with err, and reports whether
// err is about this message alone.
func refused(err error) (v Verdict, ofMessage bool) {
	v = verdictOf(err)
	return v, v.Outcome != Unknown
}

// unrecorded reports whether a target may get messages twice that it took in an unrecorded batch.
// A fan has notes of them; any other target that takes one message at a time is such a target.
func unrecorded(target Target, limit Limit) bool {
	if _, isFinder := AsFinder(target); isFinder || limit.Messages > 1 {
		return false
	}
	_, isFan := madeOf(target).(*fan)
	return !isFan
}

// mixedMessages bounds a batch that goes to programs as well as to a Maildir. All messages of a
// batch get their records together, after the last program.
const mixedMessages = 64

// batchLimit is the limit of a batch that consists of batches of targets. A target that takes one
// message at a time does not bound it, since a section has several batches. But if remembers is not
// set, a crash may repeat all that a program took in such a batch; then a batch is one message.
func batchLimit(targets []Target, remembers bool) Limit {
	limit := Limit{Octets: math.MaxInt64, Batches: 1}
	most, single, risky := math.MaxInt, false, false
	for _, target := range targets {
		l := target.Limit()
		limit.Batches = max(limit.Batches, l.Batches)
		limit.Octets = min(limit.Octets, l.Octets)
		if l.Messages > 1 {
			most = min(most, l.Messages)
		} else {
			single = true
		}
		risky = risky || !remembers && unrecorded(target, l)
	}
	switch {
	case risky, most == math.MaxInt:
		limit.Messages = 1
	case single:
		limit.Messages = min(most, mixedMessages)
	default:
		limit.Messages = most
	}
	return limit
}
