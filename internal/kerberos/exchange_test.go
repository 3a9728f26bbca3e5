package kerberos

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/popfetch/popfetch/internal/poptest"
)

// grantingKDC is the KDC of all realms. It answers the nth request by a ticket for the nth name, whose
// key is that of own, but of another kind of encryption. It returns its address.
func grantingKDC(t *testing.T, own *Ticket, encryption int32, names ...string) string {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for _, name := range names {
			c, err := l.Accept()
			if err != nil {
				return
			}
			reply, err := granted(t, c, own, encryption, types.NewPrincipalName(2, name))
			if err != nil {
				t.Errorf("the KDC gives no ticket for %s: %v", name, err)
			}
			_, _ = c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(reply))), reply...))
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

func granted(t *testing.T, c io.Reader, own *Ticket, encryption int32, name types.PrincipalName) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return nil, err
	}
	octets := make([]byte, binary.BigEndian.Uint32(length[:]))
	if _, err := io.ReadFull(c, octets); err != nil {
		return nil, err
	}
	var request messages.TGSReq
	var proof messages.APReq
	if err := errors.Join(request.Unmarshal(octets), proof.Unmarshal(request.PAData[0].PADataValue), proof.DecryptAuthenticator(own.key)); err != nil {
		return nil, err
	}
	if a := proof.Authenticator; a.CRealm != poptest.Realm || !a.CName.Equal(own.client.name) {
		return nil, fmt.Errorf("the request is of %v of %s", a.CName, a.CRealm)
	}
	part := rightPart(own, request)
	part.SRealm, part.SName, part.Key.KeyType = request.ReqBody.Realm, name, encryption
	plain, err := part.Marshal()
	return replied(t, own, plain, func(r *messages.TGSRep) { r.Ticket.Realm, r.Ticket.SName = part.SRealm, name }), err
}

// The way to a service in another realm has an end. On it the user stays who he is.
func TestSettings_exchange(t *testing.T) {
	t.Parallel()
	far := []string{"krbtgt/B"}
	for i := range mostRealms {
		far = append(far, fmt.Sprintf("krbtgt/%d", i))
	}
	for _, test := range []struct {
		name       string
		encryption int32
		realm      string
		granted    []string
		says       string // "": there is a ticket
	}{
		{"here", 18, poptest.Realm, []string{"pop/localhost"}, ""},
		{"there", 18, "B", []string{"krbtgt/B", "pop/localhost"}, ""},
		{"far", 18, "B", []string{"krbtgt/1", "krbtgt/2", "krbtgt/B", "pop/localhost"}, ""},
		{"referred", 18, poptest.Realm, []string{"krbtgt/1", "krbtgt/2", "pop/localhost"}, ""},
		{"around", 18, "B", []string{"krbtgt/B", "krbtgt/" + poptest.Realm}, "the KDC of B refers back to realm POPTEST.EXAMPLE"},
		{"itself", 18, poptest.Realm, []string{"krbtgt/" + poptest.Realm}, "refers back"},
		{"too far", 18, "B", far[:mostRealms], "more than 10 realms"},
		{"unknown key", 99, "B", []string{"krbtgt/B"}, "gives no ticket with AES for pop/localhost@B"},
		{"old key", 23, poptest.Realm, []string{"pop/localhost"}, "gives no ticket with AES"},
	} {
		s, own, _ := asked(t, cached(t))
		own.ticket.SName = ticketGranting(poptest.Realm)
		s.conf.LibDefaults.Canonicalize = true
		addr := grantingKDC(t, own, test.encryption, test.granted...)
		for _, name := range append(test.granted, "krbtgt/"+poptest.Realm) {
			_, realm, _ := strings.Cut(name, "/")
			s.profile[strings.Join([]string{"realms", realm, "kdc"}, pathSeparator)] = []string{"tcp/" + addr}
		}
		ticket, err := s.exchange(t.Context(), own, nameOf("pop", "localhost"), test.realm)
		switch {
		case test.says == "":
			if err != nil || !ticket.ticket.SName.Equal(nameOf("pop", "localhost")) || !bytes.Equal(ticket.key.KeyValue, own.key.KeyValue) {
				t.Errorf("%s: exchange() = %v, want a ticket", test.name, err)
			}
		case err == nil || !strings.Contains(err.Error(), test.says):
			t.Errorf("%s: exchange() = %v, want %q", test.name, err, test.says)
		}
	}
}
