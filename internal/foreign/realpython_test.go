package foreign

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os/exec"
	"reflect"
	"strings"
	"testing"
)

// askPython runs a program of Python on a list of texts. The program has them in texts, and leaves
// its answers in answers.
func askPython(t *testing.T, program string, texts []string, answers any) {
	t.Helper()
	python := realProgram(t, "python3")
	input, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(python, "-W", "ignore", "-c",
		"import json, sys\ntexts = json.load(sys.stdin)\nanswers = []\n"+program+
			"\njson.dump(answers, sys.stdout)\n")
	command.Stdin = bytes.NewReader(input)
	output, err := command.Output()
	if err != nil {
		t.Fatalf("python3: %v", err)
	}
	if err := json.Unmarshal(output, answers); err != nil {
		t.Fatal(err)
	}
}

// TestParseTuple_python compares tuples of strings with what Python makes of them. What only Python
// takes, such as sums of strings, may be an error here.
func TestParseTuple_python(t *testing.T) {
	draw := rand.New(rand.NewPCG(15, 3)) // the same texts in each run
	pick := func(words ...string) string { return words[draw.IntN(len(words))] }
	texts := []string{"()", "(,)", `("a")`, `("a",)`, `("a" "b",)`, `(r"\"", 'x')`,
		"('''a\nb''', )", `("\u00e9",)`}
	for range 3000 {
		var b strings.Builder
		b.WriteString(pick("(", " (", "(\n"))
		for range draw.IntN(4) {
			b.WriteString(pick("", "", "r", "R", "u") + pick(`"`, `'`, `"""`))
			for range draw.IntN(4) {
				b.WriteString(pick("a", "b c", `\n`, `\\`, `\'`, `\"`, `\x41`, `\101`, `\q`, "é",
					"#", "$H", "%(s)", `\8`, `\u0041`, "\\\n", `\0`))
			}
			b.WriteString(pick(`"`, `'`, `"""`) + pick(",", ", ", "", " # x\n,", "\n"))
		}
		texts = append(texts, b.String()+pick(")", ") ", ",)"))
	}
	var answers []*[]string
	askPython(t, `
for text in texts:
    answer = None
    try:
        value = eval(text.strip())
        if type(value) == tuple and all(type(part) == str for part in value):
            answer = value
    except (SyntaxError, ValueError, TypeError):
        pass
    answers.append(answer)`, texts, &answers)
	valid := 0
	for i, text := range texts {
		got, err := parseTuple(text)
		switch want := answers[i]; {
		case want == nil && err == nil:
			t.Errorf("parseTuple(%q) = %q, which Python refuses", text, got)
		case want == nil:
		case err != nil:
			t.Errorf("parseTuple(%q): %v; Python reads %q", text, err, *want)
		case len(got) != len(*want) || len(got) > 0 && !reflect.DeepEqual(got, *want):
			t.Errorf("parseTuple(%q) = %q, Python reads %q", text, got, *want)
		default:
			valid++
		}
	}
	if valid < 200 {
		t.Errorf("only %d texts were valid", valid)
	}
}

// TestParseIni_python compares ini files with what Python's RawConfigParser reads.
func TestParseIni_python(t *testing.T) {
	draw := rand.New(rand.NewPCG(15, 4)) // the same texts in each run
	pick := func(words ...string) string { return words[draw.IntN(len(words))] }
	var texts []string
	for range 2000 {
		var b strings.Builder
		b.WriteString(pick("", "# comment\n", "\n") + "[one]\n")
		for range draw.IntN(8) {
			b.WriteString(pick("a = b\n", "C: d\n", "e=\n", "  f\n", "\n", "  # x\n", "; y\n", "[two]\n",
				" [three]\n", "g = h # i\n", "\tj\n", "k = l = m\n", "n\n", "   o = p\n", "q : r\r\n",
				"a = s\n", "[ four ]\n", "= t\n", "[one]\n", "[]\n", "u = (\n  'v',\n  'w')\n"))
		}
		texts = append(texts, b.String())
	}
	var answers []*map[string]map[string]string
	askPython(t, `
import configparser
for text in texts:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
        answers.append({name: dict(parser.items(name)) for name in parser.sections()})
    except configparser.Error:
        answers.append(None)`, texts, &answers)
	valid := 0
	for i, text := range texts {
		file, line, err := parseIni(text)
		want := answers[i]
		if (err == nil) != (want != nil) {
			t.Fatalf("line %d: %v, Python reads %v, of:\n%s", line, err, want, text)
		}
		if err != nil {
			continue
		}
		valid++
		got := map[string]map[string]string{}
		for _, s := range file.sections {
			got[s.name] = map[string]string{}
			for name, value := range s.options {
				got[s.name][name] = value.text
			}
		}
		if !reflect.DeepEqual(got, *want) {
			t.Fatalf("read %q, Python reads %q, of:\n%s", got, *want, text)
		}
	}
	if valid < 200 {
		t.Errorf("only %d texts were valid", valid)
	}
}
