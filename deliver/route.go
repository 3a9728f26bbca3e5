package deliver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Routing says which target gets a message.
type Routing struct {
	// Envelope names the headers that may name the envelope recipient. The first that has a usable
	// address counts. To and Cc do not belong here: they are no envelope.
	Envelope  []string
	Rules     []Rule // the first that matches decides
	Otherwise Target // takes what no rule matches
}

// Rule sends messages to a target: by the header if Headers is not empty, else by the recipient.
type Rule struct {
	Headers []string       // names of fields, of which any may match, also one of several of a name
	Match   *regexp.Regexp // on the unfolded value, undecoded and without blanks around it
	Equals  string         // if Match is nil: what this value must be, with case
	// Recipient is a glob for the envelope recipient, without case. "*" stands for any text, and
	// "?" for one character.
	Recipient string
	Target    Target // Drop{}: nowhere
}

// route hands each message to one of several targets. It holds the header until it has ended, and
// then writes on to the target that the rules choose.
type route struct {
	envelope  []string
	rules     []rule
	ports     []*port // the targets, each once
	otherwise int     // the one for what no rule matches
}

// rule is a Rule that is ready for use.
type rule struct {
	Rule
	recipient *regexp.Regexp // nil: by the header
	port      int
}

// NewRoute returns a target that hands each message to the target that the rules choose for it. It
// passes on the envelope recipient of the message.
func NewRoute(r Routing) Target {
	to := &route{envelope: r.Envelope}
	for _, each := range r.Rules {
		ready := rule{Rule: each, port: to.port(each.Target)}
		if len(each.Headers) == 0 {
			ready.recipient = glob(each.Recipient)
		}
		to.rules = append(to.rules, ready)
	}
	to.otherwise = to.port(r.Otherwise)
	isFinder, isAltering := false, false
	for _, p := range to.ports {
		_, ok := AsFinder(p.Target)
		_, alters := p.Target.(Altering)
		isFinder, isAltering = isFinder || ok, isAltering || alters
	}
	return honest(to, isFinder, isAltering)
}

// with returns a route with the same rules, whose targets are what wrap makes of them.
func (r *route) with(wrap func(Target) Target) Target {
	wrapped := make([]Target, len(r.ports))
	for i, p := range r.ports {
		wrapped[i] = wrap(p.Target)
	}
	routing := Routing{Envelope: r.envelope, Otherwise: wrapped[r.otherwise]}
	for _, rule := range r.rules {
		rule.Rule.Target = wrapped[rule.port]
		routing.Rules = append(routing.Rules, rule.Rule)
	}
	return NewRoute(routing)
}

// port returns the index of a target in ports, to which it adds it.
func (r *route) port(target Target) int {
	comparable := reflect.TypeOf(target).Comparable()
	for i, p := range r.ports {
		if comparable && p.Target == target {
			return i
		}
	}
	r.ports = append(r.ports, &port{Target: target})
	return len(r.ports) - 1
}

// glob returns a pattern as a regular expression.
func glob(pattern string) *regexp.Regexp {
	text := regexp.QuoteMeta(pattern)
	text = strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(text)
	return regexp.MustCompile("(?is)^" + text + "$")
}

// choose returns the envelope recipient of a message that begins with head, and the index of its
// target. A recipient that an outer target knows counts if head has none.
func (r *route) choose(head []byte, known string) (recipient string, port int) {
	inHead := make([]headField, 0, usualFields)
	for name, value := range fields(head) {
		inHead = append(inHead, headField{name: name, raw: value})
	}
	recipient = cmp.Or(envelopeRecipient(inHead, r.envelope), known)
	for i := range r.rules {
		if r.rules[i].matches(inHead, recipient) {
			return recipient, r.rules[i].port
		}
	}
	return recipient, r.otherwise
}

// usualFields is more than most headers have.
const usualFields = 48

// headField is a field of a header.
type headField struct {
	name     []byte
	raw      []byte // with folds and line end
	unfolded string // from value
	ready    bool   // unfolded is there
}

// value returns the unfolded value.
func (f *headField) value() string {
	if !f.ready {
		f.unfolded, f.ready = unfold(f.raw), true
	}
	return f.unfolded
}

// matches reports whether the rule wants a message.
func (r *rule) matches(inHead []headField, recipient string) bool {
	if r.recipient != nil {
		return recipient != "" && r.recipient.MatchString(recipient)
	}
	for i := range inHead {
		field := &inHead[i]
		if !slices.ContainsFunc(r.Headers, func(want string) bool { return isNamed(field.name, want) }) {
			continue
		}
		if r.Match != nil && r.Match.MatchString(field.value()) || r.Match == nil && field.value() == r.Equals {
			return true
		}
	}
	return false
}

// envelopeRecipient returns the address in the first of the named headers that has a usable one.
// Of several fields of a name, the first counts: that of the last server. "": there is none.
func envelopeRecipient(inHead []headField, names []string) string {
	for _, want := range names {
		i := slices.IndexFunc(inHead, func(f headField) bool { return isNamed(f.name, want) })
		if i < 0 {
			continue
		}
		if address := address(inHead[i].value()); address != "" {
			return address
		}
	}
	return ""
}

// address returns the address in a value, out of < > or bare. "": it is unusable.
func address(value string) string {
	if _, inner, found := strings.Cut(value, "<"); found {
		value, _, _ = strings.Cut(inner, ">")
	}
	value = strings.TrimSpace(value)
	if len(value) > maxAddress || strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		return ""
	}
	return value
}

// routeBatch is a batch of a route, with a section for each target.
type routeBatch struct {
	route    *route
	order    callOrder
	sections []*section
}

// routeDelivery is one message on its way to the target that its header chooses.
type routeDelivery struct {
	batch   *routeBatch
	ctx     context.Context //nolint:containedctx // of Create; the target is chosen in Write
	env     Envelope
	head    headHolder
	part    *part // nil: the target is not chosen yet
	done    bool  // closed or aborted
	failure error
}

// targets returns the targets of the rules, and the one for what no rule matches.
func (r *route) targets() []Target {
	targets := make([]Target, len(r.ports))
	for i, p := range r.ports {
		targets[i] = p.Target
	}
	return targets
}

// Begin opens an empty batch. The batches of the targets are opened when they are needed.
func (r *route) Begin(ctx context.Context) (Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("beginning a batch: %w", err)
	}
	b := &routeBatch{route: r, sections: make([]*section, len(r.ports))}
	for i, p := range r.ports {
		b.sections[i] = &section{port: p}
	}
	return b, nil
}

// Create starts a message, whose target is not known yet.
func (b *routeBatch) Create(ctx context.Context, env Envelope) (Delivery, error) {
	if err := b.order.create(ctx); err != nil {
		return nil, err
	}
	return &routeDelivery{batch: b, ctx: ctx, env: env}, nil
}

// Write holds the header. Once it has ended, the message goes on to its target.
func (d *routeDelivery) Write(p []byte) (int, error) {
	switch {
	case d.done:
		return 0, errNotOpen
	case d.failure != nil:
		return 0, d.failure
	case d.part != nil:
		n, err := d.part.Write(p)
		d.failure = err
		return n, err
	}
	octets, whole := d.head.add(p)
	if !whole {
		return len(p), nil
	}
	if d.failure = d.choose(octets); d.failure != nil {
		return 0, d.failure
	}
	return len(p), nil
}

// choose chooses the target by the beginning of the message, and writes that.
func (d *routeDelivery) choose(head []byte) error {
	recipient, port := d.batch.route.choose(head[:min(len(head), mostHead)], d.env.Recipient)
	d.env.Recipient = recipient
	part, err := d.batch.sections[port].create(d.ctx, d.env)
	if err != nil {
		return err
	}
	d.part = part
	_, err = part.Write(head)
	d.head = headHolder{}
	return err
}

// Close ends the message. If the header has not ended, what is there decides.
func (d *routeDelivery) Close() error {
	if d.done {
		return errNotOpen
	}
	if d.part == nil && d.failure == nil {
		d.failure = d.choose(d.head.held)
	}
	if d.failure != nil {
		return errors.Join(d.failure, d.Abort())
	}
	d.end()
	return d.part.Close()
}

// Abort takes the message out of the batch of its target.
func (d *routeDelivery) Abort() error {
	if d.done {
		return errNotOpen
	}
	d.end()
	if d.part == nil {
		return nil
	}
	return d.part.Abort()
}

func (d *routeDelivery) end() {
	d.done = true
	d.batch.order.open = false
}

// Receipt returns that of the target.
func (d *routeDelivery) Receipt() Receipt {
	if d.part == nil {
		return Receipt{}
	}
	return d.part.Receipt()
}

// Verdict returns that of the target.
func (d *routeDelivery) Verdict() Verdict {
	if d.part == nil {
		return Verdict{}.orUnsettled()
	}
	return d.part.Verdict()
}

// Commit commits the batches of the Finders, and then those of the programs.
func (b *routeBatch) Commit(ctx context.Context) error {
	if err := b.order.finish(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return errors.Join(fmt.Errorf("committing a batch: %w", err), discardAll(b.sections))
	}
	var finders, programs []*section
	for _, s := range b.sections {
		if _, ok := AsFinder(s.port.Target); ok {
			finders = append(finders, s)
		} else {
			programs = append(programs, s)
		}
	}
	nothing := func(*section, *subBatch) error { return nil }
	err := commitAll(ctx, finders, nothing)
	return errors.Join(err, commitAll(ctx, programs, nothing))
}

// Discard removes what the batch has written.
func (b *routeBatch) Discard() error {
	if err := b.order.discard(); err != nil {
		return err
	}
	return discardAll(b.sections)
}
