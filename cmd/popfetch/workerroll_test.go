package main

import (
	"testing"

	"github.com/popfetch/popfetch/internal/config"
)

// A worker names its accounts in each claim only as long as it knows of strangers. The accounts of
// another roll may be what was strange before.
func TestRoll_strangers(t *testing.T) {
	s := &setting{Config: new(config.Config)}
	team := &team{poller: &poller{program: new(program)}}
	team.roll.Store(team.newRoll(s, nil))
	hasStrangers := func() bool { return team.roll.Load().hasStrangers.Load() }
	if hasStrangers() {
		t.Error("a new roll has strangers")
	}
	if outcome := team.poll(t.Context(), "stranger"); !outcome.Undone || !hasStrangers() {
		t.Errorf("the poll of a stranger: %+v, strangers: %v", outcome, hasStrangers())
	}
	team.roll.Store(team.newRoll(s, nil))
	if hasStrangers() {
		t.Error("the next roll has the strangers of the last one")
	}
	team.words = []string{"work"}
	if team.roll.Store(team.newRoll(s, nil)); !hasStrangers() {
		t.Error("a worker of named accounts claims others")
	}
}
