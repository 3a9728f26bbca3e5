//go:build linux && amd64

package fetch_test

import "testing"

// TestTortureFaultsComposed makes system calls of a run fail: each one if the target is a fan of
// Maildirs. Where programs take part it is every fourth one, so that the test ends in half an hour.
// A run after it must bring each target every message once.
func TestTortureFaultsComposed(t *testing.T) {
	needTorture(t)
	for _, c := range composedCases {
		step := 4
		if !c.mda && !c.filtered {
			step = 1
		}
		t.Run(c.name, func(t *testing.T) { tryFaults(t, c, step) })
	}
}

// TestFaults_composed is a dozen of these faults for each of them.
func TestFaults_composed(t *testing.T) {
	for _, c := range composedCases {
		t.Run(c.name, func(t *testing.T) { trySomeFaults(t, c) })
	}
}
