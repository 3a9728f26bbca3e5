package config

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
)

// These tests have tables of their own, because no account has a nested table. A box has a table, a
// list of tables, and a key that is a text or a table.

type box struct {
	Name  string
	User  string
	Lock  lock
	Rules []rule
	Keep  keep
}

type lock struct {
	Owner string
	Tries int
	Key   Secret
}

type rule struct {
	Header string
	To     []string
}

type keep struct {
	After time.Duration
	Above int64
}

var lockKeys = table[lock]{
	{name: "owner", example: `"me"`, field: fill(func(l *lock) *string { return &l.Owner }, text(value.printable)), aliases: []string{"holder"}},
	{name: "tries", preset: "3", field: fill(func(l *lock) *int { return &l.Tries }, count(9))},
	{name: "key", group: 1, field: fill(func(l *lock) *string { return &l.Key.Password }, text(value.printable)),
		secret: func(l *lock) []any { return []any{&l.Key.Command} }},
	{name: "key_command", group: 1, field: fill(func(l *lock) *string { return &l.Key.Command }, text(value.command)),
		needless: []func(*draft[lock]) string{func(d *draft[lock]) string {
			if d.result.Owner != "nobody" {
				return ""
			}
			return "is not used where " + d.named(&d.result.Owner) + " is nobody"
		}}},
}

var ruleKeys = table[rule]{
	{name: "header", example: `"List-Id"`, field: fill(func(r *rule) *string { return &r.Header }, text(value.printable))},
	{name: "to", field: fill(func(r *rule) *[]string { return &r.To }, kind[[]string]{value.list, quoteList})},
}

var keepKeys = table[keep]{
	{name: "after", field: fill(func(k *keep) *time.Duration { return &k.After }, durationOr("never"))},
	{name: "above", field: fill(func(k *keep) *int64 { return &k.Above }, sizeOrNone)},
}

var boxKeys = table[box]{
	{name: "user", preset: "root", field: fill(func(b *box) *string { return &b.User }, text(value.printable))},
	{name: "lock", field: fillTable(func(b *box) *lock { return &b.Lock }, lockKeys)},
	{name: "rule", field: fillTables(func(b *box) *[]rule { return &b.Rules }, ruleKeys)},
	{name: "keep", field: orTable(func(b *box) *keep { return &b.Keep }, kind[keep]{
		func(v value) (keep, error) { after, err := v.durationOr("never"); return keep{After: after}, err },
		func(k keep) string { return quote(timeText(k.After, "never")) },
	}, keepKeys, func(k keep) bool { return k.Above == 0 })},
}

// readBoxes reads the tables [box.NAME] of a document, as readNamed does for accounts.
func readBoxes(t *testing.T, document, defaults string) ([]box, *reader) {
	t.Helper()
	decode := func(text string) (raw map[string]any) {
		if _, err := toml.Decode(text, &raw); err != nil {
			t.Fatal(err)
		}
		return raw
	}
	index := indexLines(document)
	r := &reader{index: index, top: place{source: &source{file: "f", folder: "/etc", lines: index.lines()}}}
	inherited := settingsOf(boxKeys, decode(defaults), r.top.key("defaults"))
	boxes := readNamed(r, decode(document), "box", boxKeys, inherited, nil, func(b *box, name string) { b.Name = name })
	return boxes, r
}

func TestNested(t *testing.T) {
	const document = `
[box.a]
keep = "never"
[box.a.lock]
owner = "me"
key = "hunter2"
[[box.a.rule]]
header = "List-Id"
to = ["x", "y"]
[[box.a.rule]]
header = "To"
[box.b]
user = "u"
rule = [{header = "Cc"}]
keep.above = "1K"
[box.c]
lock = {owner = "nobody", tries = 2}
keep = "1d"
`
	want := []box{
		{Name: "a", User: "root", Lock: lock{Owner: "me", Tries: 3, Key: Secret{Password: "hunter2"}},
			Rules: []rule{{Header: "List-Id", To: []string{"x", "y"}}, {Header: "To"}}},
		{Name: "b", User: "u", Lock: lock{Owner: "all", Tries: 3}, Rules: []rule{{Header: "Cc"}}, Keep: keep{Above: 1024}},
		{Name: "c", User: "root", Lock: lock{Owner: "nobody", Tries: 2}, Keep: keep{After: 24 * time.Hour}},
	}
	got, r := readBoxes(t, document, "lock = {owner = 'all'}\nkeep = '2d'")
	if len(r.errs) > 0 {
		t.Fatal(r.errs)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v\nwant %+v", got, want)
	}
	if got := boxKeys.secrets(); !reflect.DeepEqual(got, map[string][]string{"lock.key": {"key_command"}}) {
		t.Errorf("secrets() = %v, want lock.key", got)
	}
	if got, want := strings.Join(boxKeys.known(), " "),
		"user lock lock.owner lock.tries lock.key lock.key_command rule rule.header rule.to keep keep.after keep.above"; got != want {
		t.Errorf("known() = %s, want %s", got, want)
	}
}

// TestNested_mistakes has every kind of mistake within a table.
func TestNested_mistakes(t *testing.T) {
	const document = `
[box.a]
rule = 1
keep = {after = "x", abov = 1}
[box.a.lock]
holder = "me"
key = "hunter2"
key_command = "x"
[box.b]
lock = "x"
rule = [1]
keep = 5
[[box.c.rule]]
header = "To"
[[box.c.rule]]
to = ["x"]
[[box.c.rule]]
header = ""
[box.c.lock]
owner = "nobody"
key_command = "x"
[box.d]
rule = [{header = "x"}, {
 to = "y"}]
[box]
lid = 1
`
	const want = `f:3: box.a.rule: is a number; write [[box.a.rule]] on a line of its own and the keys below it
f:4: box.a.keep.abov: is not a known key; write above
f:4: box.a.keep.after: "x" is no time; write a number with its unit s, m, h, d or w, such as "60s" or "30d", or "never"
f:6: box.a.lock.holder: is not a known key; write owner
f:8: box.a.lock.key_command: cannot be set together with key; keep one of them
f:10: box.b.lock: is text; write [box.b.lock] on a line of its own and the keys below it
f:11: box.b.rule: is a list; write [[box.b.rule]] on a line of its own and the keys below it
f:12: box.b.keep: is a number; write a number with its unit s, m, h, d or w, such as "60s" or "30d", or "never"
f:15: box.c.rule: has no header; write header = "List-Id"
f:18: box.c.rule.header: is empty; write a value or remove the key
f:21: box.c.lock.key_command: is not used where owner is nobody; remove one of them
f:24: box.d.rule: has no header; write header = "List-Id"
f:26: box.lid: is outside of a box; write [box.NAME] with a name above it`
	_, r := readBoxes(t, document, "")
	if got := r.errs.tidy().Error(); got != want {
		t.Errorf("reports\n%s\nwant\n%s", got, want)
	}
}

// TestNested_written reads back what Write has written, and checks that secrets are masked.
func TestNested_written(t *testing.T) {
	want := box{
		Name: "a", User: "u", Lock: lock{Owner: "me", Tries: 2, Key: Secret{Password: "hunter2"}},
		Rules: []rule{{Header: "a\"", To: []string{"x"}}, {Header: "b", To: []string{"y", "z"}}}, Keep: keep{After: time.Hour, Above: 5},
	}
	text := "[box.a]\n" + strings.Join(assignments(boxKeys, &want), "\n")
	const written = `[box.a]
user = "u"
lock = {owner = "me", tries = 2, key = "***"}
rule = [
  {header = "a\"", to = ["x"]},
  {header = "b", to = ["y", "z"]},
]
keep = {after = "1h", above = 5}`
	if text != written {
		t.Errorf("written is\n%s\nwant\n%s", text, written)
	}
	got, r := readBoxes(t, text, "")
	want.Lock.Key.Password = "***"
	if len(r.errs) > 0 || len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("read back: %+v, %v, want %+v", got, r.errs, want)
	}
	none := box{Name: "a", User: "u"}
	if got, want := strings.Join(assignments(boxKeys, &none), "; "), `user = "u"; keep = "never"`; got != want {
		t.Errorf("without tables %s is written, want %s", got, want)
	}
}

// TestNested_place looks for the keys of fields within tables.
func TestNested_place(t *testing.T) {
	boxes, r := readBoxes(t, "[box.a]\nkeep.above = 1\n[box.a.lock]\nowner = 'x'\n[[box.a.rule]]\nheader = 'x'\n[[box.a.rule]]\nheader = 'y'\n", "")
	b := &boxes[0]
	for want, address := range map[string]any{
		"f:4: box.a.lock.owner: x": &b.Lock.Owner, "f:8: box.a.rule.header: x": &b.Rules[1].Header,
		"f:2: box.a.keep.above: x": &b.Keep.Above, "f:5: box.a.rule: x": &b.Rules,
	} {
		at, found := boxKeys.place(b, address, r.top.key("box", "a"))
		if got := at.mistake(errors.New("x")).Error(); got != want || !found {
			t.Errorf("place() = %s, %v, want %s", got, found, want)
		}
	}
	if at, found := boxKeys.place(b, new(string), r.top.key("box", "a")); found {
		t.Errorf("place() of a foreign field = %v, want none", at)
	}
}

// TestLoad_unbuilt loads tables that popfetch does not know. They are mistakes.
func TestLoad_unbuilt(t *testing.T) {
	home(t)
	for _, table := range []string{"[[account.work.filters]]\nheader = 'x'", "[targets.x]\nmaildir = '/m'"} {
		path := writeConfig(t, twoAccounts+table+"\n")
		_, err := Load(path)
		var mistakes Errors
		if !errors.As(err, &mistakes) || len(mistakes) != 1 || mistakes[0].Line != 10 {
			t.Errorf("Load() with %s = %v, want one mistake in line 10", table, err)
		}
		_ = os.Remove(path)
	}
}
