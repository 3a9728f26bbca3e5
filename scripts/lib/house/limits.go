package main

import (
	"fmt"
	"path"
)

// These are the limits of the packages in limited. Each is the highest allowed value.
const (
	mostFiles         = 21 // 20 before which messages a pass takes became a phase of its own
	mostFileLines     = 350
	mostFunctionLines = 60
	mostFields        = 15
	mostUp            = 9
)

// limited has the packages with limits, by the last part of their path.
var limited = map[string]bool{"fetch": true}

// beyond returns a line for each limit that the package exceeds.
func beyond(m measures) []string {
	if !limited[path.Base(m.path)] {
		return nil
	}
	var broken []string
	limit := func(got, most int, format string, args ...any) {
		if got > most {
			broken = append(broken, fmt.Sprintf("%s, %d allowed", fmt.Sprintf(format, args...), most))
		}
	}
	limit(m.files, mostFiles, "%d files", m.files)
	limit(m.file.n, mostFileLines, "%s has %d lines", m.file.name, m.file.n)
	limit(m.function.n, mostFunctionLines, "%s has %d lines", m.function.name, m.function.n)
	limit(m.fields.n, mostFields, "%s has %d fields", m.fields.name, m.fields.n)
	limit(len(m.engines), 0, "%d types embed an engine", len(m.engines))
	limit(len(m.drawing.up), mostUp, "%d arrows between files run back up", len(m.drawing.up))
	return broken
}
