package fetch_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each promise about a target names tests that exist.
func TestPromises(t *testing.T) {
	text, err := os.ReadFile("../docs/behaviour.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| Target | Promise | Tests |")
	table, _, _ = strings.Cut(table, "\n\n")
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		code.Write(text)
	}
	named := regexp.MustCompile(`Test[A-Za-z_]+`).FindAllString(table, -1)
	if len(named) < 10 {
		t.Fatalf("the table names only %q", named)
	}
	for _, name := range named {
		if !strings.Contains(code.String(), "\nfunc "+name+"(t *testing.T)") {
			t.Errorf("there is no test %s", name)
		}
	}
}
