package main

import (
	"errors"
	"slices"
	"testing"

	"github.com/popfetch/popfetch/internal/config"
)

// A worker takes out of the schedule what has left its accounts, but not what only it cannot read:
// an account may have a key that a later version knows.
func TestRoll_leave(t *testing.T) {
	unreadable := map[string]error{"unreadable": errors.New("is not a known key")}
	r := &roll{
		setting:  &setting{Config: &config.Config{}, faults: unreadable},
		accounts: map[string]*known{"stays": {}},
	}
	r.leave(&roll{names: []string{"stays", "unreadable", "gone"}})
	if want := []string{"gone"}; !slices.Equal(r.unwanted, want) {
		t.Errorf("leave() takes out %q, want %q", r.unwanted, want)
	}
}
