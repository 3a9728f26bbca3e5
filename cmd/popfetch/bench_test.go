package main

import (
	"os/exec"
	"testing"
)

// BenchmarkVersion measures how long the program takes to do nothing. Scripts and prompts wait for
// it: 10 ms would be too long.
func BenchmarkVersion(b *testing.B) {
	program := buildProgram(b)
	for b.Loop() {
		if err := exec.CommandContext(b.Context(), program, "--version").Run(); err != nil {
			b.Fatal(err)
		}
	}
}
