package pop3

import (
	"math"
	"slices"
	"testing"
)

// source returns a sequence of requests for a window, all with the same announced octets.
func source(count int, octets int64) func() (int, int64, bool) {
	n := 0
	return func() (int, int64, bool) {
		n++
		return n, octets, n <= count
	}
}

func TestWindowRefill(t *testing.T) {
	tests := []struct {
		name   string
		w      window
		refill []int // how many commands are sent after each answer, until all are answered
	}{
		{"R2449-3/none", window{next: source(0, 0), commands: 4, octets: 100}, []int{0}},
		{"R2449-3/one-at-a-time", window{next: source(3, 0), commands: 1, octets: 100}, []int{1, 1, 1, 0}},
		{"R2449-3/half-answered", window{next: source(8, 0), commands: 4, octets: 100}, []int{4, 0, 2, 0, 2, 0, 0, 0, 0}},
		{"R2449-3/octets", window{next: source(4, 30), commands: 4, octets: 100}, []int{3, 0, 1, 0, 0}},
		{"R2449-3/two-always", window{next: source(3, 500), commands: 4, octets: 100}, []int{2, 1, 0, 0}},
		{"R2449-3/two-unless-off", window{next: source(2, 500), commands: 1, octets: 100}, []int{1, 1, 0}},
		{"R2449-3/huge", window{next: source(3, math.MaxInt64), commands: 4, octets: 100}, []int{2, 1, 0, 0}},
		{"R2449-3/negative", window{next: source(3, math.MinInt64), commands: 4, octets: 100}, []int{3, 0, 0, 0}},
		{"R2449-3/unknown", window{next: source(3, 0), commands: 4, octets: 100}, []int{3, 0, 0, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := tt.w
			w.keyword = "RETR"
			var got []int
			for {
				got = append(got, len(w.refill()))
				if len(w.unanswered) == 0 {
					break
				}
				w.pop()
			}
			if !slices.Equal(got, tt.refill) {
				t.Errorf("commands at each refill: %v, want %v", got, tt.refill)
			}
			if w.announced != 0 || w.commandOctets != 0 {
				t.Errorf("at the end %d and %d octets are counted, want 0", w.announced, w.commandOctets)
			}
		})
	}
}

func TestWindowRefill_command_octets(t *testing.T) {
	w := window{next: source(5000, 0), keyword: "TOP", suffix: " 10", most: 5000, commands: 5000, octets: 1}
	for answered := 0; ; answered++ {
		w.refill()
		if w.commandOctets > windowCommandOctets {
			t.Fatalf("R2449-3: %d octets of commands are unanswered, want at most %d", w.commandOctets, windowCommandOctets)
		}
		if len(w.unanswered) == 0 {
			if answered != 5000 {
				t.Errorf("%d commands sent, want 5000", answered)
			}
			return
		}
		w.pop()
	}
}

func TestWindowRefill_bad_number(t *testing.T) {
	numbers := []int{1, 0, 2}
	i := -1
	w := window{keyword: "RETR", commands: 9, octets: 9, next: func() (int, int64, bool) {
		i++
		return numbers[i], 0, true
	}}
	if got := len(w.refill()); got != 1 {
		t.Errorf("%d commands, want 1: the one before the bad number", got)
	}
	if w.refused.err == nil || w.refused.number != 0 || w.take() {
		t.Errorf("refused = %v, want number 0 refused and nothing taken after it", w.refused)
	}
}
