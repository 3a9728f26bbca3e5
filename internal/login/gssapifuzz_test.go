package login

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/popfetch/popfetch/internal/kerberos"
	"github.com/popfetch/popfetch/internal/poptest"
)

// FuzzGSSAPIChallenge gives the mechanism two challenges, the proof and the layers. The depth says how
// much of them is right, so that the octets get as far as that: 0 nothing, 1 the encryption of the
// proof, 2 the proof, 3 the proof and the checksum of the layers. No octets may end the program. The
// name may not be sent before the proof, and not to a server that insists on a layer.
func FuzzGSSAPIChallenge(f *testing.F) {
	service := poptest.NewService(f, 18)
	path := filepath.Join(f.TempDir(), "cache")
	service.WriteCache(f, path, poptest.Cached{End: time.Now().Add(24 * time.Hour)})
	ticket, err := kerberos.Places{Cache: path, Config: "/nonexistent"}.Ticket(f.Context(), "pop", "localhost")
	if err != nil {
		f.Fatal(err)
	}
	wrapped := bytes.Repeat([]byte{5, 4, 5, 0xff}, 12)
	f.Add(byte(0), poptest.Token(0x0200, []byte("\x6f\x03\x30\x01\xa0")), wrapped)
	f.Add(byte(0), poptest.Token(0x0300, []byte("\x7e\x03\x30\x01\xa0")), []byte{})
	f.Add(byte(1), []byte("\x7b\x1e\x30\x1c\xa0\x11\x18\x0f20260101000000Z\xa1\x03\x02\x01\x00\xa3\x02\x02\x00"), wrapped)
	f.Add(byte(2), []byte{}, wrapped)
	f.Add(byte(3), []byte{}, []byte{1, 0, 0, 0})
	f.Add(byte(3), []byte{}, []byte{6, 0, 255, 255})
	const name = "an-unlikely-name"
	f.Fuzz(func(t *testing.T, depth byte, proof, layers []byte) {
		context, token, err := ticket.Begin()
		if err != nil {
			t.Fatal(err)
		}
		g := &ticketed{user: name, context: context, token: token}
		first, err := g.Next(nil)
		if err != nil || bytes.Contains(first, []byte(name)) {
			t.Fatalf("the first answer is %q, %v", first, err)
		}
		depth %= 4
		var key types.EncryptionKey
		switch {
		case depth == 1:
			proof, err = service.Encrypted(proof, false)
		case depth > 1:
			proof, _, key, err = service.Prove(first, poptest.GSSAPI{})
		}
		if err != nil {
			t.Fatal(err)
		}
		right := depth == 3 && len(layers) == 4 && layers[0]&1 != 0
		if depth == 3 {
			layers = service.Offer(key, poptest.GSSAPI{Layers: append([]byte{}, layers...)})
		}
		for _, challenge := range [][]byte{proof, layers, nil} {
			answer, err := g.Next(challenge)
			if err == nil && len(answer) > 0 && !right {
				t.Fatalf("the answer is %q", answer)
			}
		}
		if g.Complete() == nil {
			t.Fatal("the exchange is complete after one challenge too many")
		}
	})
}
