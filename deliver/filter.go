package deliver

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Filter is a command that gets each message on its standard input, and prints what is delivered
// instead. It runs as by /bin/sh -c, with the environment of an MDA. Its exit status decides:
//
//   - Status 0: what it has printed is delivered. If it has printed nothing, it has refused.
//   - Status 99: the message is dropped.
//   - Any other status is judged as that of an MDA.
type Filter struct {
	Command string        // as the shell reads it
	Timeout time.Duration // for one message; zero means five minutes
	Notes   Book          // for its notes; it belongs to this filter alone
}

const (
	// exitDrop is the status of a filter that drops the message.
	exitDrop = 99
	// mostOutput is how many octets a filter may print, besides four times those of the message.
	mostOutput = 64 << 20
	// filterMessages bounds a batch. The filter runs for all its messages before the first is
	// delivered.
	filterMessages = 64
	// mostEarlier is how many different results of one message are noted.
	mostEarlier = 16
)

// outputPatience is the patience of a filter.
const outputPatience = 10 * time.Second

// filter gives inner what a command makes of each message. The command runs only in Commit: if the
// batch is discarded, nobody was asked.
//
// Notes say what the command made of a message. So a message that inner holds is recognised by
// the octets as they came.
type filter struct {
	wrapped
	port  port // inner
	by    Filter
	notes *Notes[filterNote]
	// How long the output may go on after the end of the filter.
	patience time.Duration

	mu     sync.Mutex
	tokens map[string]Token // of the places that Find has returned
}

// filterNote says how a message came, and what the command made of it, the newest last.
type filterNote struct {
	Came sumText   `json:"came"`
	Gave []sumText `json:"gave"`
}

// NewFilter returns a target that gives inner what the command makes of each message.
func NewFilter(by Filter, inner Target) Target {
	finder, isFinder := AsFinder(inner)
	f := &filter{
		wrapped: wrapped{inner, finder}, port: port{Target: inner}, by: by,
		notes: NewNotes[filterNote](by.Notes), patience: outputPatience, tokens: make(map[string]Token),
	}
	return honest(f, isFinder, isFinder)
}

// Prepare checks the command as an MDA's, and prepares the target.
func (f *filter) Prepare(ctx context.Context, create bool) error {
	if strings.TrimSpace(f.by.Command) == "" {
		return errors.New("deliver: the filter's command is empty")
	}
	if err := probeCommand(ctx, f.name(), f.by.Command); err != nil {
		return err
	}
	return f.inner.Prepare(ctx, create)
}

// Probe looks for the command, and probes the target.
func (f *filter) Probe(ctx context.Context, create bool) error {
	if err := probeCommand(ctx, f.name(), f.by.Command); err != nil {
		return err
	}
	return probe(ctx, f.inner, create)
}

// name names the filter in errors.
func (f *filter) name() string { return "filter " + commandName(f.by.Command) }

// Limit returns that of the target, with fewer messages: all are held until the command has run.
// One filter runs at a time.
func (f *filter) Limit() Limit {
	l := batchLimit([]Target{f.inner}, false)
	return Limit{Messages: min(l.Messages, filterMessages), Octets: min(l.Octets, filterOctets), Batches: 1}
}

// filterOctets bounds a batch likewise.
const filterOctets = 4 << 20

// Room returns the room of the target, or that for the spool if it is less.
func (f *filter) Room(ctx context.Context) (octets int64, err error) {
	octets, err = f.inner.Room(ctx)
	return min(octets, spoolRoom()), err
}

// spoolRoom returns the room for a spool, at least that in memory. If it is not known, each message
// shows whether it fits.
func spoolRoom() int64 {
	octets, err := roomIn(os.TempDir())
	if err != nil {
		return math.MaxInt64
	}
	return max(octets, spareOctets)
}

// Recorded forgets the notes of messages, and tells the target.
func (f *filter) Recorded(tokens ...Token) {
	f.notes.Forget(tokens...)
	f.wrapped.Recorded(tokens...)
}

// Find asks the target, and remembers which message is at which place.
func (f *filter) Find(ctx context.Context, tokens iter.Seq[Token], since time.Time) (map[Token][]string, error) {
	found, err := f.finder.Find(ctx, tokens, since)
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.tokens)
	for token, places := range found {
		for _, place := range places {
			f.tokens[place] = token
		}
	}
	return found, err
}

// CameAs returns what the notes say, if the message at the place is what the command has made.
func (f *filter) CameAs(ctx context.Context, place string) (came Sum, known bool, err error) {
	f.mu.Lock()
	token := f.tokens[place]
	f.mu.Unlock()
	note, found, err := f.notes.Get(token)
	if err != nil || !found {
		return Sum{}, false, err
	}
	gave, known, err := cameAs(ctx, f.finder, place)
	if err != nil || !known || !slices.Contains(note.Gave, sumText(gave)) {
		return Sum{}, false, err
	}
	return Sum(note.Came), true, nil
}

// earlier returns what the command made of the same message before; nil: nothing.
func (f *filter) earlier(token Token, came Sum) (*[]Sum, error) {
	note, found, err := f.notes.Get(token)
	if err != nil || !found || Sum(note.Came) != came {
		return nil, err
	}
	sums := make([]Sum, len(note.Gave))
	for i, s := range note.Gave {
		sums[i] = Sum(s)
	}
	return &sums, nil
}

// filterNoteOf returns the note of a message of which the command has now made gave.
func filterNoteOf(came, gave Sum, earlier *[]Sum) filterNote {
	n := filterNote{Came: sumText(came)}
	if earlier != nil {
		for _, s := range *earlier {
			if s != gave {
				n.Gave = append(n.Gave, sumText(s))
			}
		}
	}
	n.Gave = append(n.Gave, sumText(gave))
	return filterNote{n.Came, n.Gave[max(0, len(n.Gave)-mostEarlier):]}
}

// Begin opens an empty batch.
func (f *filter) Begin(ctx context.Context) (Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("beginning a batch: %w", err)
	}
	b := &filterBatch{filter: f, section: section{port: &f.port}}
	if _, err := b.section.begin(ctx); err != nil {
		return nil, err
	}
	return b, nil
}
