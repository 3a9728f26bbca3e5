package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

// The names of the Secret Service, which gnome-keyring, KeePassXC and KWallet offer on the session
// bus (freedesktop.org, Secret Service 0.2).
const (
	secretService    = "org.freedesktop.secrets"
	secretPath       = "/org/freedesktop/secrets"
	serviceMethods   = "org.freedesktop.Secret.Service."
	itemMethods      = "org.freedesktop.Secret.Item."
	promptMethods    = "org.freedesktop.Secret.Prompt."
	propertyMethods  = "org.freedesktop.DBus.Properties."
	collectionLocked = "org.freedesktop.Secret.Collection.Locked"
	noObject         = "/" // stands for the path of no object
)

var (
	errNoItem  = errors.New("the keyring has no such password")
	errSeveral = errors.New("the keyring has several such passwords, and none has these attributes alone; remove the old ones")
	errLocked  = errors.New("the keyring is locked; unlock it")
)

// fromKeyring returns the password of user in the keyring of the session. Only errNoItem and
// errSeveral need a person. All other errors may be gone at the next log-in.
func (s Secret) fromKeyring(ctx context.Context, user string, limit time.Duration) (string, error) {
	variable := os.Getenv("DBUS_SESSION_BUS_ADDRESS")
	address, err := busAddress(variable, fmt.Sprintf("/run/user/%d/bus", os.Geteuid()))
	if err != nil {
		return "", fmt.Errorf("%w; or use %s", err, Secret{Command: "x"}.key())
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the keyring gave no answer within %v; it may wait for somebody to unlock it", limit))
	defer cancel() // this closes the connection, and so ends a question to a person
	k := &keyring{ctx: ctx, bus: address, mayPrompt: variable != ""}
	password, err := k.ask(map[string]string{"service": s.Keyring, "username": user})
	switch {
	case err == nil:
		return password, nil
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case errors.Is(err, errNoItem):
		return "", fmt.Errorf("%w; store it: secret-tool store --label=mail service %q username %q", err, s.Keyring, user)
	}
	return "", err
}

// busAddress returns the address of the session bus. The variable DBUS_SESSION_BUS_ADDRESS tells it.
// Without the variable, as in cron, the usual socket is taken if it is there. No bus is started: it
// would have no keyring that somebody has unlocked.
func busAddress(variable, socket string) (string, error) {
	if variable != "" && !strings.HasPrefix(variable, "autolaunch:") {
		return variable, nil
	}
	if info, err := os.Stat(socket); err == nil && ownerOf(info) == os.Geteuid() {
		return "unix:path=" + dbus.EscapeBusAddressValue(socket), nil
	}
	return "", fmt.Errorf("there is no session bus, so no keyring: DBUS_SESSION_BUS_ADDRESS is not set and %s is missing; "+
		"run popfetch where you are logged in, for example by systemctl --user", socket)
}

// ask connects to the bus and returns the password with these attributes.
func (k *keyring) ask(attributes map[string]string) (_ string, err error) {
	if k.conn, err = connectBus(k.ctx, k.bus); err != nil {
		return "", fmt.Errorf("connecting to the session bus: %w", err)
	}
	item, err := k.find(attributes)
	if err != nil {
		return "", err
	}
	return k.password(item)
}

// connectBus connects to the bus. The end of ctx closes the connection. Connecting may block, and
// knows no time limit of its own.
func connectBus(ctx context.Context, address string) (*dbus.Conn, error) {
	type result struct {
		conn *dbus.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		conn, err := dbus.Connect(address, dbus.WithContext(ctx))
		done <- result{conn, err}
	}()
	select {
	case r := <-done:
		return r.conn, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// keyring is a connection to the program that keeps passwords.
type keyring struct {
	ctx  context.Context
	bus  string // its address
	conn *dbus.Conn
	// mayPrompt says that popfetch runs in the session. Elsewhere, as in cron, nobody expects a
	// question for the keyring's password.
	mayPrompt bool
}

// call calls a method of the object at path. It stores the answer at the addresses in results.
func (k *keyring) call(path dbus.ObjectPath, method string, results []any, args ...any) error {
	err := k.conn.Object(secretService, path).CallWithContext(k.ctx, method, 0, args...).Store(results...)
	var refusal dbus.Error
	switch {
	case !errors.As(err, &refusal):
		return err
	case refusal.Name == "org.freedesktop.DBus.Error.ServiceUnknown":
		return errors.New("no program on the session bus keeps passwords; start one, such as gnome-keyring or KeePassXC")
	case refusal.Name == "org.freedesktop.Secret.Error.IsLocked":
		return errLocked
	}
	said := refusal.Name + ": " + refusal.Error()
	return fmt.Errorf("the keyring answered %s", strconv.QuoteToASCII(said[:min(len(said), maxComplaint)]))
}

// find returns the item with these attributes, which it has unlocked. Some keyrings show no items as
// long as they are locked. So without an item, it unlocks the default collection and looks again.
func (k *keyring) find(attributes map[string]string) (dbus.ObjectPath, error) {
	for unlocked := false; ; unlocked = true {
		var open, locked []dbus.ObjectPath
		err := k.call(secretPath, serviceMethods+"SearchItems", []any{&open, &locked}, attributes)
		switch {
		case err != nil:
			return "", err
		case len(open) > 0:
			return k.only(open, attributes)
		case len(locked) > 0:
			return locked[0], k.unlock(locked[0])
		}
		collection, err := k.lockedCollection()
		switch {
		case err != nil:
			return "", err
		case collection == noObject:
			return "", errNoItem
		case unlocked:
			return "", errLocked
		}
		if err := k.unlock(collection); err != nil {
			return "", err
		}
	}
}

// only returns the item that is meant. The items have these attributes, but may have others besides,
// which other programs have added.
func (k *keyring) only(items []dbus.ObjectPath, attributes map[string]string) (dbus.ObjectPath, error) {
	if len(items) == 1 {
		return items[0], nil
	}
	var exact []dbus.ObjectPath
	for _, item := range items {
		var has dbus.Variant
		if err := k.call(item, propertyMethods+"Get", []any{&has}, strings.TrimSuffix(itemMethods, "."), "Attributes"); err != nil {
			return "", err
		}
		known, _ := has.Value().(map[string]string)
		delete(known, "xdg:schema") // libsecret adds it
		if maps.Equal(known, attributes) {
			exact = append(exact, item)
		}
	}
	if len(exact) != 1 {
		return "", errSeveral
	}
	return exact[0], nil
}

// lockedCollection returns the default collection if it is locked, or else noObject.
func (k *keyring) lockedCollection() (dbus.ObjectPath, error) {
	var path dbus.ObjectPath
	if err := k.call(secretPath, serviceMethods+"ReadAlias", []any{&path}, "default"); err != nil || path == noObject {
		return noObject, err
	}
	var locked dbus.Variant
	at := strings.LastIndexByte(collectionLocked, '.')
	err := k.call(path, propertyMethods+"Get", []any{&locked}, collectionLocked[:at], collectionLocked[at+1:])
	if isLocked, _ := locked.Value().(bool); err != nil || !isLocked {
		return noObject, err
	}
	return path, nil
}

// unlock unlocks an item or a collection. The keyring may ask a person for that.
func (k *keyring) unlock(path dbus.ObjectPath) error {
	if !k.mayPrompt {
		return errLocked
	}
	return prompts.one(k.ctx, k.bus, func() (bool, error) { return k.unlockNow(path) })
}

func (k *keyring) unlockNow(path dbus.ObjectPath) (asked bool, _ error) {
	var unlocked []dbus.ObjectPath
	var prompt dbus.ObjectPath
	err := k.call(secretPath, serviceMethods+"Unlock", []any{&unlocked, &prompt}, []dbus.ObjectPath{path})
	if err != nil || prompt == noObject {
		return false, err
	}
	signals := make(chan *dbus.Signal, 16)
	k.conn.Signal(signals)
	err = k.conn.AddMatchSignalContext(k.ctx, dbus.WithMatchObjectPath(prompt), dbus.WithMatchMember("Completed"))
	if err == nil {
		err = k.call(prompt, promptMethods+"Prompt", nil, "")
	}
	if err != nil {
		return false, err
	}
	for {
		select {
		case <-k.ctx.Done():
			return true, context.Cause(k.ctx)
		case signal, ok := <-signals:
			switch {
			case !ok:
				return false, errors.New("the session bus has ended")
			case signal.Path != prompt || signal.Name != promptMethods+"Completed":
				continue
			}
			var dismissed bool
			var result dbus.Variant
			if err := dbus.Store(signal.Body, &dismissed, &result); err != nil || !dismissed {
				return true, err
			}
			return true, errLocked
		}
	}
}

// password returns the password of an item.
func (k *keyring) password(item dbus.ObjectPath) (string, error) {
	var ignored dbus.Variant
	var session dbus.ObjectPath
	if err := k.call(secretPath, serviceMethods+"OpenSession", []any{&ignored, &session}, "plain", dbus.MakeVariant("")); err != nil {
		return "", err
	}
	var secret struct {
		Session           dbus.ObjectPath
		Parameters, Value []byte
		ContentType       string
	}
	if err := k.call(item, itemMethods+"GetSecret", []any{&secret}, session); err != nil {
		return "", err
	}
	defer clear(secret.Value)
	return firstLine(bytes.NewReader(secret.Value))
}
