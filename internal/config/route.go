package config

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
)

// The groups of a route: it has one condition, and a header is compared in one way.
const (
	conditionGroup group = iota + 1
	comparisonGroup
)

// routeKeys are the keys of a table [[account.NAME.route]].
var routeKeys = table[Route]{
	{
		name: "header", group: conditionGroup, example: `"List-Id"`,
		field: fill(func(r *Route) *[]string { return &r.Header }, fieldNames),
		check: headerIsCompared,
	},
	{
		name: "recipient", group: conditionGroup,
		field: fill(func(r *Route) *[]string { return &r.Recipient }, globs),
	},
	{
		name: "match", group: comparisonGroup, needless: []func(*draft[Route]) string{besideRecipient},
		field:   fill(func(r *Route) *string { return &r.Match }, text(value.expression)),
		aliases: []string{"regex", "regexp", "matches"},
	},
	{
		name: "equals", group: comparisonGroup, needless: []func(*draft[Route]) string{besideRecipient},
		field: fill(func(r *Route) *string { return &r.Equals }, text(value.text)),
	},
	{
		name: "deliver", example: `"NAME" of a target, or []`,
		field:   fill(func(r *Route) *[]string { return &r.Deliver }, kind[[]string]{value.targetsOrNone, quoteList}),
		aliases: []string{"target", "to", "folder"},
	},
}

// besideRecipient returns why nothing is compared with a recipient, or "".
func besideRecipient(d *draft[Route]) string {
	if recipient := &d.result.Recipient; d.has(recipient) {
		return "is not used together with " + d.named(recipient)
	}
	return ""
}

// headerIsCompared checks that a header is compared with something.
func headerIsCompared(d *draft[Route]) error {
	if d.has(&d.result.Match) || d.has(&d.result.Equals) {
		return nil
	}
	return fmt.Errorf("is compared with nothing; write %s or %s too", d.name(&d.result.Match), d.name(&d.result.Equals))
}

// expression returns a regular expression.
func (v value) expression() (string, error) {
	s, err := v.text()
	if err != nil {
		return "", err
	}
	if _, err := regexp.Compile(s); err != nil {
		return "", fmt.Errorf("is no regular expression (RE2): %w; write one, or the other key for a whole value", err)
	}
	return s, nil
}

// globs are patterns in which * stands for any characters and ? for one.
var globs = kind[[]string]{value.globs, quoteListSome}

func (v value) globs() ([]string, error) {
	list, err := v.distinct()
	if err != nil {
		return nil, err
	}
	for _, glob := range list {
		if err := checkAddress(glob); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// targetNames are the names of one or more targets.
var targetNames = kind[[]string]{value.distinct, quoteListSome}

// targetsOrNone returns names of targets. An empty list is allowed.
func (v value) targetsOrNone() ([]string, error) {
	if list, isList := v.raw.([]any); isList && len(list) == 0 {
		return nil, nil
	}
	return v.distinct()
}

// recipientsAreKnown checks that routes by recipient have headers that name one.
func recipientsAreKnown(d *draft[Account]) error {
	if d.has(&d.result.EnvelopeHeader) {
		return nil
	}
	var errs Errors
	at := d.settings[d.name(&d.result.Routes)].at
	for i := range d.result.Routes {
		r := &d.result.Routes[i]
		if len(r.Recipient) == 0 {
			continue
		}
		condition, _ := routeKeys.filling(r, &r.Recipient)
		errs = append(errs, at.element(i+1).key(condition.name).mistake(fmt.Errorf(
			"is not known without %s; name the header that the server puts the envelope recipient into",
			d.named(&d.result.EnvelopeHeader))))
	}
	return errs.orNil()
}

// targets checks the targets of all accounts, and that each name is one of a target.
func (c *Config) targets() Errors {
	var errs Errors
	for i := range c.Accounts {
		errs = append(errs, c.targetsOf(&c.Accounts[i])...)
	}
	return errs
}

// targetsOf checks the targets of one account.
func (c *Config) targetsOf(a *Account) Errors {
	errs := c.namesFit(a, &a.Deliver, a.Deliver)
	for i := range a.Routes {
		errs = append(errs, c.namesFit(a, &a.Routes[i].Deliver, a.Routes[i].Deliver)...)
	}
	if len(errs) > 0 {
		return errs
	}
	used := c.Uses(a)
	for i := range used {
		t := &used[i]
		if !t.IMAP.IsZero() && t.IMAPPassword.IsZero() && t.IMAPOAuth.IsZero() {
			errs = append(errs, c.TargetMistake(a, t, addressIMAP, fmt.Errorf(
				"lacks the password of its user; write %s", c.secretKeys())))
		}
	}
	return append(errs, c.deletionFits(a, used)...)
}

// secretKeys returns the keys for the password of a mailbox, as they are written in the same source.
func (c *Config) secretKeys() string {
	var keys []string
	for _, r := range targetKeys.members(imapSecretGroup) {
		if c.File != "" && r.secret == nil || c.File == "" && r.usage != "" {
			keys = append(keys, place{source: &source{file: c.File}}.named(r.name))
		}
	}
	return listed(keys, "or")
}

// deletionFits checks that the rules about delivered files have files to look at.
func (c *Config) deletionFits(a *Account, used []Target) Errors {
	has := func(is func(*Target) bool) bool {
		return slices.ContainsFunc(used, func(t Target) bool { return is(&t) })
	}
	maildir := has(func(t *Target) bool { return t.Maildir != "" })
	mbox := has(func(t *Target) bool { return t.Mbox != "" && t.Mbox != StandardOutput })
	var errs Errors
	if a.Delete.Removed && !maildir {
		errs = append(errs, c.Mistake(a, &a.Delete.Removed, errors.New(
			"looks at the files of a Maildir, and this account has none; remove it, or deliver to a Maildir")))
	}
	if a.Delete.Verify && !maildir && !mbox {
		errs = append(errs, c.Mistake(a, &a.Delete.Verify, errors.New(
			"looks at delivered files, and this account has neither a Maildir nor an mbox; remove it")))
	}
	return errs
}

// namesFit checks a list of names of targets, which is the value of a field of the account.
func (c *Config) namesFit(a *Account, field any, names []string) Errors {
	errs := c.unknownTargets(a, field, names)
	targets := c.named(a, names)
	for i := range targets {
		for j := range i {
			first, second := targets[j], targets[i]
			first.Name = second.Name
			if reflect.DeepEqual(first, second) {
				errs = append(errs, c.Mistake(a, field, fmt.Errorf(
					"%q and %q are one place (%s), which would have each message twice; remove one",
					targets[j].Name, second.Name, second.Where())))
			}
		}
	}
	return errs
}

// unknownTargets reports names that are no target's. They are the value of a field of the account.
func (c *Config) unknownTargets(a *Account, field any, names []string) (errs Errors) {
	for _, name := range names {
		if _, found := c.targetHomes[name]; found {
			continue
		}
		var known []string
		for i := range c.Targets {
			known = append(known, c.Targets[i].Name)
		}
		near := Nearest(name, known)
		if len(near) == 0 {
			near = known
		}
		mend := fmt.Sprintf("add the table [%s]", dottedTOML(targetTable, name))
		if len(near) > 0 {
			mend = fmt.Sprintf("write %s, or %s", alternatives(near), mend)
		}
		errs = append(errs, c.Mistake(a, field, fmt.Errorf("no target is called %q; %s", name, mend)))
	}
	return errs
}

// TargetMistake returns err as a mistake of a field of t, which TargetOf, Own or Uses has returned
// for the account. It names the place where the key is written: the target's table, the account, or
// [defaults].
func (c *Config) TargetMistake(a *Account, t *Target, field func(*Target) any, err error) *Error {
	c = c.home(a.Name)
	if t.Name != "" {
		home := place{source: c.targetHomes[t.Name].source}
		if at, _ := targetKeys.place(t, field(t), home.key(targetTable, t.Name)); at.line() > 0 {
			return at.mistake(err)
		}
	}
	return c.Mistake(a, field(&a.Target), err)
}
