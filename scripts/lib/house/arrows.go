package main

import (
	"cmp"
	"go/types"
	"slices"
)

// An arrow means that a file uses something that another file of its package defines: a method or
// something at the top level.
type arrow struct {
	from, to string
	names    []string // the names that are used, sorted
}

// A drawing is an order of the files of a package from top to bottom, with the arrows between them.
type drawing struct {
	order  []string
	arrows []arrow // sorted by from and to
	up     []arrow // the arrows that run from a lower file to a higher one
	floors int     // number of files on the longest way down
}

// draw orders the files so that few arrows run up. The use of a field is no arrow, but a file that
// uses a field usually uses the type too.
func draw(s *source) drawing {
	names := make(map[[2]string][]string)
	for ident, object := range s.info.Uses {
		if !isDefined(object, s.types) {
			continue
		}
		ends := [2]string{s.fileName(ident.Pos()), s.fileName(object.Pos())}
		if ends[0] != ends[1] {
			names[ends] = append(names[ends], ident.Name)
		}
	}
	var d drawing
	for ends, mentioned := range names {
		slices.Sort(mentioned)
		d.arrows = append(d.arrows, arrow{ends[0], ends[1], slices.Compact(mentioned)})
	}
	slices.SortFunc(d.arrows, func(a, b arrow) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to)) })
	for _, f := range s.files {
		d.order = append(d.order, s.fileName(f.FileStart))
	}
	slices.Sort(d.order)
	d.order = arrange(d.order, d.arrows)
	d.look()
	return d
}

// isDefined reports whether an object is a method or stands at the top level of the package.
func isDefined(object types.Object, pkg *types.Package) bool {
	if object.Pkg() != pkg {
		return false
	}
	if f, ok := object.(*types.Func); ok && f.Signature().Recv() != nil {
		return true
	}
	return object.Parent() == pkg.Scope()
}

// arrange looks for an order with few arrows up. To find the best order for certain would take too
// long. First arrange removes the files one by one (Eades, Lin and Smyth, 1993):
//
//   - A file that no other file uses goes to the top.
//   - Otherwise, a file that uses no other file goes to the bottom.
//   - Otherwise, the file with most arrows out and fewest in goes to the top.
//
// Then it moves one file at a time, as long as a move leaves fewer arrows up.
func arrange(files []string, arrows []arrow) []string {
	rest := slices.Clone(files)
	var top, bottom []string
	for len(rest) > 0 {
		at, down := next(rest, arrows)
		if down {
			bottom = append(bottom, rest[at])
		} else {
			top = append(top, rest[at])
		}
		rest = slices.Delete(rest, at, at+1)
	}
	slices.Reverse(bottom)
	order := append(top, bottom...)
	for improve(order, arrows) {
	}
	return order
}

// next returns the file to remove next, and whether it goes to the bottom.
func next(files []string, arrows []arrow) (at int, down bool) {
	in, out := make(map[string]int), make(map[string]int)
	for _, a := range arrows {
		if slices.Contains(files, a.from) && slices.Contains(files, a.to) {
			out[a.from]++
			in[a.to]++
		}
	}
	for i, f := range files {
		if in[f] == 0 {
			return i, false
		}
	}
	for i, f := range files {
		if out[f] == 0 {
			return i, true
		}
		if out[f]-in[f] > out[files[at]]-in[files[at]] {
			at = i
		}
	}
	return at, false
}

// improve makes the first move that leaves fewer arrows up. It reports whether there is one.
func improve(order []string, arrows []arrow) bool {
	best := len(ups(order, arrows))
	for from := range order {
		for to := range order {
			moved := slices.Delete(slices.Clone(order), from, from+1)
			moved = slices.Insert(moved, to, order[from])
			if len(ups(moved, arrows)) < best {
				copy(order, moved)
				return true
			}
		}
	}
	return false
}

// ups returns the arrows that run up in an order.
func ups(order []string, arrows []arrow) []arrow {
	floor := make(map[string]int, len(order))
	for i, f := range order {
		floor[f] = i
	}
	var up []arrow
	for _, a := range arrows {
		if floor[a.from] > floor[a.to] {
			up = append(up, a)
		}
	}
	return up
}

// look finds the arrows that run up. It counts the floors by the arrows that run down.
func (d *drawing) look() {
	d.up = ups(d.order, d.arrows)
	isUp := make(map[[2]string]bool)
	for _, a := range d.up {
		isUp[[2]string{a.from, a.to}] = true
	}
	floor := make(map[string]int)
	for _, f := range d.order {
		d.floors = max(d.floors, floor[f]+1)
		for _, a := range d.arrows {
			if a.from == f && !isUp[[2]string{a.from, a.to}] {
				floor[a.to] = max(floor[a.to], floor[f]+1)
			}
		}
	}
}
