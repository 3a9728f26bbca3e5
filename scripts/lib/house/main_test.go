package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sourceOf type-checks files that import nothing. texts has the name and the content of each file.
func sourceOf(t *testing.T, texts ...string) *source {
	t.Helper()
	fset := token.NewFileSet()
	var files []*ast.File
	for i := 0; i < len(texts); i += 2 {
		f, err := parser.ParseFile(fset, texts[i], "package p\n"+texts[i+1], parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	s, err := check("example.org/p", fset, files, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDraw_arrows(t *testing.T) {
	t.Parallel()
	s := sourceOf(t,
		"a.go", "func main() { var x t[int]; x.m(); x.field = v; var e error; _ = e.Error(); local := 1; _ = local; var y i; y.n() }\n",
		"b.go", "type t[E any] struct{ inner; field E }\n",
		"c.go", "type inner struct{}\nfunc (inner) m() {}\nvar v = k\n",
		"d.go", "const k = 1\ntype i interface{ n() }\nfunc local() {}\n",
	)
	d := draw(s)
	var got []string
	for _, a := range d.arrows {
		got = append(got, fmt.Sprint(a.from, " ", a.to, " ", a.names))
	}
	want := []string{"a.go b.go [t]", "a.go c.go [m v]", "a.go d.go [i n]", "b.go c.go [inner]", "c.go d.go [k]"}
	if !slices.Equal(got, want) {
		t.Errorf("arrows = %q, want %q", got, want)
	}
	if len(d.up) != 0 || d.floors != 4 {
		t.Errorf("arrows up = %v, floors = %d, want none and 4", d.up, d.floors)
	}
}

func TestArrange(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, arrows string // "ab" means an arrow from a to b
		up, floors   int
	}{
		{"none", "", 0, 1},
		{"chain", "cb ba", 0, 3},
		{"diamond", "ab ac bd cd", 0, 3},
		{"two that mention each other", "ab ba", 1, 2},
		{"ring", "ab bc cd de ea", 1, 5},
		{"two rings", "ab bc ca cd de ec", 2, 5},
		{"each mentions each", "ab ac ad ba bc bd ca cb cd da db dc", 6, 4},
		{"better after a move", "ab be da db eb ed", 1, 4},
		{"one more arrow back than down", "ab bc cb ca ac ba", 3, 3},
	} {
		var arrows []arrow
		files := []string{"a", "b", "c", "d", "e"}
		for _, ends := range strings.Fields(test.arrows) {
			arrows = append(arrows, arrow{from: ends[:1], to: ends[1:]})
		}
		order := arrange(files, arrows)
		d := drawing{order: order, arrows: arrows}
		d.look()
		if len(d.up) != test.up || d.floors != test.floors {
			t.Errorf("%s: order %v has %d arrows up and %d floors, want %d and %d", test.name, order, len(d.up), d.floors, test.up, test.floors)
		}
		if slices.Sort(order); !slices.Equal(order, files) {
			t.Errorf("%s: the order has the files %v, want %v", test.name, order, files)
		}
	}
}

func TestMeasure(t *testing.T) {
	t.Parallel()
	methods := ""
	for i := range engineMethods {
		methods += fmt.Sprintf("func (*engine) m%d() {}\n", i)
	}
	s := sourceOf(t,
		"a.go", "type engine struct{ a, b int }\n"+methods,
		"b.go", "type outer struct{ *engine }\ntype beside struct{ e engine; v value; n, o int }\ntype value struct{}\nfunc (value) m() {}\n"+
			"type holder struct{ value }\nfunc (o *outer) long() {\n\n\n}\n",
	)
	m := measure(s)
	want := measures{
		path: "example.org/p", files: 2, lines: 17, file: count{"b.go", 10}, function: count{"outer.long", 4}, fields: count{"beside", 4},
		methods: count{"engine", engineMethods}, engines: []string{"outer embeds engine"},
	}
	m.drawing = drawing{}
	if got, want := fmt.Sprintf("%+v", m), fmt.Sprintf("%+v", want); got != want {
		t.Errorf("measure() = %s, want %s", got, want)
	}
}

func TestFunctionName(t *testing.T) {
	t.Parallel()
	s := sourceOf(t, "a.go", "type g[A, B any] struct{}\ntype h[A any] struct{}\nfunc (*g[A, B]) m() {}\nfunc (h[A]) m() {}\nfunc f() {}\n")
	var got []string
	for _, d := range s.files[0].Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			got = append(got, functionName(f))
		}
	}
	if want := []string{"g.m", "h.m", "f"}; !slices.Equal(got, want) {
		t.Errorf("functionName() = %q, want %q", got, want)
	}
}

func TestBeyond(t *testing.T) {
	t.Parallel()
	most := measures{
		path: "example.org/fetch", files: mostFiles, file: count{"f", mostFileLines}, function: count{"f", mostFunctionLines},
		fields: count{"f", mostFields}, drawing: drawing{up: make([]arrow, mostUp)},
	}
	if got := beyond(most); len(got) != 0 {
		t.Errorf("at the limits: %q, want nothing", got)
	}
	more := measures{
		path: most.path, files: mostFiles + 1, file: count{"f", mostFileLines + 1}, function: count{"f", mostFunctionLines + 1},
		fields: count{"f", mostFields + 1}, engines: []string{"a embeds b"}, drawing: drawing{up: make([]arrow, mostUp+1)},
	}
	if got := beyond(more); len(got) != 6 {
		t.Errorf("beyond each limit: %q, want six lines", got)
	}
	if more.path = "example.org/other"; len(beyond(more)) != 0 {
		t.Error("a package without limits is beyond one")
	}
}

// TestRun measures a module in which one package imports another. There is a test file, and in the
// end a type with a field too many.
func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fields := "\tF" + strings.Join(strings.Split("abcdefghijklmno", ""), ", F") + " int\n"
	write("go.mod", "module example.org/m\n\ngo 1.24.0\n")
	write("fetch/a.go", "package fetch\n\nimport \"example.org/m/leaf\"\n\ntype T struct {\n"+fields+"}\n\nfunc (T) Up() { leaf.F(); b() }\n")
	write("fetch/b.go", "package fetch\n\nfunc b() { T{}.Up() }\n")
	write("fetch/a_test.go", "package fetch\n\nfunc inTest() { b() }\n")
	write("leaf/leaf.go", "package leaf\n\nfunc F() {}\n")
	var out strings.Builder
	if within, err := run(dir, []string{"./..."}, "fetch", &out); err != nil || !within {
		t.Errorf("run() = %v, %v, want true: %s", within, err, &out)
	}
	for _, want := range []string{"example.org/m/fetch  2 ", "T 15", "up: b.go -> a.go: T Up\n", "example.org/m/leaf "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("run() prints\n%s, want %q", &out, want)
		}
	}
	out.Reset()
	if _, err := run(dir, []string{"./fetch"}, "", &out); err != nil || strings.Contains(out.String(), "leaf") {
		t.Errorf("run() of fetch alone = %v, want no package that it imports: %s", err, &out)
	}
	write("fetch/a.go", "package fetch\n\ntype T struct {\n\tmore int\n"+fields+"}\n\nfunc (T) Up() { b() }\n")
	out.Reset()
	if within, err := run(dir, []string{"./..."}, "", &out); err != nil || within || !strings.HasSuffix(out.String(), "\nfetch: T has 16 fields, 15 allowed\n") {
		t.Errorf("run() = %v, %v, want false for 16 fields: %s", within, err, &out)
	}
	write("fetch/b.go", "package fetch\n\nfunc b() { missing() }\n")
	if _, err := run(dir, []string{"./..."}, "", &out); err == nil {
		t.Error("run() of what does not compile succeeds, want an error")
	}
}
