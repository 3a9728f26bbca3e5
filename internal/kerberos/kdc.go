package kerberos

import (
	"context"
	"errors"
	"fmt"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/patype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/popfetch/popfetch/internal/escape"
)

func show(text string) string { return escape.Text([]byte(text), 200) }

// newRequest returns a request for another ticket. gokrb5 says that the user is of the realm that gave
// the present ticket. After a second realm that is not so.
func (s *settings) newRequest(t *Ticket, service types.PrincipalName, realm string) (messages.TGSReq, error) {
	request, err := messages.NewTGSReq(t.client.name, realm, s.conf, t.ticket, t.key, service, false)
	if err != nil || t.ticket.Realm == t.client.realm {
		return request, err
	}
	body, err := request.ReqBody.Marshal()
	if err != nil {
		return request, err
	}
	kind, err := crypto.GetEtype(t.key.KeyType)
	if err != nil {
		return request, err
	}
	sum, err := kind.GetChecksumHash(t.key.KeyValue, body, keyusage.TGS_REQ_PA_TGS_REQ_AP_REQ_AUTHENTICATOR_CHKSUM)
	if err != nil {
		return request, err
	}
	a, err := types.NewAuthenticator(t.client.realm, t.client.name)
	if err != nil {
		return request, err
	}
	a.Cksum = types.Checksum{CksumType: kind.GetHashID(), Checksum: sum}
	proof, err := messages.NewAPReq(t.ticket, t.key, a)
	if err != nil {
		return request, err
	}
	octets, err := proof.Marshal()
	request.PAData = types.PADataSequence{{PADataType: patype.PA_TGS_REQ, PADataValue: octets}}
	return request, err
}

// ask exchanges a ticket for another one at the KDC of a realm (RFC 4120 section 3.3).
func (s *settings) ask(ctx context.Context, t *Ticket, service types.PrincipalName, realm string) (*Ticket, error) {
	var request messages.TGSReq
	var octets []byte
	err := guard(func() (err error) {
		request, err = s.newRequest(t, service, realm)
		if err == nil {
			octets, err = request.Marshal()
		}
		return err
	})
	if err != nil {
		return nil, &Error{Err: fmt.Errorf("the ticket of %v cannot be used (%s); "+mend, t.client, show(err.Error()))}
	}
	octets, err = s.send(ctx, realm, octets)
	if err != nil {
		return nil, err
	}
	return s.read(octets, t, request)
}

// read returns the ticket in the reply to a request that was made with the ticket t.
func (s *settings) read(octets []byte, t *Ticket, request messages.TGSReq) (*Ticket, error) {
	realm := request.ReqBody.Realm
	var refusal messages.KRBError
	if guard(func() error { return refusal.Unmarshal(octets) }) == nil {
		return nil, refused(&refusal, realm, principal{request.ReqBody.SName, realm})
	}
	var reply messages.TGSRep
	invalid := func(temporary bool, err error) *Error {
		return &Error{Temporary: temporary, Err: fmt.Errorf("the reply of the KDC of %s is not valid: %s", show(realm), show(err.Error()))}
	}
	if err := guard(func() error { return reply.Unmarshal(octets) }); err != nil {
		return nil, invalid(true, err) // another program may have answered
	}
	err := guard(func() error {
		if !whole(reply.EncPart.Cipher, t.key) {
			return errors.New("the encrypted part is cut")
		}
		if err := reply.DecryptEncPart(t.key); err != nil {
			return err
		}
		if _, err := reply.Verify(s.conf, request); err != nil {
			return err
		}
		return answers(&reply, t, request)
	})
	if err != nil {
		return nil, invalid(false, err)
	}
	return &Ticket{client: t.client, ticket: reply.Ticket, key: reply.DecryptedEncPart.Key}, nil
}

// answers checks what gokrb5 does not. Only the encrypted part is known to be of the KDC. So the
// ticket must have the name that stands there, and that must be the name of the request. The KDC may
// also refer to another one, or tell the service's proper name if it was asked to.
func answers(reply *messages.TGSRep, t *Ticket, request messages.TGSReq) error {
	name, asked := reply.DecryptedEncPart.SName, request.ReqBody
	switch {
	case reply.CRealm != t.client.realm:
		return errors.New("it is for another user")
	case !reply.Ticket.SName.Equal(name):
		return errors.New("its ticket has another name")
	case !name.Equal(asked.SName) && referral(name) == "" && !types.IsFlagSet(&asked.KDCOptions, flags.Canonicalize):
		return fmt.Errorf("it is for the service %s", name.PrincipalNameString())
	}
	return nil
}

// refused returns the error for what a KDC says instead of giving a ticket.
func refused(e *messages.KRBError, realm string, service principal) *Error {
	said := fmt.Sprintf("the KDC of %s ", show(realm))
	switch e.ErrorCode {
	case errorcode.KDC_ERR_S_PRINCIPAL_UNKNOWN:
		return &Error{Err: unknown(said, realm, service)}
	case errorcode.KRB_AP_ERR_TKT_EXPIRED:
		return &Error{Err: errors.New(said + "says that the ticket has expired; " + mend)}
	case errorcode.KDC_ERR_TGT_REVOKED, errorcode.KRB_AP_ERR_TKT_NYV, errorcode.KRB_AP_ERR_BAD_INTEGRITY:
		return &Error{Err: fmt.Errorf("%sdoes not take the ticket: %s; "+mend, said, show(e.Error()))}
	case errorcode.KRB_AP_ERR_SKEW:
		return &Error{Err: errors.New(said + "has another time; set the clock of this machine")}
	case errorcode.KDC_ERR_ETYPE_NOSUPP:
		return &Error{Err: fmt.Errorf("%shas no AES key for %v; its administrator must make one", said, service)}
	}
	return &Error{Err: fmt.Errorf("%sgives no ticket for %v: %s", said, service, show(e.Error()))}
}

// unknown returns the error for a service that the KDC of a realm does not know.
func unknown(said, realm string, service principal) error {
	if other := referral(service.name); other != "" {
		return fmt.Errorf("the realms %s and %s do not trust each other", show(realm), show(other))
	}
	return fmt.Errorf("%sknows no service %v; write the name of the server as Kerberos knows it, "+
		"or name its realm under [domain_realm] in krb5.conf", said, service)
}
