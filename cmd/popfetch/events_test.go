package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// eventSchema returns the path of the schema. Programs that tests start have other working folders.
func eventSchema() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "docs", "popfetch-events.schema.json")
}

var compiledSchema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	return c.Compile(eventSchema())
})

// validate returns how a line differs from the schema.
func validate(line string) error {
	schema, err := compiledSchema()
	if err != nil {
		return err
	}
	object, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
	if err != nil {
		return err
	}
	return schema.Validate(object)
}

// checkEvent is called in each program that a test starts, for each line of JSON that it prints. If an
// event is not as the schema says, the program ends with status 70, and so its test fails.
func checkEvent(v any, line string) {
	switch v.(type) {
	case eventLine, programEvent:
	default:
		return
	}
	if err := validate(line); err != nil {
		panic(fmt.Sprintf("an event is not as its schema says: %s: %v", line, err))
	}
}

// TestEvents_fault shows that the schema refuses what is no event.
func TestEvents_fault(t *testing.T) {
	const good = `{"version":1,"time":"2026-11-30T08:15:00Z","account":"work","event":"marked","messages":1}`
	if err := validate(good); err != nil {
		t.Fatalf("%s: %v", good, err)
	}
	for _, change := range [][2]string{
		{`"version":1`, `"version":2`},
		{`"version":1,`, ``},
		{`08:15:00Z`, `08:15:00+01:00`},
		{`08:15`, `08:75`},
		{`"marked"`, `"market"`},
		{`"account":"work",`, ``},
		{`,"messages":1`, ``},
		{`"messages":1`, `"messages":-1`},
		{`"messages":1`, `"messages":1,"unique_id":"a b"`},
		{`"messages":1`, `"messages":1,"accounts":1`},
		{`"messages":1`, `"messages":1,"status":0`},
		{`"marked"`, `"stopped"`},
	} {
		line := strings.Replace(good, change[0], change[1], 1)
		if validate(line) == nil {
			t.Errorf("the schema takes %s", line)
		}
	}
	for _, line := range []string{
		`{"version":1,"time":"2026-11-30T08:15:00Z","event":"started","accounts":3}`,
		`{"version":1,"time":"2026-11-30T08:15:00Z","event":"reloaded","accounts":3}`,
		`{"version":1,"time":"2026-11-30T08:15:00Z","event":"stopped"}`,
	} {
		if err := validate(line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// The schema is read as plain JSON, too, to compare its words with the program's.
type schemaPart struct {
	Enum       []any
	Properties map[string]json.RawMessage
	If, Then   *schemaPart
	AllOf      []schemaPart
}

func readSchema(t *testing.T) *schemaPart {
	t.Helper()
	text, err := os.ReadFile(eventSchema())
	if err != nil {
		t.Fatal(err)
	}
	part := new(schemaPart)
	if err := json.Unmarshal(text, part); err != nil {
		t.Fatal(err)
	}
	return part
}

// words returns the enumeration of a property, or nothing.
func (s *schemaPart) words(property string) []string {
	var part schemaPart
	_ = json.Unmarshal(s.Properties[property], &part) // it fails for false, which has no words
	var words []string
	for _, word := range part.Enum {
		words = append(words, fmt.Sprint(word))
	}
	return words
}

// constants returns the values of the constants of a type, or with a prefix, in a file.
func constants(t *testing.T, file, prefix, ofType string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(parsed, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, prefix) {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == ofType {
			values = append(values, strings.Trim(spec.Values[0].(*ast.BasicLit).Value, `"`))
		}
		return true
	})
	return values
}

// TestEvents_words compares the schema with the program: events, codes of warnings, kinds, statuses
// and fields. So none can be forgotten.
func TestEvents_words(t *testing.T) {
	schema := readSchema(t)
	same := func(what string, schema, program []string) {
		t.Helper()
		slices.Sort(schema)
		slices.Sort(program)
		if !slices.Equal(schema, program) {
			t.Errorf("the schema has the %s\n%q, want\n%q", what, schema, program)
		}
	}
	kinds := append(constants(t, "../../fetch/event.go", "", "Kind"), "reloaded", "stopped")
	same("events", schema.words("event"), kinds)

	codes := slices.DeleteFunc(constants(t, "../../fetch/event.go", "Code", "Code"),
		func(code string) bool { return code == "login/held" }) // it is the code of an error
	var warnings []string
	for _, part := range schema.Then.AllOf {
		warnings = append(warnings, part.Then.words("code")...)
	}
	same("codes of warnings", warnings, codes)
	same("kinds", schema.words("kind"), slices.Collect(maps.Values(statusKinds)))
	statuses := []string{"0"}
	for status := range statusKinds {
		statuses = append(statuses, fmt.Sprint(status))
	}
	same("statuses", schema.words("status"), statuses)
	fields := append(jsonFields(reflect.TypeFor[eventLine]()), "version")
	for _, field := range jsonFields(reflect.TypeFor[programEvent]()) {
		if !slices.Contains(fields, field) {
			fields = append(fields, field)
		}
	}
	same("fields", slices.Collect(maps.Keys(schema.Properties)), fields)
}

// TestEvents_manual compares popfetch-events(5) with the schema, and validates the lines that it shows.
func TestEvents_manual(t *testing.T) {
	schema := readSchema(t)
	page := items(eventsPage(t), "Cm ")
	for _, event := range schema.words("event") {
		if !slices.Contains(page, "Cm "+event) {
			t.Errorf("popfetch-events(5) does not describe the event %s", event)
		}
	}
	for field := range schema.Properties {
		if !strings.Contains(eventsPage(t), "\n.Cm "+field) && !slices.Contains(page, "Cm "+field) {
			t.Errorf("popfetch-events(5) does not describe the field %s", field)
		}
	}
	shown := 0
	for line := range strings.Lines(manualPage(t, "popfetch-events.5", ".Sh EXAMPLES", ".Sh SEE ALSO")) {
		if strings.HasPrefix(line, "{") {
			shown++
			if err := validate(line); err != nil {
				t.Errorf("popfetch-events(5) shows %s: %v", line, err)
			}
		}
	}
	if shown == 0 {
		t.Error("popfetch-events(5) shows no line")
	}
}

// jsonFields returns the names of a struct's fields in JSON.
func jsonFields(line reflect.Type) []string {
	var names []string
	for _, field := range reflect.VisibleFields(line) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// TestEvents_met validates the golden files of TestJSON. They have each event of an account, and each
// field of one.
func TestEvents_met(t *testing.T) {
	schema := readSchema(t)
	files, err := filepath.Glob("testdata/json/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d golden files: %v", len(files), err)
	}
	events, fields := make(map[string]bool), make(map[string]bool)
	sample := strings.NewReplacer(`"time":TIME`, `"time":"2026-11-30T08:15:00Z"`, `"error":TEXT`, `"error":"text"`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			line = sample.Replace(line)
			var object map[string]any
			if !strings.Contains(line, `"event":`) || json.Unmarshal([]byte(line), &object) != nil {
				continue
			}
			if err := validate(line); err != nil {
				t.Errorf("%s: %s: %v", file, line, err)
			}
			events[object["event"].(string)] = true
			for field := range object {
				fields[field] = true
			}
		}
	}
	for _, event := range schema.words("event") {
		if !events[event] && event != "reloaded" && event != "stopped" { // those are of the program
			t.Errorf("no golden file has the event %s", event)
		}
	}
	for field := range schema.Properties {
		if !fields[field] && field != "accounts" {
			t.Errorf("no golden file has the field %s", field)
		}
	}
}
