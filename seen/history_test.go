package seen

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestSizes_Count(t *testing.T) {
	var sizes Sizes
	for _, octets := range []int64{0, 1, 2, 3, 4, 1023, 1024, -1} {
		sizes.Count(octets)
	}
	if want := (Sizes{2, 1, 2, 1, 0, 0, 0, 0, 0, 0, 1, 1}); !slices.Equal(sizes, want) {
		t.Errorf("sizes = %v, want %v", sizes, want)
	}
}

func TestDurations_count(t *testing.T) {
	var d Durations
	for _, took := range []time.Duration{0, 100 * time.Millisecond, 100*time.Millisecond + 1, time.Hour, time.Hour + 1} {
		d.count(took)
	}
	if want := (Durations{0: 2, 1: 1, 10: 1, 11: 1}); d != want {
		t.Errorf("durations = %v, want %v", d, want)
	}
}

// A day counts the runs of each verdict, and not more codes than a limit.
func TestDay_Note(t *testing.T) {
	var d Day
	for i := range 2 * maxErrorCodes {
		d.Note(RunNote{Verdict: Failed, Code: fmt.Sprint(i), Took: time.Duration(i) * time.Second, Largest: int64(i)})
	}
	d.Note(RunNote{Verdict: Failed, Code: "3"})
	d.Note(RunNote{Verdict: Passing})
	d.Note(RunNote{Verdict: Succeeded, Delivered: 2, Octets: 30, Deleted: 1, Quarantined: 1, Sizes: Sizes{4: 2}})
	if d.Runs != 2*maxErrorCodes+3 || d.Failed != 2*maxErrorCodes+1 || d.Delivered != 2 || d.Octets != 30 || d.Deleted != 1 || d.Quarantined != 1 ||
		d.Sizes[4] != 2 || d.Longest != (2*maxErrorCodes-1)*time.Second || d.Largest != 2*maxErrorCodes-1 {
		t.Errorf("the day is %+v", d)
	}
	if len(d.Errors) != maxErrorCodes+1 || d.Errors["3"] != 2 || d.Errors[otherErrors] != maxErrorCodes+1 {
		t.Errorf("the errors are %v", d.Errors)
	}
}
