package kerberos

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/poptest"
)

// cached returns the octets of a cache with a ticket for pop/localhost.
func cached(f testing.TB) []byte {
	f.Helper()
	path := filepath.Join(f.TempDir(), "cache")
	poptest.NewService(f, 18).WriteCache(f, path, poptest.Cached{End: time.Now().Add(24 * time.Hour)}, poptest.Cached{Server: "a/b"})
	octets, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	return octets
}

// A cache may have any octets. What is read from it has no more of them.
func FuzzCache(f *testing.F) {
	octets := cached(f)
	f.Add(octets)
	f.Add(octets[:100])
	service := nameOf("pop", "localhost")
	f.Fuzz(func(t *testing.T, octets []byte) {
		c, err := parseCache(octets)
		if err != nil {
			return
		}
		size := 0
		for _, cred := range c.credentials {
			size += len(cred.key.KeyValue) + len(cred.ticket) + len(cred.server.realm)
		}
		if size > len(octets) {
			t.Fatalf("%d octets were read from %d", size, len(octets))
		}
		if cred, ok := c.find(service, usableNow); ok {
			if ticket, err := ticketOf(cred); err == nil {
				_, _, _ = (&Ticket{client: c.client, ticket: ticket, key: cred.key}).Begin() // it must not panic
			}
		}
	})
}

// A KDC may reply anything, also something encrypted by the right key. None of it is a ticket, since
// no reply has the number of the request.
func FuzzReply(f *testing.F) {
	s, t, request := asked(f, cached(f))
	f.Add(false, []byte("\x6d\x05\x30\x03\xa0\x01\x05"))
	f.Add(false, []byte("\x7e\x05\x30\x03\xa0\x01\x05"))
	f.Add(true, []byte("\x7a\x05\x30\x03\xa0\x01\x05"))
	f.Fuzz(func(tt *testing.T, encrypted bool, octets []byte) {
		if encrypted {
			octets = replied(tt, t, octets, nil)
		}
		if got, err := s.read(octets, t, request); err == nil {
			tt.Fatalf("read() = %v, want an error", got)
		}
	})
}
