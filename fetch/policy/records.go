package policy

import "github.com/popfetch/popfetch/seen"

// Records are the records of one unique-id, of all its copies. They say which message may be deleted.
type Records struct {
	byKey    map[seen.Key]*seen.Record
	byDigest map[seen.Digest][]*seen.Record
	only     *seen.Record // nil if there are several
}

// NewRecords makes Records of all the records of one unique-id. They are not copied.
func NewRecords(records []seen.Record) Records {
	r := Records{make(map[seen.Key]*seen.Record, len(records)), make(map[seen.Digest][]*seen.Record, len(records)), nil}
	if len(records) == 1 {
		r.only = &records[0]
	}
	for i := range records {
		one := &records[i]
		r.byKey[one.Key] = one
		r.byDigest[one.Digest] = append(r.byDigest[one.Digest], one)
	}
	return r
}

// Only returns the record if there is exactly one, else nil.
func (r *Records) Only() *seen.Record { return r.only }

// Evidence is what shows which message of a unique-id is listed.
type Evidence struct {
	Key      seen.Key
	Digest   seen.Digest // of the header that the server shows now; zero: unknown
	Recorded bool        // this session has recorded it
	Adopts   bool        // it takes the place of its only record, which is imported and has no digest yet
	Named    bool        // somebody has named its unique-id
	// Listed messages with its unique-id and digest, itself included; an unknown digest counts.
	Alike int
}

// Of returns the record that certainly belongs to the listed message, or nil. Unique-ids get reused,
// and a wrong DELE cannot be undone.
func (r *Records) Of(e *Evidence) *seen.Record {
	unknown := seen.Digest{}
	switch {
	case e.Recorded:
		return r.byKey[e.Key]
	case e.Alike != 1:
		return nil
	case r.only != nil && e.Adopts: // a look does not record the digest
		return r.only
	case r.only != nil && e.Named && r.only.Kind == seen.Marked && r.only.Digest == unknown:
		return r.only // a person has marked this unique-id, and names it now
	}
	if matches := r.byDigest[e.Digest]; e.Digest != unknown && len(matches) == 1 {
		return matches[0]
	}
	return nil
}
