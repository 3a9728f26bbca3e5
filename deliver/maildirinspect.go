package deliver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Inspect looks for each file by its name in any folder of the Maildir, and then in the Maildirs
// beside it. What it has not found so may lie there under another name. Then it reads the files that
// have the size of such a message and the name of none. Beside the Maildir, it leaves out what
// popfetch has delivered there: that is another copy.
func (m *Maildir) Inspect(ctx context.Context, list *Checklist) error {
	if _, err := os.Stat(filepath.Join(m.path, "cur")); err != nil {
		return fmt.Errorf("reading messages back: %w", m.missing(err))
	}
	root := m.root()
	var beside []string
	for _, step := range []func() error{
		func() error { return inspectTree(ctx, root, list, byName) },
		func() (err error) { beside, err = maildirsBeside(root); return err },
		func() error { return inspectAll(ctx, beside, list, byName) },
		func() error { return inspectTree(ctx, root, list, byOctets) },
		func() error { return inspectAll(ctx, beside, list, byForeignName) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("reading messages back: %w", m.missing(err))
		}
		if !list.lacks() {
			break
		}
	}
	return nil
}

// maildirsBeside returns the Maildirs that lie in the same folder as the one at root.
func maildirsBeside(root string) (beside []string, err error) {
	entries, err := os.ReadDir(filepath.Dir(root))
	for _, entry := range entries {
		if path := filepath.Join(filepath.Dir(root), entry.Name()); path != root && isMaildir(path) {
			beside = append(beside, path)
		}
	}
	return beside, err
}

// inspection is a way to find messages.
type inspection int

const (
	byName        inspection = iota // that of a place
	byOctets                        // of files with other names
	byForeignName                   // the same, of names that popfetch does not give
)

// reads reports whether a file of that name is read.
func (how inspection) reads(list *Checklist, name string) bool {
	if how == byName || list.wants(name) {
		return how == byName && list.wants(name) && !list.isWhole(name)
	}
	_, own := parseName(name)
	return !strings.HasPrefix(name, ".") && !(own && how == byForeignName)
}

func inspectAll(ctx context.Context, trees []string, list *Checklist, how inspection) error {
	for _, tree := range trees {
		if err := inspectTree(ctx, tree, list, how); err != nil {
			return err
		}
	}
	return nil
}

// inspectTree reads the wanted files of a Maildir and of all its folders. A folder may be read several
// times while mail programs move files, so one that was found whole is not read again.
func inspectTree(ctx context.Context, tree string, list *Checklist, how inspection) error {
	root, sizes := &Maildir{path: tree}, map[int64]bool(nil)
	if how != byName {
		sizes = list.sizes()
		defer list.settle()
	}
	return eachMaildir(tree, func(folder string) error {
		var failed error
		done := make(map[string]bool) // by stem; what is whole needs no mark
		err := root.walk(ctx, folder, func(place, name string) {
			stem := stemOf(name)
			if failed == nil && !done[stem] && how.reads(list, name) {
				done[stem], failed = inspectFile(ctx, filepath.Join(tree, place), name, list, sizes)
			}
			if !done[stem] {
				delete(done, stem)
			}
		})
		return errors.Join(failed, err)
	})
}

// inspectFile reads a file. If sizes is not nil, it leaves out a file of another size. It reports
// whether the file was read and is not to be read again.
func inspectFile(ctx context.Context, path, name string, list *Checklist, sizes map[int64]bool) (done bool, err error) {
	if sizes != nil {
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !(info.Mode().IsRegular() && sizes[info.Size()]) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	sum, err := measureFile(ctx, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case sizes != nil:
		list.count("", sum)
		return true, nil
	}
	list.found(name, sum)
	return !list.isWhole(name), nil
}
