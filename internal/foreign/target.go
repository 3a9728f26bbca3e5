package foreign

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// The keys whose values name targets.
const (
	deliverKey = "deliver"
	routeKey   = "route"
)

// place is where mail goes: the keys of popfetch for one target. Nil is none.
type place []Setting

// reject notes that no target of popfetch is like this one, and proposes a Maildir.
func (d *draft) reject(line int, what, why, instead string) {
	d.set("maildir", "~/Maildir")
	proposal := `maildir = "~/Maildir" is a proposal`
	if instead != "" {
		proposal += "; " + instead
	}
	d.note(line, what, why, proposal)
}

// deliver sends the account's mail to one place.
func (d *draft) deliver(to place) {
	for _, s := range to {
		d.set(s.Key, s.Value)
	}
}

// target adds a target and returns its name, which Found.nameTargets changes later. Two targets of
// the same keys are one.
func (d *draft) target(name string, to place) string {
	name = targetName(name)
	wanted := name
	for n := 2; ; n++ {
		i := slices.IndexFunc(d.Targets, func(t Target) bool { return t.Name == name })
		if i < 0 {
			d.Targets = append(d.Targets, Target{name, to})
			return name
		}
		if fmt.Sprint(d.Targets[i].Settings) == fmt.Sprint([]Setting(to)) {
			return name
		}
		name = fmt.Sprintf("%s-%d", wanted, n)
	}
}

// targetName returns a name without what is awkward in one.
func targetName(name string) string {
	name = strings.Trim(awkward.ReplaceAllString(name, "-"), "-")
	if name == "" {
		return "mail"
	}
	return name
}

// awkward matches what a target's name does not have here.
var awkward = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// route adds a route to targets.
func (d *draft) route(condition Setting, to ...string) {
	routes, _ := d.values[routeKey].([][]Setting)
	d.set(routeKey, append(routes, []Setting{condition, {deliverKey, to}}))
}

// nameTargets puts the name of its account before the name of each target, since all accounts share
// the names of targets.
func (f *Found) nameTargets() {
	taken := map[string]bool{}
	for i := range f.Accounts {
		a := &f.Accounts[i]
		names := map[string]string{}
		for k := range a.Targets {
			old := a.Targets[k].Name
			name := a.Name + "-" + old
			for n := 2; taken[name]; n++ {
				name = fmt.Sprintf("%s-%s-%d", a.Name, old, n)
			}
			taken[name], names[old] = true, name
			a.Targets[k].Name = name
		}
		for k := range a.Settings {
			rename(a.Settings[k], names)
		}
	}
}

// rename changes the names of targets in a setting.
func rename(s Setting, names map[string]string) {
	switch value := s.Value.(type) {
	case []string:
		if s.Key != deliverKey {
			return
		}
		for i := range value {
			value[i] = names[value[i]]
		}
	case [][]Setting:
		for _, table := range value {
			for _, each := range table {
				rename(each, names)
			}
		}
	}
}

// unfit matches what the path of a Maildir or an mbox cannot have: variables of the environment,
// which popfetch does not replace, and braces, which it does.
var unfit = regexp.MustCompile(`\$(\w+|\{\w+\})|\{[^{}]*\}`)

// unfitPath reports whether a place has a path that popfetch would not take as it is.
func (to place) unfitPath() bool {
	return slices.ContainsFunc(to, func(s Setting) bool {
		path, isText := s.Value.(string)
		return isText && (s.Key == "maildir" || s.Key == "mbox") && unfit.MatchString(path)
	})
}

// pathWhy is the reason of a path that is not taken over.
const pathWhy = "there is a variable without a value, or there are braces"
