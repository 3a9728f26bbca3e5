package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one mistake of a configuration. Its text is "file:line: key: mistake; what to do". Parts
// that are unset are left out.
type Error struct {
	File string // "" for the command line
	Line int    // 0 if none
	Key  string // dotted path, or the option
	Err  error  // never contains a password
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		if e.Line > 0 {
			fmt.Fprintf(&b, ":%d", e.Line)
		}
		b.WriteString(": ")
	}
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	b.WriteString(e.Err.Error())
	return b.String()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Errors has all mistakes of a configuration, in the order of their lines. Load and OneShot return
// every error as an Errors. Its text has one line for each mistake, also if one of [defaults] is a
// mistake of many accounts.
type Errors []*Error

func (errs Errors) Error() string {
	var lines []string
	for _, e := range errs {
		if line := e.Error(); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the mistakes, for errors.Is and errors.As.
func (errs Errors) Unwrap() []error {
	var list []error
	for _, e := range errs {
		list = append(list, e)
	}
	return list
}

// orNil returns nil if there are no mistakes.
func (errs Errors) orNil() error {
	if len(errs) == 0 {
		return nil
	}
	return errs
}

// tidy sorts by file and line, and removes duplicates: each account repeats a mistake in [defaults].
// The files keep their order.
func (errs Errors) tidy() Errors {
	files := map[string]int{}
	for _, e := range errs {
		if _, known := files[e.File]; !known {
			files[e.File] = len(files)
		}
	}
	slices.SortStableFunc(errs, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(files[a.File], files[b.File]), cmp.Compare(a.Line, b.Line))
	})
	seen := map[string]bool{}
	return slices.DeleteFunc(errs, func(e *Error) bool {
		text := e.Error()
		twice := seen[text]
		seen[text] = true
		return twice
	})
}
