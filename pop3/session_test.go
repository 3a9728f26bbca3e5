package pop3

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"testing"
)

func pipelining() []string { return []string{"PIPELINING", "UIDL", "TOP"} }

// sized is a sequence for Retr in ascending order.
func sized(numbers ...int) iter.Seq2[int, int64] {
	return func(yield func(int, int64) bool) {
		for _, n := range numbers {
			if !yield(n, 0) {
				return
			}
		}
	}
}

func TestListings(t *testing.T) {
	c := logged(t, pipelining(),
		"C: STAT", "C: LIST", "C: UIDL",
		"S: +OK 2 320", "S: +OK 2 messages", "S: 1 120", "S: 2 200", "S: .", "S: +OK", "S: 1 a", "S: 2 b", "S: .",
		"C: QUIT", "S: +OK bye")
	l, err := c.Listings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := (DropListing{2, 320}); l.Drop != want {
		t.Errorf("Drop = %v, want %v", l.Drop, want)
	}
	if want := []ScanListing{{1, 120}, {2, 200}}; !slices.Equal(l.Scan, want) {
		t.Errorf("Scan = %v, want %v", l.Scan, want)
	}
	if want := []UniqueIDListing{{1, "a"}, {2, "b"}}; !slices.Equal(l.UIDs, want) {
		t.Errorf("UIDs = %v, want %v", l.UIDs, want)
	}
	if err := c.Quit(t.Context()); err != nil {
		t.Errorf("Quit() = %v, want nil", err)
	}
}

func TestRetr_pipelined(t *testing.T) {
	c := logged(t, pipelining(),
		"C: RETR 1", "C: RETR 2", "C: RETR 3",
		"S: +OK", "S: one", "S: ..dot", "S: .", "S: -ERR [SYS/TEMP] later", "S: +OK", "S: .",
		"C: NOOP", "S: +OK")
	got := map[int]string{}
	for m, err := range c.Retr(t.Context(), sized(1, 2, 3)) {
		var refused *ReplyError
		switch {
		case errors.As(err, &refused):
			got[m.Number] = fmt.Sprint(err)
		case err != nil:
			t.Fatal(err)
		default:
			body, err := io.ReadAll(m)
			if err != nil {
				t.Fatal(err)
			}
			got[m.Number] = string(body)
		}
	}
	want := map[int]string{1: "one\r\n.dot\r\n", 2: "server refused RETR: [SYS/TEMP] later", 3: ""}
	if !maps.Equal(got, want) {
		t.Errorf("Retr() = %v, want %v", got, want)
	}
	if err := c.Noop(t.Context()); err != nil {
		t.Errorf("Noop() = %v, want nil", err)
	}
}
