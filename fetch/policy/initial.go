package policy

import "time"

// Initial says what the first run of an account leaves out. The zero value leaves out nothing.
type Initial struct {
	Limited bool
	Chosen  bool // somebody has said so for this account, whatever other accounts have been before
	// What arrived within that time is retrieved all the same; zero: nothing is.
	Within time.Duration
}
