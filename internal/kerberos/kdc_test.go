package kerberos

import (
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/popfetch/popfetch/internal/poptest"
)

// asked returns a request for pop/localhost by the ticket in a cache.
func asked(t testing.TB, cache []byte) (*settings, *Ticket, messages.TGSReq) {
	t.Helper()
	c, err := parseCache(cache)
	if err != nil {
		t.Fatal(err)
	}
	service := nameOf("pop", "localhost")
	cred, _ := c.find(service)
	ticket, err := ticketOf(cred)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Places{Config: "/nonexistent"}.settings()
	if err != nil {
		t.Fatal(err)
	}
	own := &Ticket{client: c.client, ticket: ticket, key: cred.key}
	request, err := messages.NewTGSReq(own.client.name, poptest.Realm, s.conf, own.ticket, own.key, service, false)
	if err != nil {
		t.Fatal(err)
	}
	return s, own, request
}

// replied returns a KDC's reply whose encrypted part is plain.
func replied(t testing.TB, own *Ticket, plain []byte) []byte {
	t.Helper()
	part, err := crypto.GetEncryptedData(plain, own.key, keyusage.TGS_REP_ENCPART_SESSION_KEY, 1)
	if err != nil {
		t.Fatal(err)
	}
	reply := messages.TGSRep{KDCRepFields: messages.KDCRepFields{PVNO: 5, MsgType: 13, CRealm: poptest.Realm,
		CName: own.client.name, Ticket: own.ticket, EncPart: part}}
	octets, err := reply.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return octets
}

// A reply is believed only if it answers this request and was made by the KDC.
func TestSettings_read(t *testing.T) {
	t.Parallel()
	s, own, request := asked(t, cached(t))
	for _, test := range []struct {
		name   string
		change func(*messages.EncKDCRepPart)
		key    []byte
		ok     bool
	}{
		{"right", func(*messages.EncKDCRepPart) {}, own.key.KeyValue, true},
		{"other request", func(p *messages.EncKDCRepPart) { p.Nonce++ }, own.key.KeyValue, false},
		{"other realm", func(p *messages.EncKDCRepPart) { p.SRealm = "X" }, own.key.KeyValue, false},
		{"other time", func(p *messages.EncKDCRepPart) {
			p.StartTime = p.StartTime.Add(-time.Hour)
			p.AuthTime = p.StartTime
		}, own.key.KeyValue, false},
		{"other key", func(*messages.EncKDCRepPart) {}, make([]byte, 32), false},
	} {
		now := time.Now().UTC()
		part := messages.EncKDCRepPart{Key: own.key, LastReqs: []messages.LastReq{{LRValue: now}}, Nonce: request.ReqBody.Nonce,
			Flags: types.NewKrbFlags(), AuthTime: now, StartTime: now, EndTime: now, SRealm: poptest.Realm, SName: request.ReqBody.SName}
		test.change(&part)
		plain, err := part.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		by := *own
		by.key.KeyValue = test.key
		if _, err := s.read(replied(t, &by, plain), own, request); (err == nil) != test.ok {
			t.Errorf("%s: read() = %v", test.name, err)
		}
	}
}
