package sealed

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"filippo.io/age"
)

// newKey returns an identity and its recipient, as age-keygen writes them.
func newKey(t *testing.T) (identity, recipient string) {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return key.String(), key.Recipient().String()
}

func parse(t *testing.T, lines ...string) *Keys {
	t.Helper()
	k, err := Parse("keys", strings.Join(lines, "\n")+"\n")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSeal(t *testing.T) {
	old, oldPublic := newKey(t)
	young, _ := newKey(t)
	secrets := map[string]string{"password": "hunter2 äöü \x01"}
	worker := parse(t, "# created: 2026-11-30", "# public key: "+oldPublic, " "+old+" \r", "")
	desk := parse(t, "# workers", oldPublic)
	if !worker.CanOpen() || desk.CanOpen() {
		t.Error("CanOpen() does not tell identities from recipients")
	}
	for _, from := range []*Keys{worker, desk} {
		sealed, err := from.Seal("work", secrets)
		if err != nil || bytes.Contains(sealed, []byte("hunter2")) || bytes.Contains(sealed, []byte("work")) {
			t.Fatalf("Seal() = %q, %v", sealed, err)
		}
		rotated := parse(t, young, old)
		for _, to := range []*Keys{worker, rotated} {
			var got map[string]string
			if err := to.Open("work", sealed, &got); err != nil || got["password"] != secrets["password"] {
				t.Errorf("Open() = %q, %v", got, err)
			}
		}
		var got map[string]string
		if err := worker.Open("other", sealed, &got); err == nil || got != nil || err.Error() != `what is sealed belongs to "work", not to "other"` {
			t.Errorf("Open() for another account = %q, %v", got, err)
		}
		if err := parse(t, young).Open("work", sealed, &got); !errors.Is(err, ErrOther) || got != nil {
			t.Errorf("Open() by another key = %q, %v", got, err)
		}
		if err := desk.Open("work", sealed, &got); !errors.Is(err, ErrNoIdentity) || got != nil {
			t.Errorf("Open() without an identity = %q, %v", got, err)
		}
		for i := range sealed { // each octet counts
			damaged := bytes.Clone(sealed)
			damaged[i] ^= 1
			if err := worker.Open("work", damaged, &got); err == nil {
				t.Errorf("Open() accepts a change at %d of %d", i, len(sealed))
			} else if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("Open() = %v", err)
			}
		}
		if err := worker.Open("work", sealed, new(int)); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Open() into another type = %v", err)
		}
	}
	// The first key seals.
	sealed, err := parse(t, young, old).Seal("work", secrets)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := worker.Open("work", sealed, &got); !errors.Is(err, ErrOther) {
		t.Errorf("Open() by the old key = %q, %v", got, err)
	}
	if err := parse(t, young).Open("work", sealed, &got); err != nil {
		t.Errorf("Open() by the new key = %v", err)
	}
}

func TestParse(t *testing.T) {
	identity, recipient := newKey(t)
	for text, want := range map[string]string{
		"":                             "keys: has no key; age-keygen makes one",
		"# nothing\n":                  "keys: has no key; age-keygen makes one",
		"\n" + identity[:40]:           "keys:2: is no key of age; age-keygen makes one, and its line begins with AGE-SECRET-KEY-1",
		recipient + "x":                "keys:1: is no recipient of age; copy the whole line that age-keygen -y prints",
		"hunter2":                      "keys:1: is no key of age; age-keygen makes one, and its line begins with AGE-SECRET-KEY-1",
		recipient + "\n" + identity:    "keys: has identities and recipients; keep the identities where secrets are opened, and the recipients elsewhere",
		strings.ToLower(identity[:30]): "keys:1: is no key of age; age-keygen makes one, and its line begins with AGE-SECRET-KEY-1",
	} {
		if _, err := Parse("keys", text); err == nil || err.Error() != want {
			t.Errorf("Parse() = %v, want %s", err, want)
		}
	}
}
