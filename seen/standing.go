package seen

import "time"

// Standing is what a store keeps of an account's relation to its server from run to run, besides
// its messages. The zero value is a good standing. A new server or user (see Store.Enter) resets
// it.
type Standing struct {
	Refusals int // refused log-ins in a row
	// With it the caller can tell whether the refused credentials have changed since; nil: none.
	Credential []byte
	// Proven is for the credentials that last logged in, as Credential is for those that were
	// refused; nil: none have. ProvenAt is when that was last made sure of.
	Proven   []byte
	ProvenAt time.Time
	// NotBefore is the time of the earliest next log-in, and Reason says why; zero: at any time.
	NotBefore time.Time
	Reason    string
	// LockstepSince is when the server was found to break pipelining, so that it gets one command
	// at a time; zero: never.
	LockstepSince time.Time
	// CameAt is when a message last came from the server, and ThroughAt when one was last taken by
	// the target, noted only while others are Refused; zero: never. They tell a message that is
	// refused from a server or target that refuses all.
	CameAt, ThroughAt time.Time
	// HostSessions is how many sessions the server's host allowed at HostAt, when it refused
	// another one; zero: that never happened.
	HostSessions int
	HostAt       time.Time
	// RanAt is when a run with a rule that deletes by age took place, at most some time before the
	// last one; zero: never. HeldAt is since when such deletions wait, because too much time had
	// passed since the run before; zero: they do not.
	RanAt, HeldAt time.Time
	// Kept is what was found of the delivered messages at the target, for the rule that deletes what
	// was removed there, in the caller's own form; empty: nothing.
	Kept string
	// Origin is the configuration that the account was last fetched from, in the caller's own form;
	// empty: unknown.
	Origin string
	// Shortfall is the largest share of the octets announced by LIST that a whole message lacked,
	// in thousandths.
	Shortfall int
	// Announced is what the server announced at the last log-in, in the caller's own form; empty:
	// nothing worth keeping.
	Announced string
	// Told is what a person was told about a lasting trouble, in the caller's own form. ToldAt is
	// since when. Empty: nothing.
	Told   string
	ToldAt time.Time
}

// Equal reports whether both would be stored alike.
func (st Standing) Equal(other Standing) bool {
	return st.Refusals == other.Refusals && string(st.Credential) == string(other.Credential) &&
		string(st.Proven) == string(other.Proven) && Millis(st.ProvenAt) == Millis(other.ProvenAt) &&
		Millis(st.NotBefore) == Millis(other.NotBefore) && st.Reason == other.Reason &&
		Millis(st.LockstepSince) == Millis(other.LockstepSince) &&
		Millis(st.CameAt) == Millis(other.CameAt) && Millis(st.ThroughAt) == Millis(other.ThroughAt) && st.Origin == other.Origin &&
		Millis(st.RanAt) == Millis(other.RanAt) && Millis(st.HeldAt) == Millis(other.HeldAt) &&
		st.HostSessions == other.HostSessions && Millis(st.HostAt) == Millis(other.HostAt) && st.Shortfall == other.Shortfall &&
		st.Announced == other.Announced && st.Kept == other.Kept && st.Told == other.Told && Millis(st.ToldAt) == Millis(other.ToldAt)
}
