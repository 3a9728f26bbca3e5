package main

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/config"
)

func TestDescribeBuild(t *testing.T) {
	t.Parallel()
	clone := func(module, modified string) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: module}, Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "9423488dede7ad4edc6597445134596b877db2a9"},
			{Key: "vcs.time", Value: "2026-11-30T02:26:31Z"},
			{Key: "vcs.modified", Value: modified},
		}}
	}
	for _, test := range []struct {
		name    string
		release string
		info    *debug.BuildInfo
		want    string
	}{
		{"clone", "", clone("v0.0.0-20261130022631-9423488dede7", "false"), "unreleased, commit 9423488dede7 of 2026-11-30"},
		{"changed clone", "", clone("v0.0.0-20261130022631-9423488dede7+dirty", "true"), "unreleased, commit 9423488dede7 of 2026-11-30, with changes"},
		{"clone without a version", "", clone("(devel)", "false"), "unreleased, commit 9423488dede7 of 2026-11-30"},
		{"tag", "", clone("v1.2.3", "false"), "v1.2.3, commit 9423488dede7 of 2026-11-30"},
		{"module", "", &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}, "v1.2.3"},
		{"no git", "", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "unknown (not built in a git clone, or with -buildvcs=false)"},
		{"no record", "", nil, "unknown"},
		{"release", "0.2.0", clone("v0.1.0", "false"), "0.2.0, commit 9423488dede7 of 2026-11-30"},
		{"release without git", "0.2.0", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "0.2.0"},
		{"release without a record", "0.2.0", nil, "0.2.0"},
	} {
		if got := describeBuild(test.release, test.info); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// The clock cannot be right if it stands before the commit, or before the release that has none.
func TestMadeAt(t *testing.T) {
	t.Parallel()
	at := func(when string) *debug.BuildInfo {
		return &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.time", Value: when}}}
	}
	commit := time.Date(2031, time.May, 2, 3, 4, 5, 0, time.UTC)
	for _, test := range []struct {
		name string
		info *debug.BuildInfo
		want time.Time
	}{
		{"commit", at("2031-05-02T03:04:05Z"), commit},
		{"old commit", at("2001-05-02T03:04:05Z"), released},
		{"no time", at("yesterday"), released},
		{"no record", nil, released},
	} {
		if got := madeAt(test.info, test.info != nil); !got.Equal(test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
	p := &program{}
	if made := p.runner(&setting{Config: new(config.Config)}, nil, new(reporter)).Made; made.Before(released) {
		t.Errorf("the engine thinks that the program was made at %v, want %v or later", made, released)
	}
}

// A program that is built as README says tells the commit that it was built from.
func TestVersion_ofAClone(t *testing.T) {
	t.Parallel()
	clone := filepath.Join(t.TempDir(), "popfetch")
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
		if err != nil {
			t.Skipf("this machine cannot build a clone: %s: %v: %s", name, err, out)
		}
		return string(out)
	}
	run("git", "clone", "-q", "../..", clone)
	commit := strings.TrimSpace(run("git", "-C", clone, "rev-parse", "HEAD"))
	program := filepath.Join(clone, "popfetch")
	run("go", "build", "-C", clone, "-buildvcs=true", "-o", program, "./cmd/popfetch")
	if got := run(program, "--version"); !strings.Contains(got, "commit "+commit[:12]+" of ") || !strings.HasSuffix(got, ", "+runtime.Version()+"\n") {
		t.Errorf("popfetch --version = %q, want commit %s and %s", got, commit[:12], runtime.Version())
	}
}
