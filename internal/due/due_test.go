package due

import (
	"testing"
	"time"
)

// about reports whether a time is what is wanted, with jitter.
func about(got, want time.Duration) bool {
	return got >= want*9/10 && got <= want*11/10+time.Microsecond
}

func TestPause(t *testing.T) {
	for _, test := range []struct {
		interval time.Duration
		want     []time.Duration // after 0, 1, 2, … fruitless polls in a row
	}{
		{5 * time.Minute, []time.Duration{5 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 30 * time.Minute, 30 * time.Minute, 30 * time.Minute}},
		{30 * time.Minute, []time.Duration{30 * time.Minute, 30 * time.Minute, 30 * time.Minute}},
		{24 * time.Hour, []time.Duration{24 * time.Hour, 24 * time.Hour, 24 * time.Hour}},
		{time.Second, []time.Duration{time.Second, time.Second, 2 * time.Second, 4 * time.Second}},
	} {
		for fruitless, want := range test.want {
			if got := pause(test.interval, fruitless); !about(got, want) {
				t.Errorf("pause(%v, %d) = %v, want about %v", test.interval, fruitless, got, want)
			}
		}
		if got, most := pause(test.interval, 1<<40), max(test.interval, LongestBackOff); !about(got, most) {
			t.Errorf("pause(%v, very many) = %v, want about %v", test.interval, got, most)
		}
	}
}

// Of all times that count, the latest is the one.
func TestWait(t *testing.T) {
	const minute = time.Minute
	for _, test := range []struct {
		name string
		poll Poll
		want time.Duration
	}{
		{"nothing has passed", Poll{Interval: 5 * minute}, 5 * minute},
		{"fruitless", Poll{Interval: 5 * minute, Fruitless: 2}, 10 * minute},
		{"announced", Poll{Interval: minute, Announced: time.Hour}, time.Hour},
		{"refused", Poll{Interval: minute, Announced: minute, Refused: time.Hour}, time.Hour},
		{"long ago", Poll{Interval: minute, Announced: -time.Hour, Refused: -time.Hour}, minute},
		{"the least", Poll{Interval: 10 * minute, Passed: 9 * minute, Least: 5 * minute}, 5 * minute},
		{"fruitless and passed", Poll{Interval: 5 * minute, Fruitless: 6, Passed: 10 * minute}, 20 * minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			slack := 2*minute + test.want/10 // the jitter of the longest pause, and more
			if got := test.poll.Wait(); got < test.want-slack || got > test.want+slack {
				t.Errorf("%+v waits for %v, want about %v", test.poll, got, test.want)
			}
		})
	}
	if got := (Poll{Interval: minute, Passed: time.Hour}).Wait(); got != 0 {
		t.Errorf("a poll that was due long ago waits for %v, want none", got)
	}
}

func TestSpread(t *testing.T) {
	for _, test := range []struct{ interval, first, last time.Duration }{
		{time.Hour, 0, 9 * time.Second}, {time.Second, 0, 900 * time.Millisecond},
	} {
		if first, last := Spread(test.interval, 0, 10), Spread(test.interval, 9, 10); first != test.first || last != test.last {
			t.Errorf("with %v the first polls are put off by %v to %v, want %v to %v", test.interval, first, last, test.first, test.last)
		}
	}
}
