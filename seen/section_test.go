package seen

import "testing"

// Of damaged octets, the sections before the damage are still read.
func TestUnpackSections(t *testing.T) {
	packed := packSections([]Entry{{Key: Key{UniqueID: "a"}}, {Key: Key{UniqueID: "b"}}, {Key: Key{UniqueID: "c"}}}, 2)
	all := unpackSections(packed)
	if len(all) != 2 || string(all[0].last) != "b" || string(all[1].last) != "c" || all[0].digest == all[1].digest {
		t.Fatalf("unpackSections() = %v, want two that end with b and c", all)
	}
	for n := range len(packed) {
		if got := unpackSections(packed[:n]); len(got) != n*2/len(packed) {
			t.Errorf("the first %d octets of %d give %v", n, len(packed), got)
		}
	}
	tooLong := append(make([]byte, 16), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01)
	if got := unpackSections(tooLong); len(got) > 0 {
		t.Errorf("a length of 2^64-1 gives %v, want nothing", got)
	}
}
