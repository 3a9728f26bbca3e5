package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// kind says which values a key accepts. It has a function that reads a value, and one that writes
// it as TOML. A value that is written as "" is left out.
type kind[V any] struct {
	read  func(value) (V, error)
	write func(V) string
}

// field is the field of a T that a key fills.
type field[T any] struct {
	address func(*T) any
	clear   func(*T)
	set     func(*T, value) error // its error is an Errors if the mistakes are within a table
	toml    func(*T) string

	// These are set for a nested table: its keys, its secrets, and the place of a field within it.
	inner   []string
	secrets map[string][]string
	search  func(t *T, address any, at place) (place, bool)
}

// fill returns the field at the address that at returns, for values of kind k.
func fill[T, V any](at func(*T) *V, k kind[V]) field[T] {
	return field[T]{
		address: func(t *T) any { return at(t) },
		clear:   func(t *T) { *at(t) = *new(V) },
		set: func(t *T, v value) (err error) {
			*at(t), err = k.read(v)
			return err
		},
		toml: func(t *T) string { return k.write(*at(t)) },
	}
}

// The kinds of single values.

// text is a text. The function read checks it.
func text(read func(value) (string, error)) kind[string] {
	return kind[string]{read, quoteSome}
}

// oneOf is one of words.
func oneOf(words ...string) kind[string] {
	return text(func(v value) (string, error) { return v.oneOf(words...) })
}

// pins are the fingerprints of certificates.
var pins = kind[[]string]{value.fingerprints, quoteListSome}

// mechanisms are the ways to log in. An empty list means "auto".
var mechanisms = kind[[]string]{value.mechanisms, func(list []string) string {
	if len(list) == 0 {
		return quote("auto")
	}
	return quoteList(list)
}}

// duration is a time.
var duration = kind[time.Duration]{
	func(v value) (time.Duration, error) { return v.duration() },
	func(d time.Duration) string { return quoteSome(timeText(d, "")) },
}

// durationOr is a time. The word none stands for 0.
func durationOr(none string) kind[time.Duration] {
	return kind[time.Duration]{
		func(v value) (time.Duration, error) { return v.durationOr(none) },
		func(d time.Duration) string { return quote(timeText(d, none)) },
	}
}

// count is a number from 1 to most.
func count(most int64) kind[int] {
	return kind[int]{func(v value) (int, error) { return v.count(most) }, strconv.Itoa}
}

// sizeOrNone is a number of octets. The word "none" stands for 0.
var sizeOrNone = kind[int64]{
	func(v value) (int64, error) { return v.orNone(v.octets) },
	func(n int64) string {
		if n == 0 {
			return quote("none")
		}
		return strconv.FormatInt(n, 10)
	},
}

// boolean is true or false.
var boolean = kind[bool]{value.boolean, strconv.FormatBool}

// minVersion is a version of TLS. The usual one is left out.
var minVersion = text(func(v value) (string, error) {
	s, err := v.oneOf("1.2", "1.3")
	if s == "1.2" {
		s = ""
	}
	return s, err
})

// allowance is true, or it is left out.
var allowance = kind[bool]{value.boolean, func(allowed bool) string {
	if !allowed {
		return ""
	}
	return "true"
}}

// deletion is the time when a delivered message is deleted.
var deletion = kind[Delete]{value.deletePolicy, func(d Delete) string { return quote(d.String()) }}

// deleteKeys are the keys of delete as a table. The key after fills all fields but those of the keys
// behind it.
var deleteKeys = table[Delete]{
	{
		name: "after",
		field: fill(func(d *Delete) *Delete { return d }, kind[Delete]{value.deletionRule, func(d Delete) string {
			if !d.Enabled {
				return ""
			}
			return quote(d.String())
		}}),
		aliases: []string{"delete_after", "age"},
	},
	{
		name:    "larger_than",
		field:   fill(func(d *Delete) *int64 { return &d.LargerThan }, kind[int64]{value.octets, numberIfSet}),
		aliases: []string{"bigger_than", "delete_bigger_than"},
	},
	{
		name:    "keep_newest",
		field:   fill(func(d *Delete) *int { return &d.KeepNewest }, countIfSet(1_000_000_000)),
		aliases: []string{"keep", "newest"},
	},
	{
		name:  "removed",
		field: fill(func(d *Delete) *bool { return &d.Removed }, allowance),
	},
	{
		name:  "imported",
		field: fill(func(d *Delete) *bool { return &d.Imported }, allowance),
	},
	{
		name:  "verify",
		field: fill(func(d *Delete) *bool { return &d.Verify }, allowance),
	},
}

// isPlain reports whether the value needs no table.
func (d Delete) isPlain() bool { return d == Delete{Enabled: d.Enabled, After: d.After} }

// deletesSomething checks that a table of rules has one that deletes.
func deletesSomething(d *draft[Account]) error {
	rules := d.result.Delete
	if _, isTable := d.settings[d.name(&d.result.Delete)].raw.(map[string]any); !isTable || rules.Deletes() {
		return nil
	}
	var names []string
	for _, address := range []any{&rules, &rules.LargerThan, &rules.Removed} {
		r, _ := deleteKeys.filling(&rules, address)
		names = append(names, r.name)
	}
	return fmt.Errorf("has no rule that deletes; write %s into it", listed(names, "or"))
}

// numberIfSet is a number, or "" for 0.
func numberIfSet(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// oldest is how old the oldest message is that is fetched.
var oldest = kind[Since]{value.since, func(s Since) string { return quote(s.String()) }}

// firstRun says which messages a first run fetches.
var firstRun = kind[Initial]{value.initial, func(i Initial) string { return quote(i.String()) }}

// The kinds of tables within a table follow. Each nested table has rows of its own.

// fillTable returns the field of a key whose value is one table.
func fillTable[T, V any](at func(*T) *V, keys table[V]) field[T] {
	return field[T]{
		address: func(t *T) any { return at(t) },
		clear:   func(t *T) { *at(t) = *new(V) },
		set: func(t *T, v value) error {
			raw, isTable := v.raw.(map[string]any)
			if !isTable {
				return fmt.Errorf("is %s; write [%s] on a line of its own and the keys below it", typeName(v.raw), dotted(v.at.path...))
			}
			return readInto(keys, at(t), raw, v.at)
		},
		toml:    func(t *T) string { return inline(keys, at(t)) },
		inner:   keys.known(),
		secrets: keys.secrets(),
		search: func(t *T, address any, within place) (place, bool) {
			return keys.place(at(t), address, within)
		},
	}
}

// fillTables returns the field of a key whose value is a list of tables. Each of them is written
// below a header [[...]] of its own.
func fillTables[T, V any](at func(*T) *[]V, keys table[V]) field[T] {
	return field[T]{
		address: func(t *T) any { return at(t) },
		clear:   func(t *T) { *at(t) = nil },
		set: func(t *T, v value) error {
			list, isList := tablesOf(v.raw)
			if !isList {
				return fmt.Errorf("is %s; write [[%s]] on a line of its own and the keys below it", typeName(v.raw), dotted(v.at.path...))
			}
			var errs Errors
			*at(t) = make([]V, len(list))
			for i, raw := range list {
				var inner Errors
				if errors.As(readInto(keys, &(*at(t))[i], raw, v.at.element(i+1)), &inner) {
					errs = append(errs, inner...)
				}
			}
			return errs.orNil()
		},
		toml: func(t *T) string {
			var elements []string
			for i := range *at(t) {
				elements = append(elements, "\n  "+inline(keys, &(*at(t))[i])+",")
			}
			if elements == nil {
				return ""
			}
			return "[" + strings.Join(elements, "") + "\n]"
		},
		inner:   keys.known(),
		secrets: keys.secrets(),
		search: func(t *T, address any, within place) (place, bool) {
			for i := range *at(t) {
				if found, ok := keys.place(&(*at(t))[i], address, within.element(i+1)); ok {
					return found, true
				}
			}
			return within, false
		},
	}
}

// orTable returns the field of a key whose value is of kind k or a table. Both fill the same V.
// isPlain reports whether k can write a V.
func orTable[T, V any](at func(*T) *V, k kind[V], keys table[V], isPlain func(V) bool) field[T] {
	plain, nested := fill(at, k), fillTable(at, keys)
	either := nested
	either.set = func(t *T, v value) error {
		if _, isTable := v.raw.(map[string]any); isTable {
			return nested.set(t, v)
		}
		return plain.set(t, v)
	}
	either.toml = func(t *T) string {
		if isPlain(*at(t)) {
			return plain.toml(t)
		}
		return nested.toml(t)
	}
	return either
}

// tablesOf returns a list of tables as the TOML package decodes it. The tables may be written below
// headers, or as a list in one value.
func tablesOf(raw any) (_ []map[string]any, isList bool) {
	if tables, ok := raw.([]map[string]any); ok {
		return tables, true
	}
	list, ok := raw.([]any)
	if !ok {
		return nil, false
	}
	var tables []map[string]any
	for _, element := range list {
		inner, isTable := element.(map[string]any)
		if !isTable {
			return nil, false
		}
		tables = append(tables, inner)
	}
	return tables, true
}
