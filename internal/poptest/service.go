package poptest

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Service is the service pop on localhost, and has a ticket of the user mrose for it. No KDC is
// needed. It accepts tickets by GSSAPI (RFC 4752), written apart from the client that it tests.
type Service struct {
	keys   *keytab.Keytab
	ticket messages.Ticket
	key    types.EncryptionKey

	mu   sync.Mutex
	last []byte // the client's own key of the last log-in
}

// NewService returns a service whose keys are of a kind of encryption, such as 18.
func NewService(t TB, encryption int32) *Service {
	t.Helper()
	s := &Service{keys: keytab.New()}
	now := time.Now().UTC()
	if err := s.keys.AddEntry("pop/localhost", Realm, "key", now, 1, encryption); err != nil {
		t.Fatalf("making a key: %v", err)
	}
	user, service := types.NewPrincipalName(1, "mrose"), types.NewPrincipalName(3, "pop/localhost")
	var err error
	s.ticket, s.key, err = messages.NewTicket(user, Realm, service, Realm, types.NewKrbFlags(), s.keys, encryption, 1,
		now, now, now.Add(time.Hour), now)
	if err != nil {
		t.Fatalf("making a ticket: %v", err)
	}
	return s
}

// Cached is a ticket in a cache.
type Cached struct {
	Client     string // "" means mrose
	Server     string // such as "krbtgt/" + Realm; "" means pop/localhost
	Realm      string // of the server; "" means Realm
	Begin, End time.Time
	Encryption int32  // 0 means that of the service
	OtherKey   bool   // the key is that of another ticket
	Flags      uint32 // of the ticket
	Ticket     []byte // nil means the ticket for pop/localhost
}

// WriteCache writes a cache of the user with these tickets to path, in MIT's format 4.
func (s *Service) WriteCache(t TB, path string, tickets ...Cached) {
	t.Helper()
	own, err := s.ticket.Marshal()
	if err != nil {
		t.Fatalf("encoding a ticket: %v", err)
	}
	number := func(b []byte, n int) []byte { return binary.BigEndian.AppendUint32(b, uint32(n)) }
	data := func(b, octets []byte) []byte { return append(number(b, len(octets)), octets...) }
	name := func(b []byte, text, realm string) []byte {
		parts := types.NewPrincipalName(1, text).NameString
		b = data(number(number(b, 1), len(parts)), []byte(realm))
		for _, part := range parts {
			b = data(b, []byte(part))
		}
		return b
	}
	b := append([]byte{5, 4, 0, 12, 0, 1, 0, 8}, make([]byte, 8)...)
	b = name(b, "mrose", Realm)
	for _, c := range tickets {
		c.Client, c.Server, c.Realm = cmp.Or(c.Client, "mrose"), cmp.Or(c.Server, "pop/localhost"), cmp.Or(c.Realm, Realm)
		if c.Encryption == 0 {
			c.Encryption = s.key.KeyType
		}
		if c.Ticket == nil {
			c.Ticket = own
		}
		b = name(name(b, c.Client, Realm), c.Server, c.Realm)
		b = data(binary.BigEndian.AppendUint16(b, uint16(c.Encryption)), s.key.KeyValue)
		for _, at := range []time.Time{c.Begin, c.Begin, c.End, c.End} {
			b = number(b, int(max(at.Unix(), 0)))
		}
		b = append(b, 0)
		if c.OtherKey {
			b[len(b)-1] = 1
		}
		b = binary.BigEndian.AppendUint32(b, c.Flags)
		b = number(number(b, 1), 2<<16) // an address, of IPv4, and the upper half of its length
		b = append(b, 0, 4, 127, 0, 0, 1)
		b = data(data(number(b, 0), c.Ticket), nil)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatalf("writing a cache: %v", err)
	}
}

// GSSAPI says how the service deviates from RFC 4752. Nil and zero mean that it does not.
type GSSAPI struct {
	Part     func(*messages.EncAPRepPart) // changes the proof before it is encrypted
	WrongKey bool                         // encrypts the proof by another key
	NoSubkey bool                         // has no key of its own for the tokens
	Reply    func([]byte) []byte          // replaces the token with the proof
	Layers   []byte                       // instead of 1, 255, 255, 255, as Dovecot has it
	Turned   int                          // octets by which the token with the layers is turned
	Flags    byte                         // of that token; 0 means the right ones
	Wrap     func([]byte) []byte          // replaces that token
	After    int                          // accepts the log-in after so many challenges; 0: after all
	More     bool                         // sends one challenge too many
}

// Mechanism returns the mechanism GSSAPI.
func (s *Service) Mechanism(g GSSAPI) Mechanism {
	return func(_ *Session, initial []byte, ask func([]byte) ([]byte, error)) (string, error) {
		token := initial
		if token == nil {
			var err error
			if token, err = ask(nil); err != nil {
				return "", err
			}
		}
		if g.After == 1 {
			return "mrose", nil
		}
		reply, request, key, err := s.Prove(token, g)
		if err != nil {
			return "", fmt.Errorf("[SYS/PERM] %w", err)
		}
		if empty, err := ask(reply); err != nil || len(empty) > 0 {
			return "", errors.Join(errors.New("[SYS/PERM] the answer to the proof is not empty"), err)
		}
		if g.After == 2 {
			return "mrose", nil
		}
		choice, err := ask(s.Offer(key, g))
		if err != nil {
			return "", err
		}
		if g.More {
			if _, err := ask(nil); err != nil {
				return "", err
			}
		}
		return chosen(choice, request, key)
	}
}

// Prove returns the answer to the client's first token, what the client asked, and the key of later
// tokens.
func (s *Service) Prove(token []byte, g GSSAPI) ([]byte, types.Authenticator, types.EncryptionKey, error) {
	none := types.EncryptionKey{}
	at := bytes.Index(token, []byte{0x12, 0x01, 0x02, 0x02, 0x01, 0x00}) // the end of the name of Kerberos
	if at < 0 {
		return nil, types.Authenticator{}, none, errors.New("no token")
	}
	var request messages.APReq
	if err := request.Unmarshal(token[at+6:]); err != nil {
		return nil, request.Authenticator, none, err
	}
	if ok, err := request.Verify(s.keys, time.Minute, types.HostAddress{}, nil); !ok {
		return nil, request.Authenticator, none, fmt.Errorf("no right ticket: %w", err)
	}
	asked := request.Authenticator
	if request.APOptions.At(2) == 0 {
		return nil, asked, none, errors.New("the client asks for no proof")
	}
	if err := s.checkWishes(asked); err != nil {
		return nil, asked, none, err
	}
	part := messages.EncAPRepPart{CTime: asked.CTime, Cusec: asked.Cusec, SequenceNumber: sequence}
	key := asked.SubKey
	if !g.NoSubkey {
		key = types.EncryptionKey{KeyType: s.key.KeyType, KeyValue: bytes.Repeat([]byte{7}, len(s.key.KeyValue))}
		part.Subkey = key
	}
	if g.Part != nil {
		g.Part(&part)
	}
	plain, err := asn1.Marshal(part)
	if err != nil {
		return nil, asked, none, err
	}
	reply, err := s.Encrypted(asn1tools.AddASNAppTag(plain, asnAppTag.EncAPRepPart), g.WrongKey)
	if g.Reply != nil {
		reply = g.Reply(reply)
	}
	return reply, asked, key, err
}

// checkWishes checks the client's checksum (RFC 4121 section 4.1.1): no channel bindings, a proof, no
// delegation. The client's key must be its own, and a new one each time.
func (s *Service) checkWishes(asked types.Authenticator) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := asked.SubKey
	sum := asked.Cksum.Checksum
	const delegated, mutual = 1, 2
	switch {
	case asked.Cksum.CksumType != 0x8003, len(sum) != 24, !bytes.Equal(sum[:20], append([]byte{16, 0, 0, 0}, make([]byte, 16)...)):
		return fmt.Errorf("the client has a wrong checksum: %x", sum)
	case sum[20]&mutual == 0, sum[20]&delegated != 0:
		return fmt.Errorf("the client has the wrong flags %x", sum[20:])
	case own.KeyType != s.key.KeyType, len(own.KeyValue) != len(s.key.KeyValue), bytes.Equal(own.KeyValue, s.key.KeyValue),
		bytes.Equal(own.KeyValue, make([]byte, len(own.KeyValue))), bytes.Equal(own.KeyValue, s.last):
		return errors.New("the client has no key of its own")
	}
	s.last = own.KeyValue
	return nil
}

// Encrypted returns a token with a proof that says this.
func (s *Service) Encrypted(plain []byte, wrongKey bool) ([]byte, error) {
	key := s.key
	if wrongKey {
		key.KeyValue = bytes.Repeat([]byte{9}, len(key.KeyValue))
	}
	encrypted, err := crypto.GetEncryptedData(plain, key, keyusage.AP_REP_ENCPART, 0)
	if err != nil {
		return nil, err
	}
	octets, err := asn1.Marshal(messages.APRep{PVNO: 5, MsgType: msgtype.KRB_AP_REP, EncPart: encrypted})
	if err != nil {
		return nil, err
	}
	return Token(0x0200, asn1tools.AddASNAppTag(octets, asnAppTag.APREP)), nil
}

// Token returns a token of the mechanism Kerberos.
func Token(kind uint16, message []byte) []byte {
	name, _ := asn1.Marshal(gssapi.OIDKRB5.OID()) // it is a valid name
	return asn1tools.AddASNAppTag(append(binary.BigEndian.AppendUint16(name, kind), message...), 0)
}

// sequence is the number of the service's first token.
const sequence = 1 << 31

// Offer returns the token with the security layers.
func (s *Service) Offer(key types.EncryptionKey, g GSSAPI) []byte {
	w := gssapi.WrapToken{Flags: 5, EC: uint16(len(checksumOf(key))), SndSeqNum: sequence, Payload: []byte{1, 255, 255, 255}}
	if g.NoSubkey {
		w.Flags = 1
	}
	if g.Flags != 0 {
		w.Flags = g.Flags
	}
	if g.Layers != nil {
		w.Payload = g.Layers
	}
	if err := w.SetCheckSum(key, keyusage.GSSAPI_ACCEPTOR_SEAL); err != nil {
		return nil
	}
	token, err := w.Marshal()
	if err != nil {
		return nil
	}
	if g.Turned > 0 {
		binary.BigEndian.PutUint16(token[6:], uint16(g.Turned))
		body := bytes.Clone(token[16:])
		for i, octet := range body {
			token[16+(i+g.Turned)%len(body)] = octet
		}
	}
	if g.Wrap != nil {
		token = g.Wrap(token)
	}
	return token
}

func checksumOf(key types.EncryptionKey) []byte {
	kind, err := crypto.GetEtype(key.KeyType)
	if err != nil {
		return nil
	}
	return make([]byte, kind.GetHMACBitLength()/8)
}

// chosen returns the user in the client's last token.
func chosen(token []byte, request types.Authenticator, key types.EncryptionKey) (string, error) {
	var w gssapi.WrapToken
	if err := w.Unmarshal(token, false); err != nil {
		return "", fmt.Errorf("[SYS/PERM] %w", err)
	}
	ok, err := w.Verify(key, keyusage.GSSAPI_INITIATOR_SEAL)
	if !ok || w.SndSeqNum != uint64(request.SeqNumber) || len(w.Payload) < 4 || !bytes.Equal(w.Payload[:4], []byte{1, 0, 0, 0}) {
		return "", errors.Join(errors.New("[SYS/PERM] no valid choice of a layer"), err)
	}
	if user := string(w.Payload[4:]); user != "mrose" {
		return "", errors.New("[AUTH] the ticket is not that of " + user)
	}
	return "mrose", nil
}
