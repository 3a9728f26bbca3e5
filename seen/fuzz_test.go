package seen

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// pack writes a row as the statement in packed does.
func pack(r row) string {
	if r.Copy == 0 && r.absentAt == 0 && r.deletedAt == 0 && r.deliveredAt >= 0 && 0 <= r.kind && r.kind <= 3 {
		return fmt.Sprintf("%d %d %d %s", r.deliveredAt*4+int64(r.kind), r.listed, len(r.UniqueID), r.UniqueID)
	}
	return fmt.Sprintf("-1 %d %d %d %d %d %d %d %s", r.Copy, r.kind, r.listed, r.deliveredAt, r.absentAt, r.deletedAt, len(r.UniqueID), r.UniqueID)
}

// FuzzUnpack reads rows of a database that somebody has damaged: an error at most, and what is read is what was written.
func FuzzUnpack(f *testing.F) {
	one, plain := row{Key: Key{UniqueID: "a b", Copy: 1}, kind: Delivered, listed: 9, deliveredAt: 1}, row{kind: Marked, listed: 9, deliveredAt: 1}
	for _, chunk := range []string{"", pack(one), pack(one) + pack(plain), "0 0 5 abc", "-1 0 0 0 0 0 0 -1 a", "0 0 99999999999999999999 a", "1 2 3", "-1 0 10 0 0 0 0 0 ", "0 0 3 \x00\xff "} {
		f.Add(chunk, "id", 0, int64(1))
	}
	f.Fuzz(func(t *testing.T, chunk, id string, copies int, number int64) {
		if r, rest, err := unpack(chunk); err == nil {
			if !strings.HasSuffix(chunk, r.UniqueID+rest) {
				t.Errorf("unpack(%q) = %+v, rest %q", chunk, r, rest)
			}
			if again, left, err := unpack(pack(r) + rest); r.deliveredAt < math.MaxInt64/4 && err != nil || again != r || left != rest {
				t.Errorf("unpack() of %+v = %+v, %q, %v", r, again, left, err)
			}
		}
		number &^= 1 << 62 // times are not that late
		want := row{Key: Key{UniqueID: id, Copy: copies}, kind: Kind(number), listed: number, deliveredAt: -number, absentAt: number / 2, deletedAt: 1}
		if got, rest, err := unpack(pack(want) + chunk); err != nil || got != want || rest != chunk {
			t.Errorf("unpack() of %+v and %q = %+v, %q, %v", want, chunk, got, rest, err)
		}
	})
}
