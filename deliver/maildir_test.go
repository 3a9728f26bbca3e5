package deliver

import (
	"path/filepath"
	"testing"
)

func openMaildir(t *testing.T, dir string) fixture {
	path := filepath.Join(dir, "Maildir")
	return fixture{
		Target:    NewMaildir(path),
		delivered: func(t *testing.T) []string { return readAll(t, files(t, filepath.Join(path, "new"))) },
		leftovers: func(t *testing.T) []string { return files(t, filepath.Join(path, "tmp")) },
	}
}

func TestMaildir(t *testing.T) { testTarget(t, openMaildir) }
