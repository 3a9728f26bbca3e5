package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// setting is one key with its value.
type setting struct {
	value
	inherited bool // from [defaults]
}

// mistake returns err as a mistake of the setting.
func (s setting) mistake(err error) *Error { return s.at.mistake(err) }

// draft is a table while its settings are collected and checked. The result may be used only if
// errs is empty.
type draft[T any] struct {
	keys     table[T]
	result   *T
	settings map[string]setting // by key
	at       place
	meant    map[string]bool // keys that unknown ones seem to stand for; they are not missing
	errs     Errors
}

// newDraft returns a draft in which every key has its default.
func newDraft[T any](keys table[T], result *T, at place) *draft[T] {
	keys.reset(result)
	return &draft[T]{keys: keys, result: result, settings: map[string]setting{}, at: at}
}

// readInto fills result from a table of the document, and checks it. The error is an Errors.
func readInto[T any](keys table[T], result *T, raw map[string]any, at place) error {
	d := newDraft(keys, result, at)
	d.errs, d.meant = unknownKeys(keys, raw, at, nil), keys.meantIn(raw)
	d.override(settingsOf(keys, raw, at))
	d.finish()
	return d.errs.orNil()
}

// settingsOf returns the known keys of a table of the document.
func settingsOf[T any](keys table[T], raw map[string]any, at place) map[string]setting {
	settings := map[string]setting{}
	for i := range keys {
		r := &keys[i]
		written, found := raw[r.name]
		if !found {
			continue
		}
		settings[r.name] = setting{value: value{raw: written, folder: at.source.folder, at: at.key(r.name)}}
	}
	return settings
}

// unknownKeys reports the unknown keys of a table of the document. If elsewhere is set, it returns
// an error that says where the key belongs, or nil.
func unknownKeys[T any](keys table[T], raw map[string]any, at place, elsewhere func(key string) error) Errors {
	var errs Errors
	for _, key := range slices.Sorted(maps.Keys(raw)) {
		if _, known := keys.row(key); known {
			continue
		}
		err := unknownKey(keys.meant(key))
		if elsewhere != nil {
			if belongs := elsewhere(key); belongs != nil {
				err = belongs
			}
		}
		errs = append(errs, at.key(key).mistake(err))
	}
	return errs
}

// unknownKey returns the error for an unknown key. The error proposes the keys in near.
func unknownKey(near []string) error {
	if len(near) == 0 {
		return errors.New("is not a known key; remove it, or see popfetch.toml(5) for the keys")
	}
	return fmt.Errorf("is not a known key; write %s", strings.Join(near, " or "))
}

// inherit adds the settings of [defaults].
func (d *draft[T]) inherit(defaults map[string]setting) {
	for key, s := range defaults {
		s.inherited = true
		d.settings[key] = s
	}
}

// override replaces inherited settings by the table's own. One key of a group replaces all keys of
// the group.
func (d *draft[T]) override(own map[string]setting) {
	for key := range own {
		r, _ := d.keys.row(key)
		for _, other := range d.keys.others(r) {
			delete(d.settings, other)
		}
	}
	maps.Copy(d.settings, own)
}

// has reports whether the table has the key that fills the field at address.
func (d *draft[T]) has(address any) bool {
	_, found := d.settings[d.name(address)]
	return found
}

// name returns the key that fills the field at address.
func (d *draft[T]) name(address any) string {
	r, _ := d.keys.filling(d.result, address)
	return r.name
}

// named returns that key as it is written in the file or on the command line.
func (d *draft[T]) named(address any) string { return d.at.named(d.name(address)) }

// report adds a mistake of the key called name.
func (d *draft[T]) report(name string, err error) {
	var inner Errors
	if errors.As(err, &inner) {
		d.errs = append(d.errs, inner...)
		return
	}
	d.errs = append(d.errs, d.settings[name].mistake(err))
}

// apply stores each setting, and checks it alone.
func (d *draft[T]) apply() {
	for i := range d.keys {
		r := &d.keys[i]
		s, found := d.settings[r.name]
		if !found {
			continue
		}
		if err := r.field.set(d.result, s.value); err != nil {
			d.report(r.name, err)
		}
	}
}

// finish applies the settings, and checks them against each other.
func (d *draft[T]) finish() {
	d.apply()
	for i := range d.keys {
		d.require(&d.keys[i])
	}
	done := map[group]bool{0: true}
	for i := range d.keys {
		r := &d.keys[i]
		if !done[r.group] {
			d.atMostOne(d.keys.members(r.group))
			done[r.group] = true
		}
	}
	for i := range d.keys {
		r := &d.keys[i]
		if !d.written(r.name) {
			continue
		}
		if why := d.whyNeedless(r); why != "" {
			d.needless(r, why)
			continue
		}
		if r.check == nil {
			continue
		}
		if err := r.check(d); err != nil {
			d.report(r.name, err)
		}
	}
}

// require reports a missing key, unless another key of its group is written, or an unknown key seems
// to stand for one of them.
func (d *draft[T]) require(r *row[T]) {
	there := func(key string) bool { return d.written(key) || d.meant[key] }
	if r.example == "" || there(r.name) {
		return
	}
	others := d.keys.others(r)
	if slices.ContainsFunc(others, there) {
		return
	}
	at, err := d.at, fmt.Errorf("has no %s; write %s = %s", r.name, r.name, r.example)
	if !at.isFile() {
		at = at.key(r.name)
		err = fmt.Errorf("is missing; give %s %s", option(r.name), strings.Trim(r.example, `"`))
	}
	if others := d.proposed(r); len(others) > 0 {
		err = fmt.Errorf("%w, or %s", err, listed(others, "or"))
	}
	d.errs = append(d.errs, at.mistake(err))
}

// proposed returns the other keys of the group of r, as they are written in the same source.
func (d *draft[T]) proposed(r *row[T]) (names []string) {
	for _, member := range d.keys.members(r.group) {
		if member.name != r.name && (d.at.isFile() || member.usage != "") {
			names = append(names, d.at.named(member.name))
		}
	}
	return names
}

// written reports whether the key called name is written.
func (d *draft[T]) written(name string) bool {
	_, found := d.settings[name]
	return found
}

// atMostOne reports every second key of a group.
func (d *draft[T]) atMostOne(members []*row[T]) {
	var written []string
	for _, r := range members {
		if d.written(r.name) {
			written = append(written, r.name)
		}
	}
	slices.SortStableFunc(written, func(a, b string) int { return d.settings[a].at.line() - d.settings[b].at.line() })
	for _, name := range written[min(1, len(written)):] {
		d.report(name, fmt.Errorf("cannot be set together with %s; keep one of them", d.at.named(written[0])))
	}
}

// whyNeedless returns the reason why a key has no meaning in this table, or "".
func (d *draft[T]) whyNeedless(r *row[T]) string {
	for _, rule := range r.needless {
		if why := rule(d); why != "" {
			return why
		}
	}
	return ""
}

// needless handles a key that has no meaning because of another key. If the table has both, it
// reports a mistake. If the key comes from [defaults], the key is dropped and its field gets its
// default.
func (d *draft[T]) needless(r *row[T], why string) {
	if !d.settings[r.name].inherited {
		d.report(r.name, fmt.Errorf("%s; remove one of them", why))
		return
	}
	delete(d.settings, r.name)
	r.reset(d.result)
}
