package deliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
)

// fanBatch is a batch of a fan. The messages of one member lie in a section.
type fanBatch struct {
	fan      *fan
	order    callOrder
	sections []*section // one for each member
	closed   []*fanDelivery
}

// fanDelivery is one message on its way to all members.
type fanDelivery struct {
	batch    *fanBatch
	env      Envelope
	parts    []fanPart      // one for each member
	has      [][]possession // what each member may have already; nil: none has anything
	measured *lineWriter    // measures the message if has is not nil
	came     Sum
	done     bool  // closed or aborted
	failure  error // of a target as a whole, while the message was written
}

// fanPart is a message at one member.
type fanPart struct {
	part    *part   // nil: the member has refused it, or has it already
	closed  bool    // part belongs to its batch
	verdict Verdict // if part is nil
	places  []Place // likewise, where the member has it
}

// Begin opens an empty batch, and one of each member.
func (f *fan) Begin(ctx context.Context) (Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("beginning a batch: %w", err)
	}
	b := &fanBatch{fan: f}
	for _, m := range f.members {
		s := &section{port: &m.port}
		b.sections = append(b.sections, s)
		if _, err := s.begin(ctx); err != nil {
			return nil, errors.Join(err, discardAll(b.sections))
		}
	}
	return b, nil
}

// Create starts a message at all members.
func (b *fanBatch) Create(ctx context.Context, env Envelope) (Delivery, error) {
	if err := b.order.create(ctx); err != nil {
		return nil, err
	}
	has, err := b.fan.possessions(ctx, env.Token)
	if err != nil {
		b.order.open = false
		return nil, err
	}
	b.fan.forgetMissing(has, &env)
	d := &fanDelivery{batch: b, env: env, has: has, parts: make([]fanPart, len(b.sections))}
	for i, s := range b.sections {
		if held := env.at(b.fan.members[i].name); held != nil {
			d.parts[i] = fanPart{verdict: Verdict{Outcome: Safe}, places: held}
			continue
		}
		p, err := s.create(ctx, env)
		if err == nil {
			d.parts[i].part = p
			continue
		}
		v, ofMessage := refused(err)
		if !ofMessage {
			return nil, errors.Join(err, d.leave())
		}
		d.parts[i].verdict = v
	}
	if has != nil {
		d.measured = newLineWriter(io.Discard)
	}
	if err := d.refusal(); err != nil {
		return nil, errors.Join(err, d.leave())
	}
	return d, nil
}

// refusal returns why no member takes the message any more, or nil.
func (d *fanDelivery) refusal() error {
	worst := Verdict{Outcome: Refused}
	for i := range d.parts {
		p := &d.parts[i]
		if p.part != nil || p.verdict.Outcome == Safe {
			return nil
		}
		worst = worse(worst, p.verdict)
	}
	return worst.Err
}

// Write writes to each member that still takes the message.
func (d *fanDelivery) Write(p []byte) (int, error) {
	switch {
	case d.done:
		return 0, errNotOpen
	case d.failure != nil:
		return 0, d.failure
	}
	for i := range d.parts {
		part := d.parts[i].part
		if part == nil {
			continue
		}
		if _, err := part.Write(p); err != nil {
			if d.failure = d.givenUp(i, err); d.failure != nil {
				return 0, d.failure
			}
		}
	}
	if d.measured != nil {
		_, _ = d.measured.Write(p) // it never fails
	}
	if d.failure = d.refusal(); d.failure != nil {
		return 0, d.failure
	}
	return len(p), nil
}

// givenUp notes that member i has refused the message by err while it was written. It returns an
// error if the member is broken.
func (d *fanDelivery) givenUp(i int, err error) error {
	v, ofMessage := refused(err)
	if !ofMessage {
		return err
	}
	part := d.parts[i].part
	d.parts[i] = fanPart{verdict: v}
	return part.Abort()
}

// Close ends the message at each member. A member that has it already does not get it again.
func (d *fanDelivery) Close() error {
	switch {
	case d.done:
		return errNotOpen
	case d.failure != nil:
		return errors.Join(d.failure, d.leave())
	}
	if d.measured != nil {
		d.came, _ = d.measured.finish() // it never fails
	}
	for i := range d.parts {
		if err := d.closePart(i); err != nil {
			// Members before this one hold the message in their batches, so its notes are needed.
			d.batch.closed = append(d.batch.closed, d)
			return errors.Join(err, d.leave())
		}
	}
	if err := d.refusal(); err != nil {
		return errors.Join(err, d.leave())
	}
	d.end()
	d.batch.closed = append(d.batch.closed, d)
	return nil
}

// closePart ends the message at member i. An error means that the member is broken.
func (d *fanDelivery) closePart(i int) error {
	part := d.parts[i].part
	if part == nil {
		return nil
	}
	if d.has != nil {
		for _, held := range d.has[i] {
			if d.is(held.came) {
				d.parts[i] = fanPart{verdict: Verdict{Outcome: Safe}, places: held.places}
				return part.Abort()
			}
		}
	}
	if err := part.Close(); err != nil {
		v, ofMessage := refused(err)
		d.parts[i] = fanPart{verdict: v}
		if !ofMessage {
			return err
		}
		return nil
	}
	d.parts[i].closed = true
	d.came = part.Receipt().Came
	return nil
}

// is reports whether a message that came so is this one. A filter may make of one message
// different ones.
func (d *fanDelivery) is(came Sum) bool {
	return came == d.came || d.env.earlier != nil && slices.Contains(*d.env.earlier, came)
}

// Abort takes the message out of the batches of all members.
func (d *fanDelivery) Abort() error {
	if d.done {
		return errNotOpen
	}
	return d.leave()
}

// leave aborts the message at the members that have not closed it.
func (d *fanDelivery) leave() error {
	var errs []error
	for i := range d.parts {
		if part := d.parts[i].part; part != nil && !d.parts[i].closed {
			d.parts[i] = fanPart{}
			errs = append(errs, part.Abort())
		}
	}
	d.end()
	return errors.Join(errs...)
}

// end notes that no delivery is open any more.
func (d *fanDelivery) end() {
	if d.measured != nil {
		d.measured.release()
		d.measured = nil
	}
	d.done = true
	d.batch.order.open = false
}

// verdictOf returns what became of the message at member i.
func (d *fanDelivery) verdictOf(i int) Verdict {
	if part := d.parts[i].part; part != nil {
		return part.Verdict()
	}
	return d.parts[i].verdict
}

// placesOf returns the places of the message at member i.
func (d *fanDelivery) placesOf(i int) []Place {
	if part := d.parts[i].part; part != nil {
		return d.batch.fan.members[i].named(part.Receipt().Places)
	}
	return d.parts[i].places
}

// Receipt has the places of all members.
func (d *fanDelivery) Receipt() Receipt {
	r := Receipt{Came: d.came}
	for i := range d.parts {
		r.Places = append(r.Places, d.placesOf(i)...)
	}
	return r
}

// Verdict returns the worst verdict of the members.
func (d *fanDelivery) Verdict() Verdict {
	v := d.verdictOf(0)
	for i := range d.parts[1:] {
		v = worse(v, d.verdictOf(i+1))
	}
	return v.orUnsettled()
}

// worse returns the verdict that decides of two targets that should both have a message. If one may
// take it later, it is tried again, whatever the other says.
func worse(a, b Verdict) Verdict {
	rank := [...]int{Safe: 0, Refused: 1, Deferred: 2, Unknown: 3}
	if rank[b.Outcome] > rank[a.Outcome] || a.Err == nil && a.Outcome == b.Outcome {
		return b
	}
	return a
}

// Commit commits the Finders, and then the programs. A message of which a Finder does not tell what
// became of it is not given to a program.
func (b *fanBatch) Commit(ctx context.Context) error {
	if err := b.order.finish(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return errors.Join(fmt.Errorf("committing a batch: %w", err), discardAll(b.sections))
	}
	finders := slices.IndexFunc(b.fan.members, func(m *member) bool { return m.finder == nil })
	if finders < 0 {
		finders = len(b.sections)
	}
	err := commitAll(ctx, b.sections[:finders], func(*section, *subBatch) error { return nil })
	err = errors.Join(err, b.withhold(finders))
	err = errors.Join(err, b.runPrograms(ctx, finders))
	return errors.Join(err, b.fan.note(b.closed, all, func(d *fanDelivery) bool { return d.Verdict().Outcome != Safe }))
}

// Discard removes what the batch has written at all members.
func (b *fanBatch) Discard() error {
	if err := b.order.discard(); err != nil {
		return err
	}
	return discardAll(b.sections)
}

// withhold discards the batches of programs that hold a message of which a Finder does not tell
// what became of it.
func (b *fanBatch) withhold(finders int) error {
	var errs []error
	for _, d := range b.closed {
		v := Verdict{Outcome: Safe}
		for i := range finders {
			v = worse(v, d.verdictOf(i))
		}
		if v.Outcome != Unknown {
			continue
		}
		for i := finders; i < len(d.parts); i++ {
			if part := d.parts[i].part; part != nil && part.in.err == nil {
				part.in.err = v.orUnsettled().Err
				errs = append(errs, part.in.Discard())
			}
		}
	}
	return errors.Join(errs...)
}

// runPrograms commits the members that are no Finders, and notes at once what each of them has. If
// that cannot be noted, a member gets nothing more, because it would get that again after a crash,
// or another process may have the account by now.
func (b *fanBatch) runPrograms(ctx context.Context, finders int) error {
	in := make(map[*subBatch][]*fanDelivery)
	for _, d := range b.closed {
		for i := finders; i < len(d.parts); i++ {
			if part := d.parts[i].part; part != nil {
				in[part.in] = append(in[part.in], d)
			}
		}
	}
	return commitAll(ctx, b.sections[finders:], func(s *section, settled *subBatch) error {
		i := slices.Index(b.sections, s)
		// Other programs still run, so only this member may be asked.
		return b.fan.note(in[settled], i, func(d *fanDelivery) bool { return d.verdictOf(i).Outcome == Safe })
	})
}
