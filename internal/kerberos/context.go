package kerberos

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/chksumtype"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// etypes are the kinds of encryption that a session may have, in the order of MIT Kerberos. Older
// ones are weak, and have other tokens (RFC 1964).
var etypes = []int32{etypeID.AES256_CTS_HMAC_SHA1_96, etypeID.AES128_CTS_HMAC_SHA1_96,
	etypeID.AES256_CTS_HMAC_SHA384_192, etypeID.AES128_CTS_HMAC_SHA256_128}

// sizes has the octets of a key and of a checksum for each kind of encryption.
var sizes = map[int32]struct{ key, checksum int }{
	etypeID.AES256_CTS_HMAC_SHA1_96:    {32, 12},
	etypeID.AES128_CTS_HMAC_SHA1_96:    {16, 12},
	etypeID.AES256_CTS_HMAC_SHA384_192: {32, 24},
	etypeID.AES128_CTS_HMAC_SHA256_128: {16, 16},
}

// usable reports whether this package can use a key.
func usable(k types.EncryptionKey) bool {
	size, ok := sizes[k.KeyType]
	return ok && len(k.KeyValue) == size.key
}

// known reports whether gokrb5 can use a key. A KDC may still take a ticket with an older one.
func known(k types.EncryptionKey) bool {
	if _, ok := sizes[k.KeyType]; ok {
		return usable(k)
	}
	kind, err := crypto.GetEtype(k.KeyType)
	return err == nil && len(k.KeyValue) == kind.GetKeyByteSize()
}

// confounder is the number of octets at the beginning of what AES encrypts.
const confounder = 16

// whole reports whether cipher is long enough to be decrypted. gokrb5 does not check that. For a key of
// an older kind whole is always true, and gokrb5 may panic.
func whole(cipher []byte, key types.EncryptionKey) bool {
	size, ok := sizes[key.KeyType]
	return !ok || len(cipher) > confounder+size.checksum
}

// Context is the initiator's side of a security context (RFC 4121).
type Context struct {
	service    principal
	sessionKey types.EncryptionKey // the service can know it only from the ticket
	request    types.Authenticator
	key        types.EncryptionKey // of the tokens; unset until the service has proved itself
	flags      byte                // of the tokens
	next       uint64              // number of the service's next token
	sent       uint64              // number of the next token of this side
}

// Begin returns a context and its first token, which asks the service to prove itself.
func (t *Ticket) Begin() (*Context, []byte, error) {
	var c *Context
	var token []byte
	err := guard(func() error {
		a, err := types.NewAuthenticator(t.client.realm, t.client.name)
		if err != nil {
			return err
		}
		a.Cksum = types.Checksum{CksumType: chksumtype.GSSAPI, Checksum: wishes()}
		a.SubKey = types.EncryptionKey{KeyType: t.key.KeyType, KeyValue: make([]byte, len(t.key.KeyValue))}
		_, _ = rand.Read(a.SubKey.KeyValue) // Read never fails
		request, err := messages.NewAPReq(t.ticket, t.key, a)
		if err != nil {
			return err
		}
		types.SetFlag(&request.APOptions, flags.APOptionMutualRequired)
		octets, err := request.Marshal()
		token = frame(tokenRequest, octets)
		c = &Context{service: principal{t.ticket.SName, t.ticket.Realm}, sessionKey: t.key, request: a, sent: uint64(a.SeqNumber)}
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("making a request from the ticket: %s", show(err.Error()))
	}
	return c, token, nil
}

// wishes returns the checksum of the request. It says that the service proves itself, that tokens
// have an order, and that they are protected. Nothing is delegated (RFC 4121 section 4.1.1).
func wishes() []byte {
	const mutual, sequence, integrity = 2, 8, 32
	b := make([]byte, 24)
	binary.LittleEndian.PutUint32(b, 16) // octets of the channel bindings, which are none
	binary.LittleEndian.PutUint32(b[20:], mutual|sequence|integrity)
	return b
}

// Establish reads the answer of the service. The error is ErrUntrue if the answer does not prove that
// the service knows the key of the ticket, or another error if the service refuses the ticket.
func (c *Context) Establish(token []byte) error {
	kind, octets, err := unframe(token)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUntrue, err)
	}
	if kind == tokenError {
		return c.refusal(octets)
	}
	var part messages.EncAPRepPart
	err = guard(func() error {
		var reply messages.APRep
		if err := reply.Unmarshal(octets); err != nil {
			return err
		}
		if kind != tokenReply || !whole(reply.EncPart.Cipher, c.sessionKey) {
			return errors.New("no reply to the request")
		}
		plain, err := crypto.DecryptEncPart(reply.EncPart, c.sessionKey, keyusage.AP_REP_ENCPART)
		if err != nil {
			return err
		}
		return part.Unmarshal(plain)
	})
	switch {
	case err != nil:
		return fmt.Errorf("%w: %s", ErrUntrue, show(err.Error()))
	case part.CTime.Unix() != c.request.CTime.Unix() || part.Cusec != c.request.Cusec:
		return fmt.Errorf("%w: it answers another request", ErrUntrue)
	}
	key := c.request.SubKey
	if part.Subkey.KeyType != 0 || len(part.Subkey.KeyValue) > 0 {
		if !usable(part.Subkey) {
			return fmt.Errorf("the server wants encryption of kind %d, and popfetch has AES alone", part.Subkey.KeyType)
		}
		key, c.flags = part.Subkey, acceptorSubkey
	}
	c.key = key
	c.next = uint64(uint32(part.SequenceNumber))
	return nil
}

// refusal returns what the service says instead of proving itself.
func (c *Context) refusal(octets []byte) error {
	var e messages.KRBError
	if err := guard(func() error { return e.Unmarshal(octets) }); err != nil {
		return fmt.Errorf("%w: %s", ErrUntrue, show(err.Error()))
	}
	if e.ErrorCode == errorcode.KRB_AP_ERR_SKEW {
		return errors.New("the server has another time; set the clock of this machine, or of the server")
	}
	return fmt.Errorf("the server refuses the ticket for %v: %s", c.service, show(e.Error()))
}

// Unwrap returns what a token of the service protects (RFC 4121 section 4.2.6.2). The error is
// ErrUntrue if it is not the next token, or not as the service sent it.
func (c *Context) Unwrap(token []byte) ([]byte, error) {
	if c.key.KeyValue == nil {
		return nil, errors.New("the context is not established")
	}
	size := sizes[c.key.KeyType].checksum
	if len(token) < wrapHeader+size || !bytes.Equal(token[:2], wrapToken) || token[3] != 0xff {
		return nil, fmt.Errorf("%w: no wrap token", ErrUntrue)
	}
	if token[2]&sealed != 0 {
		return nil, errors.New("the server encrypts its token, which RFC 4752 forbids")
	}
	data := token[wrapHeader:]
	turned := int(binary.BigEndian.Uint16(token[6:])) % len(data)
	data = append(bytes.Clone(data[turned:]), data[:turned]...) // it was turned to the right
	message, checksum := data[:len(data)-size], data[len(data)-size:]
	number := binary.BigEndian.Uint64(token[8:])
	want, err := c.checksum(message, token[2], number, keyusage.GSSAPI_ACCEPTOR_SEAL)
	switch {
	case err != nil:
		return nil, err
	case !hmac.Equal(checksum, want), token[2] != sentByAcceptor|c.flags, int(binary.BigEndian.Uint16(token[4:])) != size:
		return nil, fmt.Errorf("%w: the checksum of its token is wrong", ErrUntrue)
	case number != c.next:
		return nil, fmt.Errorf("%w: its token is out of order", ErrUntrue)
	}
	c.next++
	return message, nil
}

// Wrap returns a token that protects message from changes. It does not encrypt it.
func (c *Context) Wrap(message []byte) ([]byte, error) {
	if c.key.KeyValue == nil {
		return nil, errors.New("the context is not established")
	}
	checksum, err := c.checksum(message, c.flags, c.sent, keyusage.GSSAPI_INITIATOR_SEAL)
	if err != nil {
		return nil, err
	}
	token := wrapHead(c.flags, uint16(len(checksum)), c.sent)
	c.sent++
	return append(append(token, message...), checksum...), nil
}

// checksum covers the message and the header of its token, with zero for the checksum's own length.
func (c *Context) checksum(message []byte, flags byte, number uint64, usage uint32) (sum []byte, err error) {
	err = guard(func() error {
		kind, err := crypto.GetEtype(c.key.KeyType)
		if err == nil {
			sum, err = kind.GetChecksumHash(c.key.KeyValue, append(bytes.Clone(message), wrapHead(flags, 0, number)...), usage)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("computing a checksum: %s", show(err.Error()))
	}
	return sum, nil
}
