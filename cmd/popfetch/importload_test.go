package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/foreign"
)

// TestImport_loads writes the configuration of each archive that package foreign is tested with, and
// checks that it loads.
func TestImport_loads(t *testing.T) {
	t.Parallel()
	archives, err := filepath.Glob("../../internal/foreign/testdata/*/*.txtar")
	if err != nil || len(archives) < 40 {
		t.Fatalf("%d archives, %v", len(archives), err)
	}
	written := 0
	for _, path := range archives {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		home := t.TempDir()
		files := map[string]string{}
		for _, file := range archive.Files {
			files[file.Name] = strings.ReplaceAll(string(file.Data), "NUL", "\x00")
			if err := os.MkdirAll(filepath.Dir(filepath.Join(home, file.Name)), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		writeFiles(t, home, files)
		program := filepath.Base(filepath.Dir(path))
		found, err := foreign.Read(program, namedIn(archive, home), foreign.Env{
			Home: home, Root: home, Reserved: config.IsReserved, Getenv: variablesIn(archive, home),
		})
		if err != nil { // of a file that is broken on purpose
			continue
		}
		var accounts []config.NewAccount
		for i := range found.Accounts {
			accounts = append(accounts, newAccountOf(program, &found.Accounts[i]))
		}
		file := filepath.Join(home, "popfetch.toml")
		if err := config.Append(context.Background(), file, accounts...); err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		cfg, err := config.Load(file)
		if err != nil || len(cfg.Accounts) != len(accounts) {
			t.Errorf("%s: %v, want %d accounts", path, err, len(accounts))
			continue
		}
		written++
	}
	if written < 20 {
		t.Errorf("only %d archives became a configuration", written)
	}
}

// namedIn returns the files that the comment of an archive names by lines "read FILE".
func namedIn(archive *txtar.Archive, home string) (files []string) {
	for line := range strings.Lines(string(archive.Comment)) {
		if name, isNamed := strings.CutPrefix(strings.TrimSpace(line), "read "); isNamed {
			files = append(files, filepath.Join(home, name))
		}
	}
	return files
}

// variablesIn returns the environment that the comment sets by lines "env NAME=VALUE".
func variablesIn(archive *txtar.Archive, home string) func(string) string {
	variables := map[string]string{"USER": "tester"}
	for line := range strings.Lines(string(archive.Comment)) {
		if setting, isSet := strings.CutPrefix(strings.TrimSpace(line), "env "); isSet {
			name, value, _ := strings.Cut(setting, "=")
			variables[name] = strings.ReplaceAll(value, "HOME", home)
		}
	}
	return func(name string) string { return variables[name] }
}
