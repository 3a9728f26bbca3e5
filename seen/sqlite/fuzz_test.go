package sqlite

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/seen"
)

// pack writes a row as the statement in packed does.
func pack(r seen.Row) string {
	if r.Copy == 0 && r.AbsentAt == 0 && r.DeletedAt == 0 && r.DeliveredAt >= 0 && 0 <= r.Kind && r.Kind <= 3 {
		return fmt.Sprintf("%d %d %d %s", r.DeliveredAt*4+int64(r.Kind), r.Listed, len(r.UniqueID), r.UniqueID)
	}
	return fmt.Sprintf("-1 %d %d %d %d %d %d %d %s", r.Copy, r.Kind, r.Listed, r.DeliveredAt, r.AbsentAt, r.DeletedAt, len(r.UniqueID), r.UniqueID)
}

// FuzzUnpack reads rows of a damaged database. unpack may return an error; if it does not, the row
// is the one that was written.
func FuzzUnpack(f *testing.F) {
	one, plain := seen.Row{Key: seen.Key{UniqueID: "a b", Copy: 1}, Kind: seen.Delivered, Listed: 9, DeliveredAt: 1}, seen.Row{Kind: seen.Marked, Listed: 9, DeliveredAt: 1}
	for _, chunk := range []string{"", pack(one), pack(one) + pack(plain), "0 0 5 abc", "-1 0 0 0 0 0 0 -1 a", "0 0 99999999999999999999 a", "1 2 3", "-1 0 10 0 0 0 0 0 ", "0 0 3 \x00\xff "} {
		f.Add(chunk, "id", 0, int64(1))
	}
	f.Fuzz(func(t *testing.T, chunk, id string, copies int, number int64) {
		if r, rest, err := unpack(chunk); err == nil {
			if !strings.HasSuffix(chunk, r.UniqueID+rest) {
				t.Errorf("unpack(%q) = %+v, rest %q", chunk, r, rest)
			}
			if again, left, err := unpack(pack(r) + rest); r.DeliveredAt < math.MaxInt64/4 && err != nil || again != r || left != rest {
				t.Errorf("unpack() of %+v = %+v, %q, %v", r, again, left, err)
			}
		}
		number &^= 1 << 62 // no time is that late
		want := seen.Row{Key: seen.Key{UniqueID: id, Copy: copies}, Kind: seen.Kind(number), Listed: number, DeliveredAt: -number, AbsentAt: number / 2, DeletedAt: 1}
		if got, rest, err := unpack(pack(want) + chunk); err != nil || got != want || rest != chunk {
			t.Errorf("unpack() of %+v and %q = %+v, %q, %v", want, chunk, got, rest, err)
		}
	})
}
