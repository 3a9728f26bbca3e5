package main

import (
	"runtime/debug"
	"strings"
	"testing"
)

// TestDefaults fails if the program has the defaults of the Go version in go.mod.
func TestDefaults(t *testing.T) {
	t.Parallel()
	info, ok := debug.ReadBuildInfo()
	if !ok {
		t.Fatal("the build information is missing")
	}
	for _, setting := range info.Settings {
		if setting.Key == "DefaultGODEBUG" && strings.Contains(setting.Value, "tlssha1=1") {
			t.Errorf("DefaultGODEBUG = %s, want SHA-1 signatures refused", setting.Value)
		}
	}
}
