package main

import "testing"

func TestUniqueID_roundTrip(t *testing.T) {
	for id, want := range map[string]string{
		"C0039plain": "C0039plain", "a b": "a%20b", "50%off": "50%25off", "\xff\xe9": "%FF%E9", "\x1b[31m": "%1B[31m", "é": "%C3%A9", "": "",
	} {
		got := writeID(id)
		if got != want {
			t.Errorf("writeID(%q) = %q, want %q", id, got, want)
		}
		if back, err := readID(got); err != nil || back != id {
			t.Errorf("readID(%q) = %q, %v, want %q", got, back, err, id)
		}
	}
	for _, bad := range []string{"%", "a%2", "%zz", "50%off"} {
		if got, err := readID(bad); err == nil || exitStatus(err) != exitUsage {
			t.Errorf("readID(%q) = %q, %v, want a usage error", bad, got, err)
		}
	}
}
