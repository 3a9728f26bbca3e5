package pop3

import (
	"go/build"
	"os"
	"slices"
	"strings"
	"testing"
)

// The fifteen lines that go doc shows are those of the tested example, but for the address.
func TestDoc_lines(t *testing.T) {
	const begin, end = "c, err := pop3.Dial(", "check(c.Quit(ctx))"
	block := func(path, prefix string) []string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, text2, found := strings.Cut(string(text), prefix+"check(err)\n"+prefix+"check(c.User(")
		body, _, ended := strings.Cut(text2, end)
		if !found || !ended {
			t.Fatalf("%s lacks the lines", path)
		}
		lines := strings.Split(prefix+begin+"…)\n"+prefix+"check(err)\n"+prefix+"check(c.User("+body+end, "\n")
		for i := range lines {
			lines[i] = strings.TrimPrefix(lines[i], prefix)
		}
		return lines
	}
	doc, example := block("doc.go", "//\t"), block("example_test.go", "\t")
	equal(t, "the lines of go doc", strings.Join(doc, "\n"), strings.Join(example, "\n"))
	if len(doc) > 15 {
		t.Errorf("go doc shows %d lines, want 15 at most", len(doc))
	}
}

// The package imports what its documentation says, and no other module.
func TestDoc_imports(t *testing.T) {
	pkg, err := build.ImportDir(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	foreign := slices.DeleteFunc(pkg.Imports, func(path string) bool {
		first, _, _ := strings.Cut(path, "/")
		return !strings.Contains(first, ".") || strings.HasPrefix(path, "github.com/popfetch/popfetch/")
	})
	equal(t, "imports of other modules", strings.Join(foreign, " "), "golang.org/x/sys/unix")
}
