package keyringtest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

// await waits until a program has taken a name on the bus, for at most 10 s.
func (b *Bus) await(t TB, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := dbus.Connect(b.Address, dbus.WithContext(ctx))
	if err != nil {
		t.Fatalf("connecting to the bus: %v", err)
	}
	taken := make(chan *dbus.Signal, 16)
	conn.Signal(taken)
	if err := conn.AddMatchSignalContext(ctx, dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, name)); err != nil {
		t.Fatalf("watching the bus: %v", err)
	}
	for owned := false; !owned; {
		if err := conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.NameHasOwner", 0, name).Store(&owned); err != nil {
			t.Fatalf("nobody takes the name %s: %v", name, err)
		}
		if !owned {
			<-taken // the connection ends with ctx, and the channel with it
		}
	}
}

// Gnome starts gnome-keyring on the bus, with an unlocked collection. The function that it returns
// stores a password by secret-tool, as the manual tells people to.
func (b *Bus) Gnome(t TB) (store func(service, user, password string)) {
	t.Helper()
	daemon, tool := find(t, "gnome-keyring-daemon", "gnome-keyring"), find(t, "secret-tool", "libsecret-tools")
	env := []string{"HOME=" + b.dir, "XDG_RUNTIME_DIR=" + b.dir, "XDG_DATA_HOME=" + b.dir, "DBUS_SESSION_BUS_ADDRESS=" + b.Address}
	lock := filepath.Join(b.dir, "lock")
	if err := os.WriteFile(lock, []byte("the keyring's own password"), 0o600); err != nil {
		t.Fatalf("writing the keyring's own password: %v", err)
	}
	run(t, env, lock, daemon, "--unlock", "--components=secrets", "--foreground", "--control-directory="+b.dir)
	b.await(t, serviceName)
	return func(service, user, password string) {
		t.Helper()
		cmd := exec.CommandContext(context.Background(), tool, "store", "--label=mail", "service", service, "username", user)
		cmd.Env, cmd.Stdin = append(os.Environ(), env...), strings.NewReader(password)
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("secret-tool: %v: %s", err, said)
		}
	}
}
