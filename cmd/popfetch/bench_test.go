package main

import (
	"os/exec"
	"testing"
)

// BenchmarkVersion shows how long the program takes to do nothing, which scripts and prompts pay for: 10 ms are too many.
func BenchmarkVersion(b *testing.B) {
	program := buildProgram(b)
	for b.Loop() {
		if err := exec.CommandContext(b.Context(), program, "--version").Run(); err != nil {
			b.Fatal(err)
		}
	}
}
