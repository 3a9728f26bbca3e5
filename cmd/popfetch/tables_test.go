package main

import (
	"slices"
	"testing"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/login"
)

// Packages that do not know each other have lists that belong together. Who adds to one of them is
// told here of the other.

// Each way to log in has its word in the configuration.
func TestTables_mechanisms(t *testing.T) {
	words := []string{"auto"}
	for _, m := range login.Mechanisms() {
		words = append(words, string(m))
	}
	slices.Sort(words)
	if got := slices.Sorted(slices.Values(config.AuthWords)); !slices.Equal(got, words) {
		t.Errorf("the values of auth are %q, and the mechanisms %q", got, words)
	}
}

// No account may have the name of a command.
func TestTables_commands(t *testing.T) {
	for _, command := range newApp(newTerminal()).Commands {
		if !config.IsReserved(command.Name) {
			t.Errorf("an account may be called %q, which is a command", command.Name)
		}
	}
}
