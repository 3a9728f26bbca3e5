package main

import (
	"runtime/debug"
	"strings"
	"testing"
)

// TestDefaults fails if the program has defaults of the Go that go.mod asks for, and not those of its own.
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
