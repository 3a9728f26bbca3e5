package deliver

import (
	"context"
	"io"
	"iter"
	"time"
)

// wrapped passes everything on to the one target below, except how a message is delivered.
type wrapped struct {
	inner  Target
	finder Finder // inner, or nil: it is none, and nobody calls the methods of a Finder
}

// Prepare prepares the target.
func (w wrapped) Prepare(ctx context.Context, create bool) error { return w.inner.Prepare(ctx, create) }

// Probe probes the target, if it can tell.
func (w wrapped) Probe(ctx context.Context, create bool) error { return probe(ctx, w.inner, create) }

// Limit returns that of the target.
func (w wrapped) Limit() Limit { return w.inner.Limit() }

// Room returns that of the target.
func (w wrapped) Room(ctx context.Context) (octets int64, err error) { return w.inner.Room(ctx) }

// Recorded tells the target.
func (w wrapped) Recorded(tokens ...Token) { tellRecorded([]Target{w.inner}, tokens) }

// Maildir returns that of the target.
func (w wrapped) Maildir() (m *Maildir, found bool) { return MaildirOf(w.inner) }

// Find asks the target.
func (w wrapped) Find(ctx context.Context, tokens iter.Seq[Token], since time.Time) (map[Token][]string, error) {
	return w.finder.Find(ctx, tokens, since)
}

// Holds asks the target.
func (w wrapped) Holds(ctx context.Context) (own, others int, err error) { return w.finder.Holds(ctx) }

// Places asks the target.
func (w wrapped) Places(ctx context.Context) iter.Seq2[string, error] { return w.finder.Places(ctx) }

// PlaceOf asks the target.
func (w wrapped) PlaceOf(place string) Place { return w.finder.PlaceOf(place) }

// PlacesOf asks the target.
func (w wrapped) PlacesOf(place string) []Place { return PlacesOf(w.finder, place) }

// Open reads back the message as it was delivered.
func (w wrapped) Open(ctx context.Context, place string) (io.ReadCloser, error) {
	return w.finder.Open(ctx, place)
}

// Sync asks the target.
func (w wrapped) Sync(ctx context.Context, places []string) error { return w.finder.Sync(ctx, places) }
