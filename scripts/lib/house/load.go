package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// A source is one package, parsed and type-checked.
type source struct {
	path  string
	fset  *token.FileSet
	files []*ast.File // without tests, in the order of their names
	types *types.Package
	info  *types.Info
}

// listed is the output of go list for one package.
type listed struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	CgoFiles   []string
	Export     string // the file with its compiled declarations
	DepOnly    bool   // the package is only a dependency
}

// load returns the packages that match the patterns in the folder dir.
func load(dir string, patterns []string) ([]*source, error) {
	arguments := append([]string{"list", "-export", "-deps", "-json=ImportPath,Dir,GoFiles,CgoFiles,Export,DepOnly", "--"}, patterns...)
	var stderr bytes.Buffer
	list := exec.Command("go", arguments...) //nolint:noctx // it ends by itself
	list.Dir, list.Stderr = dir, &stderr
	stdout, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	var wanted []listed
	exports := make(map[string]string)
	for decoder := json.NewDecoder(bytes.NewReader(stdout)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("reading what go list prints: %w", err)
		}
		exports[p.ImportPath] = p.Export
		if !p.DepOnly {
			wanted = append(wanted, p)
		}
	}
	return checkAll(wanted, exports)
}

// checkAll type-checks the packages. Imports are read from their export files.
func checkAll(wanted []listed, exports map[string]string) ([]*source, error) {
	fset := token.NewFileSet()
	open := func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("go list gives no export file of %s", path)
		}
		return os.Open(exports[path])
	}
	imports := importer.ForCompiler(fset, "gc", open)
	var sources []*source
	for _, p := range wanted {
		if len(p.CgoFiles) > 0 {
			return nil, fmt.Errorf("%s: files that import C cannot be measured", p.ImportPath)
		}
		files := make([]*ast.File, len(p.GoFiles))
		for i, name := range p.GoFiles {
			var err error
			if files[i], err = parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution); err != nil {
				return nil, fmt.Errorf("parsing: %w", err)
			}
		}
		if len(files) == 0 {
			continue // it has only tests
		}
		s, err := check(p.ImportPath, fset, files, imports)
		if err != nil {
			return nil, err
		}
		sources = append(sources, s)
	}
	return sources, nil
}

// check type-checks the files of one package.
func check(path string, fset *token.FileSet, files []*ast.File, imports types.Importer) (*source, error) {
	s := &source{path: path, fset: fset, files: files, info: &types.Info{Uses: make(map[*ast.Ident]types.Object)}}
	config := types.Config{Importer: imports}
	var err error
	if s.types, err = config.Check(path, fset, files, s.info); err != nil {
		return nil, fmt.Errorf("type-checking: %w", err)
	}
	return s, nil
}

// fileName returns the name of the file that a position is in.
func (s *source) fileName(pos token.Pos) string { return filepath.Base(s.fset.File(pos).Name()) }
