package main

import "testing"

// The end of a line of --dry-run shows a header escaped once, and leaves out what is not there.
func TestShownHeader_summary(t *testing.T) {
	for _, test := range []struct {
		header shownHeader
		want   string
	}{
		{shownHeader{}, ""},
		{shownHeader{"today", "alice", `a\x1b[1m "b"`}, `: today, from alice, "a\x1b[1m "b""`},
		{shownHeader{from: "alice"}, ": from alice"},
		{shownHeader{subject: "hello"}, `: "hello"`},
	} {
		if got := test.header.summary(); got != test.want {
			t.Errorf("summary() of %+v = %s, want %s", test.header, got, test.want)
		}
	}
}
