package config

import (
	"slices"
	"strings"
)

// row is one key of a table of the configuration. It says everything that popfetch knows of the
// key: the values that may be written, the default, the keys that it excludes, and its option of
// the command line. The struct T holds the values of the table.
type row[T any] struct {
	name    string
	field   field[T] // the field that the key fills, and the values that may be written
	preset  string   // the default as written in the file; "" means the zero value
	example string   // a proposed value if the key is missing; "" means that it may be missing
	group   group    // a table has at most one key of this group; 0 means none

	// secret is set for a value that nobody may see. It returns the addresses of fields that are
	// safer to fill.
	secret func(*T) []any
	// hasSecret, if set, reports whether a value as it is written has a secret as a part. The kind of
	// the value masks that part.
	hasSecret func(raw any) bool
	// means, if set, reports whether the key has a meaning in a table. Otherwise the configuration in
	// force does not show it.
	means func(*T) bool
	// needless returns the reason why the key has no meaning in this table, or "".
	needless []func(*draft[T]) string
	// check checks the value against the values of other keys.
	check func(*draft[T]) error

	usage   string   // text of the option, with the name of its value in `quotes`; "" means no option
	short   string   // the letter of the option, or ""
	number  bool     // the option takes a number
	aliases []string // names of the key in other programs
	instead string   // what to write instead of an alias, with KEY for the name; "": only that
}

// group is a set of keys. A table has at most one key of it. If a key of the group has an example,
// a table has exactly one.
type group int

// table lists the keys of a table, in the order in which they are described.
type table[T any] []row[T]

// names returns the names of the keys.
func (keys table[T]) names() []string {
	var names []string
	for _, r := range keys {
		names = append(names, r.name)
	}
	return names
}

// known returns the names of all keys. A key of a nested table has the name of the table before it:
// "oauth.client_id".
func (keys table[T]) known() []string {
	var names []string
	for _, r := range keys {
		names = append(names, r.name)
		for _, inner := range r.field.inner {
			names = append(names, r.name+"."+inner)
		}
	}
	return names
}

// secrets returns the keys to write instead of each secret. They are listed by the names that known
// returns.
func (keys table[T]) secrets() map[string][]string {
	secrets := map[string][]string{}
	for i := range keys {
		r := &keys[i]
		if r.secret != nil {
			secrets[r.name] = keys.instead(r)
		}
		for inner, instead := range r.field.secrets {
			secrets[r.name+"."+inner] = instead
		}
	}
	return secrets
}

// instead returns the keys to write instead of a secret.
func (keys table[T]) instead(secret *row[T]) []string {
	var names []string
	var t T
	for _, address := range secret.secret(&t) {
		r, _ := keys.filling(&t, address)
		names = append(names, r.name)
	}
	return names
}

// row returns the row of the key called name.
func (keys table[T]) row(name string) (_ *row[T], found bool) {
	for i := range keys {
		if keys[i].name == name {
			return &keys[i], true
		}
	}
	return &row[T]{}, false
}

// filling returns the row that fills the field of t at address.
func (keys table[T]) filling(t *T, address any) (_ *row[T], found bool) {
	for i := range keys {
		if keys[i].field.address(t) == address {
			return &keys[i], true
		}
	}
	return &row[T]{}, false
}

// place returns the place of the key that fills the field of t at address. The key may be in a
// nested table. The place of t itself is within. It is returned if there is no such field.
func (keys table[T]) place(t *T, address any, within place) (_ place, found bool) {
	if r, found := keys.filling(t, address); found {
		return within.key(r.name), true
	}
	for _, r := range keys {
		if r.field.search == nil {
			continue
		}
		if inner, found := r.field.search(t, address, within.key(r.name)); found {
			return inner, true
		}
	}
	return within, false
}

// members returns the rows of a group.
func (keys table[T]) members(g group) []*row[T] {
	if g == 0 {
		return nil
	}
	var members []*row[T]
	for i := range keys {
		if keys[i].group == g {
			members = append(members, &keys[i])
		}
	}
	return members
}

// others returns the names of the keys that may be written instead of r.
func (keys table[T]) others(r *row[T]) []string {
	var names []string
	for _, member := range keys.members(r.group) {
		if member.name != r.name {
			names = append(names, member.name)
		}
	}
	return names
}

// required returns the keys that must be written: "server, user and maildir (or mbox, or mda)".
func (keys table[T]) required() string {
	var names []string
	for i := range keys {
		if r := &keys[i]; r.example != "" {
			name := r.name
			if others := keys.others(r); len(others) > 0 {
				name += " (or " + listed(others, "or") + ")"
			}
			names = append(names, name)
		}
	}
	return listed(names, "and")
}

// listed returns words as "a, b and c".
func listed(words []string, and string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " " + and + " " + words[last]
}

// meant returns the keys that may be meant by word.
func (keys table[T]) meant(word string) []string {
	for _, r := range keys {
		if slices.Contains(r.aliases, word) {
			return []string{r.name}
		}
	}
	return Nearest(word, keys.names())
}

// meantIn returns the keys that the unknown ones of a table may stand for.
func (keys table[T]) meantIn(raw map[string]any) map[string]bool {
	meant := map[string]bool{}
	for word := range raw {
		if _, known := keys.row(word); known {
			continue
		}
		for _, name := range keys.meant(word) {
			meant[name] = true
		}
	}
	return meant
}

// mend says what to write instead of an alias of a row.
func (keys table[T]) mend(r *row[T]) string {
	if r.instead != "" {
		return strings.ReplaceAll(r.instead, "KEY", r.name)
	}
	names := []string{r.name}
	if r.group == passwordGroup {
		names = append(names, keys.others(r)...)
	}
	return "write " + listed(names, "or")
}

// reset sets every field of t to its default.
func (keys table[T]) reset(t *T) {
	for i := range keys {
		keys[i].reset(t)
	}
}

// reset sets the field of the key to its default.
func (r *row[T]) reset(t *T) {
	r.field.clear(t)
	if r.preset != "" {
		_ = r.field.set(t, value{raw: r.preset, option: true}) // cannot fail: TestRow_preset sets every default
	}
}

// toml returns the value of the key in t as TOML. It returns "" if the key is to be left out. A
// secret is masked.
func (r *row[T]) toml(t *T) string {
	text := r.field.toml(t)
	if text != "" && r.secret != nil {
		return quote("***")
	}
	return text
}
