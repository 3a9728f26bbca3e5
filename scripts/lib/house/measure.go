package main

import (
	"go/ast"
	"go/types"
	"slices"
)

// engineMethods is the number of methods from which a struct counts as an engine. Such a struct
// does work, and is not only a value.
const engineMethods = 5

// A count is a name and a number that belongs to it.
type count struct {
	name string
	n    int
}

// measures has the measures of one package.
type measures struct {
	path     string
	files    int
	lines    int
	file     count    // the longest file
	function count    // the longest function, from "func" to the last brace
	fields   count    // the struct with most fields; an embedded struct is one field
	methods  count    // the type with most methods
	engines  []string // "outer embeds inner": inner is an engine of the same package
	drawing  drawing
}

func measure(s *source) measures {
	m := measures{path: s.path, files: len(s.files), drawing: draw(s)}
	for _, f := range s.files {
		lines := s.fset.File(f.FileStart).LineCount()
		m.lines += lines
		m.file.raise(s.fileName(f.FileStart), lines)
		for _, d := range f.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				m.function.raise(functionName(f), s.fset.Position(f.End()).Line-s.fset.Position(f.Pos()).Line+1)
			}
		}
	}
	for _, name := range s.types.Scope().Names() {
		named := asNamed(s.types.Scope().Lookup(name))
		if named == nil {
			continue
		}
		m.methods.raise(name, named.NumMethods())
		if structure, ok := named.Underlying().(*types.Struct); ok {
			m.fields.raise(name, structure.NumFields())
			m.engines = append(m.engines, embedded(name, structure, s.types)...)
		}
	}
	return m
}

// raise keeps the larger count. If both are equal, it keeps the first one.
func (c *count) raise(name string, n int) {
	if n > c.n {
		*c = count{name, n}
	}
}

// functionName returns "name" or "receiver.name".
func functionName(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	receiver := f.Recv.List[0].Type
	if star, ok := receiver.(*ast.StarExpr); ok {
		receiver = star.X
	}
	switch r := receiver.(type) {
	case *ast.IndexExpr:
		receiver = r.X
	case *ast.IndexListExpr:
		receiver = r.X
	}
	return types.ExprString(receiver) + "." + f.Name.Name
}

// asNamed returns the type that an object declares, or nil if it declares none or an alias.
func asNamed(object types.Object) *types.Named {
	declared, ok := object.(*types.TypeName)
	if !ok || declared.IsAlias() {
		return nil
	}
	return declared.Type().(*types.Named)
}

// embedded returns the engines of the package that a struct embeds, by value or by pointer.
func embedded(name string, structure *types.Struct, pkg *types.Package) []string {
	var engines []string
	for field := range structure.Fields() {
		of := field.Type()
		if pointer, ok := of.(*types.Pointer); ok {
			of = pointer.Elem()
		}
		inner, ok := types.Unalias(of).(*types.Named)
		if !ok || !field.Embedded() || inner.Obj().Pkg() != pkg {
			continue
		}
		if _, ok := inner.Underlying().(*types.Struct); ok && inner.Origin().NumMethods() >= engineMethods {
			engines = append(engines, name+" embeds "+inner.Obj().Name())
		}
	}
	slices.Sort(engines)
	return engines
}
