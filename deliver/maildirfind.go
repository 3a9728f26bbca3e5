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
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/popfetch/popfetch/internal/durable"
)

// namesAtOnce is how many names are read from a folder before the context is checked again.
const namesAtOnce = 4096

// clockSlack is how much the clocks of this machine and of the Maildir's disk may differ.
const clockSlack = time.Hour

// Find reads the names in new and cur, and those in the Maildir++ folders (".Name") that changed
// since. A folder changes when a file comes into its new or cur, or leaves it. A file counts only
// if its size is the one in its name. A missing Maildir is ErrMissing.
//
// go-maildir's Walk cannot be used here: it does not read new, and for a name without ":2," it
// returns an error.
func (m *Maildir) Find(ctx context.Context, tokens iter.Seq[Token], since time.Time) (map[Token][]string, error) {
	wanted := sync.OnceValue(func() map[Token]bool { // not called for a Maildir without messages of popfetch
		all := make(map[Token]bool)
		for token := range tokens {
			all[token] = true
		}
		return all
	})
	places := make(map[Token][]string)
	find := func(folder string) error { return m.findIn(ctx, folder, wanted, places) }
	// The folders come last. If a message is filed meanwhile, its folder has changed by then.
	err := find(".")
	if err == nil {
		err = m.eachFolder(since, find)
	}
	if err != nil {
		return nil, fmt.Errorf("finding messages: %w", m.missing(err))
	}
	return places, nil
}

// Holds counts the names in new and cur. A missing Maildir is ErrMissing.
func (m *Maildir) Holds(ctx context.Context) (own, others int, err error) {
	for _, part := range []string{"new", "cur"} {
		err := m.walkPart(ctx, part, func(_, name string) {
			switch _, ok := parseName(name); {
			case ok:
				own++
			case !strings.HasPrefix(name, "."): // such names are no messages
				others++
			}
		})
		if err != nil {
			return 0, 0, fmt.Errorf("counting messages: %w", m.missing(err))
		}
	}
	return own, others, nil
}

// Places reads the names in new and cur, and those in the Maildir++ folders. A missing Maildir is
// ErrMissing.
func (m *Maildir) Places(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		enough := false
		each := func(folder string) error {
			places := make(map[string]bool) // the names may be read several times
			err := m.walk(ctx, folder, func(place, name string) {
				if !strings.HasPrefix(name, ".") { // such names are no messages
					places[place] = true
				}
			})
			for place := range places {
				if enough || err != nil {
					return err
				}
				info, failed := os.Lstat(filepath.Join(m.path, place))
				enough = failed == nil && info.Mode().IsRegular() && !yield(place, nil)
			}
			return err
		}
		err := each(".")
		if err == nil {
			err = m.eachFolder(time.Time{}, each)
		}
		if err != nil && !enough {
			yield("", fmt.Errorf("reading the names of messages: %w", m.missing(err)))
		}
	}
}

func (m *Maildir) findIn(ctx context.Context, folder string, wanted func() map[Token]bool, found map[Token][]string) error {
	visited := make(map[string]bool)
	err := m.walk(ctx, folder, func(place, name string) {
		if parsed, ok := parseName(name); ok && wanted()[parsed.token] {
			visited[place] = true
		}
	})
	if err != nil {
		return err
	}
	places, err := m.whereabouts(ctx, slices.Sorted(maps.Keys(visited)))
	if err != nil {
		return err
	}
	// A file that was visited under two names has one place now.
	slices.Sort(places)
	for _, place := range slices.Compact(places) {
		info, err := os.Lstat(filepath.Join(m.path, place))
		if place == "" || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		parsed, _ := parseName(filepath.Base(place))
		if info.Mode().IsRegular() && info.Size() == parsed.octets {
			found[parsed.token] = append(found[parsed.token], place)
		}
	}
	return nil
}

// eachFolder calls do with each Maildir++ folder that changed since. The zero time means all. A
// folder that we may not read is an error only for the zero time. Otherwise it would end every run.
func (m *Maildir) eachFolder(since time.Time, do func(folder string) error) error {
	names, err := os.ReadDir(m.path)
	if err != nil {
		return err
	}
	for _, entry := range names {
		folder := entry.Name()
		if !strings.HasPrefix(folder, ".") {
			continue
		}
		changed, err := m.changedSince(folder, since)
		if err == nil && changed {
			err = do(folder)
		}
		if err != nil && (since.IsZero() || !errors.Is(err, fs.ErrPermission)) {
			return err
		}
	}
	return nil
}

// changedSince reports whether new or cur of folder changed at or after since, less clockSlack.
func (m *Maildir) changedSince(folder string, since time.Time) (bool, error) {
	if since.IsZero() {
		return true, nil
	}
	at, err := m.changes(folder)
	return max(at[0], at[1]) >= since.Add(-clockSlack).UnixNano(), err
}

// walk visits the files in new and cur of folder, by their place and name. A mail program may
// rename a file while the names are read, and then the file can be missed. So walk visits all files
// again if new or cur changed meanwhile, up to three times in all. The last visit counts.
func (m *Maildir) walk(ctx context.Context, folder string, visit func(place, name string)) error {
	const tries = 3
	for range tries {
		before, err := m.changes(folder)
		if err != nil {
			return err
		}
		for _, part := range []string{"new", "cur"} {
			err := m.walkPart(ctx, filepath.Join(folder, part), visit)
			if err != nil && !absent(folder, err) {
				return err
			}
		}
		after, err := m.changes(folder)
		if err != nil || after == before {
			return err
		}
	}
	return nil
}

func (m *Maildir) walkPart(ctx context.Context, part string, visit func(place, name string)) error {
	dir, err := os.Open(filepath.Join(m.path, part))
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // it was only read
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		names, err := dir.Readdirnames(namesAtOnce)
		for _, name := range names {
			visit(part+"/"+name, name)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// changes returns when new and cur of folder changed last, in nanoseconds.
func (m *Maildir) changes(folder string) (at [2]int64, err error) {
	for i, part := range []string{"new", "cur"} {
		info, err := os.Stat(filepath.Join(m.path, folder, part))
		if absent(folder, err) {
			continue
		}
		if err != nil {
			return at, err
		}
		at[i] = info.ModTime().UnixNano()
	}
	return at, nil
}

// absent reports whether err means that folder has no new or no cur. Any file may have a name that
// begins with a dot. The Maildir itself always has both.
func absent(folder string, err error) bool {
	return folder != "." && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR))
}

// PlaceOf returns the name of the file without folder and info (":2,"). Its Sum is zero.
func (m *Maildir) PlaceOf(place string) Place {
	name, _, _ := strings.Cut(filepath.Base(place), ":")
	return Place{Name: name}
}

// Open reads back a message that Find returned. A mail program may have moved it from new to cur
// since, or changed its flags. If the message is gone, the error is fs.ErrNotExist.
func (m *Maildir) Open(ctx context.Context, place string) (io.ReadCloser, error) {
	places, err := m.locate(ctx, []string{place})
	if err != nil {
		return nil, fmt.Errorf("opening a message: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(m.path, places[0]), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("opening a message: %w", err)
	}
	return f, nil
}

// Sync syncs each file and the folders that hold them. It cannot use syncfs, which does not report
// errors that happened before the call.
func (m *Maildir) Sync(ctx context.Context, places []string) error {
	places, err := m.locate(ctx, places)
	if err != nil {
		return fmt.Errorf("syncing messages: %w", err)
	}
	err = durable.Parallel(len(places), func(i int) error { return durable.Sync(filepath.Join(m.path, places[i])) })
	if err != nil {
		return err
	}
	synced := make(map[string]bool)
	for _, place := range places {
		folder := folderOf(place)
		if synced[folder] {
			continue
		}
		synced[folder] = true
		// Both are synced: the message may have been moved from new to cur just now.
		for _, part := range []string{"new", "cur"} {
			err := durable.Sync(filepath.Join(m.path, folder, part))
			if err != nil && !absent(folder, err) {
				return err
			}
		}
	}
	return nil
}

// locate returns the current places of the messages at places. If one is gone, the error is
// fs.ErrNotExist.
func (m *Maildir) locate(ctx context.Context, places []string) ([]string, error) {
	for _, place := range places {
		if !filepath.IsLocal(place) {
			return nil, fmt.Errorf("place %q lies outside of the Maildir", place)
		}
	}
	now, err := m.whereabouts(ctx, places)
	if err != nil {
		return nil, err
	}
	if i := slices.Index(now, ""); i >= 0 {
		return nil, fmt.Errorf("message %s: %w", places[i], fs.ErrNotExist)
	}
	return now, nil
}

// whereabouts returns the current places of the messages at places. A message that is gone has an
// empty place. Each folder that a message has left is read once.
func (m *Maildir) whereabouts(ctx context.Context, places []string) ([]string, error) {
	now := slices.Clone(places)
	moved := make(map[string]map[string]string) // by folder and stem: the new place
	for i, place := range places {
		_, err := os.Lstat(filepath.Join(m.path, place))
		if err == nil {
			continue
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		folder := folderOf(place)
		if moved[folder] == nil {
			if moved[folder], err = m.stems(ctx, folder); err != nil {
				return nil, err
			}
		}
		parsed, _ := parseName(filepath.Base(place))
		now[i] = moved[folder][parsed.stem]
	}
	return now, nil
}

// stems returns the places of all messages in folder, by the stems of their names.
func (m *Maildir) stems(ctx context.Context, folder string) (map[string]string, error) {
	places := make(map[string]string)
	err := m.walk(ctx, folder, func(place, name string) {
		if parsed, ok := parseName(name); ok {
			places[parsed.stem] = place
		}
	})
	return places, err
}

// folderOf returns the Maildir++ folder of a place: "." for "new/name".
func folderOf(place string) string { return filepath.Dir(filepath.Dir(place)) }
