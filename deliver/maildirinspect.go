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
// have the size of such a message and the name of none.
func (m *Maildir) Inspect(ctx context.Context, list *Checklist) error {
	if _, err := os.Stat(filepath.Join(m.path, "cur")); err != nil {
		return fmt.Errorf("reading messages back: %w", m.missing(err))
	}
	trees := []string{m.root()}
	err := inspectTree(ctx, trees[0], list, byName)
	if err == nil && list.lacks() {
		var beside []string
		if beside, err = maildirsBeside(trees[0]); err == nil {
			err = inspectAll(ctx, beside, list, byName)
		}
		trees = append(trees, beside...)
	}
	if err == nil && list.lacks() {
		err = inspectAll(ctx, trees, list, byOctets)
	}
	if err != nil {
		return fmt.Errorf("reading messages back: %w", m.missing(err))
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
type inspection bool

const (
	byName   inspection = true
	byOctets inspection = false
)

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
	root := &Maildir{path: tree}
	return eachMaildir(tree, func(folder string) error {
		var failed error
		altered := make(map[string]bool) // by place
		err := root.walk(ctx, folder, func(place, name string) {
			if failed == nil && !altered[place] && inspection(list.wants(name)) == how {
				altered[place], failed = inspectFile(ctx, filepath.Join(tree, place), name, list, how)
			}
			if !altered[place] {
				delete(altered, place)
			}
		})
		return errors.Join(failed, err)
	})
}

// inspectFile reads a file, unless nothing depends on it. It reports whether it was read in vain.
func inspectFile(ctx context.Context, path, name string, list *Checklist, how inspection) (vain bool, err error) {
	if how == byName && list.isWhole(name) || how == byOctets && strings.HasPrefix(name, ".") {
		return false, nil
	}
	if how == byOctets {
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !(info.Mode().IsRegular() && list.lacksSize(info.Size())) {
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
	case how == byName:
		list.found(name, sum)
		return !list.isWhole(name), nil
	}
	list.foundUnnamed(sum)
	return true, nil // it counts for one place, and so it is not to be read again
}
