package main

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/internal/foreign"
)

// TestManual_import compares popfetch-import(1) with the programs, the formats and the fields of JSON
// that there are.
func TestManual_import(t *testing.T) {
	page, err := os.ReadFile("../../man/popfetch-import.1")
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	if want := ".Cm " + strings.Join(foreign.Programs(), " | ") + "\n"; !strings.Contains(text, want) {
		t.Errorf("the page does not name the programs %s", want)
	}
	for _, program := range foreign.Programs() {
		heading := strings.Replace(program, "thunderbird", "Thunderbird", 1)
		if !strings.Contains(text, "\n.It "+program+"\n") || !strings.Contains(text, "\n.Ss "+heading+"\n") {
			t.Errorf("the page does not tell which files of %s are read, or what becomes of them", program)
		}
	}
	for program, forms := range exportForms {
		for _, form := range forms {
			if !strings.Contains(text, "\n.It Cm "+form.name+"\n") {
				t.Errorf("the page does not tell the format %s of %s", form.name, program)
			}
		}
	}
	_, part, _ := strings.Cut(text, "\n.It Fl -json\n")
	part, _, _ = strings.Cut(part, "\n.El\n")
	var told, want []string
	for _, match := range regexp.MustCompile(`(?m)^\.Cm (\w+)`).FindAllStringSubmatch(part, -1) {
		told = append(told, match[1])
	}
	for _, line := range []reflect.Type{reflect.TypeFor[imported](), reflect.TypeFor[notImported]()} {
		for _, field := range reflect.VisibleFields(line) {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			want = append(want, name)
		}
	}
	slices.Sort(told)
	if slices.Sort(want); !slices.Equal(told, want) {
		t.Errorf("the page tells the fields %q, want %q", told, want)
	}
}
