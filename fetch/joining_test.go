package fetch

import (
	"testing"

	"github.com/popfetch/popfetch/pop3"
)

// behaviour 12: a large number in STAT uses no memory, beyond what is known of the account, before
// so many lines arrive.
func TestJoining_drop(t *testing.T) {
	for messages, want := range map[int]int{0: 0, 7: 7, 1 << 30: 10} {
		j := joining{expected: 10}
		j.drop(pop3.DropListing{Messages: messages})
		if cap(j.listed) != want {
			t.Errorf("STAT tells of %d messages: room for %d, want %d", messages, cap(j.listed), want)
		}
	}
}
