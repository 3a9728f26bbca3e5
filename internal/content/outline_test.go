package content

import (
	"strings"
	"testing"
)

// TestOutline_Doubt has behaviour 38 as a table: when a message is in doubt.
func TestOutline_Doubt(t *testing.T) {
	long := strings.Repeat("x", 600)
	for _, test := range []struct {
		name      string
		announced int64
		content   string
		setting   Setting
		want      string // a part of the reason; empty: no doubt
	}{
		{"exact", 7, "a\r\nb\r\n\r", Setting{}, ""},
		{"a final line end that is missing", 5, "a\r\n", Setting{}, ""},
		{"one octet more than that", 6, "a\r\n", Setting{}, "ended after 3 octets"},
		{"lone LFs counted as CRLF", 10, "a\nb\nc\n\r\n", Setting{}, ""},
		{"lone LFs counted as CRLF, and no final line end", 11, "a\nb\nc\n\n", Setting{}, ""},
		{"more than those", 14, "a\nb\nc\n\r\n", Setting{}, "ended after"},
		{"empty", 2, "", Setting{}, ""},
		{"empty, and announced larger", 3, "", Setting{}, "ended after 0 octets, and LIST announced 3"},
		{"a size that no message has", 1 << 62, "a\r\n", Setting{}, "ended after"},
		{"no size", 0, "a\r\n", Setting{}, ""},
		{"no size, and empty", 0, "", Setting{}, "empty"},
		{"a negative size", -5, "a\r\n", Setting{}, ""},
		{"larger", 3, "a\r\nb\r\nc\r\n", Setting{Pipelined: true}, ""},

		{"known to be off", 100, strings.Repeat("x", 90), Setting{Shortfall: 50}, ""},
		{"known to be off, but not that much", 100, strings.Repeat("x", 70), Setting{Shortfall: 50}, "ended after"},
		{"known to be off tenfold", 1000, strings.Repeat("x", 100), Setting{Shortfall: 900}, ""},
		{"known to be off, and empty", 1000, "", Setting{Shortfall: 1000}, "ended after 0"},

		{"begins like a reply", 7, "+OK x\r\n", Setting{}, "begins like a reply"},
		{"begins like a refusal", 9, "-ERR bad\r\n", Setting{}, "begins like a reply"},
		{"begins nearly like a reply", 5, "+O\r\n", Setting{}, ""},
		{"ends like a reply", 3, "a\r\n+OK 5\r\n", Setting{Pipelined: true}, "ends with what looks like the next reply"},
		{"ends like a reply without its line end", 3, "a\r\n-ERR", Setting{Pipelined: true}, "ends with"},
		{"ends like a reply, as announced", 10, "a\r\n+OK 5\r\n", Setting{Pipelined: true}, ""},
		{"ends like a reply, alone", 3, "a\r\n+OK 5\r\n", Setting{}, ""},
		{"ends with a line that is too long for a reply", 3, "a\r\n+OK" + long + "\r\n", Setting{Pipelined: true}, ""},
		{"a long message that ends like a reply", 3, "a" + long + long + "\r\n+OK 5\r\n", Setting{Pipelined: true}, "ends with"},

		{"behind a refusal, as announced", 3, "a\r\n", Setting{Gap: true}, ""},
		{"behind a refusal, CRLF counted as LF", 8, "aaaaaa\r\nb\r\n\r\n", Setting{Gap: true}, ""},
		{"behind a refusal, another size", 4, "aaaaaaaaa\r\n", Setting{Gap: true}, "a reply before it was negative"},
	} {
		for _, piece := range []int{1, 3, 1 << 20} {
			var o Outline
			_, _ = o.Write([]byte("+OK of the message before\n"))
			o.Reset(test.announced)
			for rest := []byte(test.content); len(rest) > 0; {
				n := min(piece, len(rest))
				_, _ = o.Write(rest[:n])
				rest = rest[n:]
			}
			got := o.Doubt(test.setting)
			if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("%s, in pieces of %d: doubt() = %q, want %q in it", test.name, piece, got, test.want)
			}
		}
	}
}

func TestExtent_SameFactor(t *testing.T) {
	for _, test := range []struct {
		name       string
		one, other Extent
		want       bool
	}{
		{"tenfold", Extent{1000, 100}, Extent{2000, 200}, true},
		{"by a third, rounded", Extent{1334, 1000}, Extent{267, 200}, true},
		{"without the last line end", Extent{10020, 1000}, Extent{20000, 2000}, true},
		{"other factors", Extent{1000, 100}, Extent{1800, 200}, false},
		{"a constant more", Extent{1100, 100}, Extent{1200, 200}, false},
		{"one size", Extent{1000, 100}, Extent{1000, 100}, false},
		{"right sizes", Extent{100, 100}, Extent{200, 200}, false},
		{"an empty one", Extent{1000, 0}, Extent{2000, 200}, false},
		{"too small", Extent{50, 100}, Extent{100, 200}, false},
	} {
		if got := test.one.SameFactor(test.other); got != test.want {
			t.Errorf("%s: SameFactor() = %v, want %v", test.name, got, test.want)
		}
		if got := test.other.SameFactor(test.one); got != test.want {
			t.Errorf("%s, the other way round: SameFactor() = %v, want %v", test.name, got, test.want)
		}
	}
}
