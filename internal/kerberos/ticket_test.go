package kerberos_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/popfetch/popfetch/internal/kerberos"
	"github.com/popfetch/popfetch/internal/poptest"
)

const granting = "krbtgt/" + poptest.Realm

// checkError checks that there is no ticket, and why.
func checkError(t *testing.T, p kerberos.Places, host string, temporary bool, says string) {
	t.Helper()
	ticket, err := p.Ticket(t.Context(), "pop", host)
	var failed *kerberos.Error
	if ticket != nil || !errors.As(err, &failed) || failed.Temporary != temporary || !strings.Contains(err.Error(), says) {
		t.Errorf("Ticket() = %v, want a *kerberos.Error with Temporary %v and %q", err, temporary, says)
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Each reason why a cache has no usable ticket is told, with its mend. No KDC is contacted.
func TestPlaces_cache(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	service := poptest.NewService(t, 18)
	now := time.Now()
	tickets := func(c ...poptest.Cached) string {
		path := write(t, "")
		service.WriteCache(t, path, c...)
		return path
	}
	kdc := scriptedKDC(t, func(net.Conn) { t.Error("a KDC was contacted") })
	written := func(mode os.FileMode) string {
		path := tickets(poptest.Cached{End: now.Add(time.Hour)})
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, test := range []struct{ name, cache, config, says string }{
		{"written by all", written(0o606), "", "others can write"},
		{"written by a group", written(0o620), "", "(mode 0620); remove it, and run kinit"},
		{"missing", dir + "/none", "", "there is no ticket cache " + dir + "/none; run kinit"},
		{"folder", dir, "", dir + " is not a regular file"},
		{"pipe", pipe, "", "is not a regular file"},
		{"empty", write(t, ""), "", "has no known format; run kinit"},
		{"format", write(t, "\x05\x02\x00\x00\x00\x00"), "", "has no known format"},
		{"cut", write(t, "\x05\x04\x00\x00\x00\x00\x00\x01\xff\xff\xff\xff"), "", "is cut; run kinit"},
		{"large", write(t, strings.Repeat("x", 4<<20+1)), "", "more than 4194304 octets"},
		{"no ticket", tickets(), "", "has no ticket of mrose@POPTEST.EXAMPLE; run kinit"},
		{"expired", tickets(poptest.Cached{Server: granting, End: now.Add(-time.Hour)}), "", "expired on"},
		{"service expired", tickets(poptest.Cached{End: now.Add(-time.Hour)}), "", "has no ticket"},
		{"service not yet", tickets(poptest.Cached{Begin: now.Add(time.Hour), End: now.Add(2 * time.Hour)}), "", "has no ticket"},
		{"service old", tickets(poptest.Cached{End: now.Add(time.Hour), Encryption: 23}), "", "has no ticket"},
		{"not one", tickets(poptest.Cached{End: now.Add(time.Hour), Ticket: []byte("x")}), "", "ticket for pop/localhost@POPTEST.EXAMPLE in the cache is not valid"},
		{"key", tickets(poptest.Cached{Server: granting, End: now.Add(time.Hour), Encryption: 99}), "", "has encryption of kind 99, which popfetch lacks; allow AES in krb5.conf, and run kinit"},
		{"of another user", tickets(poptest.Cached{Client: "alice", End: now.Add(time.Hour)}), "", "has no ticket of mrose@POPTEST.EXAMPLE"},
		{"another ticket's key", tickets(poptest.Cached{OtherKey: true, End: now.Add(time.Hour)}), "", "has no ticket"},
		{"postdated", tickets(poptest.Cached{Flags: 1 << 24, End: now.Add(time.Hour)}), "", "has no ticket"},
		{"granting of another realm", tickets(poptest.Cached{Server: granting, Realm: "X", End: now.Add(time.Hour)}), "", "has no ticket"},
		{"granting of two realms", tickets(poptest.Cached{Server: granting, Realm: "X", End: now.Add(time.Hour)},
			poptest.Cached{Server: granting, End: now.Add(-time.Hour)}), "", "expired on"},
		{"kernel", "KEYRING:persistent:1000", "", "the ticket cache is KEYRING:persistent:1000, and popfetch reads only files"},
		{"folder of caches", "DIR:/tmp/x", "", "reads only files"},
		{"daemon by default", "", "[libdefaults]\n default_ccache_name = KCM:%{uid}\n", "the ticket cache is KCM:"},
		{"file by default", "", "[libdefaults]\n\tdefault_ccache_name = FILE:" + dir + "/of_%{uid}\n", "there is no ticket cache " + dir + "/of_"},
		{"unknown variable", "", "[libdefaults]\ndefault_ccache_name = FILE:%{TEMP}/x\n", "does not know the variable in the name of the ticket cache, FILE:%{TEMP}/x"},
		{"wrong settings", dir + "/none", "[libdefaults]\nnoaddresses = perhaps\n", "noaddresses is perhaps, which is neither yes nor no"},
		{"a time of another form", dir + "/none", "[libdefaults]\nclockskew = 1d\n", "there is no ticket cache"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			config := write(t, test.config) + ":" + kdc
			checkError(t, kerberos.Places{Cache: test.cache, Config: config}, "localhost", false, test.says)
		})
	}
}

// Who writes a cache chooses the key by which a service proves itself. So it must be the user's own.
func TestPlaces_cacheOfAnother(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	cache := write(t, "")
	poptest.NewService(t, 18).WriteCache(t, cache, poptest.Cached{End: time.Now().Add(time.Hour)})
	if err := os.Chown(cache, 12345, -1); err != nil {
		t.Fatal(err)
	}
	checkError(t, kerberos.Places{Cache: cache, Config: "/nonexistent"}, "localhost", false, cache+" belongs to user 12345; run popfetch as that user")
}

// A ticket for the service that is already in the cache is used, whatever else is there.
func TestPlaces_cached(t *testing.T) {
	t.Parallel()
	service := poptest.NewService(t, 18)
	cache := write(t, "")
	later := time.Now().Add(time.Hour)
	service.WriteCache(t, cache, poptest.Cached{Server: granting, End: later}, poptest.Cached{End: later.Add(-2 * time.Hour)},
		poptest.Cached{End: later.Add(2 * time.Hour), Encryption: 23}, poptest.Cached{End: later})
	ticket, err := kerberos.Places{Cache: cache, Config: "/nonexistent"}.Ticket(t.Context(), "pop", "LocalHost.")
	if err != nil || ticket == nil {
		t.Errorf("Ticket() = %v, want a ticket", err)
	}
}

// scriptedKDC is a KDC that answers each request by reply. It returns its krb5.conf.
func scriptedKDC(t *testing.T, reply func(net.Conn)) string {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			reply(c)
			_ = c.Close()
		}
	}()
	return write(t, "[realms]\n"+poptest.Realm+" = {\nkdc = "+l.Addr().String()+"\n}\n")
}

// says returns an answer of a scripted KDC.
func says(octets []byte) func(net.Conn) {
	return func(c net.Conn) {
		var length [4]byte
		_, _ = io.ReadFull(c, length[:])
		_, _ = io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(length[:])))
		_, _ = c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(octets))), octets...))
	}
}

// What a KDC says instead of a ticket is told. Nothing that it says ends the program.
func TestPlaces_refused(t *testing.T) {
	t.Parallel()
	service := poptest.NewService(t, 18)
	cache := write(t, "")
	service.WriteCache(t, cache, poptest.Cached{Server: granting, End: time.Now().Add(time.Hour)})
	refusal := func(code int32) func(net.Conn) {
		e := messages.NewKRBError(types.NewPrincipalName(3, "pop/localhost"), poptest.Realm, code, "no\x1b")
		octets, err := e.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return says(octets)
	}
	for _, test := range []struct {
		name      string
		reply     func(net.Conn)
		temporary bool
		says      string
	}{
		{"unknown", refusal(7), false, "the KDC of POPTEST.EXAMPLE knows no service pop/localhost@POPTEST.EXAMPLE; write the name of the server as Kerberos knows it, or name its realm under [domain_realm]"},
		{"expired", refusal(32), false, "has expired; run kinit"},
		{"clock", refusal(37), false, "set the clock of this machine"},
		{"encryption", refusal(14), false, "no AES key"},
		{"not now", refusal(29), true, "no KDC of POPTEST.EXAMPLE is reached: 127.0.0.1:"},
		{"revoked", refusal(20), false, "run kinit"},
		{"not yet", refusal(33), false, "run kinit"},
		{"garbled", refusal(31), false, "run kinit"},
		{"policy", refusal(12), false, `no\x1b`},
		{"closed", func(net.Conn) {}, true, "no KDC of POPTEST.EXAMPLE is reached"},
		{"empty", says(nil), true, "the reply of the KDC of POPTEST.EXAMPLE is not valid"},
		{"garbage", says(bytes.Repeat([]byte{0x6d, 0x82}, 100)), true, "is not valid"},
		{"huge", func(c net.Conn) { _, _ = c.Write([]byte("\xff\xff\xff\xff")); _, _ = io.Copy(io.Discard, c) }, true, "4294967295 octets"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			checkError(t, kerberos.Places{Cache: cache, Config: scriptedKDC(t, test.reply)}, "localhost", test.temporary, test.says)
		})
	}
}

// If a realm does not trust the service's, the name of the service is not to blame.
func TestPlaces_noTrust(t *testing.T) {
	t.Parallel()
	cache := write(t, "")
	poptest.NewService(t, 18).WriteCache(t, cache, poptest.Cached{Server: granting, End: time.Now().Add(time.Hour)})
	e := messages.NewKRBError(types.NewPrincipalName(3, "krbtgt/B"), poptest.Realm, 7, "")
	octets, err := e.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	config := write(t, "[domain_realm]\nlocalhost = B\n") + ":" + scriptedKDC(t, says(octets))
	checkError(t, kerberos.Places{Cache: cache, Config: config}, "localhost", false, "the realms POPTEST.EXAMPLE and B do not trust each other")
}

// Where krb5.conf names no KDC, and forbids to ask DNS, that is told.
func TestPlaces_noKDC(t *testing.T) {
	t.Parallel()
	service := poptest.NewService(t, 18)
	cache := write(t, "")
	service.WriteCache(t, cache, poptest.Cached{Server: granting, End: time.Now().Add(time.Hour)})
	config := write(t, "[libdefaults]\ndns_lookup_kdc = false\n")
	checkError(t, kerberos.Places{Cache: cache, Config: config}, "localhost", false, "krb5.conf names none")
}

// The KDC of MIT says that it does not know a service. A KDC that is not there is a temporary fault.
func TestPlaces_kdc(t *testing.T) {
	t.Parallel()
	kdc := poptest.StartKDC(t, nil)
	cache := filepath.Join(t.TempDir(), "cache")
	if err := kdc.Kinit(cache, "1h"); err != nil {
		t.Fatal(err)
	}
	checkError(t, kerberos.Places{Cache: cache, Config: kdc.Config}, "127.0.0.1", false, "knows no service pop/127.0.0.1@POPTEST.EXAMPLE")
	checkError(t, kerberos.Places{Cache: cache, Config: kdc.Unreachable()}, "localhost", true, "connection refused")
}

// The end of the context ends the wait for a KDC.
func TestPlaces_ended(t *testing.T) {
	t.Parallel()
	service := poptest.NewService(t, 18)
	cache := write(t, "")
	service.WriteCache(t, cache, poptest.Cached{Server: granting, End: time.Now().Add(time.Hour)})
	ctx, cancel := context.WithCancel(t.Context())
	config := scriptedKDC(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1)) // the request is on its way
		cancel()
		_, _ = io.Copy(io.Discard, c)
	})
	began := time.Now()
	_, err := kerberos.Places{Cache: cache, Config: config}.Ticket(ctx, "pop", "localhost")
	if took := time.Since(began); !errors.Is(err, context.Canceled) || took > 2*time.Second {
		t.Errorf("Ticket() = %v after %v, want %v at once", err, took, context.Canceled)
	}
}
