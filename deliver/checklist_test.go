package deliver_test

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"

	"github.com/popfetch/popfetch/deliver"
)

func textSum(text string) deliver.Sum {
	return deliver.Sum{Octets: int64(len(text)), SHA256: sha256.Sum256([]byte(text))}
}

// A file stands for one message only, although another one had the same octets.
func TestMaildir_Inspect_alike(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mail")
	for _, part := range []string{"new", "cur", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, part), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	const text = "Subject: alike\n\n"
	for _, name := range []string{"new/renamed", "cur/first:2,S"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	checkWhole(t, deliver.NewMaildir(dir), text, 2)
}

// The same for an mbox, where all From_ lines may be alike.
func TestMbox_Inspect_alike(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "mbox")
	const text = "Subject: alike\n\n"
	const from = "From first\n"
	if err := os.WriteFile(path, []byte(from+text+"\n"+from+text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	checkWhole(t, deliver.NewMbox(path, nil), text, 2)
}

// checkWhole checks that of three messages with equal octets so many are whole.
func checkWhole(t *testing.T, at deliver.Inspector, text string, want int) {
	t.Helper()
	list := deliver.NewChecklist(0)
	places := []deliver.Place{{Name: "first", Sum: textSum(text)}, {Name: "second", Sum: textSum(text)}, {Name: "third", Sum: textSum(text)}}
	for _, p := range places {
		list.Add(p)
	}
	if err := at.Inspect(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	whole := 0
	for _, p := range places {
		condition, known := list.Condition(p)
		if !known {
			t.Errorf("nothing is known of %s", p.Name)
		}
		if condition == deliver.Whole {
			whole++
		}
	}
	if whole != want {
		t.Errorf("%d messages are whole, want %d", whole, want)
	}
}
