package deliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// dated is a target whose path has the year or month of delivery in it. A path that is missing is
// made. It holds what all the paths hold that match its pattern.
type dated struct {
	pattern string
	open    func(path string) Target
	now     func() time.Time

	mu     sync.Mutex
	opened map[string]Target // by path
	fence  datedFence
}

// datedFence is what Fence was told, and which targets know it.
type datedFence struct {
	account string
	epoch   int64           // 0: nothing
	told    map[string]bool // by path
}

const (
	yearMark  = "{year}"
	monthMark = "{month}"
)

// NewDated returns a target whose path has {year} and {month} in it, by the local time at which a
// batch is begun. It calls open once with each path. What open returns must do no input or output
// before it is used.
func NewDated(pattern string, open func(path string) Target) Target {
	d := &dated{pattern: filepath.Clean(pattern), open: open, now: time.Now, opened: make(map[string]Target)}
	return d.honest()
}

// honest returns the target as what its targets are.
func (d *dated) honest() Target {
	example := d.at(d.path())
	_, isFinder := AsFinder(example)
	_, isAltering := example.(Altering)
	return honest(d, isFinder, isAltering)
}

// path returns the path for now.
func (d *dated) path() string { return PathAt(d.pattern, d.now()) }

// PathAt returns a path with the year and the month of now in the place of {year} and {month}.
func PathAt(pattern string, now time.Time) string {
	return strings.NewReplacer(yearMark, now.Format("2006"), monthMark, now.Format("01")).Replace(pattern)
}

// at returns the target at a path.
func (d *dated) at(path string) Target {
	d.mu.Lock()
	defer d.mu.Unlock()
	target := d.opened[path]
	if target == nil {
		target = d.open(path)
		d.opened[path] = target
	}
	return target
}

// current returns the target for now.
func (d *dated) current() Target { return d.at(d.path()) }

// Prepare makes the target for now if it is missing.
func (d *dated) Prepare(ctx context.Context, _ bool) error { return d.current().Prepare(ctx, true) }

// Probe probes the target for now.
func (d *dated) Probe(ctx context.Context, _ bool) error { return probe(ctx, d.current(), true) }

// Limit returns that of the target for now.
func (d *dated) Limit() Limit { return d.current().Limit() }

// Room returns that of the target for now.
func (d *dated) Room(ctx context.Context) (octets int64, err error) {
	return d.current().Room(ctx)
}

// Begin opens an empty batch of the target for now. If the month has just changed, it makes that.
func (d *dated) Begin(ctx context.Context) (Batch, error) {
	path := d.path()
	target := d.at(path)
	begin := func() (Batch, error) {
		if err := d.fenceAt(ctx, path); err != nil {
			return nil, err
		}
		return target.Begin(ctx)
	}
	b, err := begin()
	if errors.Is(err, ErrMissing) {
		if err := target.Prepare(ctx, true); err != nil {
			return nil, err
		}
		return begin()
	}
	return b, err
}

// Fence fences the target for now. An overtaken run may have begun at another path. So Find fences all.
func (d *dated) Fence(ctx context.Context, account string, epoch int64) error {
	d.mu.Lock()
	d.fence = datedFence{account, epoch, make(map[string]bool)}
	d.mu.Unlock()
	return d.fenceAt(ctx, d.path())
}

// fenceAt fences the target at a path, once.
func (d *dated) fenceAt(ctx context.Context, path string) error {
	d.mu.Lock()
	f := d.fence
	done := f.epoch == 0 || f.told[path]
	d.mu.Unlock()
	if done {
		return nil
	}
	if err := fence(ctx, f.account, f.epoch, d.at(path)); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	f.told[path] = true
	return nil
}

// Recorded tells the targets at all paths so far.
func (d *dated) Recorded(tokens ...Token) {
	d.mu.Lock()
	targets := slices.Collect(maps.Values(d.opened))
	d.mu.Unlock()
	tellRecorded(targets, tokens)
}

// Maildir returns that of the target for now.
func (d *dated) Maildir() (m *Maildir, found bool) { return MaildirOf(d.current()) }

// paths returns all paths that exist and match the pattern, in their order.
func (d *dated) paths() ([]string, error) {
	paths := []string{"/"}
	for _, component := range strings.Split(strings.Trim(d.pattern, "/"), "/") {
		var next []string
		for _, dir := range paths {
			names, err := matching(dir, component)
			if err != nil {
				return nil, err
			}
			for _, name := range names {
				next = append(next, filepath.Join(dir, name))
			}
		}
		paths = next
	}
	return paths, nil
}

// matching returns the names in a folder that match one component of the pattern.
func matching(dir, component string) ([]string, error) {
	if !strings.Contains(component, yearMark) && !strings.Contains(component, monthMark) {
		_, err := os.Stat(filepath.Join(dir, component))
		if isNoPath(err) {
			return nil, nil
		}
		return []string{component}, err
	}
	entries, err := os.ReadDir(dir)
	if isNoPath(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for earlier targets: %w", err)
	}
	text := strings.NewReplacer(regexp.QuoteMeta(yearMark), "[0-9]{4}", regexp.QuoteMeta(monthMark), "[0-9]{2}").Replace(regexp.QuoteMeta(component))
	pattern := regexp.MustCompile("^" + text + "$")
	var names []string
	for _, entry := range entries {
		if pattern.MatchString(entry.Name()) {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// finders yields the targets at all paths.
func (d *dated) finders() (map[string]Finder, []string, error) {
	paths, err := d.paths()
	if err != nil {
		return nil, nil, err
	}
	finders := make(map[string]Finder, len(paths))
	for _, path := range paths {
		finders[path] = d.at(path).(Finder) //nolint:forcetypeassert // honest has seen to that
	}
	return finders, paths, nil
}

// Find asks the targets at all paths. A path at which something else is holds nothing.
func (d *dated) Find(ctx context.Context, tokens iter.Seq[Token], since time.Time) (map[Token][]string, error) {
	finders, paths, err := d.finders()
	if err != nil {
		return nil, err
	}
	found := make(map[Token][]string)
	for _, path := range paths {
		if err := d.fenceAt(ctx, path); err != nil && !takesNothing(err) {
			return nil, err
		}
		places, err := finders[path].Find(ctx, tokens, since)
		if errors.Is(err, ErrMissing) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for token, those := range places {
			for _, place := range those {
				found[token] = append(found[token], datedPlace(path, place))
			}
		}
	}
	return found, nil
}

// takesNothing reports whether err, of a fence, says that nobody can deliver there: for example, the
// mail of an earlier year was made read-only, or has no tmp any more. There is nobody to keep out.
func takesNothing(err error) bool {
	return errors.Is(err, ErrMissing) || errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS)
}

// datedPlace is a place of a dated target: the octets of the path, a colon, the path, a colon, and
// the place there.
func datedPlace(path, place string) string { return fmt.Sprintf("%d:%s:%s", len(path), path, place) }

// split returns the target of a place, and the place there.
func (d *dated) split(place string) (finder Finder, inner string, err error) {
	digits, rest, _ := strings.Cut(place, ":")
	octets, err := strconv.Atoi(digits)
	if err != nil || octets < 0 || octets >= len(rest) {
		return nil, "", fmt.Errorf("place %q is at no target", place)
	}
	finder, _ = AsFinder(d.at(rest[:octets]))
	return finder, rest[octets+1:], nil
}

// Holds adds up the numbers of all paths.
func (d *dated) Holds(ctx context.Context) (own, others int, err error) {
	finders, paths, err := d.finders()
	if err != nil {
		return 0, 0, err
	}
	for _, path := range paths {
		ownThere, othersThere, err := finders[path].Holds(ctx)
		if errors.Is(err, ErrMissing) {
			continue
		}
		if err != nil {
			return 0, 0, err
		}
		own, others = own+ownThere, others+othersThere
	}
	return own, others, nil
}

// Places yields the messages at all paths.
func (d *dated) Places(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		finders, paths, err := d.finders()
		if err != nil {
			yield("", err)
			return
		}
		for _, path := range paths {
			for place, err := range finders[path].Places(ctx) {
				if errors.Is(err, ErrMissing) {
					break
				}
				if err != nil {
					yield("", err)
					return
				}
				if !yield(datedPlace(path, place), nil) {
					return
				}
			}
		}
	}
}

// PlaceOf asks the target of the place.
func (d *dated) PlaceOf(place string) Place {
	finder, inner, err := d.split(place)
	if err != nil {
		return Place{}
	}
	return finder.PlaceOf(inner)
}

// PlacesOf asks the target of the place.
func (d *dated) PlacesOf(place string) []Place {
	finder, inner, err := d.split(place)
	if err != nil {
		return nil
	}
	return PlacesOf(finder, inner)
}

// Open asks the target of the place.
func (d *dated) Open(ctx context.Context, place string) (io.ReadCloser, error) {
	finder, inner, err := d.split(place)
	if err != nil {
		return nil, err
	}
	return finder.Open(ctx, inner)
}

// CameAs asks the target of the place.
func (d *dated) CameAs(ctx context.Context, place string) (came Sum, known bool, err error) {
	finder, inner, err := d.split(place)
	if err != nil {
		return Sum{}, false, err
	}
	return cameAs(ctx, finder, inner)
}

// Sync asks the targets of the places.
func (d *dated) Sync(ctx context.Context, places []string) error {
	byFinder := make(map[Finder][]string)
	var finders []Finder
	for _, place := range places {
		finder, inner, err := d.split(place)
		if err != nil {
			return err
		}
		if byFinder[finder] == nil {
			finders = append(finders, finder)
		}
		byFinder[finder] = append(byFinder[finder], inner)
	}
	for _, finder := range finders {
		if err := finder.Sync(ctx, byFinder[finder]); err != nil {
			return err
		}
	}
	return nil
}

// isNoPath reports whether err says that there is nothing at a path.
func isNoPath(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)
}
