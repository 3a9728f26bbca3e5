package deliver

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Stock is what a Maildir and its folders hold at one moment. A person may have moved a message into
// any of them, or into a Maildir beside, and a mail program may have renamed it.
//
// A Stock is used by one goroutine.
type Stock struct {
	// Identity names the folder itself, and not only its path: another folder in its place has
	// another one.
	Identity string
	Messages int // from wherever they came

	root string // the Maildir, or the one whose folder it is
	here holdings
	// The Maildirs beside root; nil until something was not found here.
	beside *holdings
}

// holdings are the files of some Maildirs.
type holdings struct {
	tokens map[Token]bool
	names  map[string]bool    // of other files, without info
	others []string           // the paths of these
	sizes  map[int64][]string // these by size; nil: not asked for yet
	sums   map[string]Sum     // by path, of those that were read
}

func newHoldings() *holdings {
	return &holdings{tokens: make(map[Token]bool), names: make(map[string]bool), sums: make(map[string]Sum)}
}

// deepest is how deep folders may lie within folders.
const deepest = 16

// root returns the Maildir that has m as a Maildir++ folder, or m.
func (m *Maildir) root() string {
	above := filepath.Dir(m.path)
	if strings.HasPrefix(filepath.Base(m.path), ".") && isMaildir(above) {
		return above
	}
	return m.path
}

// TakeStock reads the names in the Maildir and in all its folders. If the Maildir is a Maildir++
// folder itself, it reads those beside it too. An empty folder without
// new and cur, or a link that leads nowhere, is ErrUnseen: a disk may not be mounted. A missing Maildir is
// ErrMissing.
func (m *Maildir) TakeStock(ctx context.Context) (*Stock, error) {
	s := &Stock{root: m.root(), here: *newHoldings()}
	for _, part := range []string{"new", "cur"} {
		if _, err := os.Stat(filepath.Join(m.path, part)); err != nil {
			return nil, fmt.Errorf("looking for messages: %w", m.missing(err))
		}
	}
	var err error
	if s.Identity, err = identityOf(m.path); err == nil {
		err = eachMaildir(s.root, func(folder string) error { return s.here.add(ctx, s.root, folder) })
	}
	if err != nil {
		return nil, fmt.Errorf("looking for messages: %w", err)
	}
	s.Messages = len(s.here.others) + len(s.here.tokens)
	return s, nil
}

// HasToken reports whether a message with this token lies in the Maildir or in one of its folders.
// Where it does not, Has looks further.
func (s *Stock) HasToken(token Token) bool { return s.here.tokens[token] }

// Has reports whether the message lies there under any name: by its token, by the name that it had,
// or by its octets. It looks into the Maildirs beside, too.
func (s *Stock) Has(ctx context.Context, p Place) (bool, error) {
	if found, err := s.here.has(ctx, p); found || err != nil {
		return found, err
	}
	if s.beside == nil {
		beside, err := s.readBeside(ctx)
		if err != nil {
			return false, fmt.Errorf("looking for messages beside the Maildir: %w", err)
		}
		s.beside = beside
	}
	return s.beside.has(ctx, p)
}

// readBeside reads the Maildirs that lie in the same folder as root.
func (s *Stock) readBeside(ctx context.Context) (*holdings, error) {
	c := newHoldings()
	entries, err := os.ReadDir(filepath.Dir(s.root))
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		path := filepath.Join(filepath.Dir(s.root), entry.Name())
		if path == s.root || !isMaildir(path) {
			continue
		}
		if err := eachMaildir(path, func(folder string) error { return c.add(ctx, path, folder) }); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// isMaildir reports whether a folder has new and cur.
func isMaildir(path string) bool {
	for _, part := range []string{"new", "cur"} {
		if info, err := os.Stat(filepath.Join(path, part)); err != nil || !info.IsDir() {
			return false
		}
	}
	return true
}

// identityOf returns the path without links, and the number that the file system gives the folder.
func identityOf(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(real)
	if err != nil {
		return "", err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf("%s#%d", real, stat.Ino), nil
	}
	return real, nil
}

// eachMaildir calls do with the Maildir at path, and then with every folder in it that has new or
// cur, however deep. The folder is relative to path.
func eachMaildir(path string, do func(folder string) error) error {
	if err := do("."); err != nil {
		return err
	}
	return eachFolderIn(path, ".", deepest, do)
}

func eachFolderIn(path, folder string, depth int, do func(folder string) error) error {
	entries, err := os.ReadDir(filepath.Join(path, folder))
	if err != nil {
		return err
	}
	messages := false
	for _, entry := range entries {
		inner := filepath.Join(folder, entry.Name())
		name := filepath.Join(path, inner)
		info, err := os.Stat(name)
		switch {
		case err != nil && entry.Type()&fs.ModeSymlink != 0:
			return fmt.Errorf("%s %w: it is a link, and leads nowhere", name, ErrUnseen)
		case errors.Is(err, fs.ErrNotExist): // it was removed just now
			continue
		case err != nil:
			return err
		case !info.IsDir() || entry.Name() == "tmp":
			continue
		case entry.Name() == "new" || entry.Name() == "cur":
			messages = true
			continue
		case depth == 0:
			return fmt.Errorf("%s %w: its folders lie too deep", name, ErrUnseen)
		}
		if err := eachFolderIn(path, inner, depth-1, do); err != nil {
			return err
		}
	}
	if len(entries) == 0 && strings.HasPrefix(filepath.Base(folder), ".") {
		return fmt.Errorf("%s %w: it is empty; if a disk belongs there, mount it, else remove it", filepath.Join(path, folder), ErrUnseen)
	}
	if !messages || folder == "." {
		return nil
	}
	return do(folder)
}

// add adds the files in new and cur of a folder of the Maildir at path.
func (c *holdings) add(ctx context.Context, path, folder string) error {
	// By place, because names may be read several times.
	tokens, others := make(map[string]Token), make(map[string]string)
	err := (&Maildir{path: path}).walk(ctx, folder, func(place, name string) {
		parsed, ok := parseName(name)
		switch {
		case ok:
			tokens[place] = parsed.token
		case !strings.HasPrefix(name, "."): // such names are no messages
			others[place] = name
		}
	})
	if err != nil {
		return err
	}
	for _, token := range tokens {
		c.tokens[token] = true
	}
	for place, name := range others {
		name, _, _ = strings.Cut(name, ":")
		c.names[name] = true
		c.others = append(c.others, filepath.Join(path, place))
	}
	return nil
}

func (c *holdings) has(ctx context.Context, p Place) (bool, error) {
	if parsed, ok := parseName(p.Name); ok && c.tokens[parsed.token] || c.names[p.Name] {
		return true, nil
	}
	if p.SHA256 == (Sum{}).SHA256 {
		return false, nil
	}
	if err := c.readSizes(); err != nil {
		return false, err
	}
	for _, path := range c.sizes[p.Octets] {
		if _, known := c.sums[path]; !known {
			sum, err := measureFile(ctx, path)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return false, err
			}
			c.sums[path] = sum
		}
		if c.sums[path] == p.Sum {
			return true, nil
		}
	}
	return false, nil
}

// readSizes asks for the sizes of the files that have no token, once.
func (c *holdings) readSizes() error {
	if c.sizes != nil {
		return nil
	}
	sizes := make(map[int64][]string)
	for _, path := range c.others {
		info, err := os.Stat(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err == nil && info.Mode().IsRegular() {
			sizes[info.Size()] = append(sizes[info.Size()], path)
		}
	}
	c.sizes = sizes
	return nil
}

// measureFile measures a file as it lies there.
func measureFile(ctx context.Context, path string) (Sum, error) {
	if err := ctx.Err(); err != nil {
		return Sum{}, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return Sum{}, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	h := sha256.New()
	s := Sum{}
	if s.Octets, err = io.Copy(h, f); err != nil {
		return Sum{}, err
	}
	h.Sum(s.SHA256[:0])
	return s, nil
}

// Examine looks for each file by its name, in any folder of the Maildir.
func (m *Maildir) Examine(ctx context.Context, places []Place) ([]Condition, error) {
	wanted := make(map[string][]int, len(places)) // two records may name one file
	for i, p := range places {
		wanted[stemOf(p.Name)] = append(wanted[stemOf(p.Name)], i)
	}
	conditions := make([]Condition, len(places))
	root := &Maildir{path: m.root()}
	err := eachMaildir(root.path, func(folder string) error {
		found := make(map[string]bool)
		err := root.walk(ctx, folder, func(place, name string) {
			if _, ok := wanted[stemOf(name)]; ok {
				found[place] = true
			}
		})
		for place := range found {
			sum, err := measureFile(ctx, filepath.Join(root.path, place))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			for _, i := range wanted[stemOf(filepath.Base(place))] {
				conditions[i] = max(conditions[i], places[i].conditionOf(sum))
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading messages back: %w", m.missing(err))
	}
	return conditions, nil
}

// conditionOf returns the condition of a message that has sum now.
func (p *Place) conditionOf(sum Sum) Condition {
	if sum == p.Sum && p.SHA256 != (Sum{}).SHA256 {
		return Whole
	}
	return Altered
}

// stemOf returns the part of a file's name that stays the same wherever mail programs move it.
func stemOf(name string) string {
	if parsed, ok := parseName(name); ok {
		return parsed.stem
	}
	name, _, _ = strings.Cut(name, ":")
	return name
}
