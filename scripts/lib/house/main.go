// Command house measures the structure of the code. For each package it prints the size, the
// longest file and function, the largest types, embedded engines, and the arrows between its files.
//
//	house [-up PACKAGE] [PATTERN...]
//
// It ignores tests and files for other systems. An arrow runs from a file to another one of the
// same package if it uses a method of the other one, or something at its top level. The command
// puts the files in an order in which few arrows run back up. -up lists the arrows that do. The
// exit status is 1 if a package is beyond its limits.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"text/tabwriter"
)

func main() {
	up := flag.String("up", "", "list the arrows of this `package` that run back up")
	flag.Parse()
	patterns := flag.Args()
	if len(patterns) == 0 {
		patterns = []string{"./..."}
	}
	within, err := run(".", patterns, *up, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "house:", err)
		os.Exit(2)
	}
	if !within {
		os.Exit(1)
	}
}

// run prints the measures of the packages, and reports whether they are within their limits.
func run(dir string, patterns []string, up string, out io.Writer) (within bool, err error) {
	sources, err := load(dir, patterns)
	if err != nil {
		return false, err
	}
	var rows, remarks, broken strings.Builder
	rows.WriteString("package\tfiles\tlines\tlongest file\tlongest function\tmost fields\tmost methods\tfloors\tarrows\tup\n")
	for _, s := range sources {
		m := measure(s)
		fmt.Fprintf(&rows, "%s\t%d\t%d\t%s\t%s\t%s\t%s\t%d\t%d\t%d\n", m.path, m.files, m.lines, m.file, m.function, m.fields, m.methods,
			m.drawing.floors, len(m.drawing.arrows), len(m.drawing.up))
		name := path.Base(m.path)
		for _, e := range m.engines {
			fmt.Fprintf(&remarks, "%s: %s\n", name, e)
		}
		if name == up {
			fmt.Fprintf(&remarks, "files of %s from top to bottom: %s\n", name, strings.Join(m.drawing.order, " "))
			for _, a := range m.drawing.up {
				fmt.Fprintf(&remarks, "up: %s -> %s: %s\n", a.from, a.to, strings.Join(a.names, " "))
			}
		}
		for _, b := range beyond(m) {
			fmt.Fprintf(&broken, "%s: %s\n", name, b)
		}
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if _, err := io.WriteString(table, rows.String()); err != nil {
		return false, fmt.Errorf("printing: %w", err)
	}
	if err := table.Flush(); err != nil {
		return false, fmt.Errorf("printing: %w", err)
	}
	if _, err := io.WriteString(out, remarks.String()+broken.String()); err != nil {
		return false, fmt.Errorf("printing: %w", err)
	}
	return broken.Len() == 0, nil
}

func (c count) String() string {
	if c.n == 0 {
		return "-"
	}
	return fmt.Sprintf("%s %d", c.name, c.n)
}
