package kerberos

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"

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

// A KDC may reply anything, also something encrypted by the right key. A reply is taken only if it is
// for this request: it has its number, and names the service and the user.
func FuzzReply(f *testing.F) {
	s, t, request := asked(f, cached(f))
	request.ReqBody.Nonce = 12345
	f.Add(false, []byte("\x6d\x05\x30\x03\xa0\x01\x05"))
	f.Add(false, []byte("\x7e\x05\x30\x03\xa0\x01\x05"))
	f.Add(true, []byte("\x7a\x05\x30\x03\xa0\x01\x05"))
	part := rightPart(t, request)
	plain, err := part.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(true, plain)
	f.Add(false, replied(f, t, plain, nil))
	f.Add(false, replied(f, t, plain, func(r *messages.TGSRep) { r.Ticket.SName.NameString = []string{"http", "elsewhere"} }))
	f.Fuzz(func(tt *testing.T, encrypted bool, octets []byte) {
		if encrypted {
			octets = replied(tt, t, octets, nil)
		}
		got, err := s.read(octets, t, request)
		if err != nil {
			return
		}
		var reply messages.TGSRep
		if err := errors.Join(reply.Unmarshal(octets), reply.DecryptEncPart(t.key)); err != nil {
			tt.Fatal(err)
		}
		name := got.ticket.SName
		if p := reply.DecryptedEncPart; p.Nonce != 12345 || !p.SName.Equal(name) || !got.client.equal(t.client) || !reply.CName.Equal(t.client.name) ||
			!name.Equal(request.ReqBody.SName) && referral(name) == "" {
			tt.Fatalf("read() took a reply with number %d for %v and %v", p.Nonce, name, reply.CName)
		}
	})
}
