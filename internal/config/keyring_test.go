package config

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/keyringtest"
)

var ofAlice = map[string]string{"service": "pop", "username": "alice"}

// TestSecret_Resolve_keyring asks a keyring that behaves in many ways. Only if the password is not
// there, a person must act, and the error is not temporary.
func TestSecret_Resolve_keyring(t *testing.T) {
	const (
		good      = ""
		temporary = true
		forGood   = false
	)
	for _, test := range []struct {
		name      string
		service   *keyringtest.Service
		err       string // must be a part of the error
		temporary bool
		asked     int
	}{
		{"open", &keyringtest.Service{Attributes: ofAlice, Password: "hunter2"}, good, forGood, 0},
		{"first line alone", &keyringtest.Service{Attributes: ofAlice, Password: "hunter2\r\nsecond"}, good, forGood, 0},
		{"unlocked by a person", &keyringtest.Service{Attributes: ofAlice, Password: "hunter2", Locked: true}, good, forGood, 1},
		{"found when unlocked", &keyringtest.Service{Attributes: ofAlice, Password: "hunter2", Locked: true, Hidden: true}, good, forGood, 1},

		{"one of several", &keyringtest.Service{Attributes: ofAlice, Password: "hunter2", Added: []map[string]string{{"application": "old"}, {"n": "2"}}}, good, forGood, 0},

		{"several", &keyringtest.Service{Attributes: ofAlice, Password: "hunter2", Added: []map[string]string{{"xdg:schema": "org.example.Old"}}}, "the keyring has several such passwords", forGood, 0},
		{"dismissed", &keyringtest.Service{Attributes: ofAlice, Locked: true, Answer: keyringtest.Dismisses}, "the keyring is locked; unlock it", temporary, 1},
		{"dismissed, not found before", &keyringtest.Service{Attributes: ofAlice, Locked: true, Hidden: true, Answer: keyringtest.Dismisses}, "the keyring is locked; unlock it", temporary, 1},
		{"bus ends", &keyringtest.Service{Attributes: ofAlice, Locked: true, Answer: keyringtest.Vanishes}, "the session bus has ended", temporary, 1},
		{"malformed signal", &keyringtest.Service{Attributes: ofAlice, Locked: true, Answer: keyringtest.Nonsense}, "dbus", temporary, 1},
		{"no service", nil, "no program on the session bus keeps passwords; start one", temporary, 0},
		{"fails", &keyringtest.Service{Attributes: ofAlice, Fails: "SearchItems"}, `the keyring answered "org.example.Broken: out of \x1b order"`, temporary, 0},
		{"fails at the end", &keyringtest.Service{Attributes: ofAlice, Password: "hunter2", Fails: "GetSecret"}, `the keyring answered "org.example.Broken`, temporary, 0},

		{"of another user", &keyringtest.Service{Attributes: map[string]string{"service": "pop", "username": "bob"}, Password: "hunter2"},
			`the keyring has no such password; store it: secret-tool store --label=mail service "pop" username "alice"`, forGood, 0},
		{"no collection", &keyringtest.Service{Attributes: ofAlice, NoCollection: true}, "no such password; store it", forGood, 0},
		{"not there when unlocked", &keyringtest.Service{Locked: true, Hidden: true}, "no such password; store it", forGood, 1},
		{"empty", &keyringtest.Service{Attributes: ofAlice}, "the password is empty", forGood, 0},
		{"C0003/control character", &keyringtest.Service{Attributes: ofAlice, Password: "hun\x00ter2"}, "control character", forGood, 0},
		{"endless", &keyringtest.Service{Attributes: ofAlice, Password: strings.Repeat("x", maxSecret+1)}, "longer than 64 KiB", temporary, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			bus := keyringtest.StartBus(t)
			if test.service != nil {
				test.service.Start(t, bus)
			}
			t.Setenv("DBUS_SESSION_BUS_ADDRESS", bus.Address)
			got, err := Secret{Keyring: "pop"}.Resolve(t.Context(), "alice")
			if test.service != nil && test.service.Asked() != test.asked {
				t.Errorf("a person was asked %d times, want %d", test.service.Asked(), test.asked)
			}
			if test.err == good {
				if got != "hunter2" || err != nil {
					t.Errorf("Resolve() = %q, %v, want the password", got, err)
				}
				return
			}
			checkKeyringError(t, got, err, test.err, test.temporary)
		})
	}
}

func checkKeyringError(t *testing.T, got string, err error, want string, temporary bool) {
	t.Helper()
	var source *SecretError
	if got != "" || !errors.As(err, &source) || source.Temporary != temporary || !strings.Contains(err.Error(), want) {
		t.Errorf("Resolve() = %q, %#v, want an error with %q, temporary: %v", got, err, want, temporary)
	}
	if err != nil && (!strings.HasPrefix(err.Error(), "password_keyring: ") || strings.ContainsAny(err.Error(), "\n\x1b") || strings.Contains(err.Error(), "hunter")) {
		t.Errorf("the error is %q, want the key first, one line, and no password", err)
	}
}

// TestSecret_fromKeyring_limit asks keyrings that give no answer.
func TestSecret_fromKeyring_limit(t *testing.T) {
	for name, service := range map[string]*keyringtest.Service{
		"nobody unlocks it": {Attributes: ofAlice, Locked: true, Answer: keyringtest.Silence},
		"search hangs":      {Attributes: ofAlice, Hangs: "SearchItems"},
		"unlocking hangs":   {Attributes: ofAlice, Locked: true, Hangs: "Unlock"},
		"secret hangs":      {Attributes: ofAlice, Hangs: "GetSecret"},
	} {
		t.Run(name, func(t *testing.T) {
			bus := keyringtest.StartBus(t)
			service.Start(t, bus)
			t.Setenv("DBUS_SESSION_BUS_ADDRESS", bus.Address)
			_, err := Secret{Keyring: "pop"}.fromKeyring(t.Context(), "alice", 50*time.Millisecond)
			if err == nil || !strings.HasPrefix(err.Error(), "the keyring gave no answer within 50ms") {
				t.Errorf("fromKeyring() = %v, want no answer within 50ms", err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := (Secret{Keyring: "pop"}).Resolve(ctx, "alice"); !errors.Is(err, context.Canceled) {
				t.Errorf("Resolve() = %v, want context.Canceled", err)
			}
		})
	}
	t.Run("silent bus", func(t *testing.T) {
		path := silentSocket(t)
		t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+path)
		_, err := Secret{Keyring: "pop"}.fromKeyring(t.Context(), "alice", 50*time.Millisecond)
		if err == nil || !strings.HasPrefix(err.Error(), "the keyring gave no answer within 50ms") {
			t.Errorf("fromKeyring() = %v, want no answer within 50ms", err)
		}
	})
}

// TestSecret_Resolve_keyring_again asks a person only once for a while, and only in the session.
func TestSecret_Resolve_keyring_again(t *testing.T) {
	bus := keyringtest.StartBus(t)
	service := &keyringtest.Service{Attributes: ofAlice, Locked: true, Answer: keyringtest.Dismisses}
	service.Start(t, bus)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", bus.Address)
	for _, want := range []string{"the keyring is locked; unlock it", "nobody did when popfetch asked, so it asks again only after"} {
		got, err := Secret{Keyring: "pop"}.Resolve(t.Context(), "alice")
		checkKeyringError(t, got, err, want, true)
	}
	if n := service.Asked(); n != 1 {
		t.Errorf("a person was asked %d times, want once", n)
	}
	k := &keyring{ctx: t.Context(), bus: bus.Address} // in cron
	if _, err := k.ask(ofAlice); !errors.Is(err, errLocked) || strings.Contains(err.Error(), "asked") || service.Asked() != 1 {
		t.Errorf("ask() outside the session = %v, and asked %d times", err, service.Asked())
	}
}

// TestPromptGate has several accounts ask at the same time.
func TestPromptGate(t *testing.T) {
	g := promptGate{turn: make(chan struct{}, 1)}
	var asking, most, asked atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			err := g.one(t.Context(), "bus", func() (bool, error) {
				most.Store(max(most.Load(), asking.Add(1)))
				runtime.Gosched()
				asking.Add(-1)
				asked.Add(1)
				return true, nil
			})
			if err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	if most.Load() != 1 || asked.Load() != 8 {
		t.Errorf("%d questions, at most %d at once; want 8, one at once", asked.Load(), most.Load())
	}
	broken := errors.New("broken")
	for range 2 { // nobody was asked, so the next one may be
		if err := g.one(t.Context(), "bus", func() (bool, error) { return false, broken }); !errors.Is(err, broken) {
			t.Errorf("one() = %v, want what ask returns", err)
		}
	}
	dismissed := errors.New("dismissed")
	if err := g.one(t.Context(), "bus", func() (bool, error) { return true, dismissed }); !errors.Is(err, dismissed) {
		t.Errorf("one() = %v, want what ask returns", err)
	}
	if err := g.one(t.Context(), "bus", func() (bool, error) { t.Error("asked again"); return true, nil }); !errors.Is(err, errLocked) {
		t.Errorf("one() = %v, want %v", err, errLocked)
	}
	if err := g.one(t.Context(), "another", func() (bool, error) { return true, nil }); err != nil {
		t.Errorf("one() for another bus = %v", err)
	}
	g.turn <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.one(ctx, "another", func() (bool, error) { return true, nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("one() while another question waits = %v", err)
	}
}

// TestSecret_Resolve_noBus has a program dbus-launch that leaves a trace. It must not be started.
func TestSecret_Resolve_noBus(t *testing.T) {
	dir := t.TempDir()
	trace := filepath.Join(dir, "launched")
	if err := os.WriteFile(filepath.Join(dir, "dbus-launch"), []byte("#!/bin/sh\n: >"+trace+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	for _, variable := range []string{"", "autolaunch:", "unix:path=" + dir + "/none", "nonsense"} {
		t.Setenv("DBUS_SESSION_BUS_ADDRESS", variable)
		got, err := Secret{Keyring: "pop"}.Resolve(t.Context(), "alice")
		checkKeyringError(t, got, err, "session bus", true)
		if os.Getenv("DBUS_SESSION_BUS_ADDRESS") != variable {
			t.Error("the environment was changed")
		}
	}
	if _, err := os.Stat(trace); err == nil {
		t.Error("dbus-launch was started")
	}
}

func TestBusAddress(t *testing.T) {
	socket := silentSocket(t)
	for _, test := range []struct{ variable, socket, want, err string }{
		{"unix:path=/x", socket, "unix:path=/x", ""},
		{"", socket, "unix:path=" + socket, ""},
		{"autolaunch:scope=*user", socket, "unix:path=" + socket, ""},
		{"", "/nonexistent/bus", "", "DBUS_SESSION_BUS_ADDRESS is not set and /nonexistent/bus is missing; run popfetch where you are logged in"},
	} {
		got, err := busAddress(test.variable, test.socket)
		if got != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("busAddress(%q, %q) = %q, %v, want %q, %s", test.variable, test.socket, got, err, test.want, test.err)
		}
	}
}

// TestSecret_Resolve_gnome asks a real gnome-keyring for what secret-tool has stored.
func TestSecret_Resolve_gnome(t *testing.T) {
	bus := keyringtest.StartBus(t)
	store := bus.Gnome(t)
	store("pop", "alice", "hunter2")
	store("pop", "bob", "other")
	store("smtp", "alice", "other")
	store("with \"quotes\" and ümlaut", "müller", "hunter2")
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", bus.Address)
	for _, test := range [][2]string{{"pop", "alice"}, {"with \"quotes\" and ümlaut", "müller"}} {
		if got, err := (Secret{Keyring: test[0]}).Resolve(t.Context(), test[1]); got != "hunter2" || err != nil {
			t.Errorf("Resolve() of %q = %q, %v, want the password", test, got, err)
		}
	}
	got, err := Secret{Keyring: "pop"}.Resolve(t.Context(), "carol")
	checkKeyringError(t, got, err, `store it: secret-tool store --label=mail service "pop" username "carol"`, false)
}

// silentSocket returns the path of a socket that takes connections and says nothing.
func silentSocket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "keyring-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "bus")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return path
}
