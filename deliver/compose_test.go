package deliver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// below returns the path of a new folder's child that is not there yet.
func below(t testing.TB, name string) string {
	t.Helper()
	return filepath.Join(t.TempDir(), name)
}

// The suite, for each target over other targets. A fan has a Maildir and an MDA.
func TestFan(t *testing.T) {
	testTarget(t, func(t *testing.T, dir string) fixture {
		maildir, mda := openMaildir(t, dir), openMDA(t, dir)
		members := []Member{{"mda", mda.Target}, {"mail", maildir.Target}}
		return fixture{
			Target: NewFan(members, NewFileBook(below(t, "fan"))),
			delivered: func(t *testing.T) []string {
				got, same := maildir.delivered(t), mda.delivered(t)
				if !slices.Equal(got, same) {
					t.Errorf("the Maildir has %s, and the MDA got %s, want the same", brief(got), brief(same))
				}
				return got
			},
			leftovers: func(t *testing.T) []string { return append(maildir.leftovers(t), mda.leftovers(t)...) },
			places:    []string{"mail", "mda"},
		}
	})
}

func TestRoute(t *testing.T) {
	testTarget(t, func(t *testing.T, dir string) fixture {
		f := openMaildir(t, dir)
		f.Target = NewRoute(Routing{
			Rules:     []Rule{{Headers: []string{"X-Nobody"}, Equals: "has this", Target: Drop{}}},
			Otherwise: f.Target,
		})
		return f
	})
}

func TestFilter(t *testing.T) {
	testTarget(t, func(t *testing.T, dir string) fixture {
		mda := openMDA(t, dir) // it makes a folder for spools
		f := openMaildir(t, dir)
		inner := f.leftovers
		f.leftovers = func(t *testing.T) []string { return append(inner(t), mda.leftovers(t)...) }
		f.spares = true
		f.Target = NewFilter(Filter{Command: "[ -s /dev/stdin ] && exec cat; exit 99", Notes: NewFileBook(below(t, "filter"))}, f.Target)
		f.drops = true
		return f
	})
}

func TestHeaders(t *testing.T) {
	testTarget(t, func(t *testing.T, dir string) fixture {
		f := openMaildir(t, dir)
		f.Target = NewHeaders(nil, f.Target)
		return f
	})
}

func TestDated(t *testing.T) {
	testTarget(t, func(_ *testing.T, dir string) fixture {
		glob := func(t *testing.T, folder string) (all []string) {
			paths, err := filepath.Glob(filepath.Join(dir, "*", "*", folder))
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range paths {
				all = append(all, files(t, path)...)
			}
			return all
		}
		return fixture{
			Target:    NewDated(filepath.Join(dir, "{year}", "of-{month}"), func(path string) Target { return NewMaildir(path) }),
			delivered: func(t *testing.T) []string { return readAll(t, glob(t, "new")) },
			leftovers: func(t *testing.T) []string { return glob(t, "tmp") },
		}
	})
}

// Only what is true of the targets below is true of a target over them.
func TestHonest(t *testing.T) {
	maildir, mda := NewMaildir("/mail"), &MDA{Command: "true"}
	open := func(target Target) func(string) Target { return func(string) Target { return target } }
	altering := NewFilter(Filter{Command: "cat"}, maildir)
	for name, c := range map[string]struct {
		target             Target
		finder, isAltering bool
	}{
		"fan of programs":          {NewFan([]Member{{"a", mda}, {"b", mda}}, nil), false, false},
		"fan with a Maildir":       {NewFan([]Member{{"a", mda}, {"b", maildir}}, nil), true, false},
		"fan with a filter":        {NewFan([]Member{{"a", altering}, {"b", maildir}}, nil), true, true},
		"route to a program":       {NewRoute(Routing{Otherwise: mda}), false, false},
		"route to nowhere":         {NewRoute(Routing{Rules: []Rule{{Recipient: "*", Target: Drop{}}}, Otherwise: mda}), false, false},
		"route to a Maildir":       {NewRoute(Routing{Rules: []Rule{{Recipient: "*", Target: maildir}}, Otherwise: mda}), true, false},
		"route to a filter":        {NewRoute(Routing{Otherwise: altering}), true, true},
		"filter before a program":  {NewFilter(Filter{Command: "cat"}, mda), false, false},
		"filter before a Maildir":  {altering, true, true},
		"headers for a program":    {NewHeaders(nil, mda), false, false},
		"headers for a Maildir":    {NewHeaders(nil, maildir), true, true},
		"headers for a fan":        {NewHeaders(nil, NewFan([]Member{{"a", mda}, {"b", maildir}}, nil)), true, true},
		"headers for programs":     {NewHeaders(nil, NewRoute(Routing{Otherwise: NewFan([]Member{{"a", mda}}, nil)})), false, false},
		"dated Maildir":            {NewDated("/{year}", open(maildir)), true, false},
		"dated program":            {NewDated("/{year}", open(mda)), false, false},
		"dated Maildir and filter": {NewDated("/{year}", open(altering)), true, true},
	} {
		_, isFinder := AsFinder(c.target)
		_, isAltering := c.target.(Altering)
		if isFinder != c.finder || isAltering != c.isAltering {
			t.Errorf("%s: a Finder %t, Altering %t, want %t and %t", name, isFinder, isAltering, c.finder, c.isAltering)
		}
		_, isRecorder := c.target.(Recorder)
		_, isProber := c.target.(Prober)
		if !isRecorder || !isProber {
			t.Errorf("%s: a Recorder %t, a Prober %t, want both", name, isRecorder, isProber)
		}
		if m, found := MaildirOf(c.target); found && m != maildir {
			t.Errorf("%s: MaildirOf() = %v, want the one below", name, m)
		}
	}
	for _, target := range []Target{maildir, altering, NewFan([]Member{{"a", mda}, {"b", altering}}, nil), NewRoute(Routing{Otherwise: maildir})} {
		if m, _ := MaildirOf(target); m != maildir {
			t.Errorf("MaildirOf(%T) = %v, want the Maildir", target, m)
		}
	}
}

// scripted is a target that does what a test wants, and keeps the messages in memory.
type scripted struct {
	limit    Limit
	missing  bool  // Prepare without create
	write    error // the result of Write
	close    error // and so on
	commit   error
	verdict  Verdict // of each message
	observed func()  // called in Commit

	mu       sync.Mutex
	messages map[Token][]string
	recorded []Token
	created  []bool // what Prepare was asked for
	commits  int
	batches  int
	envs     []Envelope
}

func newScripted() *scripted {
	return &scripted{limit: Limit{Messages: 100, Octets: math.MaxInt64, Batches: 2}, verdict: Verdict{Outcome: Safe}, messages: make(map[Token][]string)}
}

func (s *scripted) Prepare(_ context.Context, create bool) error {
	s.created = append(s.created, create)
	if s.missing && !create {
		return ErrMissing
	}
	s.missing = false
	return nil
}

func (s *scripted) Limit() Limit { return s.limit }

func (s *scripted) Room(context.Context) (int64, error) { return 1 << 30, nil }

func (s *scripted) Recorded(tokens ...Token) { s.recorded = append(s.recorded, tokens...) }

func (s *scripted) Begin(context.Context) (Batch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches++
	return &scriptedBatch{target: s}, nil
}

// got returns how often the messages of a token came.
func (s *scripted) got(n int) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.messages[token(n)]
}

type scriptedBatch struct {
	target *scripted
	closed []*scriptedDelivery
	ended  bool
}

type scriptedDelivery struct {
	batch   *scriptedBatch
	env     Envelope
	text    bytes.Buffer
	verdict Verdict
}

func (b *scriptedBatch) Create(_ context.Context, env Envelope) (Delivery, error) {
	if len(b.closed) >= b.target.limit.Messages {
		return nil, errors.New("the batch is full")
	}
	b.target.envs = append(b.target.envs, env)
	return &scriptedDelivery{batch: b, env: env}, nil
}

func (b *scriptedBatch) Commit(context.Context) error {
	if b.ended {
		return errFinished
	}
	b.ended = true
	if b.target.observed != nil {
		b.target.observed()
	}
	b.target.mu.Lock()
	defer b.target.mu.Unlock()
	b.target.commits++
	if b.target.commit != nil {
		return b.target.commit
	}
	for _, d := range b.closed {
		d.verdict = b.target.verdict
		if d.verdict.Outcome == Safe {
			b.target.messages[d.env.Token] = append(b.target.messages[d.env.Token], string(toLF(d.text.Bytes())))
		}
	}
	return nil
}

func (b *scriptedBatch) Discard() error {
	if b.ended {
		return errFinished
	}
	b.ended = true
	return nil
}

func (d *scriptedDelivery) Write(p []byte) (int, error) {
	if d.batch.target.write != nil {
		return 0, d.batch.target.write
	}
	return d.text.Write(p)
}

func (d *scriptedDelivery) Close() error {
	if d.batch.target.close != nil {
		return d.batch.target.close
	}
	d.batch.closed = append(d.batch.closed, d)
	return nil
}

func (d *scriptedDelivery) Abort() error { return nil }

func (d *scriptedDelivery) Receipt() Receipt {
	sum, _ := Measure(bytes.NewReader(d.text.Bytes()))
	return Receipt{Came: sum, Places: []Place{{Sum: sum}}}
}

func (d *scriptedDelivery) Verdict() Verdict { return d.verdict.orUnsettled() }

// refusal is a refusal of one message.
func refusal(temporary bool) *Error {
	return &Error{Target: "test", Temporary: temporary, Status: 1, Err: fmt.Errorf("no, temporary %t", temporary)}
}

// bring delivers a message, and returns its receipt and verdict. An error of Write or Close is the
// verdict too, as for a run.
func bring(t *testing.T, target Target, n int, message string) (Receipt, Verdict) {
	t.Helper()
	batch := begin(t, target)
	d, err := batch.Create(t.Context(), Envelope{Token: token(n), Account: "test", User: "alice"})
	if err == nil {
		if _, err = d.Write([]byte(message)); err != nil {
			err = errors.Join(err, d.Abort())
		} else {
			err = d.Close()
		}
	}
	commitErr := batch.Commit(t.Context())
	if err != nil {
		v, _ := refused(err)
		return Receipt{}, v
	}
	v := d.Verdict()
	if commitErr != nil && v.Err == nil {
		t.Logf("Commit() = %v", commitErr)
	}
	return d.Receipt(), v
}

// foundIn returns the places of a token.
func foundIn(t *testing.T, target Target, n int) []string {
	t.Helper()
	finder, ok := AsFinder(target)
	if !ok {
		t.Fatalf("%T is no Finder", target)
	}
	found, err := finder.Find(t.Context(), slices.Values([]Token{token(n)}), anyTime)
	if err != nil {
		t.Fatalf("Find() = %v, want no error", err)
	}
	return found[token(n)]
}

// inMaildir returns the messages in a Maildir.
func inMaildir(t *testing.T, m *Maildir) []string {
	t.Helper()
	return readAll(t, files(t, filepath.Join(m.path, "new")))
}

// openPlace returns what a finder reads at a place.
func openPlace(t *testing.T, finder Finder, place string) string {
	t.Helper()
	file, err := finder.Open(t.Context(), place)
	if err != nil {
		t.Fatalf("Open(%q) = %v, want no error", place, err)
	}
	defer file.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(file); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// collect returns what Places yields.
func collect(t *testing.T, places iter.Seq2[string, error]) (all []string) {
	t.Helper()
	for place, err := range places {
		if err != nil {
			t.Fatalf("Places() = %v, want no error", err)
		}
		all = append(all, place)
	}
	return all
}

// anyTime makes Find look everywhere.
var anyTime time.Time
