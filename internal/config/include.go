package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

const (
	// maxIncludes bounds the number of files, so that a mistaken pattern comes to an end.
	maxIncludes = 10_000
	// maxDepth bounds how deep files include others.
	maxDepth = 8
)

// patterns are names of files, which may have the wildcards of a shell. The configuration in force
// shows the accounts of all files, so it does not show the key.
var patterns = kind[[]string]{value.patterns, func([]string) string { return "" }}

// patterns returns one or more absolute patterns of files.
func (v value) patterns() ([]string, error) {
	list, err := v.list()
	if err != nil {
		return nil, err
	}
	for i, pattern := range list {
		if list[i], err = (value{raw: pattern, folder: v.folder}).path(); err != nil {
			return nil, fmt.Errorf("%q: %w", pattern, err)
		}
		if _, err := filepath.Match(list[i], ""); err != nil {
			return nil, fmt.Errorf(`%q is no pattern; close its brackets, or write \[ for a bracket in a name`, pattern)
		}
	}
	return list, nil
}

// loader reads a configuration file and the files that it includes.
type loader struct {
	cfg      *Config            // the whole configuration
	defaults map[string]setting // of the first file
	known    map[string]bool    // the files so far, by their real paths
	chain    []string           // the real paths of the files from the first one to the present one
	errs     Errors

	accountsOnly bool // the file is one of accounts, not the configuration of a machine
}

func newLoader() *loader { return &loader{known: map[string]bool{}} }

// read reads the text of a file into cfg, which is empty, and then the files that it includes. The
// first file has the keys outside of accounts and [defaults], for the accounts of all files.
func (l *loader) read(cfg *Config, path, text string, info fs.FileInfo) {
	folder, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		l.errs = append(l.errs, &Error{File: path, Err: fmt.Errorf("finding the folder of the file: %w", err)})
		return
	}
	whole := filepath.Join(folder, filepath.Base(path)) // patterns match absolute paths
	real, err := filepath.EvalSymlinks(whole)
	if err != nil {
		real = whole // it is a new file, or it has just been removed
	}
	from := &source{file: path, folder: folder}
	isFirst := l.cfg == nil
	if isFirst {
		l.cfg, cfg.main, cfg.homes, cfg.targetHomes = cfg, from, map[string]*source{}, map[string]targetHome{}
	}
	var document map[string]any
	if _, err := toml.Decode(text, &document); err != nil {
		l.errs = append(l.errs, syntaxError(path, text, err))
		return
	}
	index := indexLines(text)
	from.lines = index.lines()
	r := reader{index: index, top: place{source: from}}
	if isFirst {
		if l.accountsOnly {
			r.readMachineless(cfg, document)
		} else {
			r.readTop(cfg, document)
		}
		l.defaults = r.readDefaults(document)
	} else {
		r.readIncluded(cfg, document, l.cfg.File)
	}
	l.add(&r, r.accounts(document, l.defaults))
	l.addTargets(&r, r.targets(document))
	if info != nil {
		r.checkAccess(info, document)
	}
	l.errs = append(l.errs, r.errs...)
	l.known[real], l.chain = true, append(l.chain, real)
	at, _ := topKeys.place(cfg, &cfg.include, r.top)
	l.include(cfg.include, at)
	l.chain = l.chain[:len(l.chain)-1]
}

// add adds the accounts of a file to those of the files before it.
func (l *loader) add(r *reader, accounts []Account) {
	for _, a := range accounts {
		if home := l.cfg.homes[a.Name]; home != nil {
			r.report(r.top.key(accountTable, a.Name), fmt.Errorf("is in %s already; rename or remove one of the two", l.cfg.account(a.Name)))
			continue
		}
		l.cfg.homes[a.Name] = r.top.source
		l.cfg.Accounts = append(l.cfg.Accounts, a)
	}
}

// addTargets adds the targets of a file to those of the files before it.
func (l *loader) addTargets(r *reader, targets []Target) {
	for _, t := range targets {
		if home, known := l.cfg.targetHomes[t.Name]; known {
			there := place{source: home.source}.key(targetTable, t.Name)
			r.report(r.top.key(targetTable, t.Name), fmt.Errorf("is in %s already; rename or remove one of the two", there))
			continue
		}
		l.cfg.targetHomes[t.Name] = targetHome{r.top.source, len(l.cfg.Targets)}
		l.cfg.Targets = append(l.cfg.Targets, t)
	}
}

// readIncluded reads what an included file has besides accounts. It may only include others.
func (r *reader) readIncluded(cfg *Config, document map[string]any, first string) {
	include, _ := topKeys.filling(cfg, &cfg.include)
	own := map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(document)) {
		_, isTop := topKeys.row(key)
		switch {
		case key == include.name:
			own[key] = document[key]
		case isTop, key == defaultsTable:
			r.report(r.top.key(key), fmt.Errorf("an included file has only accounts, targets and include; move it to %s, where it holds for all files", first))
		case key != accountTable && key != targetTable:
			own[key] = document[key] // readTop reports it
		}
	}
	r.readTop(cfg, own)
}

// include reads the files that patterns name. The patterns are written at the place at.
func (l *loader) include(patterns []string, at place) {
	for _, pattern := range patterns {
		if len(l.chain) > maxDepth {
			l.errs = append(l.errs, at.mistake(fmt.Errorf("%s: files include others more than %d deep; include it from %s", pattern, maxDepth, l.cfg.File)))
			return
		}
		if !hasWildcard(pattern) {
			l.includeFile(pattern, true, at)
			continue
		}
		files, err := expand(pattern)
		if err != nil {
			l.errs = append(l.errs, at.mistake(err))
		}
		for _, file := range files {
			l.includeFile(file, false, at)
		}
	}
}

// includeFile reads one file, unless it has been read already. A pattern may well match the file that
// it is written in. But to name that is a mistake.
func (l *loader) includeFile(path string, named bool, at place) {
	const mend = "mend the file, or its name here"
	fail := func(format string, args ...any) {
		l.errs = append(l.errs, at.mistake(fmt.Errorf(format, args...)))
	}
	real, err := filepath.EvalSymlinks(path)
	switch {
	case err == nil && named && slices.Contains(l.chain, real):
		fail("%s includes itself, by way of this file; remove it here", path)
		return
	case err == nil && l.known[real]:
		return
	case len(l.known) > maxIncludes:
		fail("%s: there are more than %d files; include fewer", path, maxIncludes)
		return
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		fail("%s is no regular file; %s", path, mend) // opening a pipe would wait
		return
	}
	text, info, err := readFile(path, mend)
	if err != nil {
		fail("%s: %v", path, err) // not %w: a missing file is not the configuration file
		return
	}
	l.read(&Config{}, path, text, info)
}

// hasWildcard reports whether a pattern may match several names.
func hasWildcard(pattern string) bool { return strings.ContainsAny(pattern, `*?[\`) }

// expand returns the files that an absolute pattern matches, sorted. As in a shell, a wildcard does
// not match the dot that a hidden file begins with. If nothing matches, expand returns nothing. But
// unlike filepath.Glob, it reports a folder that cannot be read: accounts must not get lost unsaid.
func expand(pattern string) ([]string, error) {
	paths := []string{"/"}
	for part := range strings.SplitSeq(strings.Trim(pattern, "/"), "/") {
		var next []string
		for _, folder := range paths {
			if !hasWildcard(part) {
				next = append(next, filepath.Join(folder, part))
				continue
			}
			names, err := matches(folder, part)
			if err != nil {
				return nil, err
			}
			next = append(next, names...)
		}
		paths = next
	}
	var files []string
	for _, path := range paths {
		if _, err := os.Lstat(path); err == nil {
			files = append(files, path)
		}
	}
	return files, nil
}

// matches returns the entries of a folder that a pattern matches, sorted.
func matches(folder, pattern string) ([]string, error) {
	info, err := os.Stat(folder)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return nil, nil
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("%v; change the mode of the folder, or the pattern", err) //nolint:errorlint // see includeFile
	}
	var paths []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") && !strings.HasPrefix(pattern, ".") {
			continue
		}
		if matched, _ := filepath.Match(pattern, e.Name()); matched {
			paths = append(paths, filepath.Join(folder, e.Name()))
		}
	}
	if len(paths) > 0 && info.Mode().Perm()&0o002 != 0 {
		return nil, fmt.Errorf("everybody can add files to %s (mode %#o), and so commands that popfetch runs; run chmod o-w %s", folder, info.Mode().Perm(), folder)
	}
	return paths, nil
}
