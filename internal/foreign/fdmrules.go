package foreign

import (
	"net"
	"slices"
	"strings"
)

// fdmRules are the actions and the rule of a configuration that has one rule, match all. Such a rule
// can be carried over. All others stay in fdm.
type fdmRules struct {
	tokens  []fdmToken
	env     Env
	actions map[string][]place
	plain   bool
}

// fdmStatements are the words at which a statement begins.
var fdmStatements = strings.Fields("set account action match")

// plainRule returns where mail goes by the only rule of a configuration. It reports false if the
// configuration has others, or an action that popfetch does not have.
func plainRule(tokens []fdmToken, env Env) (to []place, plain bool) {
	r := &fdmRules{tokens: tokens, env: env, actions: map[string][]place{}, plain: true}
	matches := 0
	for r.plain && r.peek().kind != fdmEnd {
		switch t := r.next(); {
		case t.kind != fdmWord:
		case t.text == "action":
			name := r.next()
			r.actions[name.text] = r.list()
			r.ends()
		case t.text == "match":
			matches++
			to = r.match()
			r.ends()
		}
	}
	return to, r.plain && matches == 1 && len(to) > 0
}

func (r *fdmRules) peek() fdmToken { return r.tokens[0] }

func (r *fdmRules) next() fdmToken {
	t := r.tokens[0]
	if t.kind != fdmEnd {
		r.tokens = r.tokens[1:]
	}
	return t
}

// take reads the next token if it is one of these words or marks.
func (r *fdmRules) take(texts ...string) bool {
	t := r.peek()
	found := slices.Contains(texts, t.text) && (t.kind == fdmWord || t.kind == fdmMark)
	if found {
		r.next()
	}
	return found
}

// text reads a string in which fdm replaces nothing but the home folder and the user.
func (r *fdmRules) text() string {
	t := r.next()
	text := strings.NewReplacer("%h", r.env.Home, "%[home]", r.env.Home, "%u", r.env.user(),
		"%[user]", r.env.user()).Replace(t.text)
	if t.kind != fdmString || text == "" || strings.Contains(text, "%") {
		r.plain = false
	}
	return text
}

// ends checks that a statement ends here. Another one, or nothing, must follow.
func (r *fdmRules) ends() {
	if t := r.peek(); t.kind != fdmEnd && !(t.kind == fdmWord && slices.Contains(fdmStatements, t.text)) {
		r.plain = false
	}
}

// match reads what stands after match: all, and the actions.
func (r *fdmRules) match() (to []place) {
	if !r.take("all") || !r.take("action", "actions") {
		r.plain = false
		return nil
	}
	braces := r.take("{")
	for r.plain && r.peek().kind == fdmString {
		action, known := r.actions[r.next().text]
		to, r.plain = append(to, action...), r.plain && known
		if !braces {
			return to
		}
	}
	if len(to) > 0 {
		r.plain = r.plain && r.take("}")
		return to
	}
	if braces {
		return r.listed()
	}
	return r.list()
}

// list reads an action, or several in braces.
func (r *fdmRules) list() []place {
	if r.take("{") {
		return r.listed()
	}
	return []place{r.action()}
}

// listed reads actions up to the closing brace.
func (r *fdmRules) listed() (to []place) {
	for r.plain && !r.take("}") {
		to = append(to, r.action())
	}
	return to
}

// action reads what an action does.
func (r *fdmRules) action() place {
	switch {
	case r.take("maildir"):
		return r.path("maildir")
	case r.take("mbox"):
		return r.path("mbox")
	case r.take("pipe"):
		return place{{"mda", r.text()}}
	case r.take("smtp"):
		return r.smtp()
	}
	r.plain = false
	return nil
}

func (r *fdmRules) path(key string) place {
	file := r.text()
	to := place{{key, r.env.short(r.env.expand(file, r.env.Home))}}
	r.plain = r.plain && !to.unfitPath() && (strings.HasPrefix(file, "/") || strings.HasPrefix(file, "~/"))
	return to
}

// smtp reads a mail server. fdm's own choice of the recipient is not known here.
func (r *fdmRules) smtp() place {
	r.plain = r.plain && r.take("server")
	host, port := r.text(), "25"
	if r.take("port") {
		number, err := mailPort(r.next().text)
		port, r.plain = number, r.plain && err == nil
	}
	to := place{{"smtp", net.JoinHostPort(strings.Trim(host, "[]"), port)}}
	sender := ""
	if r.take("from") {
		sender = r.text()
	}
	known := r.take("to")
	recipient := ""
	if known {
		recipient = r.text()
		to = append(to, Setting{"rcpt", []string{recipient}})
	}
	if sender != "" {
		to = append(to, Setting{"mail_from", sender})
	}
	r.plain = r.plain && known && isThisMachine(host) && fitsGlob(recipient) && (sender == "" || fitsGlob(sender))
	return to
}
