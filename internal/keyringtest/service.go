package keyringtest

import (
	"fmt"
	"maps"
	"sync"

	"github.com/godbus/dbus/v5"
)

const (
	serviceName    = "org.freedesktop.secrets"
	servicePath    = dbus.ObjectPath("/org/freedesktop/secrets")
	collectionPath = servicePath + "/collection/login"
	itemPath       = collectionPath + "/1"
	promptPath     = servicePath + "/prompt/1"
	sessionPath    = servicePath + "/session/1"
	noObject       = dbus.ObjectPath("/")

	secretInterface = "org.freedesktop.Secret."
)

// Answer is what a person answers when the keyring asks for its password.
type Answer string

// The answers of a person.
const (
	Unlocks   Answer = ""
	Dismisses Answer = "dismisses"
	Silence   Answer = "silence"  // nobody is there
	Vanishes  Answer = "vanishes" // the bus ends
	Nonsense  Answer = "nonsense" // the keyring sends a malformed signal
)

// Service is a Secret Service with one item in its default collection. Set the fields before Start.
type Service struct {
	Attributes map[string]string
	// Added has the attributes that further items have besides, one set an item. Their passwords are
	// another one. They come before the item with Attributes alone.
	Added        []map[string]string
	Password     string
	Locked       bool   // until a person unlocks it
	Hidden       bool   // the item is not found while it is locked
	NoCollection bool   // there is no default collection, and no item
	Answer       Answer // to the question for its password
	Fails        string // the name of a method that fails
	Hangs        string // the name of a method that does not answer

	bus   *Bus
	conn  *dbus.Conn
	mu    sync.Mutex
	asked int
}

// Start offers the service on the bus, until the test ends.
func (s *Service) Start(t TB, bus *Bus) {
	t.Helper()
	conn, err := dbus.Connect(bus.Address)
	if err != nil {
		t.Fatalf("connecting to the bus: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	s.bus, s.conn = bus, conn
	for _, export := range []struct {
		methods map[string]any
		path    dbus.ObjectPath
		name    string
	}{
		{map[string]any{"SearchItems": s.searchItems, "ReadAlias": s.readAlias, "Unlock": s.unlock, "OpenSession": s.openSession}, servicePath, secretInterface + "Service"},
		{map[string]any{"Get": s.get}, collectionPath, "org.freedesktop.DBus.Properties"},
		{map[string]any{"GetSecret": s.getSecret}, itemPath, secretInterface + "Item"},
		{map[string]any{"Get": s.attributesOf(map[string]string{"xdg:schema": "org.example.Mail"})}, itemPath, "org.freedesktop.DBus.Properties"},
		{map[string]any{"Prompt": s.prompt}, promptPath, secretInterface + "Prompt"},
	} {
		if err := conn.ExportMethodTable(export.methods, export.path, export.name); err != nil {
			t.Fatalf("exporting %s: %v", export.name, err)
		}
	}
	for i, added := range s.Added {
		for name, methods := range map[string]map[string]any{
			secretInterface + "Item":          {"GetSecret": s.getOther},
			"org.freedesktop.DBus.Properties": {"Get": s.attributesOf(added)},
		} {
			if err := conn.ExportMethodTable(methods, otherPath(i), name); err != nil {
				t.Fatalf("exporting %s: %v", name, err)
			}
		}
	}
	if _, err := conn.RequestName(serviceName, dbus.NameFlagDoNotQueue); err != nil {
		t.Fatalf("taking the service's name: %v", err)
	}
}

// Asked returns how often a person was asked for the keyring's password.
func (s *Service) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// begin returns how a method fails. A method that hangs blocks until the bus ends.
func (s *Service) begin(method string) *dbus.Error {
	if method == s.Hangs {
		<-s.conn.Context().Done()
	}
	if method == s.Fails {
		return dbus.NewError("org.example.Broken", []any{"out of \x1b order"})
	}
	return nil
}

func (s *Service) isLocked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Locked
}

func (s *Service) searchItems(attributes map[string]string) (open, locked []dbus.ObjectPath, _ *dbus.Error) {
	if err := s.begin("SearchItems"); err != nil {
		return nil, nil, err
	}
	switch {
	case s.NoCollection, !maps.Equal(attributes, s.Attributes), s.isLocked() && s.Hidden:
		return nil, nil, nil
	case s.isLocked():
		return nil, []dbus.ObjectPath{itemPath}, nil
	}
	for i := range s.Added {
		open = append(open, otherPath(i))
	}
	return append(open, itemPath), nil, nil
}

// otherPath is the path of a further item.
func otherPath(i int) dbus.ObjectPath {
	return dbus.ObjectPath(fmt.Sprintf("%s/other%d", collectionPath, i))
}

// attributesOf returns the method that tells the attributes of an item.
func (s *Service) attributesOf(added map[string]string) func(_, property string) (dbus.Variant, *dbus.Error) {
	return func(_, property string) (dbus.Variant, *dbus.Error) {
		if property != "Attributes" {
			return dbus.Variant{}, dbus.NewError("org.freedesktop.DBus.Error.UnknownProperty", nil)
		}
		all := maps.Clone(s.Attributes)
		maps.Copy(all, added)
		return dbus.MakeVariant(all), nil
	}
}

func (s *Service) readAlias(name string) (dbus.ObjectPath, *dbus.Error) {
	if err := s.begin("ReadAlias"); err != nil || s.NoCollection || name != "default" {
		return noObject, err
	}
	return collectionPath, nil
}

func (s *Service) get(_, property string) (dbus.Variant, *dbus.Error) {
	err := s.begin("Get")
	return dbus.MakeVariant(property == "Locked" && s.isLocked()), err
}

func (s *Service) unlock(paths []dbus.ObjectPath) (unlocked []dbus.ObjectPath, prompt dbus.ObjectPath, _ *dbus.Error) {
	if err := s.begin("Unlock"); err != nil {
		return nil, noObject, err
	}
	if s.isLocked() {
		return nil, promptPath, nil
	}
	return paths, noObject, nil
}

// prompt asks the person. The signal comes after the reply.
func (s *Service) prompt(_ string) *dbus.Error {
	if err := s.begin("Prompt"); err != nil {
		return err
	}
	s.mu.Lock()
	s.asked++
	s.Locked = s.Answer != Unlocks
	s.mu.Unlock()
	body := []any{s.Answer == Dismisses, dbus.MakeVariant([]dbus.ObjectPath{itemPath})}
	switch s.Answer {
	case Silence:
		return nil
	case Vanishes:
		go s.bus.Stop()
		return nil
	case Nonsense:
		body = nil
	}
	// Another signal of the same object comes first. It is not the answer.
	_ = s.conn.Emit(promptPath, "org.example.Other.Completed", true)
	_ = s.conn.Emit(promptPath, secretInterface+"Prompt.Completed", body...)
	return nil
}

func (s *Service) openSession(algorithm string, _ dbus.Variant) (dbus.Variant, dbus.ObjectPath, *dbus.Error) {
	err := s.begin("OpenSession")
	if err == nil && algorithm != "plain" {
		err = dbus.NewError("org.freedesktop.DBus.Error.NotSupported", nil)
	}
	return dbus.MakeVariant(""), sessionPath, err
}

// secret is the type of a password on the bus.
type secret struct {
	Session           dbus.ObjectPath
	Parameters, Value []byte
	ContentType       string
}

// getOther returns the password of a further item.
func (s *Service) getOther(dbus.ObjectPath) (secret, *dbus.Error) {
	return secret{sessionPath, []byte{}, []byte("stale"), "text/plain"}, nil
}

func (s *Service) getSecret(session dbus.ObjectPath) (secret, *dbus.Error) {
	err := s.begin("GetSecret")
	switch {
	case err != nil:
	case session != sessionPath:
		err = dbus.NewError("org.freedesktop.Secret.Error.NoSession", nil)
	case s.isLocked():
		err = dbus.NewError("org.freedesktop.Secret.Error.IsLocked", nil)
	}
	return secret{sessionPath, []byte{}, []byte(s.Password), "text/plain"}, err
}
