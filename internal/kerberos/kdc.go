package kerberos

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/popfetch/popfetch/internal/escape"
)

const (
	maxReply  = 1 << 20 // octets of a KDC's reply; tickets of Windows may have 64 KB
	maxPacket = 1 << 16
	// longestTry limits the time for one KDC by TCP or UDP, so that another one gets its turn.
	longestTry = 4 * time.Second
)

func show(text string) string { return escape.Text([]byte(text), 200) }

// ask exchanges a ticket for another one at the KDC of a realm (RFC 4120 section 3.3).
func (s *settings) ask(ctx context.Context, t *Ticket, service types.PrincipalName, realm string) (*Ticket, error) {
	var request messages.TGSReq
	var octets []byte
	err := guard(func() (err error) {
		request, err = messages.NewTGSReq(t.client.name, realm, s.conf, t.ticket, t.key, service, false)
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
		return nil, &Error{Temporary: true, Err: err}
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
	err := guard(func() error {
		if err := reply.Unmarshal(octets); err != nil {
			return err
		}
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
		return nil, &Error{Temporary: true, Err: fmt.Errorf("the reply of the KDC of %s is not valid: %s", show(realm), show(err.Error()))}
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
		return &Error{Err: fmt.Errorf("%sknows no service %v; write the name of the server as Kerberos knows it", said, service)}
	case errorcode.KRB_AP_ERR_TKT_EXPIRED:
		return &Error{Err: errors.New(said + "says that the ticket has expired; " + mend)}
	case errorcode.KRB_AP_ERR_SKEW:
		return &Error{Temporary: true, Err: errors.New(said + "has another time; set the clock of this machine")}
	case errorcode.KDC_ERR_ETYPE_NOSUPP:
		return &Error{Err: fmt.Errorf("%shas no AES key for %v; its administrator must make one", said, service)}
	}
	return &Error{Temporary: e.ErrorCode == errorcode.KDC_ERR_SVC_UNAVAILABLE,
		Err: fmt.Errorf("%sgives no ticket for %v: %s", said, service, show(e.Error()))}
}

// send sends a request to the KDCs of a realm, one after the other, until one replies. UDP is used if
// none is reached by TCP.
func (s *settings) send(ctx context.Context, realm string, request []byte) ([]byte, error) {
	var failed error
	for _, protocol := range []string{"tcp", "udp"} {
		addrs, err := s.kdcs(ctx, protocol, realm)
		if err != nil {
			failed = cmp.Or(failed, err)
			continue
		}
		for _, addr := range addrs {
			reply, err := sendTo(ctx, protocol, addr, request)
			if err == nil {
				return reply, nil
			}
			failed = cmp.Or(failed, err)
		}
	}
	return nil, fmt.Errorf("no KDC of %s is reached: %w", show(realm), failed)
}

// kdcs returns the addresses of the KDCs of a realm, from krb5.conf or else from DNS.
func (s *settings) kdcs(ctx context.Context, protocol, realm string) ([]string, error) {
	if kdcs := s.profile.values("realms", realm, "kdc"); len(kdcs) > 0 {
		return kdcs, nil
	}
	if !s.dns {
		return nil, errors.New("krb5.conf names none")
	}
	_, records, err := net.DefaultResolver.LookupSRV(ctx, "kerberos", protocol, realm)
	if err == nil && len(records) == 0 {
		err = errors.New("no SRV records")
	}
	if err != nil {
		return nil, fmt.Errorf("krb5.conf names none, and DNS neither: %s", show(err.Error()))
	}
	var addrs []string
	for _, r := range records {
		addrs = append(addrs, net.JoinHostPort(strings.TrimSuffix(r.Target, "."), strconv.Itoa(int(r.Port))))
	}
	return addrs, nil
}

// sendTo sends a request to one KDC (RFC 4120 section 7.2).
func sendTo(ctx context.Context, protocol, addr string, request []byte) (reply []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, longestTry)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, protocol, addr)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	if protocol == "udp" {
		if _, err = c.Write(request); err == nil {
			reply = make([]byte, maxPacket)
			var n int
			n, err = c.Read(reply)
			reply = reply[:n]
		}
	} else {
		reply, err = sendTCP(c, request)
	}
	if err != nil {
		return nil, fmt.Errorf("%s over %s: %w", addr, protocol, err)
	}
	return reply, nil
}

// sendTCP sends a request and reads the reply. Both follow their length.
func sendTCP(c net.Conn, request []byte) ([]byte, error) {
	length := binary.BigEndian.AppendUint32(nil, uint32(len(request)))
	if _, err := c.Write(append(length, request...)); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(c, length); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length)
	if n > maxReply {
		return nil, fmt.Errorf("the reply has %d octets, and at most %d are read", n, maxReply)
	}
	reply := make([]byte, n)
	_, err := io.ReadFull(c, reply)
	return reply, err
}
