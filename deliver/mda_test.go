package deliver

import (
	"os"
	"path/filepath"
	"testing"
)

func openMDA(t *testing.T, dir string) fixture {
	out, spools := filepath.Join(dir, "out"), filepath.Join(dir, "spools")
	for _, folder := range []string{out, spools} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("OUT", out)
	t.Setenv("TMPDIR", spools)
	return fixture{
		Target:    &MDA{Command: `cat > "$(mktemp "$OUT/XXXXXXXX")"`, Deliveries: 2},
		delivered: func(t *testing.T) []string { return readAll(t, files(t, out)) },
		leftovers: func(t *testing.T) []string { return files(t, spools) },
	}
}

func TestMDA(t *testing.T) { testTarget(t, openMDA) }
