package main

import (
	"cmp"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// version is set by scripts/release. Other builds print what Go recorded about them.
var version string

// versionText returns the version, the commit and the version of Go.
func versionText() string {
	info, _ := debug.ReadBuildInfo()
	return describeBuild(version, info) + ", " + runtime.Version()
}

// released is the day of this release. No clock that stands before it is right.
var released = time.Date(2026, time.November, 30, 0, 0, 0, 0, time.UTC)

// madeAt returns when the program was made: the time of its commit or the day of its release,
// whichever is later.
func madeAt(info *debug.BuildInfo, ok bool) time.Time {
	made := released
	if !ok {
		return made
	}
	for _, s := range info.Settings {
		if at, err := time.Parse(time.RFC3339, s.Value); s.Key == "vcs.time" && err == nil && at.After(made) {
			made = at
		}
	}
	return made
}

// describeBuild returns the version and the commit. A released version comes before the module's.
// Go makes a version such as v0.0.0-20261130022631-9423488dede7 for a commit without a tag; that
// says less than the commit itself. info may be nil.
func describeBuild(release string, info *debug.BuildInfo) string {
	if info == nil {
		return cmp.Or(release, "unknown")
	}
	setting := make(map[string]string)
	for _, s := range info.Settings {
		setting[s.Key] = s.Value
	}
	revision := setting["vcs.revision"]
	commit := revision[:min(len(revision), 12)]
	if commit == "" {
		return cmp.Or(release, describeModule(info.Main.Version))
	}
	text := cmp.Or(release, "unreleased")
	module, _, _ := strings.Cut(info.Main.Version, "+dirty")
	tagged := module != "" && module != "(devel)" && !strings.Contains(module, commit)
	if release == "" && tagged {
		text = module
	}
	text += ", commit " + commit
	if date, _, found := strings.Cut(setting["vcs.time"], "T"); found {
		text += " of " + date
	}
	if setting["vcs.modified"] == "true" {
		text += ", with changes"
	}
	return text
}

func describeModule(version string) string {
	if version == "" || version == "(devel)" {
		return "unknown (not built in a git clone, or with -buildvcs=false)"
	}
	return version
}
