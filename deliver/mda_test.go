package deliver

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
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
		spares:    true,
	}
}

func TestMDA(t *testing.T) { testTarget(t, openMDA) }

// pipe gives a message to the MDA. It returns nil if the message is Safe, or else the reason.
func pipe(t *testing.T, ctx context.Context, m *MDA, env Envelope, message string) error {
	t.Helper()
	batch := begin(t, m)
	d, err := batch.Create(ctx, env)
	if err != nil {
		t.Fatalf("Create() = %v, want no error", err)
	}
	write(t, d, []byte(message))
	closeDelivery(t, d)
	commitErr := batch.Commit(ctx)
	verdict := d.Verdict()
	want := Unknown
	var refusal *Error
	switch {
	case verdict.Err == nil:
		want = Safe
	case errors.As(verdict.Err, &refusal) && refusal.Temporary:
		want = Deferred
	case refusal != nil:
		want = Refused
	}
	if verdict.Outcome != want {
		t.Errorf("Verdict() = %+v, want outcome %d with such an error", verdict, want)
	}
	ofTarget := want == Unknown || refusal != nil && (refusal.Status == 126 || refusal.Status == 127)
	if ofTarget && !errors.Is(commitErr, verdict.Err) || !ofTarget && commitErr != nil || errors.Is(commitErr, ErrCannotRun) != (ofTarget && refusal != nil) {
		t.Errorf("Commit() = %v after the verdict %+v, want an error only of the target", commitErr, verdict)
	}
	return verdict.Err
}

func TestMDA_deliveries(t *testing.T) {
	for _, deliveries := range []int{0, 1, 3} {
		dir := t.TempDir()
		t.Setenv("DIR", dir)
		// Each program counts the programs that run, itself included.
		m := &MDA{Command: `touch "$DIR/run.$$"; ls "$DIR" | grep -c run >&2; rm "$DIR/run.$$"; exit 1`, Deliveries: deliveries}
		want := max(deliveries, 1)
		if got := m.Limit(); got.Messages != 1 || got.Batches != want {
			t.Errorf("Limit() = %v, want 1 message and %d batches", got, want)
		}
		errs := make(chan error, 8)
		for range cap(errs) {
			go func() { errs <- pipe(t, t.Context(), m, Envelope{}, "x") }()
		}
		for range cap(errs) {
			var refusal *Error
			if err := <-errs; !errors.As(err, &refusal) {
				t.Errorf("Commit() = %v, want *Error", err)
			} else if running, err := strconv.Atoi(refusal.Output); err != nil || running > want {
				t.Errorf("%s programs at once, want at most %d", refusal.Output, want)
			}
		}
	}
}

func TestMDA_emptyCommand(t *testing.T) {
	m := &MDA{Command: " \t\n"}
	if err := m.Prepare(t.Context(), true); err == nil {
		t.Error("Prepare() with an empty command succeeded, want an error")
	}
	if _, err := m.Begin(t.Context()); err == nil {
		t.Error("Begin() with an empty command succeeded, want an error: a shell would run it with success")
	}
}

func TestMDA_notStarted(t *testing.T) {
	err := pipe(t, t.Context(), &MDA{Command: "exit 0"}, Envelope{User: "a\x00b"}, "x")
	var refusal *Error
	if err == nil || errors.As(err, &refusal) {
		t.Errorf("Commit() of what cannot be started = %v, want an error that is no *Error", err)
	}
}

// A Maildir can be asked what it holds; a program cannot.
func TestAsFinder(t *testing.T) {
	if finder, ok := AsFinder(&MDA{Command: "exit 0"}); ok || finder != nil {
		t.Errorf("AsFinder() of an MDA = %v, %v, want none", finder, ok)
	}
	m := NewMaildir("/nowhere")
	if finder, ok := AsFinder(m); !ok || finder != m {
		t.Errorf("AsFinder() of a Maildir = %v, %v, want the Maildir", finder, ok)
	}
}

// A program that is started without a shell gets its words as they are.
func TestMDA_argv(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	t.Setenv("OUT", out)
	m := &MDA{Argv: []string{"sh", "-c", `cat; echo "$# $1 $2 $POPFETCH_RECIPIENT" >"$OUT"`, "name", "a b", "$HOME; *"}}
	if err := m.Prepare(t.Context(), false); err != nil {
		t.Fatalf("Prepare() = %v, want no error", err)
	}
	if err := pipe(t, t.Context(), m, Envelope{Recipient: "sales@example.org"}, "text"); err != nil {
		t.Fatalf("Commit() = %v, want no error", err)
	}
	if got := readAll(t, []string{out})[0]; got != "2 a b $HOME; * sales@example.org\n" {
		t.Errorf("the program got %q, want its words and the recipient", got)
	}
}

// A program that cannot be started without a shell is that of each message.
func TestMDA_argvCannotRun(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"nameless": "true\n", "orphan": "#!/does/not/exist\n", "locked": "#!/bin/sh\n"} {
		mode := os.FileMode(0o755)
		if name == "locked" {
			mode = 0o644
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	for word, status := range map[string]int{
		"/does/not/exist": 127, "does-not-exist": 127, dir: 126,
		filepath.Join(dir, "nameless"): 126, filepath.Join(dir, "orphan"): 127, filepath.Join(dir, "locked"): 126,
	} {
		m := &MDA{Argv: []string{word, "secret"}}
		err := pipe(t, t.Context(), m, Envelope{}, "text")
		var refusal *Error
		if !errors.As(err, &refusal) || !refusal.Temporary || refusal.Status != status || refusal.Target != "MDA "+word {
			t.Errorf("%s: Commit() = %#v, want status %d, for now", word, err, status)
		}
		if name := filepath.Base(word); name == "nameless" || name == "orphan" {
			continue // only a start shows that
		}
		if err := m.Prepare(t.Context(), false); !errors.Is(err, ErrCannotRun) {
			t.Errorf("%s: Prepare() = %v, want ErrCannotRun", word, err)
		}
	}
	for _, m := range []*MDA{{Argv: []string{""}}, {}} {
		if err := m.Prepare(t.Context(), false); !errors.Is(err, errEmptyCommand) {
			t.Errorf("Prepare() of %q = %v, want that it is empty", m.Argv, err)
		}
	}
	if err := pipe(t, t.Context(), &MDA{Argv: []string{"false"}}, Envelope{}, "text"); err == nil {
		t.Error("Commit() succeeded where the program fails, want an error")
	}
}
