package likeness

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// shownMessage is what a server would show of a message, as far as the test needs it.
type shownMessage struct {
	digest byte // 0: TOP is refused
	named  bool
	octets int64
	sha256 byte // 0: RETR is refused
}

// recognise uses a Likeness as a session does, and returns the record of each message, "-" for none,
// and what was retrieved.
func recognise(messages []shownMessage, records []seen.Record) (moves string, retrieved []int) {
	listing := make([]seen.Entry, len(messages))
	for i, m := range messages {
		listing[i] = seen.Entry{Number: i + 1, Key: seen.Key{UniqueID: fmt.Sprint("new-", i)}, Octets: m.octets}
	}
	l := New(listing)
	for i, m := range messages {
		if m.digest != 0 {
			l.Show(int32(i), seen.Digest{m.digest}, m.named)
		}
	}
	for _, r := range records {
		l.Count(r)
	}
	for i := range l.Doubts() {
		retrieved = append(retrieved, int(i))
		if sum := messages[i].sha256; sum != 0 {
			l.Measure(i, [32]byte{sum})
		}
	}
	for _, r := range records {
		l.Assign(r)
	}
	known := slices.Repeat([]string{"-"}, len(messages))
	for m := range l.Each {
		i := m.To.Number - 1
		if known[i] != "-" || m.To != listing[i] {
			panic(fmt.Sprint("given twice: ", m))
		}
		known[i] = m.From.UniqueID
	}
	return strings.Join(known, " "), retrieved
}

// delivered makes the record of a delivered message.
func delivered(id string, octets int64, digest byte) seen.Record {
	return seen.Record{Key: seen.Key{UniqueID: id}, Kind: seen.Delivered, Listed: octets, Digest: seen.Digest{digest},
		Came: seen.Sum{SHA256: [32]byte{digest}}}
}

func TestLikeness(t *testing.T) {
	rec := func(id string, digest, sum byte, octets int64) seen.Record {
		return seen.Record{Key: seen.Key{UniqueID: id}, Kind: seen.Delivered, Listed: octets, Digest: seen.Digest{digest}, Came: seen.Sum{SHA256: [32]byte{sum}}}
	}
	marked := seen.Record{Key: seen.Key{UniqueID: "m"}, Kind: seen.Marked}
	msg := func(digest, sum byte, octets int64) shownMessage { return shownMessage{digest, true, octets, sum} }
	unnamed := func(digest, sum byte, octets int64) shownMessage {
		return shownMessage{digest, false, octets, sum}
	}
	messages := func(m ...shownMessage) []shownMessage { return m }
	records := func(r ...seen.Record) []seen.Record { return r }
	for _, test := range []struct {
		name      string
		messages  []shownMessage
		records   []seen.Record
		want      string
		retrieved []int
	}{
		{"each by its header", messages(msg(1, 1, 100), msg(2, 2, 100), msg(3, 3, 100)), records(rec("b", 2, 2, 100), rec("a", 1, 1, 105)), "a b -", nil},
		{"octets of which one is unknown", messages(msg(1, 1, 0), msg(2, 2, 100)), records(rec("a", 1, 1, 100), rec("b", 2, 2, 0)), "a b", nil},
		{"clearly other octets", messages(msg(1, 9, 200)), records(rec("a", 1, 1, 100)), "a", nil},
		{"clearly other octets, no Message-ID", messages(unnamed(1, 9, 200)), records(rec("a", 1, 1, 100)), "-", []int{0}},
		{"clearly other octets, two listed", messages(msg(1, 9, 200), msg(1, 1, 300)), records(rec("a", 1, 1, 100)), "- a", []int{0, 1}},
		{"clearly other octets, two known", messages(msg(1, 9, 200)), records(rec("a", 1, 1, 100), rec("b", 1, 2, 300)), "-", []int{0}},
		{"no Message-ID, the same", messages(unnamed(1, 1, 100)), records(rec("a", 1, 1, 100)), "a", []int{0}},
		{"no Message-ID, another", messages(unnamed(1, 2, 100)), records(rec("a", 1, 1, 100)), "-", []int{0}},
		{"no Message-ID, and no record that may be it", messages(unnamed(1, 2, 100)), records(rec("a", 3, 1, 100)), "-", nil},
		{"two alike, one known", messages(msg(1, 2, 100), msg(1, 1, 100)), records(rec("a", 1, 1, 100)), "- a", []int{0, 1}},
		{"one listed, two known", messages(msg(1, 2, 100)), records(rec("a", 1, 1, 100), rec("b", 1, 2, 100)), "b", []int{0}},
		{"one listed, two known, neither is it", messages(msg(1, 3, 100)), records(rec("a", 1, 1, 100), rec("b", 1, 2, 100)), "-", []int{0}},
		{"equal, more than known", messages(msg(1, 1, 100), msg(1, 1, 100), msg(1, 1, 100)), records(rec("a", 1, 1, 100), rec("b", 1, 1, 100)), "a b -", []int{0, 1, 2}},
		{"equal, fewer than known", messages(msg(1, 1, 100)), records(rec("a", 1, 1, 100), rec("b", 1, 1, 100)), "a", []int{0}},
		{"TOP refused", messages(shownMessage{octets: 100, sha256: 1}, msg(2, 2, 100)), records(rec("a", 1, 1, 100), rec("b", 2, 2, 100)), "a b", []int{0}},
		{"TOP and RETR refused", messages(shownMessage{octets: 100}), records(rec("a", 1, 1, 100)), "-", []int{0}},
		{"alike, RETR refused", messages(msg(1, 0, 100), msg(1, 0, 100)), records(rec("a", 1, 1, 100)), "- -", []int{0, 1}},
		{"marked, of which nothing is known", messages(msg(1, 1, 100), shownMessage{octets: 100, sha256: 1}), records(marked), "- -", []int{1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, retrieved := recognise(test.messages, test.records)
			if got != test.want || !slices.Equal(retrieved, test.retrieved) {
				t.Errorf("records %q, retrieved %v, want %q and %v", got, retrieved, test.want, test.retrieved)
			}
		})
	}
}

// TestLikeness_safe makes messages at random. A record is given to a message only if that is the
// one with its digest and a Message-ID, or the one with all its octets. No record is given twice.
func TestLikeness_safe(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	given := 0
	for range 20000 {
		messages := make([]shownMessage, random.IntN(5))
		for i := range messages {
			messages[i] = shownMessage{byte(random.IntN(4)), random.IntN(3) > 0, int64(100 * random.IntN(3)), byte(random.IntN(4))}
		}
		records := make([]seen.Record, random.IntN(5))
		for i := range records {
			records[i] = delivered(fmt.Sprint(i), int64(100*random.IntN(3)), byte(random.IntN(4)))
			records[i].Came.SHA256 = [32]byte{byte(random.IntN(4))}
		}
		known, _ := recognise(messages, records)
		for i, id := range strings.Fields(known) {
			if id == "-" {
				continue
			}
			given++
			m, r := messages[i], records[id[0]-'0']
			same := func(other shownMessage) bool { return other.digest == m.digest }
			alone := len(slices.DeleteFunc(slices.Clone(messages), func(o shownMessage) bool { return !same(o) })) == 1
			byHeader := m.digest != 0 && m.digest == r.Digest[0] && m.named && alone
			byOctets := m.sha256 != 0 && m.sha256 == r.Came.SHA256[0]
			if !byHeader && !byOctets || strings.Count(known, id) > 1 {
				t.Fatalf("messages %+v, records %+v: %s", messages, records, known)
			}
		}
	}
	if given == 0 {
		t.Error("nothing was recognised, so nothing was tested")
	}
}

// The time grows in proportion to the number of messages, even if nothing tells them apart.
func TestLikeness_many(t *testing.T) {
	const many = 50_000
	messages, records := make([]shownMessage, many), make([]seen.Record, many)
	for i := range messages {
		messages[i] = shownMessage{1, false, 100, 1}
		records[i] = delivered(fmt.Sprint(i), 100, 1)
	}
	began := time.Now()
	known, _ := recognise(messages, records)
	if strings.Contains(known, "-") {
		t.Error("not all are known")
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("%d messages took %v, want a part of a second", many, took)
	}
}
