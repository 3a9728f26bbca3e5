package seen

import "time"

// Standing is what lasts from run to run of an account's dealings with its server, besides its messages. The zero value
// is a good standing. Another server or user (see Store.Enter) brings it back.
type Standing struct {
	Refusals   int    // log-ins refused in a row
	Credential []byte // by which the caller tells whether what was refused has changed since; nil: none
	// NotBefore is when the next log-in may be, and Reason why not earlier; zero: at any time.
	NotBefore time.Time
	Reason    string
	// LockstepSince is when the server was found to break pipelining, so that it gets one command at a time; zero: never.
	LockstepSince time.Time
	// Shortfall is the largest share, in thousandths, of what LIST announced that a message lacked which was whole all the
	// same.
	Shortfall int
	// Announced is what the server announced at the last log-in, in the caller's words; empty: nothing that is worth keeping.
	Announced string
	// Told is what a person was told of and lasts, in the caller's words, and ToldAt since when; empty: nothing.
	Told   string
	ToldAt time.Time
}

// Equal compares as the store keeps it.
func (st Standing) Equal(other Standing) bool {
	return st.Refusals == other.Refusals && string(st.Credential) == string(other.Credential) &&
		Millis(st.NotBefore) == Millis(other.NotBefore) && st.Reason == other.Reason &&
		Millis(st.LockstepSince) == Millis(other.LockstepSince) && st.Shortfall == other.Shortfall &&
		st.Announced == other.Announced && st.Told == other.Told && Millis(st.ToldAt) == Millis(other.ToldAt)
}
