package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// takeRecord takes up a record, and compares it with that of the ledger.
func (part *statePart) takeRecord(line stateLine) error {
	record, err := readRecord(line)
	if err != nil {
		return err
	}
	if part.inAsides {
		return errors.New("a record stands behind asides")
	}
	if err := part.follows(record.Key, len(part.skip) > 0); err != nil {
		return err
	}
	here, found, err := part.recorded.seek(record.Key)
	if err != nil {
		return err
	}
	part.skip = append(part.skip, found)
	if !found {
		part.imported++
		return nil
	}
	part.present++
	if what := contradiction(here, record); what != "" {
		return fmt.Errorf("account %q has another record of the message %q (copy %d) here: %s",
			line.Account, line.UniqueID, line.Copy, what)
	}
	return nil
}

// takeAside takes up a message that was set aside. What the ledger knows of it already is newer.
func (part *statePart) takeAside(ctx context.Context, line stateLine) error {
	aside, err := readAside(line)
	if err != nil {
		return err
	}
	if err := part.follows(aside.Key, part.inAsides); err != nil {
		return err
	}
	if !part.inAsides { // the records are read once more
		part.inAsides = true
		part.recorded.stop()
		part.recorded = newCursor(part.ledger.All(ctx))
	}
	_, found, err := part.recorded.seek(aside.Key)
	if err == nil && !found && !part.setAside[aside.Key] {
		part.asides = append(part.asides, aside)
	}
	return err
}

// follows checks the order of keys.
func (part *statePart) follows(key seen.Key, begun bool) error {
	if begun && part.last.Compare(key) >= 0 {
		return errors.New("the lines of the account are not in the order of unique-id and copy")
	}
	part.last = key
	return nil
}

// contradiction says in what two records of a key are not of the same message or fate; "": nothing.
// What only one of them knows is no contradiction.
func contradiction(here, there seen.Record) string {
	switch {
	case here.Kind != there.Kind && !(here.Kind.IsImported() && there.Kind.IsImported()):
		return fmt.Sprintf("it is %s, and %s in the export", kindWords[here.Kind], kindWords[there.Kind])
	case here.Digest != there.Digest && here.Digest != (seen.Digest{}) && there.Digest != (seen.Digest{}):
		return "its header digest is another one"
	case here.Came.SHA256 != there.Came.SHA256 && here.Came.SHA256 != [32]byte{} && there.Came.SHA256 != [32]byte{}:
		return "its SHA-256 is another one"
	}
	return ""
}

// readKey reads unique-id and copy.
func readKey(line stateLine) (seen.Key, error) {
	id, err := readID(line.UniqueID)
	switch {
	case err != nil:
		return seen.Key{}, err
	case line.Copy < 0, line.Octets < 0, line.Refusals < 0, line.MaxSize < 0:
		return seen.Key{}, errors.New("it has a number below 0")
	}
	return seen.Key{UniqueID: id, Copy: line.Copy}, nil
}

// readRecord is the inverse of recordLine, without AbsentAt.
func readRecord(line stateLine) (r seen.Record, err error) {
	if r.Key, err = readKey(line); err != nil {
		return r, err
	}
	if r.Kind, err = wordOf(kindWords, line.Kind, "kind"); err != nil {
		return r, err
	}
	r.Listed, r.DeliveredAt, r.DeletedAt = line.Octets, timeIn(line.DeliveredAt), timeIn(line.DeletedAt)
	if err := readHex(r.Digest[:], line.HeaderDigest, "header_digest"); err != nil {
		return r, err
	}
	if line.Came != nil {
		if r.Came, err = line.Came.read(); err != nil {
			return r, err
		}
	}
	for _, field := range line.Places {
		place := seen.Place{Target: field.Target}
		if place.Name, err = readID(field.Name); err != nil {
			return r, err
		}
		if place.Sum, err = field.read(); err != nil {
			return r, err
		}
		r.Places = append(r.Places, place)
	}
	return r, nil
}

// readAside is the inverse of asideLine, without AbsentAt.
func readAside(line stateLine) (a seen.Aside, err error) {
	if a.Key, err = readKey(line); err != nil {
		return a, err
	}
	a.Reason, err = wordOf(reasonWords, line.Reason, "reason")
	a.Listed, a.Count, a.Text, a.MaxSize = line.Octets, line.Refusals, printable(line.Error), line.MaxSize
	a.Since, a.Last, a.ToldAt, a.Dated = timeIn(line.Since), timeIn(line.LastAt), timeIn(line.ToldAt), timeIn(line.Dated)
	a.Asked = timeIn(line.AskedAt)
	return a, err
}

// read is the inverse of sumOf.
func (f sumFields) read() (sum seen.Sum, err error) {
	if f.Octets < 0 {
		return sum, errors.New("it has a number below 0")
	}
	sum.Octets = f.Octets
	return sum, readHex(sum.SHA256[:], f.SHA256, "sha256")
}

// apply adds the portable part of a standing to that of a new account.
func (f *standingFields) apply(st *seen.Standing) {
	st.NotBefore, st.Reason, st.LockstepSince = timeIn(f.NotBefore), printable(f.Reason), timeIn(f.LockstepSince)
	st.CameAt, st.ThroughAt = timeIn(f.CameAt), timeIn(f.ThroughAt)
	st.HostSessions, st.HostAt = f.HostSessions, timeIn(f.HostAt)
	st.RanAt, st.HeldAt, st.Shortfall = timeIn(f.RanAt), timeIn(f.HeldAt), f.Shortfall
}

// timeIn is the inverse of timeField.
func timeIn(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// wordOf returns what is written as word.
func wordOf[T comparable](words map[T]string, word, field string) (value T, err error) {
	for value, known := range words {
		if known == word {
			return value, nil
		}
	}
	return value, fmt.Errorf("its %s is %q, which is unknown", field, word)
}

// readHex reads hexadecimal digits; none at all leave zeros.
func readHex(into []byte, digits, field string) error {
	if digits == "" {
		return nil
	}
	octets, err := hex.DecodeString(digits)
	if err != nil || len(octets) != len(into) {
		return fmt.Errorf("its %s is %q, which is not %d hexadecimal digits", field, digits, 2*len(into))
	}
	copy(into, octets)
	return nil
}
